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
};

use super::core::Supervisor;
use crate::{
    io::{child, limits, notify},
    model::program::ProcState,
};

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
    set: Vec<(&'static str, OsString)>,
    /// Whether a failure was logged.
    reported: bool,
}

impl Supervisor {
    /// Runs the hook of a process for a state, if it has one.
    pub(super) fn run_hook(&mut self, name: &str, state: ProcState) {
        let Some(proc) = self.procs.get(name) else { return };
        // Includes the hook for all programs, unless the program disables it.
        let Some(hook) = proc.spec.hook.as_ref().filter(|hook| hook.states.contains(&state)) else { return };
        let task = format!("{}.hook", proc.spec.full_name());
        let words = ["launch", "--quiet", "--name", &task, "--max-runtime", LIMIT, "--db"];
        let mut argv: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        argv.extend([self.db.clone().into(), OsString::from("--")]);
        argv.extend(hook.command.iter().map(OsString::from));
        let mut set = vec![
            ("TASKMASTER_PROCESS_NAME", OsString::from(&proc.spec.name)),
            ("TASKMASTER_GROUP_NAME", OsString::from(&proc.spec.group)),
            ("TASKMASTER_STATE", OsString::from(state.as_str())),
            // A hook must not report that the supervisor is ready.
            (notify::VARIABLE, OsString::new()),
            ("TASKMASTER_DESCRIPTION", self.info(name).map(|info| info.description).unwrap_or_default().into()),
        ];
        if let Some(url) = self.config.server_url(&proc.spec) {
            set.push(("TASKMASTER_SERVER_URL", url.to_string().into()));
        }
        self.hooks.due.insert(name.to_owned(), Due { argv, set, reported: false });
        self.run_due_hook(name);
    }

    /// Runs the hooks that are due and could not be run before.
    pub(super) fn run_due_hooks(&mut self) {
        let names: Vec<String> = self.hooks.due.keys().cloned().collect();
        names.iter().for_each(|name| self.run_due_hook(name));
    }

    fn run_due_hook(&mut self, name: &str) {
        if self.hooks.running.values().any(|other| other == name) {
            return;
        }
        let Some(mut due) = self.hooks.due.remove(name) else { return };
        let spawn = || {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            let put = [(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)];
            child::spawn_program(&self.launch, &due.argv, &due.set, &put)
        };
        match spawn() {
            Ok(pid) => drop(self.hooks.running.insert(pid, name.to_owned())),
            Err(error) => {
                // A missing launcher is temporary too: it is being replaced.
                let passes = limits::passes(&error) || error.kind() == io::ErrorKind::NotFound;
                if !std::mem::replace(&mut due.reported, true) {
                    let later = if passes { "; retrying" } else { "" };
                    self.log.warn(&format!("warning: {name}: cannot run its hook: {error}{later}"));
                }
                if passes {
                    self.hooks.due.insert(name.to_owned(), due);
                }
            }
        }
    }

    /// Handles the end of a child; returns true if it was a hook.
    pub(super) fn hook_gone(&mut self, pid: i32, how: crate::model::task::Exit) -> bool {
        let Some(name) = self.hooks.running.remove(&pid) else { return false };
        self.records.look_again();
        if how != crate::model::task::Exit::Code(0) {
            let words = super::core::how_ended(crate::model::machine::End::ByItself(how));
            let task = format!("see the task {name}.hook in history");
            self.log.warn(&format!("warning: {name}: its hook failed: {words}; {task}"));
        }
        self.run_due_hook(&name);
        true
    }
}
