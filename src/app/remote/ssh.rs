//! Fetches the tasks of a host that runs taskwatcher, with `control export` since a cursor.

use std::time::Duration;

use serde_json::Value;

use super::pull::{AskedSoFar, Over, PullSink, RemoteJob};
use crate::{
    io::{
        ssh::{self, RemoteOutput, SshError},
        store::{Batch, Remote},
        sys,
    },
    model::{
        export::{ExportLine, VERSION},
        remote::{More, RemoteEnd, RemoteRun, Source, outcome_of_export},
        task::exit_code,
        upid::Upid,
    },
};

/// Maximum number of ended tasks in one response.
const ANSWER: usize = 5_000;
/// Maximum number of other lines in a response: running tasks, and unreadable lines.
const OTHERS: usize = 50_000;
/// A response may take this many times the longest silence.
const SLOW: u32 = 10;
/// Maximum number of consecutive responses that announce more tasks without containing an ended one.
const BARREN: u32 = 20;
/// Maximum number of ended tasks per sync. The next sync fetches the rest.
const MOST: usize = 5_000_000;

/// Prefix of error messages of `control`.
const ITS_ERROR: &str = "control: error: ";
/// Number of characters by which an unreadable entry is recognized again.
const LONGEST_ENTRY: usize = 1000;

/// Why a response of a remote cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Ssh(#[from] SshError),
    #[error("its control exited with {0}: {1}")]
    Exited(i32, String),
    #[error("on that host: {0}; launch a task there to create it, or set another path with --remote-db")]
    NoDatabase(String),
    #[error("it uses export version {0}, this program supports up to {VERSION}; update taskwatcher on this host")]
    Version(u32),
    #[error("truncated response")]
    Cut,
    #[error("response too long: over {0} {1}")]
    TooMany(usize, &'static str),
    #[error("response without an end: stopped after {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("{0}")]
    Unsupported(&'static str),
}

/// A line of a response.
pub(super) enum AnswerPart<'a> {
    Line(ExportLine),
    /// An unreadable line.
    Strange(&'a [u8]),
}

/// Requests the tasks of a host since a cursor, and passes the lines of the response to `see`.
pub(super) fn ask(
    source: &Source,
    since: Option<&str>,
    limit: usize,
    silence: Duration,
    see: &mut dyn FnMut(AnswerPart<'_>),
) -> Result<(), AnswerError> {
    let Source::Ssh { host, db } = source else { return Err(AnswerError::Unsupported("not a remote reached by ssh")) };
    let count = limit.to_string();
    let mut words = vec!["control", "export", "--limit", &count];
    if let Some(since) = since {
        words.extend(["--since", since]);
    }
    if let Some(db) = db {
        words.extend(["--db", db]);
    }
    let mut last = String::new();
    let (mut ended, mut others) = (0, 0);
    let longest = silence.saturating_mul(SLOW);
    let end = sys::now().mono.saturating_add(longest);
    let code = ssh::run(host, &shell_words::join(words), Some(silence), |heard| {
        match heard {
            RemoteOutput::Pause if sys::now().mono > end => return Err(AnswerError::TooSlow(longest)),
            RemoteOutput::Pause => {}
            RemoteOutput::Message(line) => last = String::from_utf8_lossy(line).into_owned(),
            RemoteOutput::Output(line) => {
                let line = serde_json::from_slice::<ExportLine>(line).map_err(|_| line);
                match &line {
                    Ok(ExportLine::Start { version, .. }) if *version != VERSION => {
                        return Err(AnswerError::Version(*version));
                    }
                    Ok(ExportLine::Ended { .. }) => ended += 1,
                    Ok(ExportLine::Start { .. } | ExportLine::Running { .. } | ExportLine::End { .. }) | Err(_) => {
                        others += 1
                    }
                }
                if ended > limit {
                    return Err(AnswerError::TooMany(limit, "ended tasks (the requested limit)"));
                }
                if others > OTHERS {
                    return Err(AnswerError::TooMany(OTHERS, "other lines"));
                }
                match line {
                    Ok(line) => see(AnswerPart::Line(line)),
                    // A newer version may send other types of lines.
                    Err(line) if serde_json::from_slice::<Value>(line).is_ok_and(|value| is_newer(&value)) => {}
                    Err(line) => see(AnswerPart::Strange(line)),
                }
            }
        }
        Ok(())
    })?;
    match code {
        0 => Ok(()),
        127 => Err(AnswerError::Unsupported("no program `control` in its PATH; install taskwatcher there")),
        // The same exit code of another program (such as a shell) would come without this prefix.
        exit_code::NOTHING_YET if last.starts_with(ITS_ERROR) => {
            let words = last.trim_start_matches(ITS_ERROR);
            Err(AnswerError::NoDatabase(words.split(';').next().unwrap_or(words).to_owned()))
        }
        code => Err(AnswerError::Exited(code, last)),
    }
}

fn is_newer(line: &Value) -> bool {
    line["type"].as_str().is_some_and(|word| !["start", "running", "ended", "end"].contains(&word))
}

/// Whether a host has no tasks yet: its default database does not exist and was never read. A configured path may be
/// wrong, so it does not count.
pub(super) fn is_new(remote: &Remote, error: &AnswerError) -> bool {
    matches!(error, AnswerError::NoDatabase(_))
        && remote.cursor.is_none()
        && matches!(remote.source, Source::Ssh { db: None, .. })
}

/// Fetches the new tasks of one remote.
///
/// # Errors
/// The error of the remote, as text.
pub(super) fn pull(job: &RemoteJob, sink: &PullSink<'_>) -> Result<Over, String> {
    let _line = sink.lines.take();
    let limit = if job.doubtful { job.limit } else { job.quiet() };
    let mut cursor = job.remote.cursor.clone().filter(|_| !job.refetch);
    let (mut fetched, mut barren) = (0, 0);
    loop {
        let mut batch = Batch { now: job.now, ..Batch::default() };
        let mut there = String::new();
        let (mut end, mut ended) = (None, 0);
        let asked = ask(&job.remote.source, cursor.as_deref(), ANSWER, limit, &mut |part| {
            let strange = match part {
                AnswerPart::Line(ExportLine::Start { host, anew, .. }) => {
                    there = host;
                    batch.new_database = anew;
                    None
                }
                AnswerPart::Line(ExportLine::End { cursor, more, .. }) => {
                    end = Some((cursor, more));
                    None
                }
                AnswerPart::Line(ExportLine::Running { task }) => match running_of(&task) {
                    Some(run) => {
                        batch.running.extend(run);
                        None
                    }
                    None => Some(task.to_string()),
                },
                AnswerPart::Line(ExportLine::Ended { task }) => match end_of(&task, &there) {
                    Some(end) => {
                        ended += 1;
                        if job.since.is_none_or(|since| end.upid.starttime >= since) {
                            batch.ended.push(end);
                        }
                        None
                    }
                    None => Some(task.to_string()),
                },
                AnswerPart::Strange(line) => Some(String::from_utf8_lossy(line).into_owned()),
            };
            batch.unread.extend(strange.map(|entry| entry.chars().take(LONGEST_ENTRY).collect::<String>()));
        });
        fetched += ended;
        barren = if ended > 0 { 0 } else { barren + 1 };
        batch.newest = batch.ended.iter().map(|end| end.endtime).max();
        let mut failed = asked.err();
        if failed.as_ref().is_some_and(|error| is_new(&job.remote, error)) {
            // It does not matter if the receiver is gone.
            let _ = sink.store(Batch { now: job.now, well: true, ..Batch::default() });
            return Ok(Over::CLEAN);
        }
        // Tasks that are missing in an incomplete response may be in the rest of it.
        batch.new_database &= failed.is_none() && batch.unread.is_empty();
        let more = match end {
            Some((next, more)) if failed.is_none() => {
                // A cursor that does not move would cause an endless loop.
                let moved = cursor.as_deref() != Some(next.as_str());
                batch.whole = !more && batch.unread.is_empty();
                cursor = Some(next.clone());
                (batch.cursor, batch.well) = (Some(next), true);
                more && moved
            }
            Some(_) | None => {
                failed = failed.or(Some(AnswerError::Cut));
                false
            }
        };
        // The tasks in an incomplete response are valid; only the cursor is unknown.
        if (failed.is_none() || !batch.ended.is_empty() || !batch.running.is_empty()) && sink.store(batch).is_err() {
            return Ok(Over::CLEAN);
        }
        match failed {
            None if more && barren >= BARREN => {
                return Err(format!("it reports more tasks but sent none in {BARREN} responses"));
            }
            None if more && fetched >= MOST => {
                return Err(format!("over {MOST} tasks in one sync; the next sync continues after them"));
            }
            None if more => {}
            None => return Ok(Over::CLEAN),
            Some(AnswerError::Ssh(SshError::TimedOut(_))) if limit < job.limit => {
                return Ok(Over::Silent(AskedSoFar::default()));
            }
            Some(error) => return Err(error.to_string()),
        }
    }
}

/// Parses a running task. `Some(None)` for a reservation.
fn running_of(task: &Value) -> Option<Option<RemoteRun>> {
    if task["status"] == "RESERVED" {
        return Some(None);
    }
    let upid = task["upid"].as_str()?.parse::<Upid>().ok()?;
    let start = task["starttime"].as_i64().unwrap_or(upid.starttime);
    Some(Some(RemoteRun { upid: upid.into(), start, detail: task.to_string() }))
}

/// Parses an ended task. A task without a UPID (an expired reservation or a task of taskwatcher 1.7) gets a UPID with
/// its number and without a process.
pub(in crate::app) fn end_of(task: &Value, host: &str) -> Option<RemoteEnd> {
    let text = |key: &str| task[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let endtime = task["endtime"].as_i64()?;
    let outcome = outcome_of_export(task["outcome"].as_str()?, task["termerror"].as_str());
    let name = text("taskname").unwrap_or_default();
    let upid = match task["upid"].as_str() {
        Some(upid) => upid.parse::<Upid>().ok()?,
        None => {
            let id = task["id"].as_i64()?.unsigned_abs();
            let start = task["starttime"].as_i64().unwrap_or(endtime);
            Upid::build(host, 0, 0, start, &name, id, task["user"].as_str().unwrap_or_default())
        }
    };
    let more = More {
        name: Some(name).filter(|name| *name != upid.worker_type()),
        info1: text("info1"),
        info2: text("info2"),
        info3: text("info3"),
        exitcode: task["exitcode"].as_i64().filter(|code| *code != 0),
        ..More::default()
    };
    Some(RemoteEnd { upid, endtime, outcome, more })
}
