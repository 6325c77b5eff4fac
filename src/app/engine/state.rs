//! The state that an engine passes to its re-execution; see [`crate::app::reexec`].

use std::{fs::File, os::fd::AsFd, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Beats, ClaimedTask, Engine, Record};
use crate::{
    app::{
        hearing::Hearing,
        output::{HandedOutput, TaskOutput},
        reexec,
    },
    io::{
        notify::Notify,
        parcel::{Arrived, Parcel},
        spool::{Request, SelfReport},
        store::Claimed,
    },
    model::{
        task::{Process, Tick},
        watch::{Limits, Watch},
    },
};

/// The state of an engine, apart from the claimed task. Descriptors are numbers in the parcel. Large fields are boxed: the process keeps stack pages
/// that it once used.
#[derive(Debug, Serialize, Deserialize)]
pub struct EngineState {
    /// The process that wrote the state.
    pub me: Process,
    foreign: Vec<Process>,
    ignored: u64,
    inbox: usize,
    db: PathBuf,
    spool: Option<usize>,
    noted: bool,
    request: Option<Request>,
    report: Box<SelfReport>,
    notify: Option<usize>,
    output: Option<Box<HandedOutput>>,
    limits: Limits,
    watch: Box<Watch>,
    started: Tick,
    beats: Beats,
    group: Option<i32>,
}

impl Engine {
    /// Returns the spool's file, for [`Engine::hand_over`].
    pub fn spool_file(&self) -> Option<Arc<File>> {
        let task = self.record.task.as_ref()?;
        task.spool.as_ref()?.file_of(task.claimed.slot).ok()
    }

    /// Returns the state for a re-execution, and adds the descriptors to the parcel. `None` if the output cannot be
    /// handed over at the moment.
    pub fn hand_over<'fd>(
        &'fd mut self,
        spool: Option<&'fd Arc<File>>,
        parcel: &mut Parcel<'fd>,
    ) -> Option<EngineState> {
        let output = match &mut self.output {
            None => None,
            Some(output) => Some(Box::new(output.hand_over(&mut |fd| parcel.add(fd))?)),
        };
        Some(EngineState {
            me: self.me,
            foreign: self.foreign.clone(),
            ignored: self.ignored,
            inbox: parcel.add(self.inbox.descriptor()),
            db: self.record.db.clone(),
            spool: spool.map(|file| parcel.add(file.as_fd())),
            noted: self.record.noted,
            request: self.record.request.clone(),
            report: Box::new(self.report.clone()),
            notify: self.notify.as_ref().map(|notify| parcel.add(notify.descriptor())),
            output,
            limits: self.limits.clone(),
            watch: Box::new(self.watch.clone()),
            started: self.started,
            beats: self.beats,
            group: self.group,
        })
    }

    /// Continues after a re-execution, with the task that the owner has passed on. The command is running, so there is
    /// no error: a missing descriptor is opened again or done without.
    pub fn take_over(state: EngineState, claimed: Option<Arc<Claimed>>, arrived: &mut Arrived) -> Box<Engine> {
        let inbox = reexec::take_inbox(arrived, state.inbox, state.ignored);
        let task = claimed.map(|claimed| ClaimedTask {
            spool: reexec::take_spool(arrived, state.spool, &state.db, claimed.slot),
            claimed,
        });
        let notify = state.notify.and_then(|number| arrived.take(number).ok()).map(Notify::take_over);
        Box::new(Engine {
            me: state.me,
            foreign: state.foreign,
            ignored: state.ignored,
            inbox,
            record: Record {
                db: state.db,
                task,
                store: None,
                close_at: Duration::MAX,
                noted: state.noted,
                request: state.request,
            },
            report: *state.report,
            notify: notify.map(|notify| Hearing::new(notify, state.me.pid)),
            output: state.output.map(|output| TaskOutput::take_over(*output, &mut |number| arrived.take(number))),
            limits: state.limits,
            watch: *state.watch,
            started: state.started,
            beats: state.beats,
            group: state.group,
            unseen: None,
            refusal: None,
        })
    }
}
