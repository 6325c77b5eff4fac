//! Job control over supervised processes (7.1): job numbers, what `%…` means, and lines of jobs.
//!
//! Pure. The numbers are the supervisor's, the same for all its clients; which job is the current one is a matter of each
//! shell.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    client::plain,
    program::ProcState,
    task::Signal,
    wire::{Command, ProcessInfo, full_name},
};

/// The numbers of jobs, as the supervisor keeps them. A process gets the smallest free one when it is first started, and
/// keeps it until it is removed or disowned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobNumbers(BTreeMap<u32, String>);

impl JobNumbers {
    /// The number of a process that is being started: its own, or the smallest that is free.
    pub fn give(&mut self, process: &str) -> u32 {
        if let Some(number) = self.of(process) {
            return number;
        }
        // The first place where the numbers in use do not follow each other.
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

    /// The process of a number.
    pub fn process(&self, number: u32) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }

    /// The process is removed or disowned; its number is free.
    pub fn forget(&mut self, process: &str) -> Option<u32> {
        let number = self.of(process)?;
        self.0.remove(&number);
        Some(number)
    }

    /// What a former supervisor wrote down of its numbers; those of processes that are not known any more are free.
    pub fn parse(text: &[u8], is_known: impl Fn(&str) -> bool) -> JobNumbers {
        let mut numbers: JobNumbers = serde_json::from_slice(text).unwrap_or_default();
        let mut seen = BTreeSet::new();
        numbers.0.retain(|number, process| *number > 0 && is_known(process) && seen.insert(process.clone()));
        numbers
    }

    /// Written down for the next supervisor.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The process is called otherwise from now on, such as after a move to another group.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(name) = self.of(from).and_then(|number| self.0.get_mut(&number)) {
            to.clone_into(name);
        }
    }
}

/// What a job is doing, in the words of a shell (JOB-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Up.
    Running,
    /// Paused by this signal.
    Stopped(Signal),
    /// Started, not yet up.
    Starting,
    /// Waits for its next try.
    Backoff,
    /// Being stopped.
    Stopping,
    /// Ended with this code.
    Exit(i32),
    /// Ended, and nobody saw how.
    Ended,
    /// Ended by the signal of this name.
    Terminated(String),
    /// Given up.
    Fatal,
    /// It cannot be controlled.
    Unknown,
}

impl JobState {
    /// The state of a process; `paused`: the signal that paused it.
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

    /// Its words.
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
    /// Its number.
    pub number: u32,
    /// The group of its process.
    pub group: String,
    /// The name of its process.
    pub name: String,
    /// Its command line.
    pub command: String,
    /// What it is doing.
    pub state: JobState,
    /// Process id, while it lives.
    pub pid: Option<i32>,
    /// Process group id, while it lives.
    pub pgid: Option<i32>,
    /// When it was last started, unix seconds.
    pub started: i64,
}

impl Job {
    /// The name for people: with its group unless that is called the same.
    pub fn full_name(&self) -> String {
        full_name(&self.group, &self.name)
    }

    fn is_paused(&self) -> bool {
        matches!(self.state, JobState::Stopped(_))
    }
}

/// A job as the supervisor tells it: an element of `jobs` in the answer to `jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Its number.
    pub number: u32,
    /// Its command line.
    pub command: String,
    /// The name of the signal that paused it.
    #[serde(default)]
    pub paused: Option<String>,
    /// Process group id, while it lives.
    #[serde(default)]
    pub pgid: Option<i32>,
    /// Its process.
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

/// What `%…` says (JOB-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRef {
    /// `%n`
    Number(u64),
    /// `%name`: its process name or command begins with this.
    Begins(String),
    /// `%?text`: its command line contains this.
    Contains(String),
    /// `%%`, `%+`, `%`
    Current,
    /// `%-`
    Previous,
}

impl JobRef {
    /// From a word; none if it is no reference to a job, but a name. A bare number never is one.
    pub fn parse(word: &str) -> Option<JobRef> {
        let text = word.strip_prefix('%')?;
        Some(match text {
            "" | "%" | "+" => JobRef::Current,
            "-" => JobRef::Previous,
            // A number that fits nothing is a number that no job has.
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => JobRef::Number(text.parse().unwrap_or(u64::MAX)),
            _ => match text.strip_prefix('?') {
                Some(text) => JobRef::Contains(text.to_owned()),
                None => JobRef::Begins(text.to_owned()),
            },
        })
    }
}

/// A reference that means no job, or more than one; exit 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJobRef {
    /// None.
    #[error("no such job: {0}")]
    None(String),
    /// More than one.
    #[error("ambiguous job spec: {0}")]
    Ambiguous(String),
}

/// What one shell did, so far as it says which job is the current one (JOB-2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Full names of those that were brought to the foreground and left, the last one last.
    left: Vec<String>,
    /// Full names of those that were started.
    started: Vec<String>,
}

impl Session {
    /// The job of this full name was started from this shell.
    pub fn started(&mut self, name: String) {
        again_last(&mut self.started, name);
    }

    /// The job of this full name was in the foreground of this shell and was left.
    pub fn left(&mut self, name: String) {
        again_last(&mut self.left, name);
    }

    /// The current job: the last one that was in the foreground and left, else the last one started.
    pub fn current<'a>(&self, jobs: &'a [Job]) -> Option<&'a Job> {
        self.order(jobs).first().copied()
    }

    /// The former current job; where there is only one job it is that.
    pub fn previous<'a>(&self, jobs: &'a [Job]) -> Option<&'a Job> {
        let order = self.order(jobs);
        order.get(1).or(order.first()).copied()
    }

    /// The job that a reference means. `word` is the reference as it was written.
    ///
    /// # Errors
    /// It means none, or more than one.
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

    /// Puts the names of processes in the place of the references in a command: no process is called `%…`.
    ///
    /// # Errors
    /// One of them means none, or more than one.
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

    /// The jobs, the one that was dealt with last first.
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

/// Which jobs `jobs` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// `-r`: those that run.
    Running,
    /// `-s`: those that are paused.
    Stopped,
}

/// How `jobs` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `[n]+ State command`
    #[default]
    Short,
    /// `-l`: with process and group id.
    Long,
    /// `-p`: only process ids.
    Pids,
}

/// The lines of `jobs` (JOB-4), in the order of the numbers. `shown` are those asked for, `jobs` all of them.
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

/// What is said of a job whose state changed (JOB-9): `[1]+ Exit 1  web`.
pub fn notice(job: &Job, jobs: &[Job], session: &Session) -> String {
    format!("[{}]{} {}  {}", job.number, session.mark(job, jobs), job.state.words(), plain(&job.full_name()))
}

/// `jobs -x`: the words, with each reference to a live job replaced by its group id. Other words, and those that mean no
/// job, stay as they are: `printf %s %1` is meant as it is written.
pub fn with_group_ids(words: &[String], jobs: &[Job], session: &Session) -> Vec<String> {
    let replaced = |word: &String| {
        let pgid = session.resolve(word, jobs).ok().and_then(|job| job.pgid);
        pgid.map_or_else(|| word.clone(), |pgid| pgid.to_string())
    };
    words.iter().map(replaced).collect()
}

/// Whether a single word resumes a paused job (JOB-10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoResume {
    /// Never.
    #[default]
    Off,
    /// If it is the name of one.
    Exact,
    /// If it is contained in the name of one.
    Substring,
}

/// A text that is no setting of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auto_resume must be \"\", \"exact\" or \"substring\"")]
pub struct BadAutoResume;

impl FromStr for AutoResume {
    type Err = BadAutoResume;

    fn from_str(text: &str) -> Result<AutoResume, BadAutoResume> {
        match text {
            "" => Ok(AutoResume::Off),
            "exact" => Ok(AutoResume::Exact),
            "substring" => Ok(AutoResume::Substring),
            _ => Err(BadAutoResume),
        }
    }
}

impl AutoResume {
    /// The paused job that this word resumes; among several the one that was dealt with last.
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
    fn numbers_outlive_the_supervisor_and_what_is_no_number_is_none() {
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
    fn a_number_is_the_smallest_that_is_free_and_stays() {
        let mut numbers = JobNumbers::default();
        assert_eq!(["a", "b", "c"].map(|name| numbers.give(name)), [1, 2, 3]);
        assert_eq!(numbers.give("b"), 2, "stable over its restarts");
        assert_eq!(numbers.forget("b"), Some(2));
        assert_eq!(numbers.forget("b"), None);
        assert_eq!((numbers.of("b"), numbers.give("d"), numbers.give("e")), (None, 2, 4));
        numbers.forget("a");
        assert_eq!(numbers.give("f"), 1);
        numbers.rename("f", "g:f");
        assert_eq!((numbers.of("f"), numbers.process(1)), (None, Some("g:f")));
    }

    #[test]
    fn job1_references() {
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
    fn job1_the_texts_of_its_errors() {
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
    fn job3_references_stand_wherever_a_process_is_named() {
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
    fn job2_the_current_and_the_previous_job() {
        let jobs = jobs();
        let mut session = Session::default();
        let both =
            |session: &Session| (session.current(&jobs).unwrap().number, session.previous(&jobs).unwrap().number);
        assert_eq!(both(&session), (4, 2), "those started last");
        session.started(jobs[0].full_name());
        assert_eq!(both(&session), (1, 4), "by this shell");
        session.left(jobs[1].full_name());
        assert_eq!(both(&session), (2, 1), "in the foreground and left");
        session.started(jobs[2].full_name());
        assert_eq!(both(&session), (2, 4));
        session.left(jobs[2].full_name());
        assert_eq!(both(&session), (4, 2), "the former current one");
        assert_eq!(session.previous(&jobs[..1]).unwrap().number, 1, "the only job is both");
        assert_eq!(session.current(&[]), None);
        let marks: String = jobs.iter().map(|job| session.mark(job, &jobs)).collect();
        assert_eq!(marks, " -+");
    }

    #[test]
    fn job4_lines() {
        let mut jobs = jobs();
        jobs[0].state = JobState::Stopped(Signal(19));
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
        assert_eq!(of(Which::All, Form::Pids), ["101", "104"], "what is down has none");
        assert_eq!(notice(&jobs[1], &jobs, &session), "[2]- Exit 1  centre");
        let words = ["printf", "%s", "%1", "%2", "%%", "1"].map(str::to_owned);
        assert_eq!(with_group_ids(&words, &jobs, &session), ["printf", "%s", "201", "%2", "204", "1"]);
    }

    #[test]
    fn job4_states() {
        let mut info = process("web", "web", ProcState::Running);
        assert_eq!(JobState::of(&info, None).words(), "Running");
        assert_eq!(JobState::of(&info, Some(Signal(19))).words(), "Stopped(SIGSTOP)");
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
        assert_eq!(JobState::of(&info, Some(Signal(19))).words(), "Terminated(SIGKILL)");
        info.exit_code = Some(3);
        assert_eq!(JobState::of(&info, None).words(), "Exit 3");
    }

    #[test]
    fn job10_a_word_resumes_a_paused_job() {
        let mut jobs = jobs();
        let session = Session::default();
        let of = |mode: &str, word: &str, jobs: &[Job]| {
            mode.parse::<AutoResume>().unwrap().job(word, jobs, &session).map(|job| job.number)
        };
        assert_eq!(of("exact", "cell", &jobs), None, "it is not paused");
        jobs[0].state = JobState::Stopped(Signal(19));
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
        fn any_word_means_one_job_or_says_why_not(word in "%?[%?+a-z0-9/ é-]{0,6}") {
            let jobs = jobs();
            match Session::default().resolve(&word, &jobs) {
                Ok(job) => prop_assert!(jobs.contains(job)),
                Err(error) => prop_assert!(error.to_string().ends_with(&word)),
            }
        }
    }
}
