//! `control export`: prints the tasks of this database for other hosts (the format is in `model/export`).

use super::{
    control::{ControlError, Desk, Done, progress_of},
    control_args as args,
    db::DbError,
    reconcile,
    service::history,
    show,
};
use crate::{
    io::{store::StoreError, sys},
    model::export::{ExportLine, VERSION},
};

impl Desk<'_, '_> {
    pub(super) fn export(&mut self, wanted: &args::Export) -> Done {
        let mut store = self.open().map_err(|error| match error {
            ControlError::Db(error @ DbError::Store(StoreError::Missing(_))) => ControlError::NothingYet(error),
            error => error,
        })?;
        // Live tasks are read before the ends, so that a task that ends meanwhile is listed as running, then as ended.
        let survey = reconcile::survey(&mut store)?;
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let export = store.export(wanted.since.as_ref(), limit)?;
        self.line(&ExportLine::Start {
            version: VERSION,
            taskwatcher: env!("CARGO_PKG_VERSION").to_owned(),
            database: export.cursor.database.clone(),
            host: sys::host_name(),
            anew: export.restarted,
        })?;
        let now = sys::now().wall;
        let mut counted = [0; 2];
        for live in &survey.live {
            self.line(&ExportLine::Running { task: show::task_json(live, progress_of(live), now) })?;
            counted[0] += 1;
        }
        // Ends that could not be moved to the history. They are printed again once they were moved.
        for row in history::unsettled_of(&survey).into_rows().into_iter().chain(export.rows) {
            self.line(&ExportLine::Ended { task: show::ended_json(&row) })?;
            counted[1] += 1;
        }
        let [running, ended] = counted;
        self.line(&ExportLine::End { cursor: export.cursor.to_string(), more: export.more, running, ended })?;
        Ok(0)
    }

    fn line(&mut self, line: &ExportLine) -> Result<(), ControlError> {
        let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
        Ok(writeln!(self.out.data, "{text}")?)
    }
}
