//! The verbs of `control`, as functions that write to the given output and return an exit code.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    control_args::{self as args, ControlArgs, Verb},
    db::{self, DbError},
    log,
    reconcile::{self, Live, MANY},
    service::{
        Found, HistoryPage, KillError, KillReport, LogError, LogExtent, Recent, Reservation, Reserved, ServiceError,
        TaskFilter, TaskList, Tasks, Updated, WaitEnd, WaitOptions, Waited, last_lines,
    },
    show,
    supervised::Supervisors,
    time_expr::{BadTime, parse_when},
    wait::{WaitError, Waiter},
};
use crate::{
    io::{
        secret::SecretError,
        store::{LockTimeout, Store, StoreError},
        sys,
    },
    model::{
        error::ErrorKind,
        proxmox_access::BadToken,
        query::{After, Filter, Query},
        stats::CLOCK_STEP,
        task::{HistoryRow, Status, Stored, TaskRef, exit_code},
        upid::Upid,
    },
};

/// Rows of `list` whose JSON is in memory at once.
const JSON_BLOCK: usize = 20_000;

/// The output of a verb.
pub struct VerbOutput<'a> {
    /// Data.
    pub data: &'a mut dyn Write,
    /// Messages.
    pub messages: &'a mut dyn Write,
    /// Width of the terminal that data goes to, in columns. `None`: not a terminal, so nothing is truncated or wrapped.
    pub width: &'a dyn Fn() -> Option<u16>,
    /// Whether tables may be coloured.
    pub colours: bool,
    /// Timeout for locks of the database, and how a wait is reported.
    pub patience: LockTimeout,
    /// Asks the user at the terminal for confirmation. `None`: not on a terminal.
    pub confirm: Option<&'a mut dyn FnMut(&str) -> bool>,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `export` finds no database: nothing was ever launched with it, or it was removed.
    #[error(transparent)]
    NothingYet(DbError),
    /// `remote` finds no database, and so no remotes.
    #[error(
        "no database {0:?}, so no remotes are configured; add one with: control remote add NAME --ssh HOST (or --pve, --pbs)"
    )]
    NoRemotesYet(PathBuf),
    /// No live task has this name.
    #[error("no task named {0:?} is reserved or running")]
    NoSuchName(String),
    /// No ended task has this name.
    #[error("no task named {0:?} has ended")]
    NoRuns(String),
    /// No remote has this name.
    #[error("no such remote: {0:?}; list remotes with: control remote list")]
    NoSuchRemote(String),
    /// There are no remotes.
    #[error("no remotes configured; add one with: control remote add NAME --ssh HOST (or --pve, --pbs)")]
    NoRemotes,
    /// A remote has this name already.
    #[error("remote {0:?} already exists; remove it first, or choose another name")]
    RemoteThere(String),
    /// Options that a Proxmox host requires are missing.
    #[error("--pve and --pbs require --token and --secret-file")]
    NoSource,
    /// Not a token. The given text is not repeated: it may contain a secret.
    #[error("invalid --token: {0}")]
    Token(#[from] BadToken),
    /// An option for another kind of remote.
    #[error("{2} is not supported for remote {0} ({1})")]
    OtherWay(String, &'static str, &'static str),
    /// A path that cannot be stored as text.
    #[error("cannot store path {0:?}: it is not UTF-8; rename the file")]
    Path(PathBuf),
    /// The secret of a token.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The remote failed to do it.
    #[error("remote {0}: {1}")]
    Remote(String, String),
    /// Tasks of more than one host.
    #[error("tasks of several hosts in one command; specify tasks of one host at a time")]
    ManyHosts,
    /// A verb that works only for local tasks.
    #[error("run-again works for tasks of this host only; log in to remote {0} to run one there")]
    NotThere(String),
    /// A number for a task of a Proxmox host, where tasks have none.
    #[error("tasks of remote {0} have no numbers; specify {0}!START:PID or {0}!UPID, as in lists")]
    NumberThere(String),
    /// A start and a pid for a task of a taskwatcher host, where tasks have numbers.
    #[error("tasks of remote {0} have numbers; specify {0}!NUMBER or {0}!UPID, as in lists")]
    BeganThere(String),
    /// Several tasks match a short name.
    #[error("ambiguous name {0}: specify a UPID ({1})")]
    ManyThere(TaskRef, String),
    /// The remote is a Proxmox host, which chooses the signals itself.
    #[error("remote {0} does not support --signal, --now or --force")]
    OwnWay(String),
    /// A cursor for the other sort order.
    #[error("cursor does not match this query: it was printed {0} --remote or --all-remotes")]
    OtherOrder(&'static str),
    /// An option that applies only to tasks of remotes.
    #[error("--node and --type apply to tasks of remotes; add --remote or --all-remotes")]
    RemotesOnly,
    /// The task cannot be launched again.
    #[error("cannot run task {0} again: {1}")]
    NotAgain(i64, String),
    /// An invalid time on the command line.
    #[error("invalid {0} {1:?}: {2}")]
    Time(&'static str, String, BadTime),
    /// A call of the service.
    #[error(transparent)]
    Service(ServiceError),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Write(#[from] io::Error),
}

impl ControlError {
    /// Whether the reader of the output went away, which is not a failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, ControlError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ControlError::Db(error) => error.kind(),
            ControlError::Store(error) => error.kind(),
            ControlError::Service(error) => error.kind(),
            ControlError::NothingYet(_) => ErrorKind::NothingYet,
            ControlError::Time(..)
            | ControlError::OtherOrder(_)
            | ControlError::RemotesOnly
            | ControlError::ManyHosts
            | ControlError::NotThere(_)
            | ControlError::NumberThere(_)
            | ControlError::BeganThere(_)
            | ControlError::OwnWay(_)
            | ControlError::OtherWay(..)
            | ControlError::Token(_)
            | ControlError::NoSource => ErrorKind::Usage,
            ControlError::NoRemotesYet(_) => ErrorKind::NoDatabase,
            ControlError::NoSuchName(_)
            | ControlError::NoRuns(_)
            | ControlError::NoSuchRemote(_)
            | ControlError::NoRemotes => ErrorKind::NotFound,
            ControlError::RemoteThere(_) | ControlError::ManyThere(..) | ControlError::NotAgain(..) => {
                ErrorKind::Conflict
            }
            ControlError::Remote(..) => ErrorKind::Unreachable,
            ControlError::Path(_) | ControlError::Secret(_) | ControlError::Write(_) => ErrorKind::System,
        }
    }
}

impl From<ServiceError> for ControlError {
    fn from(error: ServiceError) -> ControlError {
        match error {
            // That the reader of the output is gone is the same wherever it shows.
            ServiceError::Write(error) => ControlError::Write(error),
            ServiceError::Log(LogError::Write(error)) => ControlError::Write(error),
            error => ControlError::Service(error),
        }
    }
}

impl From<LogError> for ControlError {
    fn from(error: LogError) -> ControlError {
        ServiceError::from(error).into()
    }
}

impl From<WaitError> for ControlError {
    fn from(error: WaitError) -> ControlError {
        ServiceError::from(error).into()
    }
}

pub(super) type Done = Result<i32, ControlError>;

/// The context of a verb: its database and its output.
pub(super) struct Desk<'a, 'b> {
    pub(super) db: PathBuf,
    pub(super) json: bool,
    pub(super) out: &'a mut VerbOutput<'b>,
}

/// Runs the verb of the command line and returns the exit code.
///
/// # Errors
/// [`ControlError`]
pub fn run(args: ControlArgs, out: &mut VerbOutput<'_>) -> Done {
    if let Verb::Completions(wanted) = &args.verb {
        out.data.write_all(wanted.program.completions(wanted.shell).as_bytes())?;
        return Ok(0);
    }
    let mut desk = Desk { db: db::path(args.db.as_deref())?, json: args.json, out };
    if let Some(done) = desk.far(&args.verb) {
        return done;
    }
    match args.verb {
        Verb::Reserve(wanted) => desk.reserve(&wanted),
        Verb::List(wanted) => desk.list(&wanted),
        Verb::Show(one) => desk.show(&one.task),
        Verb::Log(wanted) => desk.log(&wanted),
        Verb::Feedback(one) => desk.feedback(&one.task),
        Verb::History(wanted) => desk.history(&wanted),
        Verb::Wait(wanted) => desk.wait(&wanted),
        Verb::Kill(wanted) => desk.kill(&wanted),
        Verb::Killall(wanted) => desk.kill_all(&wanted),
        Verb::Update => desk.update(),
        Verb::Clear(wanted) => desk.clear(&wanted),
        Verb::Initialize(wanted) => desk.initialize(&wanted),
        Verb::Stats(wanted) => desk.stats(&wanted),
        Verb::Check(wanted) => desk.check(&wanted),
        Verb::RunAgain(wanted) => desk.run_again(&wanted),
        Verb::Backup(wanted) => desk.backup(&wanted),
        Verb::Verify(wanted) => desk.verify(&wanted),
        Verb::Export(wanted) => desk.export(&wanted),
        Verb::Remote(wanted) => desk.remote(&wanted),
        Verb::Completions(_) => Ok(0),
    }
}

impl Desk<'_, '_> {
    pub(super) fn open(&self) -> Result<Store, ControlError> {
        Ok(db::open(&self.db, self.out.patience)?)
    }

    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { writeln!(self.out.data, "{text}") }
    }

    pub(super) fn report(&mut self, line: &str) {
        // A message that cannot be written is not an error.
        let _ = writeln!(self.out.messages, "control: {line}");
    }

    fn kill(&mut self, wanted: &args::Kill) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let mut code = 0;
        tasks.kill(&wanted.tasks, &wanted.how.options(), &Supervisors, &mut |done| self.say_killed(done, &mut code))?;
        Ok(code)
    }

    fn kill_all(&mut self, wanted: &args::Killall) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let mut code = 0;
        let options = wanted.how.options();
        let found =
            tasks.kill_named(&wanted.name, &options, &Supervisors, &mut |done| self.say_killed(done, &mut code))?;
        if found == 0 { Err(ControlError::NoSuchName(wanted.name.clone())) } else { Ok(code) }
    }

    /// Prints what became of a task that should be ended; a failure sets the exit code.
    pub(super) fn say_killed(&mut self, done: Result<KillReport, KillError>, code: &mut i32) -> io::Result<()> {
        match done {
            Err(error) => {
                self.report(&format!("error: {error}"));
                *code = exit_code::FAILED;
                Ok(())
            }
            Ok(report) if self.json => writeln!(self.out.data, "{}", show::killed_json(&report)),
            Ok(report) => writeln!(self.out.data, "{report}"),
        }
    }

    fn reserve(&mut self, wanted: &args::Reserve) -> Done {
        let reservation = Reservation {
            name: wanted.name.clone().unwrap_or_default(),
            info: [wanted.info1.clone(), wanted.info2.clone(), wanted.info3.clone()],
            unique: wanted.unique,
            expire: wanted.expire,
        };
        let Reserved { id, handle, expires } =
            Tasks::open_or_create(&self.db, self.out.patience)?.reserve(&reservation)?;
        let text = match (self.json, wanted.handle) {
            (true, _) => json!({ "taskid": id, "handle": handle, "expires": expires }).to_string(),
            (false, true) => handle,
            (false, false) => id.to_string(),
        };
        self.print(&text)?;
        Ok(0)
    }

    fn list(&mut self, wanted: &args::List) -> Done {
        if !wanted.watch {
            let mut tasks = Tasks::open(&self.db, self.out.patience)?;
            return self.list_once(&mut tasks, wanted);
        }
        let terminal = (self.out.width)().is_some();
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let mut waiter = Waiter::new(&self.db);
        // On a terminal, cursor home and clear below, without flicker. Otherwise an empty line separates the tables.
        let (mut before, between) = if terminal { ("\x1b[H\x1b[J", "\x1b[H\x1b[J") } else { ("", "\n") };
        loop {
            write!(self.out.data, "{before}")?;
            before = between;
            let code = self.list_once(&mut tasks, wanted)?;
            self.out.data.flush()?;
            if code != 0 {
                return Ok(code);
            }
            waiter.wait_for_writes(Duration::from_secs(1))?;
        }
    }

    fn list_once(&mut self, tasks: &mut Tasks, wanted: &args::List) -> Done {
        let (since, until) = (time("--since", &wanted.since)?, time("--until", &wanted.until)?);
        if wanted.remote.is_some() || wanted.all_remotes {
            return self.list_far(tasks, wanted, since, until);
        }
        let filter = TaskFilter { name: wanted.name.clone(), status: wanted.status.clone(), since, until };
        let recent = wanted.all.then(|| Recent { results: wanted.outcome.clone(), limit: RECENT });
        let TaskList { live, ended } = tasks.list(&filter, recent)?;
        let now = sys::now().wall;
        if wanted.jsonl || self.json {
            let form = if wanted.jsonl { show::RowsForm::Lines } else { show::RowsForm::Array };
            let text_of = |some: &[Live]| {
                let rows = some.iter().map(|live| show::LiveRow::of(live, progress_of(live), now));
                vec![form.text(rows)]
            };
            let mut texts = show::RowsWriter::new(form, self.out.data)?;
            // Rows are serialized on all processors, in blocks, so that the text of few of them is in memory at once.
            for block in live.chunks(JSON_BLOCK) {
                for text in sys::on_all_processors(block, MANY, text_of) {
                    texts.write(&text?)?;
                }
            }
            texts.write(&form.text(ended.rows.iter().map(|row| ended_json(&self.db, row, FEW_LINES)))?)?;
            texts.end()?;
        } else {
            let width = (self.out.width)();
            let colours = self.out.colours;
            self.print(&show::task_table(&live, progress_of, now, width, colours))?;
            if wanted.all {
                self.print(&format!("\n{}", show::history_table(&ended, now, width, colours)))?;
                for row in &ended.rows {
                    if let Some(words) = show::failure(row) {
                        let lines = show::quoted(&last_lines(&self.db, row, FEW_LINES));
                        self.print(&format!("\n{words}{lines}"))?;
                    }
                }
            }
        }
        if !wanted.watch {
            // The process exits now. Dropping thousands of rows would only delay the reader of the output.
            std::mem::forget(live);
        }
        Ok(0)
    }

    fn show(&mut self, task: &TaskRef) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let mut failure = None;
        let mut value = match tasks.get(task)? {
            Found::Live(live) => {
                let mut value = show::task_json(&live, progress_of(&live), sys::now().wall);
                if live.task.feedback && live.status != Status::Reserved {
                    let values = tasks.feedback_of(&live)?;
                    value["feedback"] = serde_json::from_str(&values).unwrap_or(Value::Null);
                }
                let row = &live.task;
                let lines = last_lines(&self.db, &**row, SOME_LINES);
                value["lastlines"] = lines.into();
                value
            }
            Found::Ended(row) => {
                failure = show::failure(&row);
                ended_json(&self.db, &row, SOME_LINES)
            }
        };
        if self.json {
            self.print(&value.to_string())?;
            return Ok(0);
        }
        if value["paused"] == true {
            value["status"] = "PAUSED".into();
        }
        if let Some(words) = failure {
            self.print(&format!("{words}\n"))?;
        }
        self.print(&show::details(&value))?;
        let lines = value["lastlines"].as_array().into_iter().flatten();
        let lines: Vec<String> = lines.filter_map(|line| line.as_str().map(str::to_owned)).collect();
        if !lines.is_empty() {
            self.print(&format!("\nlast lines (full log: control log {task}){}", show::quoted(&lines)))?;
        }
        Ok(0)
    }

    fn log(&mut self, wanted: &args::Log) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let extent = match (wanted.follow, wanted.limit) {
            (false, _) => LogExtent::Now,
            (true, Some(_)) => LogExtent::Lines,
            (true, None) => LogExtent::End,
        };
        let found = tasks.log(&wanted.task, extent)?;
        let how = log::Wanted {
            tail: wanted.tail,
            start: wanted.start,
            limit: wanted.limit,
            no_time: wanted.no_time,
            json: self.json,
            terminal: (self.out.width)().is_some() && !wanted.raw,
            follow: wanted.follow,
        };
        log::show(&mut tasks, &found, &how, self.out.data)?;
        Ok(0)
    }

    fn feedback(&mut self, task: &TaskRef) -> Done {
        let text = Tasks::open(&self.db, self.out.patience)?.feedback(task)?;
        self.print(&text)?;
        Ok(0)
    }

    fn history(&mut self, wanted: &args::History) -> Done {
        let filter = Filter {
            name: wanted.name.clone(),
            results: wanted.outcome.clone(),
            since: time("--since", &wanted.since)?,
            until: time("--until", &wanted.until)?,
            user: wanted.user.clone(),
        };
        let limit = wanted.rows();
        if wanted.remote.is_some() || wanted.all_remotes {
            return self.history_far(wanted, filter);
        }
        let after = match wanted.after {
            Some(After::Start(_)) => return Err(ControlError::OtherOrder("with")),
            Some(After::End(cursor)) => Some(cursor),
            None => None,
        };
        if wanted.node.is_some() || wanted.kind.is_some() {
            return Err(ControlError::RemotesOnly);
        }
        let query = Query { filter, limit, after, offset: wanted.offset, reverse: wanted.reverse };
        let HistoryPage { page, unsettled, own } = Tasks::open(&self.db, self.out.patience)?.history(&query)?;
        self.report_unsettled(unsettled, own);
        self.report_future_ends(&page.rows);
        let next = page.next.map(|cursor| cursor.to_string());
        if wanted.jsonl {
            for row in &page.rows {
                writeln!(self.out.data, "{}", json!(row))?;
            }
        } else if self.json {
            self.print(&json!({ "rows": page.rows, "next": next }).to_string())?;
            return Ok(0);
        } else {
            let width = (self.out.width)();
            self.print(&show::history_table(&page, sys::now().wall, width, self.out.colours))?;
        }
        if let Some(next) = next {
            self.report(&format!("more rows follow: --after {next}"));
        }
        Ok(0)
    }

    /// Prints a message about tasks that have ended and are not in the history table yet.
    pub(super) fn report_unsettled(&mut self, count: usize, own: bool) {
        let why = match own {
            true => "could not be moved to the history: the database cannot be written at the moment",
            false => "are not in the history yet: only the owner of the database may move them there",
        };
        if count > 0 {
            self.report(&format!("{count} ended tasks {why}"));
        }
    }

    /// Prints a message about rows that come first only because the clock was wrong.
    fn report_future_ends(&mut self, rows: &[HistoryRow]) {
        let present = sys::now().wall.secs().saturating_add(CLOCK_STEP);
        let future: Vec<String> =
            rows.iter().filter(|row| row.endtime > present).map(|row| row.taskid.to_string()).collect();
        if !future.is_empty() {
            let (tasks, stand) = if future.len() > 1 { ("tasks", "they are listed") } else { ("task", "it is listed") };
            self.report(&format!(
                "{tasks} {} ended in the future, so the clock was wrong; {stand} before tasks that ended since",
                future.join(", ")
            ));
        }
    }

    fn wait(&mut self, wanted: &args::WaitArgs) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let how = WaitOptions { any: wanted.any, timeout: wanted.timeout };
        let end = tasks.wait(&wanted.tasks, how, &mut |waited| match waited {
            Waited::Ended(row) => {
                self.print_result(row.upid.as_ref(), row.taskid, Some(row))?;
                self.out.data.flush()
            }
            Waited::Running(live) if self.json => self.print_result(live.task.upid.as_ref(), live.task.id, None),
            Waited::Running(live) => {
                self.report(&format!("task {} has not ended: {}", live.task.id, live.status));
                Ok(())
            }
        })?;
        Ok(match end {
            WaitEnd::Ended { failed: false } => 0,
            WaitEnd::Ended { failed: true } => exit_code::FAILED,
            WaitEnd::TimedOut => exit_code::TIMED_OUT,
        })
    }

    fn print_result(&mut self, upid: Option<&Stored<Upid>>, id: i64, row: Option<&HistoryRow>) -> io::Result<()> {
        let text = match row {
            Some(row) if !self.json => format!("{id} {}", show::clean(&row.words())),
            row => show::proxmox_status(upid, id, row.map(|row| &row.outcome)).to_string(),
        };
        self.print(&text)
    }

    fn update(&mut self) -> Done {
        let Updated { live, settled } = Tasks::open(&self.db, self.out.patience)?.update()?;
        let text = match self.json {
            true => json!({ "live": live, "settled": settled }).to_string(),
            false => format!("{live} live, {settled} settled"),
        };
        self.print(&text)?;
        Ok(0)
    }
}

/// Returns an ended task as JSON, with its last lines if it failed.
fn ended_json(db: &Path, row: &HistoryRow, count: usize) -> Value {
    let mut value = show::ended_json(row);
    let lines = if show::failure(row).is_some() || count == SOME_LINES { last_lines(db, row, count) } else { vec![] };
    if let Some(object) = value.as_object_mut() {
        object.insert("lastlines".into(), lines.into());
    }
    value
}

/// Last lines of a failed task in `list --all`.
const FEW_LINES: usize = 3;
/// Last lines of a task in `show`.
const SOME_LINES: usize = 5;
/// Number of ended tasks in `list --all`.
const RECENT: usize = 20;

pub(super) fn time(option: &'static str, text: &Option<String>) -> Result<Option<i64>, ControlError> {
    let read = |text: &String| {
        parse_when(text, show::local(sys::now().wall)).map_err(|error| ControlError::Time(option, text.clone(), error))
    };
    text.as_ref().map(read).transpose()
}

/// Returns the progress of a live task in percent. Only the end of its feedback file is read, and no state is stored.
pub(super) fn progress_of(live: &Live) -> Option<f64> {
    if let Some(progress) = live.story.as_ref().and_then(|story| story.progress) {
        return Some(progress);
    }
    let path = live.task.feedpath.as_deref().filter(|_| live.task.feedback && live.status != Status::Reserved)?;
    let stored = || {
        let values: HashMap<String, String> = serde_json::from_str(live.task.values.as_deref()?).ok()?;
        values.get("progress")?.trim().parse().ok()
    };
    reconcile::read_tail(path).and_then(|feedback| feedback.progress()).or_else(stored)
}
