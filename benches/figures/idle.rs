//! Cost of a launcher while its command sleeps: memory and wake-ups.

use crate::Size;
use crate::report::{Result, Row};
use crate::workshop::{Flock, Workshop, installed, number, pids, quiet, wait_until};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for started processes to appear.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time without activity after which a process counts as idle.
const REST: Duration = Duration::from_secs(1);

/// Number of launchers, which share the program's text: with fewer, each would account for more of
/// it.
const COUNT: usize = 50;

/// Measures the proportional set size of launchers whose commands sleep.
pub fn memory(shop: &Workshop) -> Result<Row> {
    let db = shop.database("memory")?;
    let (mut launchers, mut timeouts) = (Flock::default(), Flock::default());
    for _ in 0..COUNT {
        launchers.start(shop.launch(&db).args(["--quiet", "--", "sleep", "1000"]))?;
    }
    if let Some(timeout) = installed("timeout") {
        for _ in 0..COUNT {
            timeouts.start(quiet(&timeout).args(["1000", "sleep", "1000"]))?;
        }
    }
    all_running(&db, COUNT as i64)?;
    // Helper processes of a launcher count as well.
    let mut pids = processes_of(&shop.launch, &shop.folder)?;
    pids.extend(launchers.pids());
    pids.sort_unstable();
    pids.dedup();
    at_rest(&pids)?;

    let own = pss(&pids)? as f64 / COUNT as f64;
    let private = private(&pids)? as f64 / COUNT as f64;
    let peer = match timeouts.pids() {
        none if none.is_empty() => "timeout(1): not installed".to_owned(),
        pids => format!("timeout(1) {:.0} kB", pss(&pids)? as f64 / COUNT as f64),
    };
    Ok(Row {
        work: "memory (PSS) per watched sleeping task",
        measured: format!("{own:.0} kB"),
        peers: vec![peer],
        target: "≤ 130 kB",
        holds: own <= 130.0,
        details: vec![format!(
            "{COUNT} tasks, {} launcher processes, {private:.0} kB private to each task",
            pids.len()
        )],
    })
}

/// Measures how often an idle launcher wakes up.
pub fn wakeups(shop: &Workshop, size: Size) -> Result<Row> {
    let (period, periods) = size.of((8, 2), (8, 1));
    let (db, feedback) = (shop.database("wakeups")?, shop.shelf("wakeups/feedback")?);
    let mut flock = Flock::default();
    let idle = flock.start(shop.launch(&db).args(["--quiet", "--", "sleep", "1000"]))?;
    let beating = flock.start(
        shop.launch(&db)
            .arg("--quiet")
            .arg("--feedpath")
            .arg(feedback)
            .args(["--timeout", &format!("{period}s"), "--"])
            .args([
                "sh",
                "-c",
                r#"while :; do echo "[progress]$((n = (n + 1) % 100))" >> "$TASKWATCHER_FEEDBACK"; sleep 1; done"#,
            ]),
    )?;
    all_running(&db, 2)?;
    at_rest(&[idle])?;

    let before = [switches(idle)?, switches(beating)?];
    let start = Instant::now();
    thread::sleep(Duration::from_secs(period * periods));
    let [idle, beating] = [switches(idle)? - before[0], switches(beating)? - before[1]];
    let watched = start.elapsed().as_secs_f64();
    all_running(&db, 2)?;

    let per_period = beating as f64 / (watched / period as f64);
    Ok(Row {
        work: "wake-ups of an idle launcher",
        measured: format!("{idle} without timeout; {per_period:.1} per timeout period"),
        peers: Vec::new(),
        target: "0; ≤ 4 per period",
        holds: idle == 0 && per_period <= 4.0,
        details: vec![format!("{watched:.0} s watched, timeout {period} s, one heartbeat a second")],
    })
}

/// Waits until the database has this number of running tasks.
fn all_running(db: &Path, count: i64) -> Result<()> {
    let query = "SELECT count(*) FROM tasks WHERE status = 'RUNNING'";
    wait_until(PATIENCE, &format!("{count} running tasks in {}", db.display()), || Ok(number(db, query)? == count))
}

/// Waits until none of these processes has run for a while.
pub fn at_rest(pids: &[u32]) -> Result<()> {
    let mut last = (0, Instant::now());
    wait_until(PATIENCE, "the launchers to come to rest", || {
        let now = pids.iter().map(|pid| switches(*pid)).sum::<Result<u64>>()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        Ok(last.1.elapsed() > REST)
    })
}

/// Returns the processes that run this program in this folder.
pub fn processes_of(program: &Path, folder: &Path) -> Result<Vec<u32>> {
    let runs_here = |pid: &i32| {
        let link = |name| fs::read_link(format!("/proc/{pid}/{name}"));
        link("exe").is_ok_and(|exe| exe == program) && link("cwd").is_ok_and(|place| place.starts_with(folder))
    };
    Ok(pids()?.into_iter().filter(runs_here).map(i32::cast_unsigned).collect())
}

/// Returns the sum of their proportional set sizes, in kB.
pub fn pss(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| sum_of(&format!("/proc/{pid}/smaps_rollup"), &["Pss:"])).sum()
}

/// Returns the sum of their private memory, in kB.
fn private(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| sum_of(&format!("/proc/{pid}/smaps_rollup"), &["Private_Clean:", "Private_Dirty:"])).sum()
}

/// Returns how often the threads of this process were switched off a processor, which equals how
/// often they were switched on.
pub fn switches(pid: u32) -> Result<u64> {
    let threads =
        fs::read_dir(format!("/proc/{pid}/task")).map_err(|cause| format!("watch launcher {pid}: {cause}"))?;
    let counters = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
    threads.map(|thread| sum_of(&thread?.path().join("status").to_string_lossy(), &counters)).sum()
}

/// Returns the sum of these fields of a file in /proc.
fn sum_of(path: &str, fields: &[&str]) -> Result<u64> {
    let text = fs::read_to_string(path).map_err(|cause| format!("read {path}: {cause}"))?;
    let mut sum = 0;
    for field in fields {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let value = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        sum += value.ok_or_else(|| format!("read {path}: no {field}"))?;
    }
    Ok(sum)
}
