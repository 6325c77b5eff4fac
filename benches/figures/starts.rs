//! Cost of a start and an end: one launch alone, many at once, and the delay until an end is
//! visible.

use crate::Size;
use crate::report::{Result, Row, median, ms, quantile};
use crate::workshop::{Flock, Workshop, installed, number, quiet, reader, time, wait_until};
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, thread};

/// A competitor, and the times of its runs, in milliseconds.
struct Competitor<'a> {
    name: &'static str,
    /// Runs only in every n-th round: some take a thousand times as long as others.
    every: usize,
    run: Box<dyn FnMut() -> Result<Duration> + 'a>,
    times: Vec<f64>,
}

impl<'a> Competitor<'a> {
    fn new(name: &'static str, run: impl FnMut() -> Result<Duration> + 'a) -> Competitor<'a> {
        Competitor { name, every: 1, run: Box::new(run), times: Vec::new() }
    }
}

/// Runs all competitors in every round, so that noise affects all alike. Each round begins with
/// another one, so that none always runs after the same one. The first rounds warm up the caches
/// and are not counted.
fn interleave(competitors: &mut [Competitor<'_>], warm_up: usize, rounds: usize) -> Result<()> {
    for round in 0..warm_up + rounds {
        let count = competitors.len();
        for place in 0..count {
            let competitor = &mut competitors[(round + place) % count];
            if competitor.every > 1 && (round < warm_up || round % competitor.every != 0) {
                continue;
            }
            let took = (competitor.run)()?;
            if round >= warm_up {
                competitor.times.push(ms(took));
            }
        }
    }
    Ok(())
}

/// Measures `launch -- true` alone, as a multiple of the wrapper.
pub fn one(shop: &Workshop, size: Size) -> Result<Row> {
    let (warm_up, rounds) = size.of((20, 1000), (5, 60));
    let (alone, kept) = (shop.database("start-alone")?, shop.database("start-kept")?);
    let kept_open = reader(&kept)?;
    kept_open.query_row("SELECT count(*) FROM history", [], |row| row.get::<_, i64>(0))?;

    let mut wrapper = quiet(&shop.wrapper);
    wrapper.arg("true");
    let (mut launch, mut launch_kept) = (shop.launch(&alone), shop.launch(&kept));
    // The cost of the log is a separate figure.
    launch.args(["--no-log", "--", "true"]);
    launch_kept.args(["--no-log", "--", "true"]);
    let mut disk = Disk::open(&shop.shelf("disk")?)?;
    let mut competitors = vec![
        Competitor::new("wrapper", || time(&mut wrapper)),
        Competitor::new("launch", || time(&mut launch)),
        Competitor::new("launch while another program keeps the database open", || time(&mut launch_kept)),
        Competitor::new("two fdatasync alone", || disk.two_syncs()),
    ];
    let mut missing = Vec::new();
    match Tsp::start(&shop.shelf("tsp-one")?, 1)? {
        Some(tsp) => {
            let mut command = tsp.run(&["true"]);
            competitors.push(Competitor::new("tsp -f", move || time(&mut command)));
        }
        None => missing.push("tsp (task-spooler)"),
    }
    match nq(&shop.shelf("nq")?) {
        Some((mut queue, mut wait)) => {
            competitors.push(Competitor::new("nq + nq -w", move || Ok(time(&mut queue)? + time(&mut wait)?)));
        }
        None => missing.push("nq"),
    }
    match S6::prepare(&shop.memory)? {
        Some(mut s6) => competitors.push(Competitor::new("fresh s6-supervise", move || s6.run())),
        None => missing.push("s6-supervise"),
    }
    match Ancestor::prepare(&shop.shelf("taskwatcher17")?)? {
        Some(mut ancestor) => {
            let mut competitor = Competitor::new("taskwatcher 1.7", move || ancestor.run());
            competitor.every = size.of(rounds / 4, rounds / 2);
            competitors.push(competitor);
        }
        None => missing.push("taskwatcher 1.7 (no TASKWATCHER17_PYTHON)"),
    }
    interleave(&mut competitors, warm_up, rounds)?;

    let medians: Vec<_> = competitors.iter().map(|competitor| (competitor.name, median(&competitor.times))).collect();
    let details = competitors.iter().map(|competitor| {
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&competitor.times, share));
        format!("{}: {middle:.2} ms (quartiles {low:.2} and {high:.2}, n={})", competitor.name, competitor.times.len())
    });
    let details = details.collect();
    drop(competitors);
    for db in [&alone, &kept] {
        let recorded = number(db, "SELECT count(*) FROM history")?;
        if recorded != (warm_up + rounds) as i64 {
            return Err(format!("find every run in {}: {recorded} of {}", db.display(), warm_up + rounds).into());
        }
    }
    drop(kept_open);

    let (base, own) = (medians[0].1, medians[1].1);
    let ratio = own / base;
    let mut peers: Vec<_> = medians[2..]
        .iter()
        .map(|(name, middle)| format!("{name} {:.*}", digits(middle / base), middle / base))
        .collect();
    peers.extend(missing.iter().map(|name| format!("{name}: not installed")));
    Ok(Row {
        work: "`launch --no-log -- true`, durable, fresh process each",
        measured: format!("{ratio:.2} × the wrapper ({own:.2} ms to {base:.2} ms)"),
        peers,
        target: "≤ 1.85 ×, aim 1.6",
        holds: ratio <= 1.85,
        details,
    })
}

/// Number of decimals worth printing.
fn digits(ratio: f64) -> usize {
    if ratio < 20.0 { 2 } else { 0 }
}

/// Measures many launches, 8 at a time, as a share of the wrapper's rate.
pub fn eight(shop: &Workshop, size: Size) -> Result<Row> {
    let (tasks, rounds) = size.of((1000, 5), (200, 3));
    let db = shop.database("rate")?;
    let tsp = Tsp::start(&shop.shelf("tsp-eight")?, 8)?;
    let (mut own, mut base, mut spooler) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        base.push(eight_at_a_time(tasks, || {
            let mut command = quiet(&shop.wrapper);
            command.arg("true");
            command
        })?);
        own.push(eight_at_a_time(tasks, || {
            let mut command = shop.launch(&db);
            command.args(["--", "true"]);
            command
        })?);
        if let Some(tsp) = &tsp {
            spooler.push(eight_at_a_time(tasks, || tsp.run(&["true"]))?);
        }
    }
    let recorded = number(&db, "SELECT count(*) FROM history")?;
    if recorded != (rounds * tasks) as i64 {
        return Err(format!("find every run in {}: {recorded} of {}", db.display(), rounds * tasks).into());
    }
    let (rate, wrapper) = (median(&own), median(&base));
    let share = rate / wrapper;
    let spooler = match tsp {
        Some(_) => format!("tsp -f {:.0}/s ({:.2})", median(&spooler), median(&spooler) / wrapper),
        None => "tsp: not installed".to_owned(),
    };
    Ok(Row {
        work: "many `launch -- true`, 8 at a time",
        measured: format!("{rate:.0}/s, {share:.2} of the wrapper"),
        peers: vec![format!("wrapper {wrapper:.0}/s"), spooler],
        target: "≥ 600/s and ≥ 0.45",
        holds: rate >= 600.0 && share >= 0.45,
        details: vec![
            format!("{tasks} a round, launch: {}", rates(&own)),
            format!("{tasks} a round, wrapper: {}", rates(&base)),
        ],
    })
}

fn rates(values: &[f64]) -> String {
    let values: Vec<_> = values.iter().map(|rate| format!("{rate:.0}/s")).collect();
    values.join(", ")
}

/// Runs a command this number of times, eight at a time, and returns how many ended per second.
fn eight_at_a_time(count: usize, command: impl Fn() -> Command + Sync) -> Result<f64> {
    let begun = AtomicUsize::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        let hands: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut command = command();
                    while begun.fetch_add(1, Ordering::Relaxed) < count {
                        time(&mut command)?;
                    }
                    Ok(())
                })
            })
            .collect();
        hands
            .into_iter()
            .try_for_each(|hand| hand.join().unwrap_or_else(|_| Err("run eight at a time: a panic".into())))
    })?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Measures the delay from a command's last action until another program finds it in the history.
pub fn visible(shop: &Workshop, size: Size) -> Result<Row> {
    let (short, long) = size.of((300, 40), (30, 5));
    let db = shop.database("visible")?;
    let (reader, stamp) = (reader(&db)?, shop.shelf("visible")?.join("stamp"));
    let mut quick = Vec::new();
    for task in 0..short {
        let name = format!("short-{task}");
        let mut flock = Flock::default();
        flock.start(shop.launch(&db).args(["--name", &name, "--"]).arg(&shop.stamp).arg(&stamp).arg("0"))?;
        let seen = first_sight(&reader, &name)?;
        quick.push(since(&stamp, seen)?);
        flock.finish()?;
    }
    // The tasks overlap and end a tenth of a second apart: each is alone at its end, and together
    // they take seconds, not a minute.
    let mut flock = Flock::default();
    let stamps: Vec<_> =
        (0..long).map(|task| (format!("long-{task}"), stamp.with_extension(task.to_string()))).collect();
    for (task, (name, stamp)) in stamps.iter().enumerate() {
        let life = (1200 + 100 * task).to_string();
        flock.start(shop.launch(&db).args(["--name", name, "--"]).arg(&shop.stamp).arg(stamp).arg(life))?;
    }
    let mut slow = Vec::new();
    for (name, stamp) in &stamps {
        let seen = first_sight(&reader, name)?;
        slow.push(since(stamp, seen)?);
    }
    flock.finish()?;

    let wrapped: Vec<_> = (0..short)
        .map(|_| {
            time(quiet(&shop.wrapper).arg(&shop.stamp).arg(&stamp).arg("0"))?;
            since(&stamp, SystemTime::now())
        })
        .collect::<Result<_>>()?;
    let (middle, later) = (median(&quick), median(&slow));
    Ok(Row {
        work: "end of the command → row visible to a reader",
        measured: format!("{middle:.2} ms; {later:.2} ms after a life of over 1 s"),
        peers: vec![format!("wrapper's own end seen {:.2} ms", median(&wrapped))],
        target: "≤ 3 ms",
        holds: middle <= 3.0 && later <= 3.0,
        details: vec![
            format!("short tasks: p95 {:.2} ms (n={short})", quantile(&quick, 0.95)),
            format!("over 1 s: p95 {:.2} ms (n={long})", quantile(&slow, 0.95)),
        ],
    })
}

/// Polls until this task is in the history.
fn first_sight(reader: &Connection, name: &str) -> Result<SystemTime> {
    let mut query = reader.prepare("SELECT 1 FROM history WHERE taskname = ?1")?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if query.exists([name])? {
            return Ok(SystemTime::now());
        }
    }
    Err(format!("find the end of task {name} in the history: not within 30 s").into())
}

/// Returns the milliseconds between the stamp in this file and `seen`.
fn since(stamp: &Path, seen: SystemTime) -> Result<f64> {
    let bytes = fs::read(stamp).map_err(|cause| format!("read {}: {cause}", stamp.display()))?;
    let bytes = bytes.try_into().map_err(|_| format!("read {}: not eight bytes", stamp.display()))?;
    let ended = UNIX_EPOCH + Duration::from_nanos(u64::from_ne_bytes(bytes));
    Ok(ms(seen.duration_since(ended).map_err(|_| "read the wall clock: it was set back")?))
}

/// Measures two durable writes of the disk alone: the minimum for any program that records a start
/// and an end.
struct Disk {
    file: File,
    offset: u64,
}

impl Disk {
    const PAGE: [u8; 4096] = [0x55; 4096];
    const PAGES: u64 = 1024;

    /// A file that already has its size, like the WAL of a database in use.
    fn open(folder: &Path) -> Result<Disk> {
        let mut file = File::create(folder.join("file"))?;
        for _ in 0..Disk::PAGES {
            file.write_all(&Disk::PAGE)?;
        }
        file.sync_all()?;
        Ok(Disk { file, offset: 0 })
    }

    fn two_syncs(&mut self) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..2 {
            self.file.write_all_at(&Disk::PAGE, self.offset)?;
            self.file.sync_data()?;
            self.offset = (self.offset + 4096) % (Disk::PAGES * 4096);
        }
        Ok(start.elapsed())
    }
}

/// task-spooler with its own server, which the janitor ends.
struct Tsp {
    program: PathBuf,
    folder: PathBuf,
}

impl Tsp {
    fn start(folder: &Path, slots: usize) -> Result<Option<Tsp>> {
        let Some(program) = installed("tsp") else { return Ok(None) };
        let tsp = Tsp { program, folder: folder.to_owned() };
        time(tsp.command().args(["-S", &slots.to_string()]))?;
        Ok(Some(tsp))
    }

    fn command(&self) -> Command {
        let mut command = quiet(&self.program);
        command.env("TS_SOCKET", self.folder.join("socket")).env("TMPDIR", &self.folder).env("TS_MAXFINISHED", "10");
        command
    }

    /// Queues the command without storing output, and waits for its end.
    fn run(&self, argv: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("-nf").args(argv);
        command
    }
}

/// The two steps of nq: queue, and wait.
fn nq(folder: &Path) -> Option<(Command, Command)> {
    let program = installed("nq")?;
    let (mut queue, mut wait) = (quiet(&program), quiet(&program));
    queue.env("NQDIR", folder).args(["-c", "-q", "true"]);
    wait.env("NQDIR", folder).arg("-w");
    Some((queue, wait))
}

/// A service directory, in memory as usual, whose service is `true`. The commands "once" and "exit
/// when it is down" wait in the supervisor's pipe before it starts.
struct S6 {
    program: PathBuf,
    service: PathBuf,
    pipe: File,
}

impl S6 {
    fn prepare(memory: &Path) -> Result<Option<S6>> {
        let (Some(program), Some(command)) = (installed("s6-supervise"), installed("true")) else { return Ok(None) };
        let service = memory.join("service");
        fs::create_dir_all(&service).map_err(|cause| format!("create {}: {cause}", service.display()))?;
        std::os::unix::fs::symlink(command, service.join("run"))?;
        File::create(service.join("down"))?;
        // The first start creates its folders and the pipe.
        let control = service.join("supervise/control");
        let mut flock = Flock::default();
        flock.start(quiet(&program).arg(&service).stderr(Stdio::null()))?;
        wait_until(Duration::from_secs(5), "s6-supervise to start", || Ok(control.exists()))?;
        drop(flock);
        let pipe = OpenOptions::new().read(true).write(true).open(&control)?;
        Ok(Some(S6 { program, service, pipe }))
    }

    fn run(&mut self) -> Result<Duration> {
        self.pipe.write_all(b"ox")?;
        time(quiet(&self.program).arg(&self.service))
    }
}

/// The Python program of the same name, version 1.7: a reservation, then the launch. Its own sleeps
/// are included.
struct Ancestor {
    python: PathBuf,
    db: PathBuf,
}

impl Ancestor {
    fn prepare(folder: &Path) -> Result<Option<Ancestor>> {
        let Some(python) = env::var_os("TASKWATCHER17_PYTHON") else { return Ok(None) };
        let ancestor = Ancestor { python: python.into(), db: folder.join("sqlite.db") };
        time(ancestor.module("control").args(["database", "--initialize"]))?;
        Ok(Some(ancestor))
    }

    fn module(&self, name: &str) -> Command {
        let mut command = quiet(&self.python);
        command.args(["-m", &format!("taskwatcher.{name}"), "--db"]).arg(&self.db);
        command
    }

    fn run(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let answer =
            self.module("control").args(["task", "--reserve", "--taskname", "true"]).stdout(Stdio::piped()).output()?;
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        let id = answer.split_whitespace().find(|word| word.parse::<u64>().is_ok());
        let id = id.ok_or_else(|| format!("reserve a task of taskwatcher 1.7: it answered {answer:?}"))?;
        time(self.module("launch").args(["--taskid", id, "--name", "true", "--", "true"]))?;
        Ok(start.elapsed())
    }
}
