//! The groups of runs: which members are left once the leader has ended, and killing them if the
//! shim, which does so while it lives, is gone.

use std::{collections::VecDeque, io, os::fd::OwnedFd};

use super::state::{Proc, Supervisor, Watched};
use crate::{
    app::tree::Delivery,
    io::{notify, process},
    model::{
        machine::{Event, KillError},
        reconcile::Life,
        run_tracker::{GroupKiller, RunTracker, RunWatch, group_looked_at},
        shim::ShimCommand,
        task::{Process, Signal},
    },
};

/// Returns the live processes of the group of a run's command. To be called while a member is known to be alive, or was
/// just alive: the number of the group, which leads its own session, is not reused before the last member has ended.
///
/// # Errors
/// When not all processes could be examined (no descriptors left).
pub(super) fn members(run: &RunTracker) -> io::Result<Vec<Process>> {
    let Some(command) = run.command else { return Ok(vec![]) };
    if process::read_stat(command.pid)?.is_some_and(|leader| leader.process != command) {
        return Ok(vec![]);
    }
    let members = process::group(command.pid)?.into_iter().filter(|member| member.session == command.pid);
    Ok(members.map(|member| member.process).collect())
}

impl Proc {
    /// Records members of a leaderless group that are not going to be killed.
    pub(super) fn leave_alone(&mut self, members: Vec<Process>) {
        let new = members.into_iter().filter(|member| !self.left.contains(member)).collect::<Vec<_>>();
        self.left.extend(new);
    }

    /// Records the remaining members of an ended run, unless they are being killed.
    pub(super) fn keep_left(&mut self) {
        if !self.machine.waits_for_group()
            && let Some(run) = self.run.as_mut().filter(|run| run.is_left())
            && let Ok(members) = members(run)
        {
            run.leftover = 0;
            self.leave_alone(members);
        }
    }
}

impl Supervisor {
    /// Kills the remaining group of an ended run.
    pub(super) fn clean(&mut self, name: &str, events: &mut VecDeque<Event>) {
        let Some(run) = self.procs.get(name).and_then(|proc| proc.run.as_ref()) else {
            return events.push_back(Event::GroupGone);
        };
        match run.group_killer() {
            GroupKiller::NotNeeded => return events.push_back(Event::GroupGone),
            GroupKiller::Shim => {
                let command = ShimCommand::Signal { signal: Signal::KILL, group: true, why: None };
                if notify::send_command(&run.socket, command.to_message().as_bytes()).is_ok() {
                    return;
                }
            }
            GroupKiller::Supervisor => {}
        }
        match members(run) {
            Ok(members) if members.is_empty() => events.push_back(Event::GroupGone),
            Ok(members) => {
                let mut delivery = Delivery::new(Signal::KILL);
                delivery.send(members.into_iter().map(|member| (member, false)));
                // A member that may not be killed must not keep the program down; other failures
                // are retried.
                if let Some(error) = delivery.refusal {
                    events.push_back(Event::KillFailed(KillError::Denied(error.to_string())));
                }
            }
            Err(_) => {}
        }
    }

    /// Watches a shim that is not a child.
    pub(super) fn watch_shim(&mut self, handle: &str, shim: Process) {
        match process::open(shim) {
            Ok(Some(fd)) => self.pending.to_watch.push((Watched::Shim(handle.to_owned()), fd)),
            // The shim ended just now, or before.
            Ok(None) => self.shim_gone(handle, None),
            Err(_) => self.pending.unwatched.push(handle.to_owned()),
        }
    }

    /// Watches a command without a shim.
    pub(super) fn watch_command(&mut self, handle: &str, opened: io::Result<Option<OwnedFd>>) {
        match opened {
            Ok(Some(fd)) => self.pending.to_watch.push((Watched::Command(handle.to_owned()), fd)),
            Ok(None) => self.command_gone(handle),
            Err(_) => self.pending.unwatched.push(handle.to_owned()),
        }
    }

    /// Retries to watch what could not be watched because no descriptor was left.
    pub(super) fn watch_again(&mut self) {
        for handle in std::mem::take(&mut self.pending.unwatched) {
            let Some(name) = self.index.by_handle.get(&handle).cloned() else { continue };
            match self.tracker(&name, &handle).map(|run| run.watch()) {
                Some(RunWatch::Shim(shim)) => self.watch_shim(&handle, shim),
                Some(RunWatch::Command(command)) => self.watch_command(&handle, process::open(command)),
                Some(RunWatch::Group) | None => self.watch_group(&handle, &name),
            }
        }
    }

    /// Updates the number of members that were left running. To be called before that number is
    /// reported.
    pub(super) fn count_left(&mut self) {
        for proc in self.procs.values_mut().filter(|proc| proc.machine.leftover() > 0 || !proc.left.is_empty()) {
            proc.keep_left();
            proc.left.retain(|process| process::open(*process).map_or(true, |found| found.is_some()));
            let is_known = !proc.run.as_ref().is_some_and(RunTracker::is_left);
            if is_known && !proc.machine.waits_for_group() {
                proc.machine.set_leftover(u32::try_from(proc.left.len()).unwrap_or(u32::MAX));
            }
        }
    }

    /// Handles the end of a group member of a run without a shim and a leader.
    pub(super) fn member_gone(&mut self, handle: &str) {
        let Some(name) = self.index.by_handle.get(handle).cloned() else { return };
        self.watch_group(handle, &name);
    }

    /// Watches the remaining group of a run without a shim and a leader, member by member, while it
    /// is being killed. When none is left, the run is over.
    pub(super) fn watch_group(&mut self, handle: &str, name: &str) {
        let waiting = self.procs.get(name).filter(|proc| proc.machine.waits_for_group());
        let run = waiting.and_then(|proc| proc.run.as_ref()).filter(|run| run.handle == handle);
        let waits = run.is_some();
        let found = run.map_or(Ok(None), |run| {
            members(run)?.into_iter().find_map(|member| process::open(member).transpose()).transpose()
        });
        let member = match &found {
            Ok(Some(_)) => Life::Alive,
            Ok(None) => Life::Gone,
            Err(_) => Life::Unknown,
        };
        match (group_looked_at(waits, member), found) {
            (Some(steps), _) => self.take_steps(name, handle, steps),
            (None, Ok(Some(fd))) => self.pending.to_watch.push((Watched::Member(handle.to_owned()), fd)),
            (None, Ok(None) | Err(_)) => self.pending.unwatched.push(handle.to_owned()),
        }
    }
}
