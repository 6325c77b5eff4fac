//! Cost of logging the output of a command, and of reading the log.

use crate::Size;
use crate::report::{Result, Row, median, ms, quantile};
use crate::workshop::{Workshop, installed, number, quiet, repeat, time};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Bytes of a short line.
const SHORT: u64 = 40;

/// Measures `launch -- true` with its log, as a multiple of the same without.
pub fn start(shop: &Workshop, size: Size) -> Result<Row> {
    let (warm_up, rounds) = size.of((20, 1000), (5, 60));
    let (with, without) = (shop.database("start-logged")?, shop.database("start-unlogged")?);
    let mut logged = shop.launch(&with);
    logged.args(["--", "true"]);
    let mut bare = shop.launch(&without);
    bare.args(["--no-log", "--", "true"]);
    let (mut own, mut base) = (Vec::new(), Vec::new());
    for round in 0..warm_up + rounds {
        // Each goes first equally often.
        let (first, second) = if round % 2 == 0 { (&mut logged, &mut bare) } else { (&mut bare, &mut logged) };
        let took = [ms(time(first)?), ms(time(second)?)];
        if round >= warm_up {
            own.push(took[round % 2]);
            base.push(took[1 - round % 2]);
        }
    }
    let ended = number(&with, "SELECT count(*) FROM history WHERE log IS NOT NULL")?;
    if ended != (warm_up + rounds) as i64 {
        return Err(format!("find every run in {}: {ended} of {}", with.display(), warm_up + rounds).into());
    }
    let ratio = median(&own) / median(&base);
    let quartiles = |times: &[f64]| format!("{:.2} and {:.2}", quantile(times, 0.25), quantile(times, 0.75));
    Ok(Row {
        work: "`launch -- true` with its log",
        measured: format!("{ratio:.2} × without ({:.2} ms to {:.2} ms)", median(&own), median(&base)),
        peers: vec![],
        target: "≤ 1.15 ×",
        holds: ratio <= 1.15,
        details: vec![format!("quartiles {} to {}, n={}", quartiles(&own), quartiles(&base), own.len())],
    })
}

/// Folder for the output of the competitors; each run starts with empty files.
struct Track<'a> {
    shop: &'a Workshop,
    folder: std::path::PathBuf,
    lines: std::path::PathBuf,
    bytes: u64,
}

impl<'a> Track<'a> {
    fn new(shop: &'a Workshop, name: &str, bytes: u64) -> Result<Track<'a>> {
        let folder = shop.shelf(name)?;
        let lines = crate::workshop::compile(&folder, "lines", include_str!("../lines.c"))?;
        Ok(Track { shop, folder, lines, bytes })
    }

    fn out(&self) -> Result<File> {
        for name in ["FILE", "LOG"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
        Ok(File::create(self.folder.join("FILE"))?)
    }

    fn check(&self) -> Result<()> {
        let size = fs::metadata(self.folder.join("FILE"))?.len();
        if size == self.bytes { Ok(()) } else { Err(format!("pass {} bytes on: {size} arrived", self.bytes).into()) }
    }

    fn launch(&self, line: u64, options: &[&str]) -> Result<Duration> {
        let db = self.folder.join("tasks.db");
        let mut command = self.shop.launch(&db);
        command.args(options).arg("--").arg(&self.lines).args([self.bytes.to_string(), line.to_string()]);
        let took = time(command.stdout(self.out()?))?;
        self.check()?;
        // The logs have been written and read; the disk is for the next competitor.
        let _ = fs::remove_dir_all(self.folder.join("tasks.db.logs"));
        Ok(took)
    }

    fn bare(&self, line: u64) -> Result<Duration> {
        let mut command = quiet(&self.lines);
        let took = time(command.args([self.bytes.to_string(), line.to_string()]).stdout(self.out()?))?;
        self.check()?;
        Ok(took)
    }

    fn tee(&self, line: u64) -> Result<Duration> {
        let log = self.folder.join("LOG");
        let took = self.pipe(line, Command::new("tee").arg(log))?;
        self.check()?;
        Ok(took)
    }

    fn pipe(&self, line: u64, filter: &mut Command) -> Result<Duration> {
        let out = self.out()?;
        let start = std::time::Instant::now();
        let mut source = quiet(&self.lines);
        let mut source = source.args([self.bytes.to_string(), line.to_string()]).stdout(Stdio::piped()).spawn()?;
        let pipe = source.stdout.take().ok_or("no pipe")?;
        let status = filter.stdin(pipe).stdout(out).status()?;
        source.wait()?;
        if status.success() { Ok(start.elapsed()) } else { Err(format!("run {filter:?}: {status}").into()) }
    }
}

/// Measures a gigabyte of short lines.
pub fn lines(shop: &Workshop, size: Size) -> Result<Row> {
    let (megabytes, rounds) = size.of((1000, 5), (100, 3));
    let track = Track::new(shop, "lines", megabytes * 1_000_000 / SHORT * SHORT)?;
    let (mut own, mut tee) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(ms(track.launch(SHORT, &[])?));
        tee.push(ms(track.tee(SHORT)?));
    }
    let rate = |times: &[f64], bytes: u64| bytes as f64 / 1000.0 / median(times);
    let (own, tee) = (rate(&own, track.bytes), rate(&tee, track.bytes));
    let mut peers = vec![format!("`tee LOG > FILE` {tee:.0} MB/s")];
    let mut holds = own >= 0.5 * tee;
    match installed("ts") {
        Some(ts) => {
            // The whole amount would take minutes.
            let few = Track { bytes: 4_000_000, ..Track::new(shop, "lines-ts", 0)? };
            let slow = rate(&[ms(few.pipe(SHORT, &mut Command::new(ts))?)], few.bytes);
            peers.push(format!("moreutils ts {slow:.1} MB/s ({:.0} × slower)", own / slow));
            holds &= own >= 50.0 * slow;
        }
        None => peers.push("moreutils ts: not installed".into()),
    }
    Ok(Row {
        work: "1 GB of short lines through `launch` into a file, logged with times",
        measured: format!("{own:.0} MB/s, {:.2} × tee", own / tee),
        peers,
        target: "≥ 0.5 × tee, ≥ 50 × ts",
        holds,
        details: vec![format!("lines of {SHORT} bytes, {} MB, medians of {rounds}", track.bytes / 1_000_000)],
    })
}

/// Measures a gigabyte in one line, also without a log.
pub fn one_line(shop: &Workshop, size: Size) -> Result<Row> {
    let (megabytes, rounds) = size.of((1000, 5), (100, 3));
    let track = Track::new(shop, "one-line", megabytes * 1_000_000)?;
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        times[0].push(ms(track.launch(0, &[])?));
        times[1].push(ms(track.tee(0)?));
        times[2].push(ms(track.launch(0, &["--no-log"])?));
        times[3].push(ms(track.bare(0)?));
    }
    let [own, tee, unlogged, bare] = times.map(|times| track.bytes as f64 / 1000.0 / median(&times));
    Ok(Row {
        work: "1 GB in one line, logged; and with `--no-log`",
        measured: format!(
            "{own:.0} MB/s, {:.2} × tee; {unlogged:.0} MB/s, {:.2} × the bare command",
            own / tee,
            unlogged / bare
        ),
        peers: vec![format!("tee {tee:.0} MB/s; the bare command {bare:.0} MB/s")],
        target: "≥ 0.5 × tee; = bare (within 10 %)",
        holds: own >= 0.5 * tee && unlogged >= 0.9 * bare,
        details: vec![],
    })
}

/// Measures the last lines of a large log.
pub fn tail(shop: &Workshop, size: Size) -> Result<Row> {
    let runs = size.of(201, 21);
    let track = Track::new(shop, "tail", 41_000_000)?;
    let db = track.folder.join("tasks.db");
    let mut command = shop.launch(&db);
    time(command.arg("--").arg(&track.lines).args([track.bytes.to_string(), SHORT.to_string()]))?;
    let bytes = log_bytes(&track.folder.join("tasks.db.logs"))?;
    let mut control = shop.control(&db);
    control.args(["log", "1", "--tail", "20"]);
    let output = control.stdout(Stdio::piped()).output()?;
    if output.stdout.iter().filter(|byte| **byte == b'\n').count() != 20 {
        return Err("print 20 lines".into());
    }
    let own = median(&repeat(control.stdout(Stdio::null()), runs)?);
    let mut version = quiet(&shop.control);
    let nothing = median(&repeat(version.arg("--version"), runs)?);
    Ok(Row {
        work: "`control log --tail 20` of a 64 MB log",
        measured: format!("{own:.1} ms"),
        peers: vec![format!("`control --version` {nothing:.1} ms")],
        target: "≤ 5 ms",
        holds: own <= 5.0,
        details: vec![format!("the log has {:.1} MB", bytes as f64 / 1e6)],
    })
}

fn log_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for inner in fs::read_dir(folder)? {
        for file in fs::read_dir(inner?.path())? {
            bytes += file?.metadata()?.len();
        }
    }
    Ok(bytes)
}
