//! Commands that are run when a process comes into a state: each an ordinary short task, which nobody waits for (EVT-1).
//!
//! Of one process one hook runs at a time. Of the states that it comes into meanwhile the newest one is told next: a hook
//! that hangs, or a process that comes and goes, makes no more of them.

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

/// How long such a command may run.
const LIMIT: &str = "30s";

/// Hooks that run, and those that are due.
#[derive(Default)]
pub(super) struct Hooks {
    /// Of which process each child is that runs one.
    running: HashMap<i32, String>,
    /// The next one of each process that has one.
    due: BTreeMap<String, Due>,
}

/// A hook that is to run.
struct Due {
    argv: Vec<OsString>,
    set: Vec<(&'static str, OsString)>,
    /// Whether it was said that it cannot be run just now.
    told: bool,
}

impl Supervisor {
    /// Runs the hook of a process for a state, if it has one.
    pub(super) fn run_hook(&mut self, name: &str, state: ProcState) {
        let Some(proc) = self.procs.get(name) else { return };
        // The one of all programs is in there, unless the program wants none.
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
            // It is not for hooks to say that the supervisor is ready.
            (notify::VARIABLE, OsString::new()),
            ("TASKMASTER_DESCRIPTION", self.info(name).map(|info| info.description).unwrap_or_default().into()),
        ];
        if let Some(url) = self.config.server_url(&proc.spec) {
            set.push(("TASKMASTER_SERVER_URL", url.to_string().into()));
        }
        self.hooks.due.insert(name.to_owned(), Due { argv, set, told: false });
        self.run_due_hook(name);
    }

    /// Runs those that are due and could not be run before.
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
                // That the launcher is not there is no lasting state either: it is being replaced.
                let passes = limits::passes(&error) || error.kind() == io::ErrorKind::NotFound;
                if !std::mem::replace(&mut due.told, true) {
                    let later = if passes { "; it is tried again" } else { "" };
                    self.log.warn(&format!("warning: {name}: cannot run its hook: {error}{later}"));
                }
                if passes {
                    self.hooks.due.insert(name.to_owned(), due);
                }
            }
        }
    }

    /// A child has ended; true if it was a hook.
    pub(super) fn hook_gone(&mut self, pid: i32, how: crate::model::task::Exit) -> bool {
        let Some(name) = self.hooks.running.remove(&pid) else { return false };
        self.records.look_again();
        if how != crate::model::task::Exit::Code(0) {
            let words = super::core::how_ended(crate::model::machine::End::ByItself(how));
            let task = format!("the task {name}.hook in history tells more");
            self.log.warn(&format!("warning: {name}: its hook failed: {words}; {task}"));
        }
        self.run_due_hook(&name);
        true
    }
}
