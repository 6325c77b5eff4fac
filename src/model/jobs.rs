//! Job control over supervised processes: job numbers, the meaning of `%…`, and the output of
//! `jobs`.
//!
//! Pure. The numbers belong to the supervisor and are the same for all its clients; the current job
//! is specific to each shell.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::{
    ansi::plain,
    program::{AutoResume, ProcState},
    task::Signal,
    wire::{Command, ProcessInfo, full_name},
};

/// Job numbers, as kept by the supervisor. A process gets the smallest free number at its first
/// start, and keeps it until it is removed or disowned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobNumbers(BTreeMap<u32, String>);

impl JobNumbers {
    /// Returns the number of a process that is being started: its own, or the smallest free one.
    pub fn give(&mut self, process: &str) -> u32 {
        if let Some(number) = self.of(process) {
            return number;
        }
        // Finds the first gap in the numbers.
        let free = (1..=u32::MAX).zip(self.0.keys()).find(|(wanted, used)| wanted != *used).map(|(wanted, _)| wanted);
        let next = || self.0.keys().next_back().map_or(1, |last| last.saturating_add(1));
        let number = free.unwrap_or_else(next);
        self.0.insert(number, process.to_owned());
        number
    }

    /// The number of a process, if it has one.
    pub fn of(&self, process: &str) -> Option<u32> {
        self.0.iter().find(|(_, name)| *name == process).map(|(number, _)| *number)
    }

    /// The process with a number.
    pub fn process(&self, number: u32) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }

    /// Frees the number of a process that is removed or disowned, and returns it.
    pub fn forget(&mut self, process: &str) -> Option<u32> {
        let number = self.of(process)?;
        self.0.remove(&number);
        Some(number)
    }

    /// Parses the numbers stored by an earlier supervisor; those of unknown processes are freed.
    pub fn parse(text: &[u8], is_known: impl Fn(&str) -> bool) -> JobNumbers {
        let mut numbers: JobNumbers = serde_json::from_slice(text).unwrap_or_default();
        let mut seen = BTreeSet::new();
        numbers.0.retain(|number, process| *number > 0 && is_known(process) && seen.insert(process.clone()));
        numbers
    }

    /// Serializes the numbers for the next supervisor.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Renames a process, for example after a move to another group.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(name) = self.of(from).and_then(|number| self.0.get_mut(&number)) {
            to.clone_into(name);
        }
    }
}

/// State of a job, in the terms of a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Up.
    Running,
    /// Paused by this signal.
    Stopped(Signal),
    /// Started, not yet up.
    Starting,
    /// Waiting for the next retry.
    Backoff,
    /// Being stopped.
    Stopping,
    /// Exited with this code.
    Exit(i32),
    /// Ended, exit status not observed.
    Ended,
    /// Killed by the signal of this name.
    Terminated(String),
    /// No retries left.
    Fatal,
    /// Cannot be controlled.
    Unknown,
}

impl JobState {
    /// Converts the state of a process; `paused`: the signal that paused it.
    pub fn of(process: &ProcessInfo, paused: Option<Signal>) -> JobState {
        match (process.state, paused) {
            (ProcState::Starting | ProcState::Running | ProcState::Stopping, Some(signal)) => JobState::Stopped(signal),
            (ProcState::Starting, None) => JobState::Starting,
            (ProcState::Running, None) => JobState::Running,
            (ProcState::Stopping, None) => JobState::Stopping,
            (ProcState::Backoff, _) => JobState::Backoff,
            (ProcState::Fatal, _) => JobState::Fatal,
            (ProcState::Unknown, _) => JobState::Unknown,
            (ProcState::Stopped | ProcState::Exited, _) => match (process.exit_code, &process.exit_signal) {
                (Some(code), _) => JobState::Exit(code),
                (None, Some(signal)) => JobState::Terminated(signal.clone()),
                (None, None) => JobState::Ended,
            },
        }
    }

    /// The state as text.
    pub fn words(&self) -> String {
        match self {
            JobState::Running => "Running".to_owned(),
            JobState::Stopped(signal) => format!("Stopped({signal})"),
            JobState::Starting => "Starting".to_owned(),
            JobState::Backoff => "Backoff".to_owned(),
            JobState::Stopping => "Stopping".to_owned(),
            JobState::Exit(code) => format!("Exit {code}"),
            JobState::Ended => "Exit unknown".to_owned(),
            JobState::Terminated(signal) => format!("Terminated({})", plain(signal)),
            JobState::Fatal => "Fatal".to_owned(),
            JobState::Unknown => "Unknown".to_owned(),
        }
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Job number.
    pub number: u32,
    /// Group of the process.
    pub group: String,
    /// Name of the process.
    pub name: String,
    /// Command line.
    pub command: String,
    /// State.
    pub state: JobState,
    /// Pid, while alive.
    pub pid: Option<i32>,
    /// Process group id, while alive.
    pub pgid: Option<i32>,
    /// Time of the last start, unix seconds.
    pub started: i64,
}

impl Job {
    /// The name for display: prefixed with the group unless both are equal.
    pub fn full_name(&self) -> String {
        full_name(&self.group, &self.name)
    }

    fn is_paused(&self) -> bool {
        matches!(self.state, JobState::Stopped(_))
    }
}

/// A job in the supervisor's protocol: an element of `jobs` in the response to `jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Job number.
    pub number: u32,
    /// Command line.
    pub command: String,
    /// Name of the signal that paused the process.
    #[serde(default)]
    pub paused: Option<String>,
    /// Process group id, while alive.
    #[serde(default)]
    pub pgid: Option<i32>,
    /// The process.
    pub process: ProcessInfo,
}

impl From<JobInfo> for Job {
    fn from(info: JobInfo) -> Job {
        let paused = info.paused.as_deref().and_then(|name| name.parse().ok());
        let state = JobState::of(&info.process, paused);
        let ProcessInfo { group, name, pid, start: started, .. } = info.process;
        let pid = (pid > 0).then_some(pid);
        Job { number: info.number, group, name, command: info.command, state, pid, pgid: info.pgid, started }
    }
}

/// A job reference `%…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRef {
    /// `%n`
    Number(u64),
    /// `%name`: the process name or command begins with this.
    Begins(String),
    /// `%?text`: the command line contains this.
    Contains(String),
    /// `%%`, `%+`, `%`
    Current,
    /// `%-`
    Previous,
}

impl JobRef {
    /// Parses a word; `None` if it is a name and not a reference. A bare number is never a
    /// reference.
    pub fn parse(word: &str) -> Option<JobRef> {
        let text = word.strip_prefix('%')?;
        Some(match text {
            "" | "%" | "+" => JobRef::Current,
            "-" => JobRef::Previous,
            // A number that does not fit is one that no job has.
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => JobRef::Number(text.parse().unwrap_or(u64::MAX)),
            _ => match text.strip_prefix('?') {
                Some(text) => JobRef::Contains(text.to_owned()),
                None => JobRef::Begins(text.to_owned()),
            },
        })
    }
}

/// A reference to no job, or to more than one; exit 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJobRef {
    /// None.
    #[error("no such job: {0}")]
    None(String),
    /// More than one.
    #[error("ambiguous job spec: {0}")]
    Ambiguous(String),
}

/// State of one shell that determines the current job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Full names of the jobs that left the foreground, the last one last.
    left: Vec<String>,
    /// Full names of the jobs started here.
    started: Vec<String>,
}

impl Session {
    /// Records that a job was started from this shell.
    pub fn started(&mut self, name: String) {
        again_last(&mut self.started, name);
    }

    /// Records that a job left the foreground of this shell.
    pub fn left(&mut self, name: String) {
        again_last(&mut self.left, name);
    }

    /// The current job: the last one that left the foreground, else the last one started.
    pub fn current<'a>(&self, jobs: &'a [Job]) -> Option<&'a Job> {
        self.order(jobs).first().copied()
    }

    /// The previous current job; if there is only one job, that job.
    pub fn previous<'a>(&self, jobs: &'a [Job]) -> Option<&'a Job> {
        let order = self.order(jobs);
        order.get(1).or(order.first()).copied()
    }

    /// Returns the job of a reference. `word` is the reference as written.
    ///
    /// # Errors
    /// The reference matches no job, or more than one.
    pub fn resolve<'a>(&self, word: &str, jobs: &'a [Job]) -> Result<&'a Job, BadJobRef> {
        let none = || BadJobRef::None(plain(word));
        let only = |is_meant: &dyn Fn(&Job) -> bool| {
            let mut meant = jobs.iter().filter(|job| is_meant(job));
            match (meant.next(), meant.next()) {
                (Some(job), None) => Ok(job),
                (Some(_), Some(_)) => Err(BadJobRef::Ambiguous(plain(word))),
                (None, _) => Err(none()),
            }
        };
        match JobRef::parse(word).ok_or_else(none)? {
            JobRef::Number(number) => only(&|job| u64::from(job.number) == number),
            JobRef::Begins(text) => only(&|job| {
                let names = [&job.name, &job.full_name(), &job.command];
                names.iter().any(|name| name.starts_with(&text))
            }),
            JobRef::Contains(text) => only(&|job| job.command.contains(&text)),
            JobRef::Current => self.current(jobs).ok_or_else(none),
            JobRef::Previous => self.previous(jobs).ok_or_else(none),
        }
    }

    /// Replaces the references in a command by names of processes; no process is named `%…`.
    ///
    /// # Errors
    /// A reference matches no job, or more than one.
    pub fn resolve_in(&self, command: &mut Command, jobs: &[Job]) -> Result<(), BadJobRef> {
        for name in command.names().iter_mut().filter(|name| JobRef::parse(name).is_some()) {
            *name = self.resolve(name, jobs)?.full_name();
        }
        Ok(())
    }

    /// `+` for the current job, `-` for the previous one, else a blank.
    pub fn mark(&self, job: &Job, jobs: &[Job]) -> char {
        let is = |other: Option<&Job>| other.is_some_and(|other| other.number == job.number);
        if is(self.current(jobs)) {
            '+'
        } else if is(self.previous(jobs)) {
            '-'
        } else {
            ' '
        }
    }

    /// The jobs, most recently used first.
    fn order<'a>(&self, jobs: &'a [Job]) -> Vec<&'a Job> {
        let place = |list: &[String], job: &Job| list.iter().position(|name| *name == job.full_name());
        let mut order: Vec<&Job> = jobs.iter().collect();
        order.sort_by_key(|job| Reverse((place(&self.left, job), place(&self.started, job), job.started, job.number)));
        order
    }
}

fn again_last(list: &mut Vec<String>, name: String) {
    list.retain(|other| *other != name);
    list.push(name);
}

/// Filter of `jobs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// `-r`: running jobs.
    Running,
    /// `-s`: paused jobs.
    Stopped,
}

/// Output format of `jobs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `[n]+ State command`
    #[default]
    Short,
    /// `-l`: with pid and process group id.
    Long,
    /// `-p`: only pids.
    Pids,
}

/// Returns the lines of `jobs`, in the order of the numbers. `shown` are the requested jobs, `jobs`
/// all of them.
pub fn lines(shown: &[&Job], jobs: &[Job], session: &Session, which: Which, form: Form) -> Vec<String> {
    let mut shown: Vec<&Job> = shown
        .iter()
        .copied()
        .filter(|job| match which {
            Which::All => true,
            Which::Running => job.state == JobState::Running,
            Which::Stopped => job.is_paused(),
        })
        .collect();
    shown.sort_by_key(|job| job.number);
    let id = |id: Option<i32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let width = shown.iter().map(|job| job.state.words().chars().count()).max().unwrap_or(0);
    let line = |job: &Job| {
        let head = format!("[{}]{}", job.number, session.mark(job, jobs));
        let tail = format!("{:<width$}  {}", job.state.words(), plain(&job.command));
        match form {
            Form::Short => Some(format!("{head} {tail}")),
            Form::Long => Some(format!("{head} {} {} {tail}", id(job.pid), id(job.pgid))),
            Form::Pids => job.pid.map(|pid| pid.to_string()),
        }
    };
    shown.into_iter().filter_map(line).collect()
}

/// Returns the message about a job whose state changed: `[1]+ Exit 1  web`.
pub fn notice(job: &Job, jobs: &[Job], session: &Session) -> String {
    format!("[{}]{} {}  {}", job.number, session.mark(job, jobs), job.state.words(), plain(&job.full_name()))
}

/// Replaces each reference to a live job by its process group id, for `jobs -x`. Other words, and
/// references to no job, are kept: `printf %s %1` is intended literally.
pub fn with_group_ids(words: &[String], jobs: &[Job], session: &Session) -> Vec<String> {
    let replaced = |word: &String| {
        let pgid = session.resolve(word, jobs).ok().and_then(|job| job.pgid);
        pgid.map_or_else(|| word.clone(), |pgid| pgid.to_string())
    };
    words.iter().map(replaced).collect()
}

impl AutoResume {
    /// Returns the paused job that a word resumes; among several the most recently used.
    pub fn job<'a>(self, word: &str, jobs: &'a [Job], session: &Session) -> Option<&'a Job> {
        let is_meant = |job: &Job| match self {
            AutoResume::Off => false,
            AutoResume::Exact => job.name == word || job.full_name() == word,
            AutoResume::Substring => !word.is_empty() && job.full_name().contains(word),
        };
        session.order(jobs).into_iter().find(|job| job.is_paused() && is_meant(job))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::wire::{Targets, tests::process},
        *,
    };

    fn job(number: u32, name: &str, command: &str) -> Job {
        Job {
            number,
            group: name.into(),
            name: name.into(),
            command: command.into(),
            state: JobState::Running,
            pid: Some(100 + number as i32),
            pgid: Some(200 + number as i32),
            started: i64::from(number),
        }
    }

    fn jobs() -> Vec<Job> {
        vec![job(1, "cell", "/bin/cat -u"), job(2, "centre", "/usr/bin/sort"), job(4, "web", "nginx -c web.conf")]
    }

    fn means(word: &str) -> Result<u32, String> {
        let jobs = jobs();
        Session::default().resolve(word, &jobs).map(|job| job.number).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_survive_the_supervisor_and_invalid_ones_are_ignored() {
        let mut numbers = JobNumbers::default();
        assert_eq!(["a", "b", "c"].map(|name| numbers.give(name)), [1, 2, 3]);
        numbers.forget("a");
        let later = JobNumbers::parse(numbers.to_text().as_bytes(), |name| name != "b");
        assert_eq!((later.of("a"), later.of("b"), later.of("c")), (None, None, Some(3)));
        for text in [r#"{"0":"a"}"#, r#"{"x":"a"}"#, "[1]", "", r#"{"1":1}"#] {
            assert_eq!(JobNumbers::parse(text.as_bytes(), |_| true), JobNumbers::default(), "{text}");
        }
        let twice = JobNumbers::parse(br#"{"1":"a","2":"a"}"#, |_| true);
        assert_eq!((twice.process(1), twice.process(2)), (Some("a"), None));
    }

    #[test]
    fn a_number_is_the_smallest_free_one_and_stays() {
        let mut numbers = JobNumbers::default();
        assert_eq!(["a", "b", "c"].map(|name| numbers.give(name)), [1, 2, 3]);
        assert_eq!(numbers.give("b"), 2, "stable across restarts");
        assert_eq!(numbers.forget("b"), Some(2));
        assert_eq!(numbers.forget("b"), None);
        assert_eq!((numbers.of("b"), numbers.give("d"), numbers.give("e")), (None, 2, 4));
        numbers.forget("a");
        assert_eq!(numbers.give("f"), 1);
        numbers.rename("f", "g:f");
        assert_eq!((numbers.of("f"), numbers.process(1)), (None, Some("g:f")));
    }

    #[test]
    fn references_are_parsed() {
        for (word, number) in [
            ("%1", 1),
            ("%04", 4),
            ("%cel", 1),
            ("%web", 4),
            ("%/usr", 2),
            ("%nginx", 4),
            ("%?sort", 2),
            ("%?.conf", 4),
        ] {
            assert_eq!(means(word), Ok(number), "{word}");
        }
        for word in ["%", "%%", "%+"] {
            assert_eq!(means(word), Ok(4), "{word}");
        }
        assert_eq!(means("%-"), Ok(2));
    }

    #[test]
    fn messages_for_invalid_references() {
        assert_eq!(means("%ce").unwrap_err(), "ambiguous job spec: %ce");
        assert_eq!(means("%?bin").unwrap_err(), "ambiguous job spec: %?bin");
        for word in ["%9", "%0", "%99999999999999999999999", "%nope", "%?nope"] {
            assert_eq!(means(word).unwrap_err(), format!("no such job: {word}"));
        }
        assert_eq!(Session::default().resolve("%%", &[]).unwrap_err().to_string(), "no such job: %%");
        assert_eq!(JobRef::parse("4"), None, "a bare number is a process id");
        assert!(means("4").is_err());
    }

    #[test]
    fn references_work_wherever_a_process_is_named() {
        let session = Session::default();
        let mut stop = Command::Stop { of: Targets::processes(["%1", "other", "%?web"]), now: false };
        session.resolve_in(&mut stop, &jobs()).unwrap();
        assert_eq!(stop, Command::Stop { of: Targets::processes(["cell", "other", "web"]), now: false });
        let mut history = Command::History { name: "%-".into(), limit: 1 };
        session.resolve_in(&mut history, &jobs()).unwrap();
        assert_eq!(history, Command::History { name: "centre".into(), limit: 1 });
        let mut fg = Command::Fg { name: "%9".into() };
        assert_eq!(session.resolve_in(&mut fg, &jobs()), Err(BadJobRef::None("%9".into())));
        let mut all = Command::Status(Targets::All);
        assert_eq!((session.resolve_in(&mut all, &[]), all), (Ok(()), Command::Status(Targets::All)));
    }

    #[test]
    fn the_current_and_the_previous_job() {
        let jobs = jobs();
        let mut session = Session::default();
        let both =
            |session: &Session| (session.current(&jobs).unwrap().number, session.previous(&jobs).unwrap().number);
        assert_eq!(both(&session), (4, 2), "the last started ones");
        session.started(jobs[0].full_name());
        assert_eq!(both(&session), (1, 4), "started by this shell");
        session.left(jobs[1].full_name());
        assert_eq!(both(&session), (2, 1), "left the foreground");
        session.started(jobs[2].full_name());
        assert_eq!(both(&session), (2, 4));
        session.left(jobs[2].full_name());
        assert_eq!(both(&session), (4, 2), "the previous current one");
        assert_eq!(session.previous(&jobs[..1]).unwrap().number, 1, "the only job is both");
        assert_eq!(session.current(&[]), None);
        let marks: String = jobs.iter().map(|job| session.mark(job, &jobs)).collect();
        assert_eq!(marks, " -+");
    }

    #[test]
    fn lines_of_jobs() {
        let mut jobs = jobs();
        jobs[0].state = JobState::Stopped(Signal::STOP);
        jobs[1].state = JobState::Exit(1);
        (jobs[1].pid, jobs[1].pgid) = (None, None);
        let session = Session::default();
        let all: Vec<&Job> = jobs.iter().rev().collect();
        let of = |which, form| lines(&all, &jobs, &session, which, form);
        assert_eq!(
            of(Which::All, Form::Short),
            [
                "[1]  Stopped(SIGSTOP)  /bin/cat -u",
                "[2]- Exit 1            /usr/bin/sort",
                "[4]+ Running           nginx -c web.conf",
            ]
        );
        assert_eq!(of(Which::Running, Form::Long), ["[4]+ 104 204 Running  nginx -c web.conf"]);
        assert_eq!(of(Which::Stopped, Form::Short), ["[1]  Stopped(SIGSTOP)  /bin/cat -u"]);
        assert_eq!(of(Which::All, Form::Pids), ["101", "104"], "a job that is down has none");
        assert_eq!(notice(&jobs[1], &jobs, &session), "[2]- Exit 1  centre");
        let words = ["printf", "%s", "%1", "%2", "%%", "1"].map(str::to_owned);
        assert_eq!(with_group_ids(&words, &jobs, &session), ["printf", "%s", "201", "%2", "204", "1"]);
    }

    #[test]
    fn states_of_jobs() {
        let mut info = process("web", "web", ProcState::Running);
        assert_eq!(JobState::of(&info, None).words(), "Running");
        assert_eq!(JobState::of(&info, Some(Signal::STOP)).words(), "Stopped(SIGSTOP)");
        for (state, words) in [
            (ProcState::Starting, "Starting"),
            (ProcState::Backoff, "Backoff"),
            (ProcState::Fatal, "Fatal"),
            (ProcState::Exited, "Exit unknown"),
        ] {
            assert_eq!(JobState::of(&process("web", "web", state), None).words(), words);
        }
        info.state = ProcState::Exited;
        info.exit_signal = Some("SIGKILL".into());
        assert_eq!(JobState::of(&info, Some(Signal::STOP)).words(), "Terminated(SIGKILL)");
        info.exit_code = Some(3);
        assert_eq!(JobState::of(&info, None).words(), "Exit 3");
    }

    #[test]
    fn a_word_resumes_a_paused_job() {
        let mut jobs = jobs();
        let session = Session::default();
        let of = |mode: &str, word: &str, jobs: &[Job]| {
            mode.parse::<AutoResume>().unwrap().job(word, jobs, &session).map(|job| job.number)
        };
        assert_eq!(of("exact", "cell", &jobs), None, "not paused");
        jobs[0].state = JobState::Stopped(Signal::STOP);
        jobs[1].state = JobState::Stopped(Signal::TSTP);
        assert_eq!(
            [of("", "cell", &jobs), of("exact", "cell", &jobs), of("exact", "cel", &jobs)],
            [None, Some(1), None]
        );
        assert_eq!(of("substring", "el", &jobs), Some(1));
        assert_eq!(of("substring", "ce", &jobs), Some(2), "the last one");
        assert_eq!([of("substring", "", &jobs), of("substring", "web", &jobs)], [None, None]);
        assert!("yes".parse::<AutoResume>().is_err());
    }

    proptest! {
        #[test]
        fn numbers_are_unique_small_and_stable(steps in proptest::collection::vec((any::<bool>(), 0..6_u8), 0..40)) {
            let mut numbers = JobNumbers::default();
            for (is_start, process) in steps {
                let name = format!("p{process}");
                if is_start {
                    let (before, free) = (numbers.of(&name), (1..).find(|number| numbers.process(*number).is_none()));
                    prop_assert_eq!(Some(numbers.give(&name)), before.or(free));
                } else {
                    numbers.forget(&name);
                }
            }
        }

        #[test]
        fn any_word_is_one_job_or_an_error(word in "%?[%?+a-z0-9/ é-]{0,6}") {
            let jobs = jobs();
            match Session::default().resolve(&word, &jobs) {
                Ok(job) => prop_assert!(jobs.contains(job)),
                Err(error) => prop_assert!(error.to_string().ends_with(&word)),
            }
        }
    }
}
