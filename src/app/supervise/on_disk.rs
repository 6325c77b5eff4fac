//! The configuration files: read on another thread, for requests that wait for them.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::Value;

use super::answer::Reply;
use crate::{
    io::sys,
    model::{config::Config, wire::ReloadOf},
};

/// The source of the configuration, at the start and at each reload.
pub(super) trait ConfigSource: Send + Sync {
    /// Reads the configuration.
    fn load(&self) -> Loaded;
    /// Returns a value that changes when a file of the configuration does.
    fn stamp(&self) -> String;
}

/// A configuration with its warnings, or all of its errors, one line each.
pub(super) type Loaded = Result<(Config, Vec<String>), Vec<String>>;

/// Passes on a configuration that was read, on any thread.
pub(super) type Deliver = Arc<dyn Fn(Loaded) + Send + Sync>;

/// Longest wait for a check of the files, once while they hang: hanging storage must not block the
/// supervisor. A reload that still waits after this time is logged.
const LOOK: Duration = Duration::from_secs(1);

/// The result of checking the files: their stamp, and their content if the stamp has changed.
type ConfigLook = (String, Option<Result<Config, Vec<String>>>);

/// A request to the thread that reads the files.
enum Question {
    /// Check whether the files still have this stamp, and read them if not.
    Look(String),
    /// Read the files.
    Load,
}

/// A thread that reads the files.
struct ConfigReader {
    ask: mpsc::Sender<Question>,
    answers: mpsc::Receiver<ConfigLook>,
    /// Whether a check has not been answered yet.
    pending: bool,
}

impl ConfigReader {
    /// # Errors
    /// If no thread can be started.
    fn begin(source: Arc<dyn ConfigSource>, deliver: Deliver) -> std::io::Result<ConfigReader> {
        let (ask, asked) = mpsc::channel::<Question>();
        let (answer, answers) = mpsc::channel();
        std::thread::Builder::new().name("config".to_owned()).spawn(move || {
            for question in asked {
                match question {
                    Question::Load => deliver(source.load()),
                    Question::Look(known) => {
                        let stamp = source.stamp();
                        let new = (stamp != known).then(|| source.load().map(|(config, _)| config));
                        if answer.send((stamp, new)).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(ConfigReader { ask, answers, pending: false })
    }
}

/// What to do with a configuration once it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReloadRequest {
    Reload {
        of: ReloadOf,
        dry_run: bool,
        /// Whether the answer waits for the changes to take effect.
        wait: bool,
    },
    /// Add programs that are not supervised yet.
    Add(Vec<String>),
}

impl ReloadRequest {
    pub(super) fn changes_something(&self) -> bool {
        match self {
            ReloadRequest::Reload { dry_run, .. } => !dry_run,
            ReloadRequest::Add(_) => true,
        }
    }
}

/// A request that waits for the configuration to be read.
pub(super) struct Waiting {
    pub wanted: ReloadRequest,
    /// `None` if no client waits for an answer.
    pub reply: Option<Reply>,
    pub until: Option<Duration>,
}

/// Requests that wait for the configuration to be read.
#[derive(Default)]
pub(super) struct Queue {
    /// For the current reading.
    pub now: Vec<Waiting>,
    /// For the next reading: the files may have changed since the current one began.
    next: Vec<Waiting>,
    /// When to log that the files do not respond.
    pub report_at: Option<Duration>,
}

impl Queue {
    /// Adds a request; returns true if a reading must begin. The request replaces an equal one
    /// whose client is gone.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        if self.now.is_empty() {
            self.now.push(waiting);
            return true;
        }
        self.next.retain(|other| other.reply.is_some() || other.wanted != waiting.wanted);
        self.next.push(waiting);
        false
    }

    /// Returns the requests of the reading that has ended; the later ones move up.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        self.report_at = None;
        let next = std::mem::take(&mut self.next);
        std::mem::replace(&mut self.now, next)
    }

    /// Returns the next deadline.
    fn deadline(&self) -> Option<Duration> {
        let waiting = self.now.iter().chain(&self.next).filter(|waiting| waiting.reply.is_some());
        waiting.filter_map(|waiting| waiting.until).chain(self.report_at).min()
    }

    /// Returns the replies to requests that have timed out, and whether their changes will still be
    /// made.
    pub(super) fn time_out(&mut self, now: Duration) -> Vec<(Reply, bool)> {
        let mut over = vec![];
        for waiting in self.now.iter_mut().chain(&mut self.next) {
            if waiting.until.is_some_and(|until| until <= now)
                && let Some(reply) = waiting.reply.take()
            {
                over.push((reply, waiting.wanted.changes_something()));
            }
        }
        over
    }
}

/// The state of the configuration files on disk.
pub(super) struct OnDisk {
    pub source: Arc<dyn ConfigSource>,
    deliver: Deliver,
    /// The thread that reads the files; started when first needed.
    reader: Option<ConfigReader>,
    pub queue: Queue,
    /// Whether the last check of the files timed out.
    pub hangs: bool,
    /// The stamp of the files at the last check.
    pub stamp: String,
    /// When the current configuration was read, unix seconds.
    pub loaded: i64,
    /// The checksum of the main file then.
    pub sha256: String,
    /// The checksum of the main file when last read, including dry runs.
    pub read: String,
    /// Processes whose configuration on disk differs.
    pub changed: BTreeSet<String>,
    /// Processes that are only configured on disk: name, group, autostart, priorities.
    pub unused: Vec<Value>,
    /// An error in the files on disk.
    pub error: Option<String>,
}

impl OnDisk {
    /// Returns the state after `config` was read. Later readings are passed to `deliver`.
    pub(super) fn new(source: Arc<dyn ConfigSource>, deliver: Deliver, config: &Config) -> OnDisk {
        OnDisk {
            stamp: source.stamp(),
            source,
            deliver,
            reader: None,
            queue: Queue::default(),
            hangs: false,
            loaded: sys::now().wall.secs(),
            sha256: config.sha256.clone(),
            read: String::new(),
            changed: BTreeSet::new(),
            unused: vec![],
            error: None,
        }
    }

    /// Returns the next deadline.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.queue.deadline()
    }

    fn reader(&mut self) -> Option<&mut ConfigReader> {
        if self.reader.is_none() {
            self.reader = ConfigReader::begin(Arc::clone(&self.source), Arc::clone(&self.deliver)).ok();
        }
        self.reader.as_mut()
    }

    /// Starts to read the files on another thread; false if there is none.
    pub(super) fn begin_reading(&mut self) -> bool {
        let asked = self.reader().is_some_and(|reader| reader.ask.send(Question::Load).is_ok());
        if asked {
            self.queue.report_at = Some(sys::now().mono + LOOK);
        } else {
            // The thread may be gone; the next request starts another one.
            self.reader = None;
        }
        asked
    }

    /// Checks the files; `None` if they are unchanged or do not respond.
    pub(super) fn look(&mut self) -> Option<(String, Result<Config, Vec<String>>)> {
        if self.hangs && !self.queue.now.is_empty() {
            return None;
        }
        let known = self.stamp.clone();
        let reader = self.reader()?;
        // A late answer is older than this check.
        while reader.pending && reader.answers.try_recv().is_ok() {
            reader.pending = false;
        }
        let was_pending = std::mem::replace(&mut reader.pending, true);
        if was_pending {
            return None;
        }
        if reader.ask.send(Question::Look(known)).is_err() {
            // The thread is gone; the next check starts another one.
            self.reader = None;
            return None;
        }
        let seen = reader.answers.recv_timeout(LOOK);
        reader.pending = seen.is_err();
        self.hangs = seen.is_err();
        let (stamp, new) = seen.ok()?;
        Some((stamp, new?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Files that hang until a text is sent.
    struct Hanging(Mutex<mpsc::Receiver<String>>);

    impl Hanging {
        fn wait(&self) -> String {
            self.0.lock().unwrap().recv().unwrap_or_default()
        }
    }

    impl ConfigSource for Hanging {
        fn load(&self) -> Loaded {
            Err(vec![self.wait()])
        }

        fn stamp(&self) -> String {
            self.wait()
        }
    }

    /// Returns hanging files, the sender that releases them, and the receiver of what was read.
    fn hanging() -> (OnDisk, mpsc::Sender<String>, mpsc::Receiver<Loaded>) {
        let (let_go, files) = mpsc::channel();
        let (deliver, delivered) = mpsc::channel();
        let disk = OnDisk {
            source: Arc::new(Hanging(Mutex::new(files))),
            deliver: Arc::new(move |loaded| deliver.send(loaded).unwrap()),
            reader: None,
            queue: Queue::default(),
            hangs: false,
            stamp: "old".to_owned(),
            loaded: 0,
            sha256: String::new(),
            read: String::new(),
            changed: BTreeSet::new(),
            unused: vec![],
            error: None,
        };
        (disk, let_go, delivered)
    }

    fn let_go(to: &mpsc::Sender<String>, words: &[&str]) {
        words.iter().for_each(|word| to.send((*word).to_owned()).unwrap());
    }

    #[test]
    fn hanging_files_delay_no_answer_and_are_noticed_when_they_respond() {
        let (mut disk, files, _) = hanging();
        for _ in 0..3 {
            assert!(disk.look().is_none() && disk.hangs);
        }
        // One word for the waiting check, two for the next one.
        let_go(&files, &["old", "new", "read"]);
        let began = sys::now().mono;
        let seen = loop {
            match disk.look() {
                Some(seen) => break seen,
                None => assert!(sys::now().mono - began < Duration::from_secs(60)),
            }
        };
        assert_eq!((seen.0.as_str(), seen.1.unwrap_err(), disk.hangs), ("new", vec!["read".to_owned()], false));
    }

    fn waiting(of: ReloadOf, until: Option<Duration>, reply: bool) -> Waiting {
        let wanted = ReloadRequest::Reload { of, dry_run: false, wait: true };
        Waiting { wanted, reply: reply.then(|| Box::new(|_| {}) as Reply), until }
    }

    #[test]
    fn hanging_files_are_read_on_another_thread_and_delivered_later() {
        let (mut disk, files, delivered) = hanging();
        assert!(disk.queue.push(waiting(ReloadOf::All, None, true)) && disk.begin_reading());
        assert!(disk.deadline().is_some(), "the hang will be reported");
        assert!(delivered.try_recv().is_err());
        let_go(&files, &["one", "two"]);
        let read = || delivered.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
        assert_eq!(read(), ["one"]);
        assert!(disk.begin_reading());
        assert_eq!(read(), ["two"]);
    }

    #[test]
    fn requests_during_a_reading_share_the_next_one_and_time_out_separately() {
        let mut queue = Queue::default();
        let at = Duration::from_secs;
        assert!(queue.push(waiting(ReloadOf::All, Some(at(5)), true)));
        assert!(!queue.push(waiting(ReloadOf::All, Some(at(3)), true)));
        assert!(!queue.push(waiting(ReloadOf::Server, None, true)));
        assert_eq!(queue.deadline(), Some(at(3)));
        assert_eq!(queue.time_out(at(2)).len(), 0);
        assert_eq!(queue.time_out(at(4)).len(), 1);
        assert_eq!(queue.deadline(), Some(at(5)));
        // A request whose client is gone, and an equal one of another client.
        assert!(!queue.push(waiting(ReloadOf::All, None, false)));
        assert!(!queue.push(waiting(ReloadOf::All, None, true)));
        assert_eq!((queue.take().len(), queue.now.len()), (1, 2));
        assert_eq!((queue.take().len(), queue.take().len()), (2, 0));
    }
}
