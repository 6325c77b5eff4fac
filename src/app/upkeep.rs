//! The verbs that work on a whole database: statistics, monitoring, backup, verification, retention.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    control::{ControlError, Desk, Done, time},
    control_args as args,
    service::{Check, ClearFilter, Cleared, Contents, Freshness, Tasks, Verification, whole_seconds},
    show,
    supervised::Supervisors,
};
use crate::{
    io::sys,
    model::{
        stats::Summary,
        task::{exit_code, span},
    },
};

impl Desk<'_, '_> {
    pub(super) fn stats(&mut self, wanted: &args::Stats) -> Done {
        let since = time("--since", &wanted.since)?;
        let now = sys::now().wall;
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let summaries = tasks.stats(wanted.name.as_deref(), since, now.secs())?.summaries();
        if let (Some(name), true) = (&wanted.name, summaries.is_empty()) {
            return Err(ControlError::NoRuns(name.clone()));
        }
        if wanted.jsonl {
            for one in &summaries {
                writeln!(self.out.data, "{}", stats_json(one))?;
            }
        } else if self.json {
            self.print(&Value::Array(summaries.iter().map(stats_json).collect()).to_string())?;
        } else {
            let width = (self.out.width)();
            let table = show::stats_table(&summaries, now, width, self.out.colours);
            self.print(&table)?;
            for one in summaries.iter().filter(|one| one.future > 0) {
                let (name, runs) = (show::clean(&one.name), show::count(one.future, "run"));
                self.report(&format!(
                    "{name}: {runs} ended in the future, so the clock was wrong; none counts as the last success or failure"
                ));
            }
        }
        Ok(0)
    }

    pub(super) fn check(&mut self, wanted: &args::Check) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let Check { freshness, last, age, future, running } = tasks.check(&wanted.name, wanted.max_age)?;
        let (code, good) = match freshness {
            Freshness::Fresh => (0, true),
            Freshness::Stale => (exit_code::FAILED, false),
            Freshness::Never => (exit_code::NEVER, false),
        };
        if self.json {
            let object = json!({
                "name": wanted.name,
                "ok": good,
                "last_success": last.as_ref().map(|row| row.endtime),
                "taskid": last.as_ref().map(|row| row.taskid),
                "age": age,
                "max_age": whole_seconds(wanted.max_age),
                "future_success": future.as_ref().map(|row| row.endtime),
                "running": running,
            });
            self.print(&object.to_string())?;
            return Ok(code);
        }
        let name = show::clean(&wanted.name);
        let words = |age: i64| span(Duration::from_secs(age.unsigned_abs()));
        let mut text = match (&last, age) {
            (Some(row), Some(age)) => {
                let verdict = if good { "" } else { ", too long ago" };
                let at = show::local_time(row.endtime);
                format!("{name}: succeeded {} ago ({at}, task {}){verdict}", words(age), row.taskid)
            }
            _ => format!("{name}: never succeeded"),
        };
        if let Some(row) = &future {
            let at = show::local_time(row.endtime);
            text.push_str(&format!(
                "; task {} is not counted: it succeeded in the future ({at}), so the clock was wrong",
                row.taskid
            ));
        }
        if let Some(id) = running.first() {
            text.push_str(&format!("; running now as task {id}"));
        }
        self.print(&text)?;
        Ok(code)
    }

    pub(super) fn backup(&mut self, wanted: &args::Backup) -> Done {
        let size = Tasks::open(&self.db, self.out.patience)?.backup(&wanted.file)?;
        let text = match self.json {
            true => json!({ "file": wanted.file.to_string_lossy(), "bytes": size }).to_string(),
            false => format!("{size} bytes written to {}", show::clean(&wanted.file.to_string_lossy())),
        };
        self.print(&text)?;
        Ok(0)
    }

    pub(super) fn verify(&mut self, wanted: &args::Verify) -> Done {
        let found = Tasks::open(&self.db, self.out.patience)?.verify(wanted.repair)?;
        let (left, damaged) = (found.left(), found.is_damaged());
        let Verification { faults, logs, missing, stray_bytes } = found;
        let code = if left == 0 { 0 } else { exit_code::FAILED };
        if self.json {
            let list: Vec<Value> =
                faults.iter().map(|fault| json!({ "fault": fault.what, "repaired": fault.repaired })).collect();
            let object = json!({ "ok": left == 0, "faults": list, "logs": logs, "logs_missing": missing, "stray_bytes": stray_bytes });
            self.print(&object.to_string())?;
            return Ok(code);
        }
        for fault in &faults {
            let repaired = if fault.repaired { " (repaired)" } else { "" };
            self.print(&format!("{}{repaired}", show::clean(&fault.what)))?;
        }
        if !missing.is_empty() {
            let first: Vec<String> = missing.iter().take(5).map(i64::to_string).collect();
            let more = if missing.len() > first.len() { " …" } else { "" };
            let (are, tasks) = if missing.len() == 1 { ("is", "task") } else { ("are", "tasks") };
            self.print(&format!(
                "note: {} {are} missing ({tasks} {}{more})",
                show::count(missing.len() as u64, "log"),
                first.join(", ")
            ))?;
        }
        let fault = |number: usize| show::count(number as u64, "fault");
        let verdict = match (faults.len(), left) {
            (0, _) => {
                let logs = show::count(logs as u64, "log");
                format!("no faults found by SQLite's integrity check and the rules of taskwatcher; {logs}")
            }
            (1, 0) => "1 fault, repaired".to_owned(),
            (all, 0) => format!("{}, all repaired", fault(all)),
            _ if damaged && wanted.repair => {
                "the file is damaged, so nothing was repaired, and no log was removed; restore a copy".to_owned()
            }
            _ if damaged => "the file is damaged; restore a copy".to_owned(),
            (_, 1) if wanted.repair => "1 fault left; restore a copy, or repair it by hand".to_owned(),
            (_, left) if wanted.repair => format!("{} left; restore a copy, or repair them by hand", fault(left)),
            (_, left) => format!("{}; --repair removes logs and feedbacks that belong to no task", fault(left)),
        };
        self.print(&verdict)?;
        Ok(code)
    }

    pub(super) fn clear(&mut self, wanted: &args::Clear) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let filter = ClearFilter { name: wanted.name.clone(), older_than: wanted.older_than, but_newest: None };
        let all = tasks.clearable(&filter)?;
        let what = format!("{} with {}", show::count(all.tasks, "ended task"), show::count(all.logs, "log"));
        if !self.is_sure(&wanted.sure, all, &what)? {
            return Ok(if wanted.sure.dry_run { 0 } else { exit_code::FAILED });
        }
        let done = tasks.clear(&filter).inspect_err(|error| {
            if error.keeps_logs() {
                self.report("the logs of deleted tasks are kept; remove them with: control verify --repair");
            }
        })?;
        let text = match self.json {
            true => json!({ "deleted": done.tasks, "logs": done.logs }).to_string(),
            false => format!("{} deleted, with {}", done.tasks, show::count(done.logs, "log")),
        };
        self.print(&text)?;
        Ok(0)
    }

    /// Whether to delete these rows: not with `--dry-run`, which prints `what`, and not if the user at the terminal
    /// declines.
    fn is_sure(&mut self, sure: &args::Sure, all: Cleared, what: &str) -> Result<bool, ControlError> {
        if sure.dry_run {
            let text = match self.json {
                true => json!({ "would_delete": all.tasks, "logs": all.logs }).to_string(),
                false => format!("would delete {what}"),
            };
            self.print(&text)?;
            return Ok(false);
        }
        let Some(ask) = self.out.confirm.as_mut().filter(|_| !sure.yes && all.tasks > 0) else { return Ok(true) };
        let is_sure = ask(&format!("delete {what}?"));
        if !is_sure {
            self.report("nothing was deleted");
        }
        Ok(is_sure)
    }

    pub(super) fn initialize(&mut self, wanted: &args::Initialize) -> Done {
        let mut tasks = Tasks::open_to_initialize(&self.db, self.out.patience, wanted.sure.dry_run, &Supervisors)?;
        let Contents { own, of_remotes } = tasks.contents()?;
        let what = format!(
            "all of {}: {} with {}, {} of other hosts",
            show::clean(&self.db.to_string_lossy()),
            show::count(own.tasks, "ended task"),
            show::count(own.logs, "log"),
            show::count(of_remotes, "ended task"),
        );
        if !self.is_sure(&wanted.sure, Cleared { tasks: own.tasks + of_remotes, ..own }, &what)? {
            return Ok(if wanted.sure.dry_run { 0 } else { exit_code::FAILED });
        }
        tasks.initialize(wanted.force)?;
        Ok(0)
    }
}

fn stats_json(one: &Summary) -> Value {
    let mut value = counts_json(one);
    if one.cut_short > 0 {
        value["cut_short"] = one.cut_short.into();
    }
    if one.future > 0 {
        value["future"] = one.future.into();
    }
    value
}

fn counts_json(one: &Summary) -> Value {
    let [ok, warnings, error, unknown] = one.counts;
    let recent = one.recent.iter().map(|(class, duration)| json!({ "result": class.as_str(), "duration": duration }));
    json!({
        "name": one.name,
        "runs": one.runs(),
        "ok": ok,
        "warnings": warnings,
        "error": error,
        "unknown": unknown,
        "success_rate": (one.success_rate() * 100.0).round() / 100.0,
        "p50": one.p50,
        "p95": one.p95,
        "last_success": one.last_success,
        "last_failure": one.last_failure.as_ref().map(|(end, _)| end),
        "last_failure_reason": one.last_failure.as_ref().and_then(|(_, reason)| reason.as_deref()),
        "recent": recent.collect::<Vec<_>>(),
    })
}
