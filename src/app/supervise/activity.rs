//! The activity log: what the supervisor did and what happened to its programs, a line each.

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

/// Where lines go.
pub(super) struct Activity {
    log: Option<ProgLog>,
    /// Where that is.
    path: Option<PathBuf>,
    level: Level,
    /// A copy of each line, in the foreground.
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
    /// Opens the log that the configuration names.
    ///
    /// # Errors
    /// As open(2) says, with the path.
    pub(super) fn open(spec: &ServerSpec, copy: Option<Box<dyn Write>>) -> Result<Activity, String> {
        let log = place_of(spec).map(open).transpose()?;
        // What the log itself writes there is not said twice.
        let copy = copy.filter(|_| spec.logfile.as_deref().and_then(standard_stream) != Some(1));
        Ok(Activity { log, path: spec.logfile.clone(), level: spec.loglevel, copy })
    }

    /// Opens the log of another configuration, if that is another one; for [`Activity::change`].
    ///
    /// # Errors
    /// As [`Activity::open`]; nothing is changed by it.
    pub(super) fn prepare(&self, spec: &ServerSpec) -> Result<Option<ProgLog>, String> {
        if spec.logfile == self.path {
            return Ok(None);
        }
        place_of(spec).map(open).transpose()
    }

    /// Follows a change of the configuration, with what was prepared for it.
    pub(super) fn change(&mut self, spec: &ServerSpec, prepared: Option<ProgLog>) {
        self.level = spec.loglevel;
        if spec.logfile != self.path {
            (self.log, self.path) = (prepared, spec.logfile.clone());
        } else if let (Some(log), Some(place)) = (&mut self.log, place_of(spec)) {
            log.change(place);
        }
    }

    /// Opens the file anew: somebody has moved it.
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
            // What is wrong with this file can only be told to the copy.
            log.trouble();
        }
        if let Some(copy) = &mut self.copy {
            // That nobody reads it stops nothing.
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
