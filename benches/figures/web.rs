//! Cost of the web page: time and size of a page, and the load of two hundred viewers.

use crate::Size;
use crate::idle::at_rest;
use crate::listings::long_history;
use crate::report::{Result, Row, median, ms, quantile};
use crate::supervise::{head, nanoseconds};
use crate::workshop::{Flock, Workshop, number, quiet, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a result.
const PATIENCE: Duration = Duration::from_secs(60);

/// A response of a server.
struct Answer {
    took: f64,
    body: Vec<u8>,
}

/// Reads a page from a socket to the last byte, on its own connection.
fn get(socket: &Path, path: &str) -> Result<Answer> {
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    let took = ms(start.elapsed());
    let head =
        answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("read an answer: it has no end of its head")?;
    let first = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    if !first.starts_with("HTTP/1.1 200") {
        return Err(format!("get {path}: {first}").into());
    }
    Ok(Answer { took, body: answer.split_off(head + 4) })
}

/// Makes a configuration of this number of programs that sleep.
fn programs(count: usize, folder: &Path, socket: &Path, more: &str) -> String {
    let mut text = head(folder, socket);
    for number in 0..count {
        text += &format!("[programs.program{number:03}]\n{more}startsecs = 0\n");
    }
    text
}

/// Starts a supervisor with these programs, and waits until all run.
fn supervise(shop: &Workshop, flock: &mut Flock, name: &str, count: usize, more: &str) -> Result<(u32, PathBuf)> {
    // The path of a socket must be short, and a path on the disk may be long.
    fs::create_dir_all(&shop.memory)?;
    let folder = shop.shelf(&format!("web-{name}"))?;
    let (file, socket) = (folder.join("taskmaster.conf.toml"), shop.memory.join(format!("{name}.sock")));
    fs::write(&file, programs(count, &folder, &socket, more))?;
    let pid = flock.start(quiet(&shop.supervise).arg("-n").arg("-c").arg(&file).current_dir(&folder))?;
    let db = folder.join("tasks.db");
    wait_until(PATIENCE, "the programs to run", || {
        let all = i64::try_from(count)?;
        Ok(db.exists() && number(&db, "SELECT count(*) FROM tasks WHERE pid IS NOT NULL")? == all)
    })?;
    Ok((pid, socket))
}

/// Measures all figures of the page.
pub fn all(shop: &Workshop, size: Size) -> Result<Vec<Row>> {
    let mut flock = Flock::default();
    let history = history(shop, &mut flock, size)?;
    let [programs, weight] = programs_page(shop, &mut flock, size)?;
    let live = live(shop, &mut flock, size)?;
    Ok(vec![history, programs, weight, live])
}

/// Measures pages of a long history: the newest one, and distant ones.
fn history(shop: &Workshop, flock: &mut Flock, size: Size) -> Result<Row> {
    let (rows, runs) = size.of((1_000_000, 25), (100_000, 5));
    let db = long_history(shop, rows)?;
    fs::create_dir_all(&shop.memory)?;
    let socket = shop.memory.join("history.sock");
    let folder = shop.shelf("web-history")?;
    flock.start(
        quiet(&shop.supervise).args(["web", "--db"]).arg(&db).arg("--socket").arg(&socket).current_dir(&folder),
    )?;
    wait_until(PATIENCE, "the server of the page", || Ok(UnixStream::connect(&socket).is_ok()))?;
    let cursor = |share: i64| -> Result<String> {
        let newest = number(&db, "SELECT max(endtime) FROM history")?;
        let oldest = number(&db, "SELECT min(endtime) FROM history")?;
        let end = newest - (newest - oldest) * share / 100;
        let id = number(
            &db,
            &format!("SELECT id FROM history WHERE endtime <= {end} ORDER BY endtime DESC, id DESC LIMIT 1"),
        )?;
        let end = number(&db, &format!("SELECT endtime FROM history WHERE id = {id}"))?;
        Ok(format!("{end}.{id}"))
    };
    let mut pages = vec![
        ("newest".to_owned(), "/history?limit=50".to_owned()),
        ("middle".to_owned(), format!("/history?limit=50&after={}", cursor(50)?)),
        ("oldest".to_owned(), format!("/history?limit=50&after={}", cursor(99)?)),
        ("failed ones".to_owned(), "/history?limit=50&outcome=error".to_owned()),
        ("of one name".to_owned(), "/history?limit=50&name=job-007".to_owned()),
        ("500 of them".to_owned(), "/history?limit=500".to_owned()),
        ("running ones".to_owned(), "/tasks".to_owned()),
    ];
    let mut details = vec![format!("{rows} rows")];
    let mut worst: (f64, String) = (0.0, String::new());
    let mut shown = vec![];
    for (name, path) in pages.drain(..) {
        let mut times = vec![];
        let mut weight = 0;
        for round in 0..=runs {
            let answer = get(&socket, &path)?;
            weight = answer.body.len();
            if round > 0 {
                times.push(answer.took);
            }
        }
        let middle = median(&times);
        if middle > worst.0 {
            worst = (middle, name.clone());
        }
        details.push(format!("{name}: {middle:.1} ms, {:.0} kB", weight as f64 / 1000.0));
        shown.push(middle);
    }
    Ok(Row {
        work: "a page of 50 of 1,000,000 ended tasks in the browser, server and connection",
        measured: format!(
            "{:.1} ms newest, {:.1} middle, {:.1} oldest; slowest {:.1} ({})",
            shown[0], shown[1], shown[2], worst.0, worst.1
        ),
        peers: vec![],
        target: "≤ 20 ms at any page",
        holds: worst.0 <= 20.0,
        details,
    })
}

/// Measures the page of a hundred programs, and what a browser loads for it.
fn programs_page(shop: &Workshop, flock: &mut Flock, size: Size) -> Result<[Row; 2]> {
    let runs = size.of(25, 5);
    let (_, socket) = supervise(shop, flock, "programs", 100, "command = 'sleep'\nargs = ['1000']\n")?;
    let mut times = vec![];
    for _ in 0..runs {
        times.push(get(&socket, "/")?.took);
    }
    let page = get(&socket, "/")?.body.len();
    let rest = get(&socket, "/style.css")?.body.len() + get(&socket, "/live.js")?.body.len();
    let small = get(&socket, "/tasks")?.body.len();
    let own = median(&times);
    let kilo = |bytes: usize| bytes as f64 / 1000.0;
    let programs = Row {
        work: "the page of 100 programs, server and connection",
        measured: format!("{own:.1} ms"),
        peers: vec![],
        target: "≤ 10 ms",
        holds: own <= 10.0,
        details: vec![format!(
            "quartiles {:.1} and {:.1} ms, n={}; {:.0} kB, and {:.0} kB of 100 running tasks",
            quantile(&times, 0.25),
            quantile(&times, 0.75),
            times.len(),
            kilo(page),
            kilo(small)
        )],
    };
    let (_, socket) = supervise(shop, flock, "few", 10, "command = 'sleep'\nargs = ['1000']\n")?;
    let few = get(&socket, "/")?.body.len();
    let weight = Row {
        work: "weight of the page of 10 programs, with its style and script, not compressed",
        measured: format!("{:.0} kB", kilo(few + rest)),
        peers: vec![],
        target: "≤ 60 kB",
        holds: few + rest <= 60_000,
        details: vec![format!("style and script {:.0} kB, kept by the browser", kilo(rest))],
    };
    Ok([programs, weight])
}

/// Measures two hundred live pages of fifty running tasks.
fn live(shop: &Workshop, flock: &mut Flock, size: Size) -> Result<Row> {
    let (count, tasks) = (200, 50);
    let beats = r#"while :; do n=$(( (n + 1) % 100 )); echo "[progress]$n" >> "$TASKWATCHER_FEEDBACK"; sleep 1; done"#;
    let more = format!("command = 'sh'\nargs = ['-c', '''{beats}''']\ntimeout = 60\n");
    let (pid, socket) = supervise(shop, flock, "live", tasks, &more)?;
    let mut watchers = vec![];
    for number in 0..count {
        let page = if number % 2 == 0 { "tasks" } else { "programs" };
        let mut stream = UnixStream::connect(&socket)?;
        let request =
            format!("GET /events?only={page} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        watchers.push(stream);
    }
    // Reads the events, as a browser would.
    let mut read = |seconds: u64| -> Result<u64> {
        let (mut bytes, end) = (0, Instant::now() + Duration::from_secs(seconds));
        let mut buffer = vec![0; 1 << 16];
        while Instant::now() < end {
            for watcher in &mut watchers {
                loop {
                    match watcher.read(&mut buffer) {
                        Ok(0) => return Err("watch a live page: it was closed".into()),
                        Ok(count) => bytes += count as u64,
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(bytes)
    };
    read(3)?;
    let seconds = size.of(20, 3);
    let (before, start) = (nanoseconds(pid)?, Instant::now());
    let bytes = read(seconds)?;
    let spent = (nanoseconds(pid)? - before) as f64 / start.elapsed().as_nanos() as f64 * 100.0;
    if bytes == 0 {
        return Err("watch live pages: nothing came".into());
    }
    drop(watchers);
    at_rest(&[pid])?;
    Ok(Row {
        work: "200 live pages open with 50 running tasks: the supervisor's share of a processor",
        measured: format!("{spent:.1} %"),
        peers: vec![],
        target: "< 5 %",
        holds: spent < 5.0,
        details: vec![format!(
            "{seconds} s, {:.0} kB/s sent to {count} pages, half of them of tasks and half of programs",
            bytes as f64 / 1000.0 / seconds as f64
        )],
    })
}
