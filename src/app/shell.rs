//! `supervise shell`: actions line by line, with job control.
//!
//! The actions and their output are those of the client (`app::client`); this module has the lines,
//! the jobs of the shell, and the actions of the shell alone. On a terminal lines are edited; any
//! other input is a script.

mod attach;
mod typed;
mod verbs;
mod watch;

use std::{
    io::BufRead,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use self::{
    typed::{NotDone, Typed, Word},
    watch::{EventWatch, JobNotices},
};
use super::{
    client::{self, Acted, ClientOutput, complain, endpoint::Place},
    supervise_args::{Action, ActionPlan, ClientArgs, NamesArg, ShellArgs},
};
use crate::{
    io::{
        account,
        connect::Interrupt,
        editor::{self, LineEditor},
        history::{HistoryError, HistoryFile},
        rundir::RunDir,
        terminal::{CTRL_C, Keyboard},
    },
    model::{
        ansi::plain,
        client::DONE,
        error::ErrorKind,
        jobs::Session,
        program::{AutoResume, ClientSpec, ServerUrl},
        shell::{self, complete},
        wire::{Auth, Code, Command, ProcessInfo, Targets},
    },
};

/// Lines kept in the history.
const LINES: usize = 1000;
/// Timeout of requests for completion and for notices: the shell continues without them.
const ASIDE: Duration = Duration::from_secs(1);

/// How often a name and a password are requested at the start.
const AT_START: u32 = 3;

/// The source of lines.
pub enum Input<'a> {
    /// The terminal.
    Terminal,
    /// A script.
    Script(&'a mut dyn BufRead),
}

/// Runs the shell, and returns its exit code. If `args` have another action, that is run first.
pub fn run(args: &ClientArgs, input: Input<'_>, output: &mut ClientOutput<'_>) -> u8 {
    let given = match &args.action {
        Action::Shell(given) => given.clone(),
        _ => ShellArgs::default(),
    };
    let spec = match client::endpoint::settings(args.serverurl.as_ref(), args.file.as_deref()) {
        Ok(spec) => spec,
        Err(error) => return client::failed(error, None, output),
    };
    let is_terminal = matches!(input, Input::Terminal);
    let mut place = client::endpoint::of(&spec);
    if is_terminal {
        match Interrupt::catch() {
            Ok(interrupt) => place.interrupt = Some(interrupt),
            Err(error) => complain(output, &format!("warning: Ctrl-C will end the shell: {error}")),
        }
    }
    let mut shell = Shell {
        place,
        notices: Arc::new(JobNotices::new(spec.notify)),
        watch: None,
        editor: None,
        auto_resume: spec.auto_resume,
        is_terminal,
        output,
        over: false,
    };
    match input {
        Input::Terminal => shell.edit(args, &spec, given.history.map(PathBuf::from)),
        Input::Script(lines) => {
            shell.begin_with(args);
            shell.script(lines, given.strict)
        }
    }
}

/// The shell.
struct Shell<'a, 'o> {
    place: Place,
    /// Notices about jobs, and the current job.
    notices: Arc<JobNotices>,
    /// The listener for events; `None` if there is none, or not any more.
    watch: Option<EventWatch>,
    editor: Option<LineEditor>,
    auto_resume: AutoResume,
    is_terminal: bool,
    output: &'a mut ClientOutput<'o>,
    /// Whether the shell was asked to end.
    over: bool,
}

impl Shell<'_, '_> {
    /// Runs the first action: the given one, or the default.
    fn begin_with(&mut self, args: &ClientArgs) {
        match args.action {
            Action::Shell(_) => self.look(),
            _ => drop(self.act_after(args, AT_START)),
        }
    }

    /// Runs the default first action: shows the status of all processes, or why it is unknown.
    fn look(&mut self) {
        let action = if self.is_terminal { Action::Status(NamesArg(None)) } else { Action::Version };
        if self.is_terminal {
            self.act_after(&self.args(action, false), AT_START);
            return;
        }
        // A script prints only what it requests.
        let mut nowhere = std::io::sink();
        let mut output =
            ClientOutput { out: &mut nowhere, err: &mut *self.output.err, reader: None, width: None, colours: false };
        let args = ClientArgs { serverurl: None, file: None, json: false, action, then_shell: false };
        client::act(&args, Some(&self.place), &Session::default(), &mut output);
    }

    /// Runs the lines of a script.
    fn script(mut self, lines: &mut dyn BufRead, strict: bool) -> u8 {
        let mut bytes = vec![];
        loop {
            bytes.clear();
            match lines.read_until(b'\n', &mut bytes) {
                Ok(0) => return DONE,
                Ok(_) => {}
                Err(error) => {
                    complain(self.output, &format!("cannot read the next line: {error}"));
                    return ErrorKind::Failed.exit_code();
                }
            }
            let code = match std::str::from_utf8(&bytes) {
                Ok(line) => self.line(plain_line(line)),
                Err(_) => self.wrong("this line is not UTF-8"),
            };
            if strict && code != DONE {
                return code;
            }
            if self.over {
                return DONE;
            }
        }
    }

    /// Runs the lines that are typed.
    fn edit(mut self, args: &ClientArgs, spec: &ClientSpec, history: Option<PathBuf>) -> u8 {
        let path = history.or_else(|| spec.history.clone()).filter(|path| !path.as_os_str().is_empty());
        let (mut file, lines) = match path.map(|path| open_history(&path)) {
            Some(Ok((file, lines))) => (Some(file), lines),
            Some(Err(error)) => {
                complain(self.output, &format!("warning: {}", plain(&error.to_string())));
                (None, vec![])
            }
            None => (None, vec![]),
        };
        let shared = Arc::new(Mutex::new(self.place.clone()));
        let mut editor = match LineEditor::new(completer(Arc::clone(&shared)), &lines, LINES) {
            Ok(editor) => editor,
            Err(error) => {
                complain(self.output, &format!("cannot use the terminal: {error}"));
                return ErrorKind::Failed.exit_code();
            }
        };
        if let Some(printer) = editor.printer() {
            self.notices.print_with(printer);
        }
        self.editor = Some(editor);
        self.begin_with(args);
        let prompt = format!("{}> ", plain(&spec.prompt));
        while !self.over {
            self.before_prompt();
            self.place.clone_into(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
            let Some(editor) = &mut self.editor else { break };
            let typed = self.notices.at_prompt(|| editor.read(&prompt));
            let line = match typed {
                Ok(editor::Typed::Line(line)) => line,
                Ok(editor::Typed::Cleared) => continue,
                Ok(editor::Typed::End) => break,
                Err(error) => {
                    complain(self.output, &format!("cannot read from the terminal: {error}"));
                    break;
                }
            };
            if line.trim().is_empty() {
                continue;
            }
            if editor.remember(&line)
                && let Some(Err(error)) = file.as_mut().map(|file| file.add(&line))
            {
                // Once: each line would fail in the same way.
                complain(self.output, &format!("warning: {}", plain(&error.to_string())));
                file = None;
            }
            self.line(&line);
        }
        if let Some(file) = &mut file {
            let _ = file.shorten();
        }
        DONE
    }

    /// Prints pending notices, and starts the listener if needed.
    fn before_prompt(&mut self) {
        if self.watch.as_ref().is_some_and(EventWatch::is_over) {
            self.watch = None;
        }
        if self.watch.is_none() {
            self.watch = EventWatch::begin(&self.place, &self.notices);
        }
        for line in self.notices.lines(&self.place) {
            let _ = writeln!(self.output.out, "{line}");
        }
        let _ = self.output.out.flush();
    }

    /// Runs a line, and returns its exit code.
    fn line(&mut self, line: &str) -> u8 {
        let words = match shell::words(line) {
            Ok(words) => words,
            Err(error) => return self.wrong(&error.to_string()),
        };
        if words.is_empty() {
            return DONE;
        }
        self.notices.begin();
        // An earlier Ctrl-C is over; a simple terminal sends it along with a line that is
        // discarded.
        if let Some(interrupt) = &self.place.interrupt {
            interrupt.take();
        }
        if let [word] = &words[..]
            && let Some(name) = self.resumed(word)
        {
            return self.attach(&name);
        }
        match typed::read(words) {
            Ok(Typed { json, word }) => self.word(json, word),
            Err(NotDone::Help(text)) => {
                let _ = writeln!(self.output.out, "{}", text.trim_end());
                let _ = self.output.out.flush();
                DONE
            }
            Err(NotDone::Wrong(text)) => self.wrong(&text),
        }
    }

    /// Returns the paused job that a single word continues. Names of actions stay actions.
    fn resumed(&self, word: &str) -> Option<String> {
        if self.auto_resume == AutoResume::Off || typed::actions().iter().any(|action| action.name == word) {
            return None;
        }
        let jobs = client::jobs_at(&self.place).ok()?;
        self.notices.session(|session| self.auto_resume.job(word, &jobs, session).map(|job| job.full_name()))
    }

    fn word(&mut self, json: bool, word: Word) -> u8 {
        match word {
            Word::Action(Action::Shell(_)) => self.wrong("already in the shell"),
            Word::Action(Action::Web(_)) => self.wrong("web is not available in the shell; use: supervise web"),
            Word::Action(Action::Completions(_)) => {
                self.wrong("completions is not available in the shell; use: supervise completions SHELL")
            }
            Word::Action(Action::Fg(fg)) if self.is_terminal && !json && !fg.raw => self.attach(&fg.name),
            Word::Action(action) => {
                if let Some(question) = verbs::question(&action).filter(|_| self.is_terminal)
                    && !self.is_meant(question)
                {
                    return ErrorKind::Failed.exit_code();
                }
                self.act(self.args(action, json))
            }
            Word::Bg(bg) => self.background(&bg.names),
            Word::Kill(kill) => self.kill(&kill, json),
            Word::Wait(wait) => self.wait(&wait.names),
            Word::Set(set) => {
                self.notices.set_notify(set.option == "-b");
                DONE
            }
            Word::Suspend(suspend) => self.suspend(suspend.force),
            Word::Open(open) => self.open(open.url),
            Word::Quit => {
                self.over = true;
                DONE
            }
        }
    }

    /// Returns the arguments for a request that is not an action of the client.
    fn args_of(&self, json: bool) -> ClientArgs {
        self.args(Action::Version, json)
    }

    fn args(&self, action: Action, json: bool) -> ClientArgs {
        ClientArgs { serverurl: None, file: None, json, action, then_shell: false }
    }

    /// Runs an action of the client. If it requires a name and a password, they are requested once.
    fn act(&mut self, args: ClientArgs) -> u8 {
        self.act_after(&args, 1)
    }

    /// Like [`Shell::act`], requesting them at most `questions` times.
    fn act_after(&mut self, args: &ClientArgs, questions: u32) -> u8 {
        if matches!(args.action, Action::Shutdown(_)) {
            // The closed connection is no news then.
            self.watch = None;
        }
        let is_stranger = |acted: &Acted| {
            let error = acted.response.as_ref().and_then(|response| response.error.as_ref());
            error.is_some_and(|error| error.code == Code::Unauthorized)
        };
        let mut acted = self.act_once(args);
        for _ in 0..questions {
            if !(is_stranger(&acted) && self.is_terminal && self.introduce()) {
                break;
            }
            acted = self.act_once(args);
        }
        if let Action::Reload(_) | Action::Update(_) | Action::Remove(_) = args.action {
            self.notices.renew();
        }
        acted.code
    }

    fn act_once(&mut self, args: &ClientArgs) -> Acted {
        let session = self.notices.session(|session| session.clone());
        let plan = args.action.plan();
        let command = if let ActionPlan::Ask { command, .. } = plan { Some(command) } else { None };
        let usual = self.place.interrupt.clone();
        // As with fg, Ctrl-Z leaves an action that does not end by itself.
        let leave =
            usual.as_ref().filter(|_| command.as_ref().is_some_and(|command| client::listens(command).is_some()));
        if let Some(Ok(leave)) = leave.map(Interrupt::with_stop_key) {
            self.place.interrupt = Some(leave);
        }
        let acted = client::act(args, Some(&self.place), &session, self.output);
        self.place.interrupt = usual;
        if let Some(command) = command {
            self.take_in(&command, &acted);
        }
        acted
    }

    /// Sends a request, prints the response, and returns the exit code.
    fn request(&mut self, command: &Command, json: bool) -> u8 {
        let session = self.notices.session(|session| session.clone());
        let acted = client::request(&self.args_of(json), &self.place, &session, command, true, self.output);
        self.take_in(command, &acted);
        acted.code
    }

    /// Records the states of processes in a response.
    fn take_in(&mut self, command: &Command, acted: &Acted) {
        let is_start = matches!(command, Command::Start { .. } | Command::Restart(_));
        // Responses to other commands report states, not changes.
        let is_change = is_start || matches!(command, Command::Stop { .. });
        for item in acted.response.iter().flat_map(|response| response.items()) {
            if let Some(process) = item.process.as_ref().filter(|_| is_change && item.status != 202) {
                self.notices.reported(process.full_name(), process.state, process.pid);
            }
            if is_start && item.code.is_none() {
                self.notices.session(|session| session.started(item.full_name()));
            }
        }
    }

    /// Asks for a name and a password; false if none were entered.
    fn introduce(&mut self) -> bool {
        let Some(editor) = &mut self.editor else { return false };
        let Ok(editor::Typed::Line(username)) = editor.read("User: ") else { return false };
        // Hidden before the prompt is shown.
        let typed = Keyboard::hidden().and_then(|keyboard| {
            write!(self.output.out, "Password: ")?;
            self.output.out.flush()?;
            keyboard.read()
        });
        let _ = writeln!(self.output.out);
        let Some(typed) = typed.ok().filter(|typed| !typed.is_empty() && !typed.contains(&CTRL_C)) else {
            return false;
        };
        let password = String::from_utf8_lossy(&typed).trim_end_matches(['\r', '\n']).to_owned();
        self.place.auth = Some(Auth { username: username.trim().to_owned(), password });
        true
    }

    /// Asks for confirmation.
    fn is_meant(&mut self, question: &str) -> bool {
        let Some(editor) = &mut self.editor else { return false };
        match editor.read(&format!("{question} y/N ")) {
            Ok(editor::Typed::Line(answer)) => matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"),
            Ok(editor::Typed::Cleared | editor::Typed::End) | Err(_) => false,
        }
    }

    /// Switches to another supervisor, if that responds: otherwise each action would fail.
    fn open(&mut self, url: ServerUrl) -> u8 {
        let mut place = Place { url, ..self.place.clone() };
        if place.url != self.place.url {
            // The credentials were not meant for the server there.
            place.auth = None;
        }
        let version = Command::Version;
        // A supervisor that refuses the request is there.
        if let Err(error) = client::SupervisorLink::open(&place).and_then(|mut line| line.ask(&version, true)) {
            let code = client::failed(error, Some(&version), self.output);
            self.note(&format!("still connected to {}", client::shown(&self.place.url)));
            return code;
        }
        self.place = place;
        self.watch = None;
        self.notices.renew();
        match self.is_terminal {
            true => self.act(self.args(Action::Status(NamesArg(None)), false)),
            false => DONE,
        }
    }

    /// Prints the errors of a line.
    fn wrong(&mut self, text: &str) -> u8 {
        let mut lines = text.trim_end().lines().filter(|line| !line.trim().is_empty());
        complain(self.output, lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(self.output.err, "{line}");
        }
        ErrorKind::Usage.exit_code()
    }

    /// Prints a note that is not a result.
    fn note(&mut self, text: &str) {
        let _ = writeln!(self.output.err, "supervise: {text}");
        let _ = self.output.err.flush();
    }
}

/// Returns the completer; names are requested each time, because each action may change them.
fn completer(place: Arc<Mutex<Place>>) -> editor::Complete {
    let actions = typed::actions();
    Box::new(move |line| {
        let snapshot = || {
            let place = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
            snapshot(&aside(&place))
        };
        complete::complete(line, &actions, snapshot)
    })
}

/// Returns the same place with a short timeout.
fn aside(place: &Place) -> Place {
    Place { timeout: Some(place.timeout.map_or(ASIDE, |limit| limit.min(ASIDE))), interrupt: None, ..place.clone() }
}

/// Returns the current names; `None` without a response.
fn snapshot(place: &Place) -> Option<complete::KnownNames> {
    let mut snapshot = complete::KnownNames::default();
    let mut line = client::SupervisorLink::open(place).ok()?;
    let mut ask = |command: &Command| {
        let answer = line.ask(command, true).ok()?;
        answer.response.error.is_none().then_some(answer.response)
    };
    let names = |processes: &[ProcessInfo], of: fn(&ProcessInfo) -> String| {
        let mut names: Vec<String> =
            processes.iter().map(of).filter(|name| name.chars().all(|c| !c.is_control())).collect();
        names.sort();
        names.dedup();
        names
    };
    let processes = ask(&Command::Status(Targets::All))?.processes();
    snapshot.processes = names(&processes, ProcessInfo::full_name);
    snapshot.programs = names(&processes, |process| process.program.clone());
    let grouped: Vec<ProcessInfo> = processes.into_iter().filter(|process| process.group != process.name).collect();
    snapshot.groups = names(&grouped, |process| process.group.clone());
    if let Some(avail) = ask(&Command::Avail) {
        let list = avail.content.as_ref().and_then(|content| content.get("processes")).and_then(|list| list.as_array());
        let unused =
            list.into_iter().flatten().filter(|row| row.get("in_use").and_then(|used| used.as_bool()) == Some(false));
        let name = unused.filter_map(|row| row.get("name").and_then(|name| name.as_str()));
        snapshot.programs.extend(name.filter(|name| !name.contains(char::is_control)).map(str::to_owned));
    }
    if let Ok(jobs) = client::jobs_at(place) {
        snapshot.jobs = jobs.iter().map(|job| (job.number, job.full_name())).collect();
    }
    Some(snapshot)
}

/// Returns a line of a script without a byte order mark at its start and a carriage return at its
/// end.
fn plain_line(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    line.strip_prefix('\u{feff}').unwrap_or(line)
}

/// Opens the history file. At the default path it may be from an earlier version; that of root is
/// in a folder that is created for root alone.
fn open_history(path: &Path) -> Result<(HistoryFile, Vec<String>), HistoryError> {
    let is_root = account::own_uid() == 0;
    let is_usual = [false, is_root]
        .iter()
        .any(|root| ClientSpec::usual(*root, std::env::home_dir().as_deref()).history.as_deref() == Some(path));
    if let Some(folder) = path.parent().filter(|_| is_usual && is_root) {
        // Without the folder the file cannot be opened, which is reported.
        let _ = RunDir::make_above(folder);
    }
    HistoryFile::open(path, LINES, is_usual)
}
