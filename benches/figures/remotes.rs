//! Cost of storing and listing millions of tasks of other hosts.

use crate::Size;
use crate::report::{Result, Row, median, ms};
use crate::workshop::{Workshop, quiet, repeat};
use rusqlite::{Connection, params};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use taskwatcher::io::store::{Batch, LockTimeout, Store};
use taskwatcher::model::query::{Filter, StartQuery};
use taskwatcher::model::remote::{More, RemoteEnd, RemoteRun, Source};
use taskwatcher::model::task::{Class, Outcome};
use taskwatcher::model::upid::Upid;

const REMOTES: i64 = 100;
const NODES: i64 = 10;
/// Seven days, up to some time in November 2026.
const SPAN: i64 = 7 * 86_400;
const NOW: i64 = 1_795_500_000;
const RUNNING: i64 = 200;
const PAGE: usize = 500;
/// Pages changed by 1,000 tasks that arrive days late: one page each, and some that overflow.
const LATE_PAGES: u64 = 1_200;
/// Bytes of a database page.
const PAGE_BYTES: u64 = 4_096;
/// The user of the queries, some of whose tasks fail.
const USER: &str = "backup@pbs!nightly";

/// Pseudorandom numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as i64 % limit
    }
}

/// Makes a realistic task: a few types make up most, a few users start most, one in 25 fails, for
/// few reasons.
fn task(dice: &mut Dice, remote: i64, start: i64) -> RemoteEnd {
    let node = remote * NODES + dice.below(NODES);
    let guest = 100 + dice.below(400);
    let (kind, id) = match dice.below(20) {
        0..5 => ("vzdump", guest.to_string()),
        5..8 => ("qmstart", guest.to_string()),
        8..10 => ("qmshutdown", guest.to_string()),
        10..12 => ("vncproxy", guest.to_string()),
        12 => ("qmigrate", guest.to_string()),
        13 => ("vzstart", guest.to_string()),
        14 => ("qmsnapshot", guest.to_string()),
        15 => ("aptupdate", String::new()),
        16 => ("startall", String::new()),
        17 => ("srvreload", "networking".to_owned()),
        _ => ("imgcopy", format!("local-zfs-{}", dice.below(4))),
    };
    let user = match dice.below(100) {
        0..60 => "root@pam".to_owned(),
        60..62 => USER.to_owned(),
        62..80 => "root@pam!automation".to_owned(),
        other => format!("user{}@corp", other + dice.below(3) * 20),
    };
    let took = match dice.below(10) {
        0..6 => dice.below(20),
        6..9 => dice.below(600),
        _ => dice.below(7_200),
    };
    let outcome = match dice.below(200) {
        0..2 => Outcome::Warnings(1 + dice.below(4).unsigned_abs()),
        2..6 => Outcome::Error("job errors".to_owned()),
        6..8 => Outcome::Error(format!("command '/usr/bin/qm start {guest}' failed: exit code {}", 1 + dice.below(2))),
        8 => Outcome::Error("migration aborted".to_owned()),
        9 => Outcome::Error(format!("unable to connect to 10.0.{}.{}:8007", dice.below(250), dice.below(250))),
        _ => Outcome::Ok,
    };
    // Nodes were booted some weeks ago; a task's process starts within the same second.
    let booted = NOW - SPAN - (node % 40 + 1) * 86_400 - node * 97;
    let pstart = (start - booted) * 100 + dice.below(100);
    let pid = 1_000 + dice.below(4_000_000);
    let text = format!("UPID:pve-{node:03}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:{user}:");
    match text.parse::<Upid>() {
        Ok(upid) => RemoteEnd { upid, endtime: start + took, outcome, more: More::default() },
        Err(error) => unreachable!("{text}: {error}"),
    }
}

fn query() -> StartQuery {
    StartQuery {
        filter: Filter::default(),
        remote: None,
        node: None,
        kind: None,
        limit: PAGE,
        after: None,
        offset: 0,
        reverse: false,
    }
}

/// The same tasks in a table of texts.
struct Plain(Connection);

impl Plain {
    fn open(path: &Path) -> Result<Plain> {
        let db = Connection::open(path)?;
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE tasks (remote TEXT, upid TEXT, node TEXT, type TEXT, id TEXT, user TEXT, starttime INTEGER,
                                 endtime INTEGER, status TEXT, PRIMARY KEY (remote, upid));
             CREATE INDEX by_start ON tasks (starttime);",
        )?;
        Ok(Plain(db))
    }

    fn add(&mut self, remote: i64, tasks: &[RemoteEnd]) -> Result<()> {
        let tx = self.0.transaction()?;
        {
            let sql = "INSERT OR REPLACE INTO tasks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let mut insert = tx.prepare(sql)?;
            for task in tasks {
                let upid = &task.upid;
                insert.execute(params![
                    format!("remote-{remote}"),
                    upid.as_str(),
                    upid.node(),
                    upid.worker_type(),
                    upid.raw_id(),
                    upid.user(),
                    upid.starttime,
                    task.endtime,
                    task.outcome.to_string()
                ])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    fn page(&self, which: &str, offset: usize) -> Result<usize> {
        let sql = format!("SELECT * FROM tasks {which} ORDER BY starttime DESC LIMIT {PAGE} OFFSET {offset}");
        let mut statement = self.0.prepare(&sql)?;
        let rows = statement.query_map([], |row| {
            let text = |index| row.get::<_, String>(index);
            Ok((text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, text(5)?, row.get::<_, i64>(6)?, text(8)?))
        })?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.len())
    }
}

/// Returns the median of this number of calls, in microseconds; each must return this number of
/// rows.
fn timed(runs: usize, rows: Option<usize>, mut call: impl FnMut() -> Result<usize>) -> Result<f64> {
    let mut times = vec![];
    for _ in 0..runs {
        let begin = Instant::now();
        let found = call()?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        if rows.is_some_and(|rows| rows != found) {
            return Err(format!("read {found} rows, not {rows:?}").into());
        }
    }
    Ok(median(&times))
}

/// Fills both databases.
fn fill(folder: &Path, tasks: i64) -> Result<(PathBuf, Store, Vec<i64>, Plain)> {
    let (db, texts) = (folder.join("remotes.db"), folder.join("texts.db"));
    let mut store = Store::open_or_create(&db, LockTimeout::USUAL)?;
    let mut plain = Plain::open(&texts)?;
    for remote in 0..REMOTES {
        let source = Source::Ssh { host: format!("host-{remote}"), db: None };
        store.add_remote(&format!("remote-{remote}"), &source)?;
    }
    let mut remotes = store.remotes()?;
    remotes.sort_by_key(|remote| remote.id);
    let ids: Vec<i64> = remotes.iter().map(|remote| remote.id).collect();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let rounds = SPAN / 7_200;
    for round in 0..rounds {
        for (remote, id) in (0..).zip(&ids) {
            let count = tasks * (round * REMOTES + remote + 1) / (rounds * REMOTES)
                - tasks * (round * REMOTES + remote) / (rounds * REMOTES);
            let begin = NOW - SPAN + round * 7_200;
            let ended: Vec<RemoteEnd> =
                (0..count).map(|n| task(&mut dice, remote, begin + n * 7_200 / count)).collect();
            plain.add(remote, &ended)?;
            store.add_remote_tasks(*id, &Batch { ended, now: NOW, ..Batch::default() })?;
        }
    }
    for (number, id) in (0..RUNNING).zip(ids.iter().cycle()) {
        let end = task(&mut dice, number % REMOTES, NOW - number);
        let detail = format!(
            "{{\"name\":\"{}\",\"status\":\"RUNNING\",\"user\":\"{}\",\"progress\":40}}",
            end.upid.worker_type(),
            end.upid.user()
        );
        let run = RemoteRun { upid: end.upid.clone().into(), start: end.upid.starttime, detail };
        store.add_remote_tasks(*id, &Batch { running: vec![run], now: NOW, ..Batch::default() })?;
    }
    Ok((db, store, ids, plain))
}

/// Returns the time of the disk alone for a late batch, in milliseconds: this number of pages is
/// read at random from one file, written sequentially to another, each with a header as in the WAL,
/// and flushed once.
fn bare_pages(db: &Path, to: &Path, pages: u64, dice: &mut Dice) -> Result<f64> {
    let from = File::open(db)?;
    let there = i64::try_from(from.metadata()?.len() / PAGE_BYTES)?;
    let to = OpenOptions::new().create(true).truncate(false).write(true).open(to)?;
    let (head, mut page) = ([1u8; 24], vec![0u8; usize::try_from(PAGE_BYTES)?]);
    let begin = Instant::now();
    for number in 0..pages {
        from.read_exact_at(&mut page, dice.below(there).unsigned_abs() * PAGE_BYTES)?;
        let at = number * (PAGE_BYTES + 24);
        to.write_all_at(&head, at)?;
        to.write_all_at(&page, at + 24)?;
    }
    to.sync_data()?;
    Ok(ms(begin.elapsed()))
}

/// Returns the longest and the median time of reading a page, in milliseconds, until `done` returns
/// true.
fn waits(db: &Path, mut done: impl FnMut(usize) -> bool) -> Result<(f64, f64)> {
    let store = Store::open(db, LockTimeout::USUAL)?;
    let far = StartQuery { offset: 10_000, ..query() };
    let mut times = vec![];
    while !done(times.len()) {
        for query in [&query(), &far] {
            let begin = Instant::now();
            store.page_by_start(query)?;
            times.push(ms(begin.elapsed()));
        }
    }
    Ok((times.iter().copied().fold(0.0, f64::max), median(&times)))
}

/// Measures these times without other processes, and during a sync that adds and removes 5,000
/// tasks this number of times.
fn waits_beside_a_sync(db: &Path, ids: &[i64], times: i64) -> Result<[(f64, f64); 2]> {
    let idle = waits(db, |reads| reads >= 1_000)?;
    let over = AtomicBool::new(false);
    let sync = || -> Result<()> {
        let mut store = Store::open(db, LockTimeout::USUAL)?;
        let keep = u64::try_from(store.remote_sizes()?.values().sum::<i64>())?;
        let mut dice = Dice(0x0123_4567_89AB_CDEF);
        for (round, id) in (0..times).zip(ids.iter().cycle()) {
            // Half of them new, half of them late by up to three days.
            let start = |n: i64| if n % 2 == 0 { NOW + round * 900 + n / 10 } else { NOW - n * 3 * 86_400 / 5_000 };
            let ended = (0..5_000).map(|n| task(&mut dice, round % REMOTES, start(n))).collect();
            store.add_remote_tasks(*id, &Batch { ended, now: NOW, ..Batch::default() })?;
            store.checkpoint()?;
            store.forget_remote_tasks(None, Some(keep))?;
        }
        Ok(())
    };
    let (synced, busy) = std::thread::scope(|scope| {
        let sync = scope.spawn(|| {
            let synced = sync();
            over.store(true, Ordering::Release);
            synced
        });
        let busy = waits(db, |_| over.load(Ordering::Acquire));
        (sync.join(), busy)
    });
    synced.map_err(|_| "the sync beside the reader panicked")??;
    Ok([idle, busy?])
}

fn megabytes(db: &Path) -> Result<f64> {
    let connection = Connection::open(db)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(fs::metadata(db)?.len() as f64 / 1e6)
}

/// Measures all figures of tasks of other hosts.
pub fn all(shop: &Workshop, size: Size) -> Result<Vec<Row>> {
    let (tasks, runs, few) = size.of((1_500_000, 301, 31), (30_000, 11, 5));
    let deep = usize::try_from(tasks / 3 * 2)?;
    let folder = shop.shelf("remotes")?;
    let begin = Instant::now();
    let (db, mut store, ids, mut plain) = fill(&folder, tasks)?;
    let filled = begin.elapsed();
    let (size_own, size_texts) = (megabytes(&db)?, megabytes(&folder.join("texts.db"))?);
    let mut rows = vec![];
    let mut row = |work, own: f64, unit: &str, peer: Option<f64>, target, limit: f64| {
        let show = |value: f64| if unit == "µs" { format!("{value:.0} µs") } else { format!("{value:.1} {unit}") };
        rows.push(Row {
            work,
            measured: show(own),
            peers: peer.map(|peer| format!("table of texts {}", show(peer))).into_iter().collect(),
            target,
            holds: own <= limit,
            details: vec![],
        });
    };

    let active = timed(runs, Some(RUNNING as usize), || Ok(store.remote_active(None)?.len()))?;
    row("200 running tasks of other hosts", active, "µs", None, "≤ 100 µs", 100.0);
    let page = |store: &Store, query: &StartQuery| -> Result<usize> { Ok(store.page_by_start(query)?.rows.len()) };
    let first = timed(runs, Some(PAGE), || page(&store, &query()))?;
    let texts = timed(runs, Some(PAGE), || plain.page("", 0))?;
    row("500 of 1,500,000 tasks of other hosts at offset 0", first, "µs", Some(texts), "≤ 250 µs", 250.0);
    let far = StartQuery { offset: deep as u64, ..query() };
    let at_depth = timed(runs, Some(PAGE), || page(&store, &far))?;
    let texts = timed(few, Some(PAGE), || plain.page("", deep))?;
    row("the same at offset 1,000,000", at_depth, "µs", Some(texts), "≤ 400 µs", 400.0);

    let day = NOW - 86_400;
    let filter =
        Filter { results: vec![Class::Error], user: Some(USER.to_owned()), since: Some(day), ..Filter::default() };
    let failed = StartQuery { filter, ..query() };
    let found = page(&store, &failed)?;
    let own = timed(runs, Some(found), || page(&store, &failed))?;
    let which = format!(
        "WHERE user = '{}' AND status LIKE 'ERROR%' AND starttime >= {day}",
        USER.split('!').next().unwrap_or(USER)
    );
    let texts = timed(few, None, || plain.page(&which, 0))?;
    row("the failed ones of one user in the last 24 h, 500 at the most", own, "µs", Some(texts), "≤ 150 µs", 150.0);

    let mut dice = Dice(0xDEAD_BEEF_1234_5678);
    let (mut fresh, mut late, mut after, mut texts_fresh) = (vec![], vec![], vec![], vec![]);
    let (mut texts_late, mut bare, mut places) = (vec![], vec![], Dice(0xBA5E_1E55_0000_0001));
    for round in 0..few as i64 {
        let remote = round % REMOTES;
        let id = ids[remote as usize];
        let mut batch = |from: i64, span: i64, count: i64| {
            let ended = (0..count).map(|n| task(&mut dice, remote, from + n * span / count)).collect();
            Batch { ended, now: NOW, ..Batch::default() }
        };
        let new = batch(NOW + round * 900, 400, 1_000);
        let begin = Instant::now();
        let added = store.add_remote_tasks(id, &new)?;
        fresh.push(ms(begin.elapsed()));
        if added.new != 1_000 {
            return Err(format!("add 1,000 tasks: {} were new", added.new).into());
        }
        let begin = Instant::now();
        plain.add(remote, &new.ended)?;
        texts_fresh.push(ms(begin.elapsed()));
        let old = batch(NOW - SPAN + round * 3_600, 3 * 86_400, 1_000);
        let begin = Instant::now();
        store.add_remote_tasks(id, &old)?;
        late.push(ms(begin.elapsed()));
        let begin = Instant::now();
        plain.add(remote, &old.ended)?;
        texts_late.push(ms(begin.elapsed()));
        bare.push(bare_pages(&db, &folder.join("bare"), LATE_PAGES, &mut places)?);
        // As in a sync while no other process waits.
        store.checkpoint()?;
        store.add_remote_tasks(id, &batch(NOW + round * 900 + 400, 400, 2_000))?;
        let begin = Instant::now();
        page(&store, &query())?;
        after.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    row("500 at offset 0 just after 2,000 were added", median(&after), "µs", None, "≤ 300 µs", 300.0);
    row("add 1,000 that ended just now, durable", median(&fresh), "ms", Some(median(&texts_fresh)), "≤ 5 ms", 5.0);
    row("add 1,000 that come days late, durable", median(&late), "ms", Some(median(&texts_late)), "≤ 12 ms", 12.0);
    let [(idle, _), (longest, middle)] = waits_beside_a_sync(&db, &ids, if few > 5 { 60 } else { 4 })?;
    row("the longest wait for a page while a sync adds and forgets", longest, "ms", None, "≤ 50 ms", 50.0);

    let offset = deep.to_string();
    let args = ["history", "--all-remotes", "--limit", "500", "--jsonl", "--offset", &offset];
    let mut command = quiet(&shop.control);
    command.arg("--db").arg(&db).args(args).stderr(Stdio::null());
    let printed = command.stdout(Stdio::piped()).output()?.stdout;
    if printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() != PAGE {
        return Err("control history did not print 500 rows".into());
    }
    let own = median(&repeat(command.stdout(Stdio::null()), few)?);
    row("a fresh process that prints 500 at offset 1,000,000", own, "ms", None, "≤ 5 ms", 5.0);
    row("1,500,000 tasks on the disk", size_own, "MB", Some(size_texts), "≤ 52 MB", 52.0 * size.of(1.0, 0.1));
    if let Some(last) = rows.last_mut() {
        last.details = vec![
            format!("{found} failed tasks of that user"),
            format!(
                "1,000 late tasks change some {LATE_PAGES} pages; reading as many scattered pages without a \
                 database, and writing and flushing them, took {:.1} ms",
                median(&bare)
            ),
            format!(
                "a page beside a sync took {middle:.1} ms as a rule; the longest wait without a sync was {idle:.1} ms"
            ),
            format!("{tasks} tasks of {REMOTES} remotes were added to both databases in {:.0} s", filled.as_secs_f64()),
        ];
    }
    Ok(rows)
}
