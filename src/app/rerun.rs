//! `control run-again`: launches a task again with the same command, folder, name and options.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use serde_json::Value;

use super::{
    control::{ControlError, Desk, Done},
    control_args as args,
    service::{Found, Tasks},
};
use crate::{io::child, model::task::argv_of_json};

/// A task to launch again.
#[derive(Debug)]
struct Again {
    id: i64,
    argv: Vec<OsString>,
    options: Vec<OsString>,
    cwd: Option<PathBuf>,
}

impl Desk<'_, '_> {
    /// Executes `launch` in this process. Returns only if that fails.
    pub(super) fn run_again(&mut self, wanted: &args::RunAgain) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let (id, argv, options, cwd, name, info, upid) = match tasks.get(&wanted.task)? {
            Found::Live(live) => {
                let task = Arc::unwrap_or_clone(live.task);
                let parse = |text: Option<String>| text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
                (task.id, parse(task.argv), parse(task.options), task.cwd, Some(task.name), task.info, task.upid)
            }
            Found::Ended(row) => {
                (row.taskid, row.argv, row.options, row.cwd, row.taskname, [row.info1, row.info2, row.info3], row.upid)
            }
        };
        let exact = upid.map(|upid| tasks.store().folder_of(upid.as_str())).transpose()?.flatten();
        drop(tasks);
        let cannot = |why: String| ControlError::NotAgain(id, why);
        let argv = argv.as_ref().and_then(argv_of_json).filter(|argv| !argv.is_empty());
        let Some(argv) = argv else {
            return Err(cannot("its command is unknown: the task was never launched, or not by launch".into()));
        };
        if argv.iter().any(|arg| arg == "--feedback") {
            return Err(cannot(
                "its command line contains its old task id (--feedback); reserve a task and launch it with the new id"
                    .into(),
            ));
        }
        let words = |value: &Value| -> Option<Vec<OsString>> {
            value.as_array()?.iter().map(|word| Some(OsString::from(word.as_str()?))).collect()
        };
        let mut said = options.as_ref().and_then(words);
        if said.is_none() {
            self.report(&format!(
                "the options of task {id} are unknown (launched by an older version); using the default options"
            ));
        }
        let mut options = said.take().unwrap_or_default();
        // These may come from a reservation instead of the options.
        let named = [("name", name)].into_iter().chain(["info1", "info2", "info3"].into_iter().zip(info));
        for (option, value) in named {
            let flag = format!("--{option}=");
            options.retain(|word| !word.to_str().is_some_and(|word| word.starts_with(&flag)));
            // Tasks of older versions may have an empty name, which `launch` does not accept.
            if let Some(value) = value.filter(|value| option != "name" || !value.is_empty()) {
                options.push(format!("{flag}{value}").into());
            }
        }
        if wanted.detach {
            options.push("--detach".into());
        }
        let again = Again { id, argv, options, cwd: exact.or(cwd.map(PathBuf::from)) };
        Err(self.become_launch(again))
    }

    fn become_launch(&self, again: Again) -> ControlError {
        let cannot = |why: String| ControlError::NotAgain(again.id, why);
        let beside = std::env::current_exe().ok().map(|own| own.with_file_name("launch")).filter(|path| path.is_file());
        let Some(program) = beside.or_else(|| child::find_program("launch".as_ref())) else {
            return cannot("no program `launch` beside this one or in PATH".into());
        };
        if let Some(cwd) = &again.cwd
            && let Err(error) = std::env::set_current_dir(cwd)
        {
            return cannot(format!("its folder {cwd:?} cannot be entered: {error}"));
        }
        let head = [OsString::from("launch"), "--db".into(), self.db.clone().into()];
        let argv: Vec<OsString> =
            head.into_iter().chain(again.options).chain(["--".into()]).chain(again.argv).collect();
        cannot(format!("{program:?} cannot be run: {}", child::become_other(&program, &argv)))
    }
}
