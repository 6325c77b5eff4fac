//! The verbs that work on a whole database: statistics, monitoring, backup, verification, retention.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    control::{ControlError, Desk, Done, system, time},
    control_args as args, reconcile,
    service::{Tasks, history},
    show, supervised,
};
use crate::{
    io::{
        logtree, process,
        store::{self, Named, Store, StoreError},
        sys,
    },
    model::{
        query::{Filter, Query},
        stats::{CLOCK_STEP, Summary},
        task::{Class, Process, exit_code, span},
        upid::Upid,
    },
};

/// Converts a duration to seconds, for comparisons with Unix seconds.
fn seconds(length: Duration) -> i64 {
    i64::try_from(length.as_secs()).unwrap_or(i64::MAX)
}

/// Removes the logs of deleted rows, and returns their number. Paths outside of the folder of logs are ignored. After a
/// log that cannot be removed, the others are still removed.
fn remove_logs(db: &Path, logs: &[Named]) -> Result<usize, ControlError> {
    let folder = store::log_folder(db);
    let (mut removed, mut failed) = (0, None);
    for log in logs {
        for path in log.usual.iter().chain([&log.column]) {
            match logtree::remove(&folder, path) {
                Ok(gone) => removed += usize::from(gone),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    failed.map_or(Ok(removed), |error| Err(ControlError::System("remove a log", error)))
}

/// Whether the launcher that is named in a log's file name still runs. Then the log is incomplete, although its task
/// was deleted from the database.
fn is_being_written(log: &Path) -> bool {
    let upid = log.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<Upid>().ok());
    upid.is_some_and(|upid| {
        let launcher = i32::try_from(upid.pid).ok().map(|pid| Process { pid, pstart: upid.pstart });
        upid.node() == sys::host_name() && launcher.is_some_and(|launcher| !process::gone(launcher))
    })
}

/// Deletes old runs of a name from the history, with their logs: all but the `newest` ones, or those that ended before
/// a time. Returns the number of deleted rows.
///
/// # Errors
/// [`ControlError`]
pub(super) fn forget_runs(
    store: &mut Store,
    name: &str,
    newest: Option<u64>,
    before: Option<i64>,
) -> Result<usize, ControlError> {
    let mut end = before;
    if let Some(count) = newest {
        let filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
        let query = Query { filter, limit: 1, after: None, offset: count.saturating_sub(1), reverse: false };
        // Runs that ended in the same second as the oldest kept one are also kept.
        match store.page(&query)?.rows.first() {
            Some(oldest) => end = Some(oldest.endtime),
            None => return Ok(0),
        }
    }
    let which = store::Clear { before: end, name: Some(name.to_owned()), now: sys::now().wall.secs() + CLOCK_STEP };
    let (rows, logs) = store.clear(&which)?;
    let db = store.path().to_owned();
    remove_logs(&db, &logs)?;
    Ok(rows)
}

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
        let mut store = self.open()?;
        let survey = reconcile::survey(&mut store)?;
        let running = survey.live.iter().filter(|live| live.task.name == wanted.name && !live.task.is_reserved());
        let running: Vec<i64> = running.map(|live| live.task.id).collect();
        let now = sys::now().wall.secs();
        let unsettled = history::unsettled_of(&survey);
        let newest = |until: Option<i64>| -> Result<_, ControlError> {
            let filter = Filter {
                name: Some(wanted.name.clone()),
                results: Class::ALL.into_iter().filter(|class| class.is_success()).collect(),
                until,
                ..Filter::default()
            };
            let query = Query { filter, limit: 1, after: None, offset: 0, reverse: false };
            Ok(history::page(&store, &unsettled, &query)?.rows.pop())
        };
        // A success in the future was recorded while the clock was wrong, and does not count.
        let last = newest(Some(now + CLOCK_STEP))?;
        let future = newest(None)?.filter(|row| row.endtime > now + CLOCK_STEP);
        let age = last.as_ref().map(|row| now.saturating_sub(row.endtime).max(0));
        let (code, good) = match age {
            None => (exit_code::NEVER, false),
            Some(age) if age <= seconds(wanted.max_age) => (0, true),
            Some(_) => (exit_code::FAILED, false),
        };
        if self.json {
            let object = json!({
                "name": wanted.name,
                "ok": good,
                "last_success": last.as_ref().map(|row| row.endtime),
                "taskid": last.as_ref().map(|row| row.taskid),
                "age": age,
                "max_age": seconds(wanted.max_age),
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
        let mut store = self.open()?;
        // Ended tasks are settled first, so that the copy also has their ends.
        reconcile::survey(&mut store)?;
        let size = store.backup(&wanted.file)?;
        let text = match self.json {
            true => json!({ "file": wanted.file.to_string_lossy(), "bytes": size }).to_string(),
            false => format!("{size} bytes written to {}", show::clean(&wanted.file.to_string_lossy())),
        };
        self.print(&text)?;
        Ok(0)
    }

    pub(super) fn verify(&mut self, wanted: &args::Verify) -> Done {
        let mut store = self.open()?;
        reconcile::survey(&mut store)?;
        let folder = store::log_folder(&self.db);
        // Files are listed before rows, because the row of a log exists before the log.
        let files = logtree::list(&folder).map_err(system("list the folder of logs"))?;
        let mut faults = store.verify(wanted.repair)?;
        let mut known: HashSet<PathBuf> = HashSet::new();
        let mut missing = vec![];
        store.named_logs(&mut |named| {
            let there = named.usual.as_ref().is_some_and(|usual| usual.exists()) || named.column.exists();
            if named.ended && !there {
                missing.push(named.id);
            }
            known.extend(named.usual);
            known.insert(named.column);
        })?;
        let mut bytes = 0;
        let damaged = faults.iter().any(|fault| fault.damage);
        let strays = files.iter().filter(|file| !known.contains(&file.log) && !is_being_written(&file.log));
        // In a damaged file rows may be missing, so their logs are not strays.
        for file in strays.filter(|_| !damaged) {
            let repaired = wanted.repair && logtree::remove(&folder, &file.log).map_err(system("remove a log"))?;
            bytes += file.bytes;
            faults.push(store::Fault::new(format!("a log that belongs to no task: {:?}", file.log), repaired));
        }
        let left = faults.iter().filter(|fault| !fault.repaired).count();
        let code = if left == 0 { 0 } else { exit_code::FAILED };
        if self.json {
            let list: Vec<Value> =
                faults.iter().map(|fault| json!({ "fault": fault.what, "repaired": fault.repaired })).collect();
            let object = json!({ "ok": left == 0, "faults": list, "logs": files.len(), "logs_missing": missing, "stray_bytes": bytes });
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
                let logs = show::count(files.len() as u64, "log");
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
        let mut store = self.open()?;
        reconcile::survey(&mut store)?;
        let age = |age: Duration| sys::now().wall.secs().saturating_sub(seconds(age));
        let which = store::Clear {
            before: wanted.older_than.map(age),
            name: wanted.name.clone(),
            now: sys::now().wall.secs() + CLOCK_STEP,
        };
        let (rows, logs) = store.clearable(&which)?;
        let what = format!("{} with {}", show::count(rows, "ended task"), show::count(logs, "log"));
        if !self.is_sure(&wanted.sure, rows, logs, &what)? {
            return Ok(if wanted.sure.dry_run { 0 } else { exit_code::FAILED });
        }
        let (rows, logs) = store.clear(&which).inspect_err(|error| {
            if matches!(error, StoreError::Io(..)) {
                // The rows may be deleted, or return after a power loss, so their logs must not be removed yet.
                self.report("the logs of deleted tasks are kept; remove them with: control verify --repair");
            }
        })?;
        sys::crash_point("clear.after");
        let removed = remove_logs(&self.db, &logs)?;
        let text = match self.json {
            true => json!({ "deleted": rows, "logs": removed }).to_string(),
            false => format!("{rows} deleted, with {}", show::count(removed as u64, "log")),
        };
        self.print(&text)?;
        Ok(0)
    }

    /// Whether to delete these rows: not with `--dry-run`, which prints `what`, and not if the user at the terminal
    /// declines.
    fn is_sure(&mut self, sure: &args::Sure, rows: u64, logs: u64, what: &str) -> Result<bool, ControlError> {
        if sure.dry_run {
            let text = match self.json {
                true => json!({ "would_delete": rows, "logs": logs }).to_string(),
                false => format!("would delete {what}"),
            };
            self.print(&text)?;
            return Ok(false);
        }
        let Some(ask) = self.out.confirm.as_mut().filter(|_| !sure.yes && rows > 0) else { return Ok(true) };
        let is_sure = ask(&format!("delete {what}?"));
        if !is_sure {
            self.report("nothing was deleted");
        }
        Ok(is_sure)
    }

    pub(super) fn initialize(&mut self, wanted: &args::Initialize) -> Done {
        if let Some(supervisor) = supervised::supervisor_of(&self.db) {
            return Err(ControlError::Supervised(self.db.clone(), supervisor.process.pid));
        }
        let mut store = match wanted.sure.dry_run {
            true => self.open()?,
            false => super::db::open_or_create(&self.db, self.out.patience)?,
        };
        reconcile::survey(&mut store)?;
        let (rows, with_logs) =
            store.clearable(&store::Clear { before: None, name: None, now: sys::now().wall.secs() })?;
        let far = store.remote_sizes()?.values().sum::<i64>().unsigned_abs();
        let what = format!(
            "all of {}: {} with {}, {} of other hosts",
            show::clean(&self.db.to_string_lossy()),
            show::count(rows, "ended task"),
            show::count(with_logs, "log"),
            show::count(far, "ended task"),
        );
        if !self.is_sure(&wanted.sure, rows + far, with_logs, &what)? {
            return Ok(if wanted.sure.dry_run { 0 } else { exit_code::FAILED });
        }
        let mut logs = vec![];
        // Logs of live tasks are still being written.
        store.named_logs(&mut |named| logs.extend(named.ended.then_some(named)))?;
        store.reset(wanted.force)?;
        remove_logs(&self.db, &logs)?;
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
