//! Cost of supervision, compared with supervisord: the same programs, alternately, in one run.

use crate::Size;
use crate::idle::{at_rest, processes_of, pss, switches};
use crate::report::{Result, Row, median, ms, quantile};
use crate::workshop::{Flock, Workshop, installed, number, quiet, wait_until};
use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a result.
const PATIENCE: Duration = Duration::from_secs(60);
/// Polling interval, negligible compared with hundreds of starts.
const LOOK: Duration = Duration::from_millis(1);
/// Variable with the path of a Python that has Supervisor, if its programs are not on the PATH.
const PYTHON: &str = "SUPERVISOR_PYTHON";
/// The group of programs that are started at once, and the program that is started alone.
const GROUP: &str = "shots";
const ALONE: &str = "alone";

/// Supervisor, if it is installed.
struct Peer {
    daemon: PathBuf,
    ctl: PathBuf,
    /// Name with version.
    name: String,
}

impl Peer {
    fn find() -> Result<Option<Peer>> {
        let beside = env::var_os(PYTHON).map(PathBuf::from);
        let find = |name: &str| match &beside {
            Some(python) => Some(python.with_file_name(name)).filter(|path| path.is_file()),
            None => installed(name),
        };
        let (Some(daemon), Some(ctl)) = (find("supervisord"), find("supervisorctl")) else { return Ok(None) };
        let version = quiet(&daemon).arg("--version").stdout(Stdio::piped()).output()?.stdout;
        let name = format!("supervisord {}", String::from_utf8_lossy(&version).trim());
        Ok(Some(Peer { daemon, ctl, name }))
    }
}

/// Returns the beginning of a `supervise` configuration, before its programs.
pub fn head(folder: &Path, socket: &Path) -> String {
    // Without a user it would warn about running as root.
    let user = if nix::unistd::geteuid().is_root() { "user = 'root'\n" } else { "" };
    format!(
        "[taskmasterd]\n{user}database = 'tasks.db'\nlogfile = 'log'\npidfile = 'pid'\nchildlogdir = '{}'\nminfds = 4096\n\
         [unix_http_server]\nfile = '{}'\n",
        folder.display(),
        socket.display()
    )
}

/// The programs of one configuration, the same for both supervisors.
struct Programs<'a> {
    count: usize,
    /// A command and its argument, if any.
    command: &'a [&'a str],
    autostart: bool,
    /// Whether there is one more, [`ALONE`], while the others are in [`GROUP`].
    alone: bool,
}

impl Programs<'_> {
    fn names(&self) -> Vec<String> {
        (0..self.count).map(|number| format!("program{number:04}")).collect()
    }

    /// Returns the configuration of `supervise`.
    fn toml(&self, folder: &Path, socket: &Path) -> String {
        let mut text = head(folder, socket);
        let mut program = |name: &str, command: &[&str], autostart: bool| {
            let (command, args) = command.split_first().unwrap_or((&"true", &[]));
            text += &format!(
                "[programs.{name}]\ncommand = '{command}'\nargs = {args:?}\nautostart = {autostart}\nstartsecs = 0\n\
                 autorestart = 'false'\n"
            );
        };
        self.names().iter().for_each(|name| program(name, self.command, self.autostart));
        if self.alone {
            program(ALONE, &["sleep", "1000"], false);
            text += &format!("[groups.{GROUP}]\nprograms = {:?}\n", self.names());
        }
        text
    }

    /// Returns the configurations of supervisord and of its client.
    fn ini(&self, folder: &Path, socket: &Path) -> (String, String) {
        let ctl = format!("[supervisorctl]\nserverurl = unix://{}\n", socket.display());
        let mut text = format!(
            "[supervisord]\nnodaemon = true\nlogfile = %(here)s/log\npidfile = %(here)s/pid\nchildlogdir = {}\nminfds = 4096\n\
             [unix_http_server]\nfile = {}\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
            folder.display(),
            socket.display()
        );
        let mut program = |name: &str, command: &[&str], autostart: bool| {
            let command = command.join(" ");
            text += &format!(
                "[program:{name}]\ncommand = {command}\nautostart = {autostart}\nstartsecs = 0\nautorestart = false\n"
            );
        };
        self.names().iter().for_each(|name| program(name, self.command, self.autostart));
        if self.alone {
            program(ALONE, &["sleep", "1000"], false);
            text += &format!("[group:{GROUP}]\nprograms = {}\n", self.names().join(","));
        }
        (text, ctl)
    }
}

/// A running supervisor of either kind.
struct Supervisor {
    pid: u32,
    folder: PathBuf,
    socket: PathBuf,
    /// Its client, without a verb.
    client: Vec<PathBuf>,
    /// The part of its log that was read.
    log: File,
    /// Number of ends in its log.
    exited: usize,
    spawned: usize,
    rest: Vec<u8>,
}

impl Supervisor {
    fn start(
        flock: &mut Flock,
        command: &mut Command,
        folder: &Path,
        socket: &Path,
        client: Vec<PathBuf>,
    ) -> Result<Supervisor> {
        let file = folder.join("log");
        let pid = flock.start(command.current_dir(folder))?;
        wait_until(PATIENCE, &format!("{command:?}"), || Ok(file.exists() && UnixStream::connect(socket).is_ok()))?;
        Ok(Supervisor {
            pid,
            folder: folder.to_owned(),
            socket: socket.to_owned(),
            client,
            log: File::open(&file).map_err(|cause| format!("open {}: {cause}", file.display()))?,
            exited: 0,
            spawned: 0,
            rest: vec![],
        })
    }

    /// Returns a command of its client without output.
    fn client(&self, args: &[&str]) -> Command {
        let mut command = quiet(&self.client[0]);
        command.args(&self.client[1..]).args(args);
        command
    }

    /// Runs its client. The exit code 3 of a status means that not all are running.
    fn ask(&self, args: &[&str]) -> Result<Duration> {
        let mut command = self.client(args);
        let start = Instant::now();
        let status = command.status()?;
        let took = start.elapsed();
        match status.code() {
            Some(0 | 3) => Ok(took),
            _ => Err(format!("run {command:?}: {status}").into()),
        }
    }

    /// Sends a request to its socket and waits for the beginning of the response.
    fn say(&self, request: &str) -> Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 4096];
        match stream.read(&mut answer)? {
            0 => Err(format!("ask {}: no answer", self.socket.display()).into()),
            _ => Ok(()),
        }
    }

    /// Reads new lines of its log.
    fn read_log(&mut self) -> Result<()> {
        self.log.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&self.rest.drain(..whole).collect::<Vec<u8>>()).lines() {
            self.exited += usize::from(line.contains(" exited: "));
            self.spawned += usize::from(line.contains(" spawned: "));
        }
        Ok(())
    }

    fn wait_spawned(&mut self, count: usize) -> Result<()> {
        wait_until(PATIENCE, &format!("{count} programs in {}", self.folder.display()), || {
            self.read_log()?;
            Ok(self.spawned == count)
        })
    }

    /// Starts the whole group and returns the time until all have ended.
    fn shoot(&mut self, request: &str, count: usize) -> Result<Duration> {
        self.read_log()?;
        let goal = self.exited + count;
        let start = Instant::now();
        self.say(request)?;
        while self.exited < goal {
            if start.elapsed() > PATIENCE {
                return Err(format!("see {count} programs end: {} did", self.exited + count - goal).into());
            }
            thread::sleep(LOOK);
            self.read_log()?;
        }
        Ok(start.elapsed())
    }

    /// Starts the single program, which sleeps, through the client, and stops it again.
    fn start_alone(&self) -> Result<f64> {
        let took = self.ask(&["start", ALONE])?;
        self.ask(&["stop", ALONE])?;
        Ok(ms(took))
    }
}

/// Both supervisors with the same programs.
struct Pair {
    own: Supervisor,
    theirs: Option<Supervisor>,
    db: PathBuf,
}

impl Pair {
    fn start(shop: &Workshop, peer: Option<&Peer>, flock: &mut Flock, name: &str, programs: &Programs) -> Result<Pair> {
        // The path of a socket must be short, and a path on the disk may be long.
        fs::create_dir_all(&shop.memory)?;
        let folder = shop.shelf(&format!("supervise-{name}"))?;
        let (file, socket) = (folder.join("taskmaster.conf.toml"), shop.memory.join(format!("{name}.sock")));
        fs::write(&file, programs.toml(&folder, &socket))?;
        let client = vec![shop.supervise.clone(), "--socket".into(), socket.clone()];
        let mut command = quiet(&shop.supervise);
        command.arg("-n").arg("-c").arg(&file);
        let mut own = Supervisor::start(flock, &mut command, &folder, &socket, client)?;
        let mut theirs = None;
        if let Some(peer) = peer {
            let folder = shop.shelf(&format!("supervisord-{name}"))?;
            let socket = shop.memory.join(format!("{name}-peer.sock"));
            let (file, ctl) = (folder.join("supervisord.conf"), folder.join("ctl.conf"));
            let (text, ctl_text) = programs.ini(&folder, &socket);
            fs::write(&file, text)?;
            fs::write(&ctl, ctl_text)?;
            let client = vec![peer.ctl.clone(), "-c".into(), ctl];
            let mut command = quiet(&peer.daemon);
            command.arg("-c").arg(&file);
            theirs = Some(Supervisor::start(flock, &mut command, &folder, &socket, client)?);
        }
        if programs.autostart {
            own.wait_spawned(programs.count)?;
            theirs.iter_mut().try_for_each(|theirs| theirs.wait_spawned(programs.count))?;
        }
        let db = folder.join("tasks.db");
        Ok(Pair { own, theirs, db })
    }

    /// Returns the `supervise` daemon and its shims.
    fn own_pids(&self, shop: &Workshop, count: usize) -> Result<Vec<u32>> {
        let mut pids = processes_of(&shop.supervise.with_file_name("launch"), &self.own.folder)?;
        if pids.len() != count {
            return Err(format!("find the launchers of {count} programs: there are {}", pids.len()).into());
        }
        pids.push(self.own.pid);
        Ok(pids)
    }
}

/// Measures all figures of the supervisor.
pub fn all(shop: &Workshop, size: Size) -> Result<Vec<Row>> {
    let peer = Peer::find()?;
    // All are ended together, which takes some seconds for supervisord.
    let mut flock = Flock::default();
    // First, because later processes would share memory pages with these.
    let memory = memory(shop, peer.as_ref(), &mut flock)?;
    let idle = idle(shop, peer.as_ref(), &mut flock, size)?;
    let status = status(shop, peer.as_ref(), &mut flock, size)?;
    let [rate, one] = starts(shop, peer.as_ref(), &mut flock, size)?;
    Ok(vec![rate, one, memory, idle, status])
}

/// The result of the peer, if it is installed.
fn beside(peer: Option<&Peer>, result: Option<String>) -> Vec<String> {
    match (peer, result) {
        (Some(peer), Some(result)) => vec![format!("{} {result}", peer.name)],
        _ => vec!["supervisord: not installed, so this target cannot be checked".to_owned()],
    }
}

fn quartiles(times: &[f64]) -> String {
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(times, share));
    format!("{middle:.1} (quartiles {low:.1} and {high:.1}, n={})", times.len())
}

/// Measures hundreds of starts at once, and a single one.
fn starts(shop: &Workshop, peer: Option<&Peer>, flock: &mut Flock, size: Size) -> Result<[Row; 2]> {
    let (count, volleys, runs) = size.of((500, 7, 21), (100, 2, 3));
    let programs = Programs { count, command: &["true"], autostart: false, alone: true };
    let mut pair = Pair::start(shop, peer, flock, "starts", &programs)?;
    let own = format!("{{\"command\":\"start\",\"target\":\"group\",\"name\":\"{GROUP}\",\"wait\":false}}\n");
    let call = format!(
        "<?xml version='1.0'?><methodCall><methodName>supervisor.startProcessGroup</methodName><params>\
         <param><value><string>{GROUP}</string></value></param>\
         <param><value><boolean>0</boolean></value></param></params></methodCall>"
    );
    let peers =
        format!("POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{call}", call.len());
    let (mut own_times, mut recorded, mut theirs) = (vec![], vec![], vec![]);
    for volley in 1..=volleys {
        let begin = Instant::now();
        own_times.push(ms(pair.own.shoot(&own, count)?));
        let all = i64::try_from(count * volley)?;
        wait_until(PATIENCE, "all runs in the history", || {
            Ok(number(&pair.db, "SELECT count(*) FROM history")? == all)
        })?;
        recorded.push(ms(begin.elapsed()));
        if let Some(peer) = &mut pair.theirs {
            theirs.push(ms(peer.shoot(&peers, count)?));
        }
    }
    let per_second = |times: &[f64]| count as f64 / median(times) * 1000.0;
    let (rate, their_rate) = (per_second(&own_times), pair.theirs.as_ref().map(|_| per_second(&theirs)));
    let ratio = their_rate.map_or(0.0, |theirs| rate / theirs);
    let mut details = vec![
        format!("{count} programs: ms until all had ended: {}", quartiles(&own_times)),
        format!("ms until all were in the history: {}", quartiles(&recorded)),
    ];
    if their_rate.is_some() {
        details.push(format!("ms until all had ended under supervisord: {}", quartiles(&theirs)));
    }
    let volley = Row {
        work: "500 programs (`true`) started at once by `supervise`, until all have ended",
        measured: match their_rate {
            Some(_) => format!("{rate:.0}/s, {ratio:.2} × supervisord"),
            None => format!("{rate:.0}/s"),
        },
        peers: beside(peer, their_rate.map(|rate| format!("{rate:.0}/s"))),
        target: "≥ 2 × supervisord",
        holds: ratio >= 2.0,
        details,
    };

    let (mut own_times, mut theirs) = (vec![], vec![]);
    for _ in 0..runs {
        own_times.push(pair.own.start_alone()?);
        if let Some(peer) = &pair.theirs {
            theirs.push(peer.start_alone()?);
        }
    }
    let (own, their) = (median(&own_times), pair.theirs.as_ref().map(|_| median(&theirs)));
    let ratio = their.map(|their| own / their);
    let mut details = vec![format!("ms of `supervise start`: {}", quartiles(&own_times))];
    if their.is_some() {
        details.push(format!("ms of `supervisorctl start`: {}", quartiles(&theirs)));
    }
    let one = Row {
        work: "`supervise start x` until it is RUNNING, the client included",
        measured: match ratio {
            Some(ratio) => format!("{own:.1} ms, {ratio:.3} × supervisorctl"),
            None => format!("{own:.1} ms"),
        },
        peers: beside(peer, their.map(|their| format!("{their:.0} ms"))),
        target: "≤ 0.1 × supervisorctl",
        holds: ratio.is_some_and(|ratio| ratio <= 0.1),
        details,
    };
    Ok([volley, one])
}

/// Measures the memory of both supervisors without the programs.
fn memory(shop: &Workshop, peer: Option<&Peer>, flock: &mut Flock) -> Result<Row> {
    let programs = Programs { count: 50, command: &["sleep", "1000"], autostart: true, alone: false };
    let pair = Pair::start(shop, peer, flock, "memory", &programs)?;
    let pids = pair.own_pids(shop, programs.count)?;
    at_rest(&pids)?;
    let (own, daemon) = (pss(&pids)?, pss(&[pair.own.pid])?);
    let their = pair.theirs.as_ref().map(|theirs| pss(&[theirs.pid])).transpose()?;
    let megabytes = |kilobytes: u64| kilobytes as f64 / 1000.0;
    Ok(Row {
        work: "memory (PSS) of the supervisor of 50 programs, launchers included",
        measured: match their {
            Some(their) => {
                format!("{:.1} MB, {:.2} × supervisord", megabytes(own), own as f64 / their.max(1) as f64)
            }
            None => format!("{:.1} MB", megabytes(own)),
        },
        peers: beside(peer, their.map(|their| format!("{:.1} MB", megabytes(their)))),
        target: "less than supervisord",
        holds: their.is_some_and(|their| own < their),
        details: vec![format!(
            "the daemon {daemon} kB, each of its {} launchers {} kB",
            programs.count,
            (own - daemon) / programs.count as u64
        )],
    })
}

/// Measures the activity of both while nothing happens.
fn idle(shop: &Workshop, peer: Option<&Peer>, flock: &mut Flock, size: Size) -> Result<Row> {
    let programs = Programs { count: 100, command: &["sleep", "1000"], autostart: true, alone: false };
    let pair = Pair::start(shop, peer, flock, "idle", &programs)?;
    let own = pair.own_pids(shop, programs.count)?;
    at_rest(&own)?;
    let theirs: Vec<u32> = pair.theirs.iter().map(|theirs| theirs.pid).collect();
    let look = || -> Result<Vec<u64>> {
        let mut values = vec![];
        for pids in [&own, &theirs, &vec![pair.own.pid]] {
            values.push(pids.iter().map(|pid| switches(*pid)).sum::<Result<u64>>()?);
            values.push(pids.iter().map(|pid| nanoseconds(*pid)).sum::<Result<u64>>()?);
        }
        Ok(values)
    };
    let (before, start) = (look()?, Instant::now());
    thread::sleep(Duration::from_secs(size.of(30, 3)));
    let (after, watched) = (look()?, start.elapsed().as_secs_f64());
    let rates: Vec<f64> = after.iter().zip(&before).map(|(after, before)| (after - before) as f64 / watched).collect();
    let &[wakes, cpu, their_wakes, their_cpu, daemon, _] = rates.as_slice() else { return Err("look thrice".into()) };
    // Converts nanoseconds per second to percent.
    let percent = |cpu: f64| cpu / 1e7;
    let result = |wakes: f64, cpu: f64| format!("{wakes:.2} wake-ups/s, {:.3} % CPU", percent(cpu));
    Ok(Row {
        work: "the supervisor of 100 quiet programs, launchers included",
        measured: result(wakes, cpu),
        peers: beside(peer, pair.theirs.as_ref().map(|_| result(their_wakes, their_cpu))),
        target: "≤ 1/s, < 0.1 % CPU",
        holds: wakes <= 1.0 && percent(cpu) < 0.1,
        details: vec![format!("{watched:.0} s watched; the daemon alone {daemon:.2}/s")],
    })
}

/// Returns the processor time of all threads of this process.
pub fn nanoseconds(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path).map_err(|cause| format!("read {}: {cause}", path.display()))?;
        let first = text.split_whitespace().next().and_then(|spent| spent.parse::<u64>().ok());
        sum += first.ok_or_else(|| format!("read {}: {text:?}", path.display()))?;
    }
    Ok(sum)
}

/// Measures the status of many programs, requested by a new client process.
fn status(shop: &Workshop, peer: Option<&Peer>, flock: &mut Flock, size: Size) -> Result<Row> {
    let runs = size.of(21, 3);
    let programs = Programs { count: 1_000, command: &["sleep", "1000"], autostart: false, alone: false };
    let pair = Pair::start(shop, peer, flock, "status", &programs)?;
    let both = || [Some(&pair.own), pair.theirs.as_ref()].into_iter().flatten();
    for supervisor in both() {
        let result = supervisor.client(&["status"]).stdout(Stdio::piped()).output()?.stdout;
        let result = String::from_utf8_lossy(&result);
        let lines = result.lines().filter(|line| line.contains("program") && line.contains("STOPPED")).count();
        if lines != programs.count {
            return Err(format!("see the state of {} programs: {lines} lines show one", programs.count).into());
        }
    }
    let mut times = [vec![], vec![]];
    for _ in 0..runs {
        for (supervisor, times) in both().zip(&mut times) {
            times.push(ms(supervisor.ask(&["status"])?));
        }
    }
    let [own_times, theirs] = &times;
    let (own, their) = (median(own_times), pair.theirs.as_ref().map(|_| median(theirs)));
    let mut details = vec![format!("ms of `supervise status`: {}", quartiles(own_times))];
    if their.is_some() {
        details.push(format!("ms of `supervisorctl status`: {}", quartiles(theirs)));
    }
    Ok(Row {
        work: "`supervise status` of 1,000 programs, the client included",
        measured: match their {
            Some(their) => format!("{own:.1} ms, {:.3} × supervisorctl", own / their),
            None => format!("{own:.1} ms"),
        },
        peers: beside(peer, their.map(|their| format!("{their:.0} ms"))),
        target: "≤ 50 ms",
        holds: own <= 50.0,
        details,
    })
}
