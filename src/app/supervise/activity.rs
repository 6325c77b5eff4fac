//! The activity log: one line for each action of the supervisor and each event of its programs.

use std::{io::Write, path::PathBuf};

use crate::{
    io::{
        proglog::{ProgLog, ProgramLogSpec},
        sys,
    },
    model::{
        activity,
        path::standard_stream,
        program::{Level, ServerSpec},
    },
};

/// The activity log, and a copy of it.
pub(super) struct Activity {
    log: Option<ProgLog>,
    /// Path of the log.
    path: Option<PathBuf>,
    level: Level,
    /// Receives a copy of each line, in the foreground.
    copy: Option<Box<dyn Write>>,
}

fn place_of(spec: &ServerSpec) -> Option<ProgramLogSpec> {
    let path = spec.logfile.clone()?;
    let max = spec.logfile_maxbytes.unwrap_or(0);
    Some(ProgramLogSpec { path, max, backups: spec.logfile_backups, private: false, owner: None })
}

fn open(place: ProgramLogSpec) -> Result<ProgLog, String> {
    let path = place.path.display().to_string();
    ProgLog::open(place).map_err(|error| format!("cannot open the activity log {path}: {error}"))
}

impl Activity {
    /// Opens the configured log.
    ///
    /// # Errors
    /// Those of open(2), with the path.
    pub(super) fn open(spec: &ServerSpec, copy: Option<Box<dyn Write>>) -> Result<Activity, String> {
        let log = place_of(spec).map(open).transpose()?;
        // If the log is standard output, no copy is written there.
        let copy = copy.filter(|_| spec.logfile.as_deref().and_then(standard_stream) != Some(1));
        Ok(Activity { log, path: spec.logfile.clone(), level: spec.loglevel, copy })
    }

    /// Opens the log of a new configuration, if its path differs; for [`Activity::change`].
    ///
    /// # Errors
    /// Those of [`Activity::open`]; nothing is changed then.
    pub(super) fn prepare(&self, spec: &ServerSpec) -> Result<Option<ProgLog>, String> {
        if spec.logfile == self.path {
            return Ok(None);
        }
        place_of(spec).map(open).transpose()
    }

    /// Applies a new configuration, with the log opened by [`Activity::prepare`].
    pub(super) fn change(&mut self, spec: &ServerSpec, prepared: Option<ProgLog>) {
        self.level = spec.loglevel;
        if spec.logfile != self.path {
            (self.log, self.path) = (prepared, spec.logfile.clone());
        } else if let (Some(log), Some(place)) = (&mut self.log, place_of(spec)) {
            log.change(place);
        }
    }

    /// Reopens the file, which may have been moved.
    pub(super) fn reopen(&mut self) {
        if let Some(log) = &mut self.log {
            log.reopen();
        }
    }

    pub(super) fn say(&mut self, level: Level, text: &str) {
        if level > self.level {
            return;
        }
        let line = activity::line(&sys::log_stamp(sys::now().wall), level, text);
        if let Some(log) = &mut self.log {
            log.write(line.as_bytes());
            // Errors of this file have no place in the log.
            log.trouble();
        }
        if let Some(copy) = &mut self.copy {
            // A closed reader must not stop the supervisor.
            let _ = copy.write_all(line.as_bytes()).and_then(|()| copy.flush());
        }
    }

    pub(super) fn trace(&mut self, text: &str) {
        self.say(Level::Trace, text);
    }

    pub(super) fn debug(&mut self, text: &str) {
        self.say(Level::Debug, text);
    }

    pub(super) fn critical(&mut self, text: &str) {
        self.say(Level::Crit, text);
    }

    pub(super) fn info(&mut self, text: &str) {
        self.say(Level::Info, text);
    }

    pub(super) fn warn(&mut self, text: &str) {
        self.say(Level::Warn, text);
    }

    pub(super) fn error(&mut self, text: &str) {
        self.say(Level::Error, text);
    }
}
