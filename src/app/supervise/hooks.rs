//! Commands that are run when a process comes into a state: each an ordinary short task, which nobody waits for (EVT-1).

use std::{ffi::OsString, fs::File, os::fd::AsFd};

use super::core::Core;
use crate::{
    io::{child, notify},
    model::program::ProcState,
};

/// How long such a command may run.
const LIMIT: &str = "30s";

impl Core {
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
        let set = [
            ("TASKMASTER_PROCESS_NAME", OsString::from(&proc.spec.name)),
            ("TASKMASTER_GROUP_NAME", OsString::from(&proc.spec.group)),
            ("TASKMASTER_STATE", OsString::from(state.as_str())),
            // It is not for hooks to say that the supervisor is ready.
            (notify::VARIABLE, OsString::new()),
            ("TASKMASTER_DESCRIPTION", self.info(name).map(|info| info.description).unwrap_or_default().into()),
        ];
        let spawn = || {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            let put = [(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)];
            child::spawn_program(&self.launch, &argv, &set, &put)
        };
        match spawn() {
            Ok(pid) => drop(self.hooks.insert(pid)),
            Err(error) => self.log.warn(&format!("warning: {name}: cannot run its hook: {error}")),
        }
    }
}
