//! `control export`: prints the tasks of this database for other hosts (the format is in `model/export`).

use super::{
    control::{ControlError, Desk, Done, progress_of},
    control_args as args,
    db::DbError,
    service::{Exported, ServiceError, Tasks},
    show,
};
use crate::{
    io::{store::StoreError, sys},
    model::export::{ExportLine, VERSION},
};

impl Desk<'_, '_> {
    pub(super) fn export(&mut self, wanted: &args::Export) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience).map_err(|error| match error {
            ServiceError::Db(error @ DbError::Store(StoreError::Missing(_))) => ControlError::NothingYet(error),
            error => error.into(),
        })?;
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let Exported { live, unsettled, ended: export } = tasks.export(wanted.since.as_ref(), limit)?;
        self.line(&ExportLine::Start {
            version: VERSION,
            taskwatcher: env!("CARGO_PKG_VERSION").to_owned(),
            database: export.cursor.database.clone(),
            host: sys::host_name(),
            anew: export.restarted,
        })?;
        let now = sys::now().wall;
        let mut counted = [0; 2];
        for live in &live {
            self.line(&ExportLine::Running { task: show::task_json(live, progress_of(live), now) })?;
            counted[0] += 1;
        }
        for row in unsettled.iter().chain(&export.rows) {
            self.line(&ExportLine::Ended { task: show::ended_json(row) })?;
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
