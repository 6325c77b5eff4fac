//! The supervisor's state.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsString,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    activity::Activity, hooks::Hooks, listeners::Listeners, logs::Readers, on_disk::OnDisk, records::Records,
    waiters::Waiter,
};
use crate::{
    app::tree::Delivery,
    io::rundir::RunDir,
    model::{
        config::Config,
        jobs::JobNumbers,
        machine::{Machine, Rank, Sequence, Starts},
        program::ProgramSpec,
        run_tracker::RunTracker,
        task::{Exit, Handle, Process},
        wire::Notice,
    },
};

/// A supervised process.
pub(super) struct Proc {
    /// The current configuration.
    pub spec: ProgramSpec,
    /// The configuration from the next run on, if a change requires a new run.
    pub next: Option<ProgramSpec>,
    pub machine: Machine,
    pub run: Option<RunTracker>,
    /// The task of the current run, or of the last one.
    pub task: Option<i64>,
    /// Start and end of the last run, unix seconds; 0 if there was none.
    pub start: i64,
    pub stop: i64,
    /// The number of starts since the last requested start.
    pub attempt: u32,
    /// Remove this program once it has stopped.
    pub removing: bool,
    /// The configuration of the process that replaces it then, and whether to start that one.
    pub after: Option<(ProgramSpec, bool)>,
    /// While stopping: when the next "still waiting" line is due, and the interval before it.
    pub waiting: Option<(Duration, Duration)>,
    /// Members of the groups of ended runs that were left running, alive when last checked.
    pub left: Vec<Process>,
    /// Dropped with the process, for those who follow its logs. A replacement takes it over.
    pub writer: Arc<()>,
}

impl Proc {
    /// Returns its rank in the order of starts, by the configuration of its next run.
    pub(super) fn rank(&self, name: &str) -> Rank {
        let spec = self.next.as_ref().unwrap_or(&self.spec);
        Rank { group: spec.group_priority, program: spec.policy.priority, name: name.to_owned() }
    }

    /// Returns the next time at which the process needs attention without an event.
    pub(super) fn deadline(&self) -> Option<Duration> {
        [self.machine.deadline(), self.waiting.map(|(at, _)| at)].into_iter().flatten().min()
    }
}

/// A process to be watched for its end.
pub(super) enum Watched {
    /// The shim of this run, which is not a child of this supervisor.
    Shim(String),
    /// The command of this run, whose shim is gone.
    Command(String),
    /// A member of the group of this run, whose shim and leader are gone.
    Member(String),
}

/// A signal to a run without a shim that did not reach all processes yet, because some could not be
/// examined.
pub(super) struct Unsent {
    pub handle: String,
    pub delivery: Delivery,
    /// Whether the signal is for the group.
    pub group: bool,
    /// Whether the failure was logged.
    pub reported: bool,
}

/// The supervisor's state.
pub(super) struct Supervisor {
    pub own: OwnFacts,
    pub config: Config,
    pub procs: BTreeMap<String, Proc>,
    /// The files of runs.
    pub runs: RunDir,
    pub index: RunIndex,
    /// Default places of logs that are taken by another user: those logs go beside the database.
    pub diverted: HashSet<PathBuf>,
    pub log: Activity,
    pub kept: Kept,
    pub records: Records,
    /// Running and due hooks.
    pub hooks: Hooks,
    /// The state of the configuration files on disk.
    pub on_disk: OnDisk,
    /// Waiting and current starts.
    pub starts: Starts,
    pub pending: Pending,
    pub clients: Clients,
    pub shutdown: Option<Shutdown>,
}

/// What does not change while the supervisor runs.
pub(super) struct OwnFacts {
    pub me: Process,
    pub boot: String,
    pub db: PathBuf,
    /// Path of the `launch` program, which is the shim.
    pub launch: PathBuf,
    /// The environment that programs inherit.
    pub env: Vec<OsString>,
    /// User and group for which folders are created.
    pub owner: Option<(u32, u32)>,
}

/// Which run belongs to what.
#[derive(Default)]
pub(super) struct RunIndex {
    /// Maps the handle of a run to its process.
    pub by_handle: HashMap<String, String>,
    /// Maps the pid of a child to the handle of the run whose shim it is.
    pub children: HashMap<i32, String>,
    /// Handles of future runs whose files already exist.
    pub spares: Vec<Handle>,
}

/// What is kept across restarts of the supervisor.
#[derive(Default)]
pub(super) struct Kept {
    pub jobs: JobNumbers,
    /// When changed job numbers are written: not one by one when many processes start at once.
    pub jobs_due: Option<Duration>,
    /// Processes that an operator stopped and that were not started since.
    pub stopped: BTreeSet<String>,
}

/// What is due later, or is tried again.
#[derive(Default)]
pub(super) struct Pending {
    /// The next deadline of each process that has one.
    pub timers: BTreeMap<String, Duration>,
    /// Processes to be watched for their end; taken by the main loop.
    pub to_watch: Vec<(Watched, OwnedFd)>,
    /// Runs that could not be watched because no descriptor was left.
    pub unwatched: Vec<String>,
    /// Runs whose file could not be read, and when reading is retried.
    pub unheard: BTreeMap<String, Unheard>,
    pub hear_at: Option<Duration>,
    /// Signals that did not reach all processes yet, and when they are retried.
    pub unsent: Vec<Unsent>,
    pub send_at: Option<Duration>,
}

/// The clients, and what they wait for.
pub(super) struct Clients {
    /// The sockets where clients connect.
    pub listeners: Listeners,
    pub waiters: Vec<Waiter>,
    /// Events for listeners; taken by the main loop.
    pub notices: Vec<(Notice, i64)>,
    /// Threads that read logs for clients.
    pub readers: Readers,
}

/// The progress of a shutdown.
pub(super) struct Shutdown {
    pub sequence: Sequence,
    /// Number of signals that requested it.
    pub asked: u32,
    /// Whether programs keep running.
    pub leave_running: bool,
    /// Once all programs are down: until when to wait for their shims to record the ends.
    pub record_until: Option<Duration>,
}

/// What to do for a run once its file can be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unheard {
    /// Its shim wrote a change.
    Written,
    /// Its shim is gone; with its exit, if known.
    Gone(Option<Exit>),
}
