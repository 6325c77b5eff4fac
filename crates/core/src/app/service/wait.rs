//! Waiting for tasks to end.

use std::{io, time::Duration};

use super::{Found, ServiceError, Tasks, find};
use crate::{
    app::{
        reconcile::{self, Live},
        wait::{Waiter, refuse_itself},
    },
    io::sys,
    model::task::{HistoryRow, TaskRef},
};

/// For what to wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitOptions {
    /// Until the first of the tasks has ended, not all of them.
    pub any: bool,
    /// Longest wait; `None`: as long as it takes.
    pub timeout: Option<Duration>,
}

/// What is reported of a task that is waited for.
#[derive(Debug)]
pub enum Waited<'w> {
    /// The task has ended.
    Ended(&'w HistoryRow),
    /// The time is up, and the task has not ended.
    Running(&'w Live),
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// The tasks have ended; whether one of them has failed.
    Ended {
        /// Whether one of them has failed.
        failed: bool,
    },
    /// The time was up before.
    TimedOut,
}

impl Tasks {
    /// Waits until tasks have ended, and reports each end as soon as it is seen.
    ///
    /// # Errors
    /// When a task does not exist, when this process runs inside a task that it would wait for without a limit, when the
    /// database cannot be read, or when `reports` fails.
    pub fn wait(
        &mut self,
        tasks: &[TaskRef],
        how: WaitOptions,
        reports: &mut dyn FnMut(Waited<'_>) -> io::Result<()>,
    ) -> Result<WaitEnd, ServiceError> {
        let mut waiter = Waiter::new(&self.db);
        let end = how.timeout.map(|timeout| sys::now().mono.saturating_add(timeout));
        let mut left: Vec<TaskRef> = tasks.to_vec();
        let mut failed = false;
        loop {
            let survey = reconcile::survey(&mut self.store)?;
            let (mut live, mut ended, mut unknown) = (Vec::new(), 0, None);
            for task in std::mem::take(&mut left) {
                match find(&self.store, &survey, &task)? {
                    Some(Found::Live(found)) => live.push((task, *found)),
                    Some(Found::Ended(row)) => {
                        ended += 1;
                        failed |= !row.outcome.class().is_success();
                        reports(Waited::Ended(&row))?;
                    }
                    None => unknown = Some(task),
                }
            }
            if let Some(task) = unknown {
                return Err(ServiceError::NoSuchTask(task));
            }
            if live.is_empty() || (how.any && ended > 0) {
                return Ok(WaitEnd::Ended { failed });
            }
            let timeout = end.map(|end| end.saturating_sub(sys::now().mono));
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                live.iter().try_for_each(|(_, found)| reports(Waited::Running(found)))?;
                return Ok(WaitEnd::TimedOut);
            }
            // A wait for the task in which this process runs can end only by its timeout.
            if timeout.is_none() {
                let refused = live.iter().find_map(|(_, found)| refuse_itself(found).err());
                let all = live.iter().all(|(_, found)| refuse_itself(found).is_err());
                if let Some(error) = refused.filter(|_| all || !how.any) {
                    return Err(error.into());
                }
            }
            waiter.wait(&mut self.store, &live.iter().map(|(_, found)| found).collect::<Vec<_>>(), timeout)?;
            left = live.into_iter().map(|(task, _)| task).collect();
        }
    }
}
