//! The groups of runs: who of them is left when the leader has ended, and who ends them when the shim is gone, which
//! does so as long as it lives.

use std::{collections::VecDeque, io, os::fd::OwnedFd};

use super::core::{Current, Proc, RunNews, Supervisor, Watched};
use crate::{
    app::tree::Delivery,
    io::{notify, process, sys},
    model::{
        machine::{End, Event, KillError},
        shim::ShimCommand,
        task::{Process, Signal},
    },
};

impl Current {
    /// The live processes of its command's group. To be asked while one of them is known to live, or has just lived: until
    /// the last one has ended, nobody else can have the number of the group, which leads a session of its own.
    ///
    /// # Errors
    /// When not all processes could be looked at (no descriptors left).
    pub(super) fn group(&self) -> io::Result<Vec<Process>> {
        let Some(command) = self.command else { return Ok(vec![]) };
        if process::read_stat(command.pid)?.is_some_and(|leader| leader.process != command) {
            return Ok(vec![]);
        }
        let members = process::group(command.pid)?.into_iter().filter(|member| member.session == command.pid);
        Ok(members.map(|member| member.process).collect())
    }

    /// Whether it has ended, and members of its group may not have.
    fn is_left(&self) -> bool {
        self.told == RunNews::Ended && self.leftover > 0
    }
}

impl Proc {
    /// These of a group that has lost its leader are not ended by anybody.
    pub(super) fn leave_alone(&mut self, members: Vec<Process>) {
        let new = members.into_iter().filter(|member| !self.left.contains(member)).collect::<Vec<_>>();
        self.left.extend(new);
    }

    /// Remembers who is left of a run that has ended, if nobody ends them, or nobody can.
    pub(super) fn keep_left(&mut self) {
        if !self.machine.waits_for_group()
            && let Some(run) = self.run.as_mut().filter(|run| run.is_left())
            && let Ok(members) = run.group()
        {
            run.leftover = 0;
            self.leave_alone(members);
        }
    }
}

impl Supervisor {
    /// Ends what is left of the group of a run that has ended.
    pub(super) fn clean(&mut self, name: &str, events: &mut VecDeque<Event>) {
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref()).filter(|run| run.is_left());
        let Some(run) = run else { return events.push_back(Event::GroupGone) };
        let word = ShimCommand::Signal { signal: Signal::KILL, group: true, why: None };
        if !run.orphan && notify::tell(&run.ear, word.to_message().as_bytes()).is_ok() {
            return;
        }
        match run.group() {
            Ok(members) if members.is_empty() => events.push_back(Event::GroupGone),
            Ok(members) => {
                let mut delivery = Delivery::new(Signal::KILL);
                delivery.send(members.into_iter().map(|member| (member, false)));
                // One that may not be killed must not keep the program down; one that could not be for now is tried again.
                if let Some(error) = delivery.refusal {
                    events.push_back(Event::KillFailed(KillError::Denied(error.to_string())));
                }
            }
            Err(_) => {}
        }
    }

    /// Waits for the end of a shim that is no child of ours.
    pub(super) fn watch_shim(&mut self, handle: &str, shim: Process) {
        match process::open(shim) {
            Ok(Some(fd)) => self.to_watch.push((Watched::Shim(handle.to_owned()), fd)),
            // It ended just now, or before.
            Ok(None) => self.shim_gone(handle, None),
            Err(_) => self.unwatched.push(handle.to_owned()),
        }
    }

    /// Waits for the end of a command without a shim.
    pub(super) fn watch_command(&mut self, handle: &str, opened: io::Result<Option<OwnedFd>>) {
        match opened {
            Ok(Some(fd)) => self.to_watch.push((Watched::Command(handle.to_owned()), fd)),
            Ok(None) => self.command_gone(handle),
            Err(_) => self.unwatched.push(handle.to_owned()),
        }
    }

    /// Looks again at what could not be watched for want of descriptors.
    pub(super) fn watch_again(&mut self) {
        for handle in std::mem::take(&mut self.unwatched) {
            let Some(name) = self.by_handle.get(&handle).cloned() else { continue };
            let run = self.procs.get(&name).and_then(|proc| proc.run.as_ref()).filter(|run| run.handle == handle);
            match run.map(|run| (run.told, run.command, run.shim.filter(|_| !run.orphan))) {
                Some((_, _, Some(shim))) => self.watch_shim(&handle, shim),
                Some((RunNews::Started, Some(command), None)) => self.watch_command(&handle, process::open(command)),
                Some(_) | None => self.watch_group(&handle, &name),
            }
        }
    }

    /// A command without a shim is gone: how it ended nobody saw.
    pub(super) fn command_gone(&mut self, handle: &str) {
        let Some(name) = self.by_handle.get(handle).cloned() else { return };
        if let Some(proc) = self.procs.get_mut(&name)
            && let Some(run) = proc.run.as_mut().filter(|run| run.handle == handle && run.told == RunNews::Started)
        {
            run.told = RunNews::Ended;
            // Where that cannot be told now there may be somebody.
            run.leftover = run.group().map_or(1, |left| u32::try_from(left.len()).unwrap_or(u32::MAX));
            let leftover = run.leftover;
            proc.stop = sys::now().wall.secs();
            self.log
                .warn(&format!("lost: {name}: its launch and its process are gone, its exit status was not observed"));
            let _ = self.feed(&name, Event::Ended { end: End::NotObserved, at: None, leftover });
            self.records.settle();
        }
        self.watch_group(handle, &name);
    }

    /// Looks who of those that were left alone is still alive. To be done before it is told.
    pub(super) fn count_left(&mut self) {
        for proc in self.procs.values_mut().filter(|proc| proc.machine.leftover() > 0 || !proc.left.is_empty()) {
            proc.keep_left();
            proc.left.retain(|process| process::open(*process).map_or(true, |found| found.is_some()));
            let is_known = !proc.run.as_ref().is_some_and(Current::is_left);
            if is_known && !proc.machine.waits_for_group() {
                proc.machine.set_leftover(u32::try_from(proc.left.len()).unwrap_or(u32::MAX));
            }
        }
    }

    /// One of the group of a run without a shim and without a leader is gone.
    pub(super) fn member_gone(&mut self, handle: &str) {
        let Some(name) = self.by_handle.get(handle).cloned() else { return };
        self.watch_group(handle, &name);
    }

    /// Waits for what is left of the group of a run without a shim and without a leader, member by member, if that is
    /// being ended; then there is nothing more to be known of the run.
    pub(super) fn watch_group(&mut self, handle: &str, name: &str) {
        let waiting = self.procs.get(name).filter(|proc| proc.machine.waits_for_group());
        let run = waiting.and_then(|proc| proc.run.as_ref()).filter(|run| run.handle == handle);
        let waits = run.is_some();
        let found = run.map_or(Ok(None), |run| {
            run.group()?.into_iter().find_map(|member| process::open(member).transpose()).transpose()
        });
        match found {
            Ok(Some(fd)) => return self.to_watch.push((Watched::Member(handle.to_owned()), fd)),
            Ok(None) => {}
            Err(_) => return self.unwatched.push(handle.to_owned()),
        }
        self.forget_run(handle);
        if waits {
            let _ = self.feed(name, Event::GroupGone);
        }
    }
}
