//! The supervisor: keeps programs running as its configuration says.
//!
//! Only policy is implemented here. Each run has its own shim (`app/shim`), a `launch` process that
//! outlives the supervisor: after a crash, a new supervisor finds the same processes and the same
//! tasks.
//!
//! Uses an async runtime with one thread, on which the supervisor's state (`state`), its timers and its clients take
//! turns. The database is written on a thread of its own (`records`); logs, and the rows that name them, are read on
//! others (`logs`). `tests/layering.rs` holds that.
//!
//! # If the supervisor dies here
//!
//! Programs keep running, and so do their shims. The next supervisor reads the run folder and
//! adopts them.

mod activity;
mod adoption;
mod answer;
pub mod begin;
mod drive;
mod groups;
mod hearing;
mod hooks;
mod listeners;
pub mod load;
mod logs;
mod on_disk;
mod records;
mod reloads;
mod requests;
mod runs;
mod serve;
mod starts;
mod state;
mod waiters;
mod waiting;

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsString,
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal as Signals, SignalKind, signal},
    sync::mpsc,
    task::LocalSet,
};

use self::{
    activity::Activity,
    answer::Asked,
    begin::{BeginError, Begun, DaemonArgs, StartOutcome},
    hooks::Hooks,
    listeners::Listeners,
    logs::Readers,
    on_disk::{ConfigSource, Deliver, Loaded, OnDisk},
    records::Records,
    serve::Hub,
    state::{Clients, Kept, OwnFacts, Pending, RunIndex, Supervisor, Watched},
};
use crate::{
    io::{
        child::{self, Reaped},
        inbox, notify, process,
        rundir::{Lock, RunChange, RunDir, RunWatch},
        sys,
        timerfd::Alarm,
    },
    model::{
        machine::Starts,
        program::{Keep, ProgramSpec},
        task::{Process, Signal},
        wire::Notice,
    },
};

/// Interval of the checks for outside changes, such as a removed socket.
const LOOK: Duration = Duration::from_secs(5);
/// Interval at which live runs are recorded as seen alive.
const SEEN: Duration = Duration::from_secs(10);
/// Interval of deleting old runs.
const FORGET: Duration = Duration::from_secs(600);
/// Longest wait for a new database before the supervisor reports ready, so that the first client
/// finds it.
const NEW_DATABASE: Duration = Duration::from_secs(5);
/// Interval of the tick events for listeners.
const TICK: Duration = Duration::from_secs(60);
/// Shortest time between two checks of what is due: an item that stays due must not keep a
/// processor busy.
const NOT_BEFORE: Duration = Duration::from_millis(1);

/// Why the supervisor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// An error of the system.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
    /// The log cannot be opened.
    #[error("{0}")]
    Log(String),
}

/// A message to the main loop other than a request.
enum Message {
    /// A watched process has ended.
    Gone(Watched),
    /// The configuration was read.
    Configuration(Box<Loaded>),
}

/// Signals by which an operator requests the end; a second one requests a faster end. Other ending
/// signals, such as that of a limit on processor time, are repeated by the kernel.
const ASKING: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

struct SignalsHeard {
    child: Signals,
    hup: Signals,
    usr1: Signals,
    usr2: Signals,
    /// All signals that request the end.
    ending: Vec<(Signal, Signals)>,
}

impl SignalsHeard {
    /// `ignored` are the signals that were ignored at the start (bit n-1 for signal n).
    fn open(ignored: u64) -> std::io::Result<SignalsHeard> {
        // The default action of these would stop the process; a handler prevents that.
        for ignored in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
            drop(signal(SignalKind::from_raw(ignored.0))?);
        }
        let others = inbox::ending(ignored).into_iter().filter(|other| !ASKING.contains(other));
        let open = |which: Signal| signal(SignalKind::from_raw(which.0)).map(|heard| (which, heard));
        Ok(SignalsHeard {
            child: signal(SignalKind::child())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            ending: ASKING.into_iter().chain(others).map(open).collect::<Result<_, _>>()?,
        })
    }

    /// Returns the next request. A request to end comes first: a reload before it would be useless.
    async fn next(&mut self) -> SignalRequest {
        let ending = &mut self.ending;
        let end = std::future::poll_fn(|context| {
            let asked =
                ending.iter_mut().find_map(|(which, heard)| heard.poll_recv(context).is_ready().then_some(*which));
            asked.map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            biased;
            which = end => SignalRequest::End(which),
            _ = self.hup.recv() => SignalRequest::Reload,
            _ = self.usr1.recv() => SignalRequest::Dump,
            _ = self.usr2.recv() => SignalRequest::Reopen,
            _ = self.child.recv() => SignalRequest::Reap,
        }
    }
}

/// The request of a signal.
enum SignalRequest {
    End(Signal),
    Reload,
    Dump,
    Reopen,
    Reap,
}

/// Starts the supervisor and supervises until its end; returns the exit code. `warn` prints one
/// line for the user; `copy` receives the lines of the log when running in the foreground.
pub fn run(args: &DaemonArgs, warn: &mut dyn FnMut(&str), copy: Box<dyn Write>) -> i32 {
    let mut begun = match begin::start(args, &mut |line| warn(&format!("warning: {line}"))) {
        Ok(StartOutcome::Launched) => return 0,
        Ok(StartOutcome::Begun(begun)) => begun,
        Err(failed) => {
            failed.lines.iter().for_each(|line| warn(&format!("error: {line}")));
            return failed.code;
        }
    };
    let copied = !begun.daemonized && !begun.config.server.silent;
    match supervise(&mut begun, copied.then_some(copy)) {
        Ok(()) => 0,
        Err(error) => {
            let failed = BeginError::new(&error);
            begun.ready.fail(&failed);
            warn(&format!("error: {error}"));
            failed.code
        }
    }
}

fn supervise(begun: &mut Begun, copy: Option<Box<dyn Write>>) -> Result<(), SuperviseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| SuperviseError::System("start its runtime", error))?;
    LocalSet::new().block_on(&runtime, drive(begun, copy))
}

/// Finds the `launch` program, which is the shim: beside this program, or else on the PATH.
fn find_launch() -> Result<PathBuf, SuperviseError> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("launch")));
    let found = beside.filter(|path| path.exists()).or_else(|| child::find_program("launch".as_ref()));
    found.ok_or_else(|| {
        let why = "neither beside this program nor on the PATH";
        SuperviseError::System("find the program launch", std::io::Error::new(std::io::ErrorKind::NotFound, why))
    })
}

/// Returns the state before anything is adopted or started. `send` takes the configurations that are read later.
fn supervisor(
    begun: &mut Begun,
    me: Process,
    log: Activity,
    hub: &Rc<Hub>,
    (readers, send): (Readers, mpsc::UnboundedSender<Message>),
) -> Result<Supervisor, SuperviseError> {
    let boot = sys::boot_id().map_err(|error| SuperviseError::System("read the boot id", error))?;
    let own = OwnFacts {
        me,
        boot,
        db: begun.db.clone(),
        launch: find_launch()?,
        env: inherited(),
        owner: begun.user.as_ref().map(|user| (user.uid, user.gid)),
    };
    let files = Arc::new(Files { place: begun.where_.clone(), overrides: begun.overrides.clone() });
    let (unix, inet) = (begun.unix.take(), std::mem::take(&mut begun.inet));
    Ok(Supervisor {
        own,
        config: begun.config.clone(),
        procs: BTreeMap::new(),
        runs: begun.runs.clone(),
        index: RunIndex::default(),
        diverted: HashSet::new(),
        log,
        kept: Kept::default(),
        records: Records::open(begun.db.clone(), begun.runs.clone()),
        hooks: Hooks::default(),
        on_disk: OnDisk::new(files, to_driver(send), &begun.config),
        starts: Starts::default(),
        pending: Pending::default(),
        clients: Clients {
            listeners: Listeners::open(Rc::clone(hub), begun.user.clone(), unix, inet),
            waiters: vec![],
            notices: vec![],
            readers,
        },
        shutdown: None,
    })
}

/// Adopts what an earlier supervisor left, and starts the rest.
fn adopt_and_start(core: &mut Supervisor) {
    let specs: Vec<ProgramSpec> = core.config.processes.values().cloned().collect();
    for spec in specs {
        core.insert(spec, false);
    }
    core.remember();
    core.adopt_all();
    core.make_spares();
    core.make_room_for_late();
    // Settle what ended while no supervisor was running.
    core.records.settle();
    core.stop_remembered();
    core.start_all();
    core.write_self();
}

/// Reads the files of runs that have changed.
fn hear_changes(core: &mut Supervisor, watch: &mut RunWatch) {
    let changed = match watch.read_changes() {
        Ok(RunChange::Runs(handles)) => handles,
        Ok(RunChange::All) | Err(_) => core.index.by_handle.keys().cloned().collect(),
    };
    changed.iter().for_each(|handle| core.heard(handle));
}

async fn drive(begun: &mut Begun, copy: Option<Box<dyn Write>>) -> Result<(), SuperviseError> {
    let system = |what| move |error| SuperviseError::System(what, error);
    let own = process::own().map_err(system("read /proc/self/stat"))?;
    let me = own.process;
    let mut watch = begun.runs.watch().map_err(system("watch the folder of runs"))?;
    let mut signals = SignalsHeard::open(own.ignored).map_err(system("hear signals"))?;
    let (ask, mut asked) = mpsc::unbounded_channel();
    let (send, mut messages) = mpsc::unbounded_channel();
    let readers = Readers::new();
    let hub = Hub::new(ask, &begun.config, begun.db.clone(), readers.clone());
    let mut log = Activity::open(&begun.config.server, copy).map_err(SuperviseError::Log)?;
    log.info(&format!("supervise {} begins with pid {}", env!("CARGO_PKG_VERSION"), me.pid));
    for (level, line) in &begun.warnings {
        log.say(*level, &format!("config: {line}"));
    }
    let mut core = supervisor(begun, me, log, &hub, (readers, send.clone()))?;
    let is_new = !core.own.db.exists();
    adopt_and_start(&mut core);
    let mut written = copied(watch.readable()).map_err(system("watch the folder of runs"))?;
    let mut alarm = Alarm::new().map_err(system("make a timer"))?;
    let rung = copied(alarm.readable()).map_err(system("watch a timer"))?;
    core.launch_waiting();
    if is_new {
        core.records.wait_for_one(NEW_DATABASE);
    }
    begun.ready.report_ready();
    notify::notify_manager(&format!("READY=1\nMAINPID={}", me.pid));
    core.log.info("ready");
    let mut times = Times::default();
    let mut ticked = Duration::ZERO;
    loop {
        core.advance_waiters();
        core.launch_waiting();
        for (notice, time) in std::mem::take(&mut core.clients.notices) {
            hub.notify(&notice, time);
        }
        for (watched, fd) in std::mem::take(&mut core.pending.to_watch) {
            watch_end(watched, fd, send.clone());
        }
        if core.is_over() {
            break;
        }
        let now = sys::now().mono;
        let wake = core.deadline().into_iter().chain([times.next(now)]).min().unwrap_or(now);
        alarm.set(wake.max(ticked + NOT_BEFORE)).map_err(system("set a timer"))?;
        tokio::select! {
            ready = written.readable() => {
                if let Ok(mut ready) = ready {
                    hear_changes(&mut core, &mut watch);
                    ready.clear_ready();
                }
            }
            Some(Asked { request, reply, from }) = asked.recv() => {
                core.request(request, reply, &from);
                // Run files that were written meanwhile are read before time passes.
            }
            Some(message) = messages.recv() => match message {
                Message::Gone(Watched::Shim(handle)) => core.shim_gone(&handle, None),
                Message::Gone(Watched::Command(handle)) => core.command_gone(&handle),
                Message::Gone(Watched::Member(handle)) => core.member_gone(&handle),
                Message::Configuration(loaded) => core.configuration_read(&loaded),
            },
            request = signals.next() => handle_signal(&mut core, request),
            ready = rung.readable() => {
                alarm.reset();
                if let Ok(mut ready) = ready {
                    ready.clear_ready();
                }
                core.tick();
                let looked = keep_house(&mut core, &mut times);
                if looked && !watch.covers(&core.runs)
                    && let Some((again, lock)) = look_for_runs(&mut core)
                    && let Ok(readable) = copied(again.readable())
                {
                    (watch, written, begun.lock) = (again, readable, lock);
                }
                ticked = sys::now().mono;
            }
        }
    }
    core.write_jobs();
    core.log.info("supervise ends");
    hub.end().await;
    hub.end_web();
    core.clients.listeners.close();
    if let Err(error) = begun.pidfile.remove() {
        core.log.warn(&format!("warning: cannot remove the pid file: {error}"));
    }
    Ok(())
}

/// Registers a descriptor with the runtime for reading; on failure returns the descriptor and the
/// error.
#[expect(deprecated, reason = "what is to take its place is unsafe to call; an OwnedFd is one descriptor all its life")]
fn registered(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, std::io::Error)> {
    AsyncFd::try_with_interest(fd, Interest::READABLE).map_err(tokio::io::unix::AsyncFdRegisterError::into_parts)
}

/// Like [`registered`], for a copy of a descriptor.
fn copied(fd: BorrowedFd<'_>) -> std::io::Result<AsyncFd<OwnedFd>> {
    registered(fd.try_clone_to_owned()?).map_err(|(_, error)| error)
}

/// Last run time of each periodic job.
#[derive(Default)]
struct Times {
    looked: Duration,
    seen: Duration,
    forgot: Duration,
    ticked: Duration,
}

impl Times {
    fn next(&mut self, now: Duration) -> Duration {
        for last in [&mut self.looked, &mut self.seen, &mut self.forgot, &mut self.ticked] {
            if last.is_zero() {
                *last = now;
            }
        }
        self.looked + LOOK
    }
}

/// Creates a run folder that was removed, which contained the states that shims report and the lock
/// against other supervisors. All shims then write their files again.
fn look_for_runs(core: &mut Supervisor) -> Option<(RunWatch, Lock)> {
    let path = core.runs.path().to_owned();
    let again = || -> std::io::Result<Option<(RunDir, RunWatch, Lock)>> {
        let runs = RunDir::open(&path)?;
        let watch = runs.watch()?;
        Ok(runs.lock()?.map(|lock| (runs, watch, lock)))
    };
    match again() {
        Ok(Some((runs, watch, lock))) => {
            core.log.warn(&format!("warning: {} was removed; created again", path.display()));
            core.runs = runs;
            core.runs_are_gone();
            Some((watch, lock))
        }
        Ok(None) => {
            core.log.error(&format!("warning: another supervisor uses {}; stop one of them", path.display()));
            None
        }
        Err(error) => {
            core.log.warn(&format!("warning: {} is gone and cannot be created again: {error}", path.display()));
            None
        }
    }
}

/// Runs the periodic jobs that are due. Returns whether outside changes were checked.
fn keep_house(core: &mut Supervisor, times: &mut Times) -> bool {
    let now = sys::now().mono;
    let due = |last: &mut Duration, every: Duration| {
        let due = now.saturating_sub(*last) >= every;
        if due {
            *last = now;
        }
        due
    };
    let looked = due(&mut times.looked, LOOK);
    if looked {
        core.watch_again();
        core.run_due_hooks();
        if let Some((_, line)) = core.clients.listeners.look() {
            core.log.warn(&line);
        }
        if let Some(warning) = core.records.warning(now) {
            core.log.warn(&warning);
        }
    }
    if due(&mut times.seen, SEEN) {
        let tasks: Vec<i64> =
            core.procs.values().filter(|proc| proc.machine.state().is_live()).filter_map(|proc| proc.task).collect();
        core.records.seen(tasks);
    }
    if due(&mut times.forgot, FORGET) && core.config.server.history_keep != Keep::All {
        let names = core.procs.values().map(|proc| proc.spec.full_name()).collect();
        core.records.forget(names, core.config.server.history_keep);
    }
    if due(&mut times.ticked, TICK) {
        core.clients.notices.push((Notice::Tick, sys::now().wall.secs()));
    }
    looked
}

/// Handles a signal.
fn handle_signal(core: &mut Supervisor, request: SignalRequest) {
    match request {
        SignalRequest::End(which) => {
            core.log.info(&format!("signal: {which}"));
            core.shut_down(false);
            if ASKING.contains(&which) {
                core.asked_by_signal();
            }
        }
        SignalRequest::Reload if core.shutdown.is_some() => core.log.info("signal: SIGHUP: ignored during shutdown"),
        SignalRequest::Reload => {
            core.log.info("signal: SIGHUP: reading the configuration again");
            core.reload_all();
        }
        SignalRequest::Dump => core.dump(),
        SignalRequest::Reopen => {
            core.reopen_logs();
            core.log.info("signal: SIGUSR2: reopened all logs");
        }
        SignalRequest::Reap => reap(core),
    }
}

fn reap(core: &mut Supervisor) {
    while let Ok(Reaped::Ended(pid, exit)) = child::reap() {
        core.child_gone(pid, exit);
    }
}

fn watch_end(watched: Watched, fd: OwnedFd, sender: mpsc::UnboundedSender<Message>) {
    tokio::task::spawn_local(async move {
        match registered(fd) {
            // Readable once the process has ended.
            Ok(fd) => drop(fd.readable().await),
            // Without registration the descriptor is polled.
            Err((fd, _)) => {
                while !child::poll_one(fd.as_fd(), Some(Duration::ZERO)).unwrap_or(false) {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
        let _ = sender.send(Message::Gone(watched));
    });
}

/// Returns the function that passes configurations from the thread that reads them to the main
/// loop.
fn to_driver(sender: mpsc::UnboundedSender<Message>) -> Deliver {
    // Fails if the supervisor has ended, which needs no configuration.
    Arc::new(move |loaded| drop(sender.send(Message::Configuration(Box::new(loaded)))))
}

/// The configuration files.
struct Files {
    place: load::Where,
    overrides: crate::model::config::Overrides,
}

impl ConfigSource for Files {
    fn load(&self) -> Loaded {
        let (config, findings) = load::load_again(&self.place, &self.overrides)?;
        Ok((config, findings.iter().map(ToString::to_string).collect()))
    }

    fn stamp(&self) -> String {
        load::stamp(&self.place)
    }
}

/// Returns the environment that programs inherit.
fn inherited() -> Vec<OsString> {
    let entry = |(name, value): (OsString, OsString)| {
        let mut entry = name;
        entry.push("=");
        entry.push(value);
        entry
    };
    std::env::vars_os().map(entry).collect()
}
