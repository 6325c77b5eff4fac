//! Commands that are run when a process changes its state: each is an ordinary short task without a
//! waiting caller.
//!
//! Only one hook of a process runs at a time. Of the states that follow meanwhile, only the newest
//! one is reported next: a hook that hangs, or a process that restarts quickly, does not cause more
//! hooks.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::File,
    io,
    os::fd::AsFd,
    path::Path,
};

use super::activity::Activity;
use crate::io::{child, limits, notify};

/// Run-time limit of a hook.
const LIMIT: &str = "30s";

/// Running and due hooks.
#[derive(Default)]
pub(super) struct Hooks {
    /// Maps the pid of a running hook to its process.
    running: HashMap<i32, String>,
    /// The next hook of each process that has one.
    due: BTreeMap<String, Due>,
}

/// A hook to be run.
struct Due {
    argv: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    /// Whether a failure was logged.
    reported: bool,
}

impl Hooks {
    /// Runs a command as a task for a process, now or after the current hook of the process. `launch` is the program that
    /// runs it, `db` the database.
    pub(super) fn add(
        &mut self,
        process: &str,
        task: &str,
        command: &[String],
        mut env: Vec<(&'static str, OsString)>,
        (launch, db): (&Path, &Path),
        log: &mut Activity,
    ) {
        let words = ["launch", "--quiet", "--name", task, "--max-runtime", LIMIT, "--db"];
        let mut argv: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        argv.extend([db.into(), OsString::from("--")]);
        argv.extend(command.iter().map(OsString::from));
        // A hook must not report that the supervisor is ready.
        env.push((notify::VARIABLE, OsString::new()));
        self.due.insert(process.to_owned(), Due { argv, env, reported: false });
        self.run(process, launch, log);
    }

    /// Runs the hooks that are due and could not be run before.
    pub(super) fn run_due(&mut self, launch: &Path, log: &mut Activity) {
        let names: Vec<String> = self.due.keys().cloned().collect();
        names.iter().for_each(|name| self.run(name, launch, log));
    }

    /// Runs the hook of a process that is due, unless another one of the process runs.
    pub(super) fn run(&mut self, name: &str, launch: &Path, log: &mut Activity) {
        if self.running.values().any(|other| other == name) {
            return;
        }
        let Some(mut due) = self.due.remove(name) else { return };
        let spawn = || {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            let put = [(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)];
            child::spawn_program(launch, &due.argv, &due.env, &put)
        };
        match spawn() {
            Ok(pid) => drop(self.running.insert(pid, name.to_owned())),
            Err(error) => {
                // A missing launcher is temporary too: it is being replaced.
                let passes = limits::passes(&error) || error.kind() == io::ErrorKind::NotFound;
                if !std::mem::replace(&mut due.reported, true) {
                    let later = if passes { "; retrying" } else { "" };
                    log.warn(&format!("warning: {name}: cannot run its hook: {error}{later}"));
                }
                if passes {
                    self.due.insert(name.to_owned(), due);
                }
            }
        }
    }

    /// Returns the process whose hook this child was, if it was one.
    pub(super) fn ended(&mut self, pid: i32) -> Option<String> {
        self.running.remove(&pid)
    }
}
