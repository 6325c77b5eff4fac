//! Cost of listings: many live tasks, and a page of a long history at any depth.
//!
//! Such a database is made by running a few real tasks and copying their rows: whatever columns the
//! schema has, they contain what the programs wrote, and only the values that must differ between
//! rows are generated here.

use crate::Size;
use crate::report::{Result, Row, median};
use crate::workshop::{Flock, Workshop, compile, number, quiet, reader, repeat, time, wait_until};
use chrono::TimeZone;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use taskwatcher::io::spool::Spool;

/// Name of every other task of the history, which never fails: a job that runs each minute.
const FREQUENT: &str = "every-minute";
/// Number of names that the other tasks share,
const NAMES: i64 = 200;
/// one of these names,
const COMMON: &str = "job-007";
/// and a name that hardly ever occurs.
const RARE: &str = "yearly-inventory";
/// Length of the history, seconds.
const SPAN: i64 = 365 * DAY;
const DAY: i64 = 86_400;
/// Slot of the spool held by the first substitute for a launcher, beyond those of real tasks.
const FIRST_SLOT: i64 = 1000;

/// Measures `control list` of many live rows, as a table and as JSON.
pub fn list(shop: &Workshop, size: Size) -> Result<Row> {
    let (live, runs) = size.of((10_000, 15), (10_000, 3));
    let db = shop.database("list")?;
    let mut flock = Flock::default();
    let launcher = i64::from(flock.start(shop.launch(&db).args(["--quiet", "--", "sleep", "1000"]))?);
    wait_until(Duration::from_secs(30), "the task to run", || {
        Ok(number(&db, "SELECT count(*) FROM tasks WHERE status = 'RUNNING'")? == 1)
    })?;
    let launcher_pstart = pstart(launcher).ok_or("find the start time of the launcher")?;
    let connection = writer(&db)?;
    let stand_ins = crowd(shop, &connection, &db, live - 1)?;

    let (template, upid): (i64, String) =
        connection.query_row("SELECT id, upid FROM tasks", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of_crowd = |column| format!("(SELECT {column} FROM temp.crowd WHERE number = counter.n % {})", stand_ins.count);
    let (pid, pstart) = (of_crowd("pid"), of_crowd("pstart"));
    let count = stand_ins.count;
    // UPID:node:pid:pstart:starttime:type:id:user:
    let fields: Vec<_> = upid.split(':').map(|field| field.replace('%', "%%").replace('\'', "''")).collect();
    let &[_, node, _, _, start, _, _, user, _] = &*fields.iter().map(String::as_str).collect::<Vec<_>>() else {
        return Err(format!("read the UPID of the task to copy: {upid}").into());
    };
    let made_up = |column: &str| match column {
        "id" => Some(format!("{template} + n")),
        "name" => Some("printf('job-%05d', n)".to_owned()),
        "handle" => Some(handle()),
        "slot" => Some(format!("{FIRST_SLOT} + n % {count}")),
        "upid" => Some(format!(
            "printf('UPID:{node}:%08X:%08X:{start}:job-%05d:%d:{user}:', {pid}, {pstart}, n, {template} + n)"
        )),
        // Columns that name the launcher get another one.
        other if holds(&connection, other, launcher) => Some(pid.clone()),
        other if holds(&connection, other, launcher_pstart) => Some(pstart.clone()),
        _ => None,
    };
    copy_rows(&connection, "tasks", "tasks", &format!("t.id = {template}"), 1..=live - 1, made_up)?;
    drop(connection);

    let output = shop.folder.join("list.txt");
    let mut times = Vec::new();
    for option in [None, Some("--json")] {
        let mut command = shop.control(&db);
        command.arg("list").args(option).stdout(File::create(&output)?);
        times.push(median(&repeat(&mut command, runs)?));
        // Once more, to verify that everything was printed.
        let text = printed(&mut command)?;
        let rows = match option {
            None => text.lines().filter(|line| line.contains("job-")).count() as i64,
            Some(_) => serde_json::from_str::<Vec<Value>>(&text)?.len() as i64 - 1,
        };
        if rows != live - 1 {
            return Err(format!("list {live} tasks: {rows} and the first were printed").into());
        }
    }
    let alive = number(&db, "SELECT count(*) FROM tasks")?;
    if alive != live {
        return Err(format!("list {live} tasks: {alive} are left").into());
    }
    let bare = floor(&db, "SELECT * FROM tasks", runs)?;
    let (table, json) = (times[0], times[1]);
    Ok(Row {
        work: "`control list`, 10,000 live rows",
        measured: format!("{table:.0} ms; --json {json:.0} ms"),
        peers: vec![format!("SQLite alone reads them in {bare:.0} ms")],
        target: "≤ 60 ms",
        holds: table <= 60.0 && json <= 60.0,
        details: vec![format!("{live} rows with {} live launchers", stand_ins.count + 1)],
    })
}

/// Processes that act as launchers.
struct Crowd {
    count: i64,
    /// Their parent, with which they end.
    _parent: Flock,
}

/// Starts this number of processes, or as many as the system permits, and writes them into the
/// table `temp.crowd`.
fn crowd(shop: &Workshop, connection: &Connection, db: &Path, wanted: i64) -> Result<Crowd> {
    let program = compile(&shop.folder, "crowd", include_str!("../crowd.c"))?;
    let spool = Spool::path(db);
    let mut parent = Flock::default();
    let (reading, writing) = std::io::pipe()?;
    parent.start(quiet(program).arg(wanted.to_string()).arg(&spool).arg(FIRST_SLOT.to_string()).stdout(writing))?;
    let pids = std::io::read_to_string(reading)?;
    connection.execute_batch("CREATE TEMP TABLE crowd (number INTEGER PRIMARY KEY, pid, pstart)")?;
    let mut add = connection.prepare("INSERT INTO temp.crowd VALUES (?1, ?2, ?3)")?;
    let mut count = 0;
    for pid in pids.lines() {
        let pid: i64 = pid.parse()?;
        add.execute([count, pid, pstart(pid).ok_or_else(|| format!("find the start time of process {pid}"))?])?;
        count += 1;
    }
    if count == 0 {
        return Err("start processes that stand for launchers: none could be".into());
    }
    Ok(Crowd { count, _parent: parent })
}

/// Returns the start time of a process, in clock ticks since boot: field 22 of its stat, whose
/// second field is a name in parentheses.
fn pstart(pid: i64) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()
}

/// Whether this column of the only task has this value.
fn holds(connection: &Connection, column: &str, value: i64) -> bool {
    let query = format!(r#"SELECT "{column}" IS ?1 FROM tasks"#);
    connection.query_row(&query, [value], |row| row.get(0)).unwrap_or(false)
}

/// Measures `control history --limit 50` at several depths of a long history, with and without
/// filters.
pub fn history(shop: &Workshop, size: Size) -> Result<Row> {
    let (rows, runs) = size.of((1_000_000, 25), (100_000, 5));
    let db = long_history(shop, rows)?;
    let newest = number(&db, "SELECT max(endtime) FROM history")?;
    let (middle, oldest) = (newest - SPAN / 2, newest - SPAN + 2 * DAY);
    let pages: Vec<(String, Vec<&str>, Option<i64>)> = vec![
        ("newest".to_owned(), vec![], None),
        ("middle".to_owned(), vec![], Some(middle)),
        ("oldest".to_owned(), vec![], Some(oldest)),
        ("newest, --json".to_owned(), vec!["--json"], None),
        ("--reverse".to_owned(), vec!["--reverse"], None),
        ("one name in 400".to_owned(), vec!["--name", COMMON], None),
        ("one name in 400, middle".to_owned(), vec!["--name", COMMON], Some(middle)),
        ("a name that half of them have, middle".to_owned(), vec!["--name", FREQUENT], Some(middle)),
        ("a name of 12 rows".to_owned(), vec!["--name", RARE], None),
        ("--outcome error (1 in 40)".to_owned(), vec!["--outcome", "error"], None),
        ("--outcome error, middle".to_owned(), vec!["--outcome", "error"], Some(middle)),
        ("--outcome unknown (none)".to_owned(), vec!["--outcome", "unknown"], None),
    ];
    let mut commands = Vec::new();
    for (label, filter, until) in pages {
        let mut command = shop.control(&db);
        // Standard error has the cursor of the next page.
        command.args(["history", "--limit", "50"]).args(&filter).stderr(Stdio::null());
        let depth = match until {
            None => 0,
            Some(until) => {
                let (cursor, depth) = cursor_at(shop, &db, &filter, until)?;
                command.arg("--after").arg(cursor);
                depth
            }
        };
        let label = if depth > 0 { format!("{label}, after {depth} rows") } else { label };
        commands.push((label, command, Vec::new()));
    }
    for round in 0..=runs {
        for (_, command, times) in &mut commands {
            let took = repeat_once(command)?;
            if round > 0 {
                times.push(took);
            }
        }
    }
    // These have no target, but are reported.
    let mut others = Vec::new();
    for filter in [
        &["--name", COMMON, "--outcome", "error"][..],
        &["--name", FREQUENT, "--outcome", "error"],
        &["--user", "nobody"],
    ] {
        let mut command = shop.control(&db);
        command.args(["history", "--limit", "50"]).args(filter).stderr(Stdio::null());
        let found = printed(command.arg("--jsonl"))?.lines().count();
        let took = median(&repeat(command.stdout(Stdio::null()), runs.min(5))?);
        others.push(format!("no target for {} ({found} rows): {took:.1} ms", filter.join(" ")));
    }
    let bare = median(&repeat(quiet(&shop.control).arg("--version"), runs)?);
    let medians: Vec<_> = commands.iter().map(|(label, _, times)| (label.as_str(), median(times))).collect();
    let (slowest, worst) = medians.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    Ok(Row {
        work: "`control history --limit 50` of 1,000,000 rows",
        measured: format!(
            "{:.1} ms newest, {:.1} middle, {:.1} oldest; slowest {worst:.1} ({slowest})",
            medians[0].1, medians[1].1, medians[2].1
        ),
        peers: vec![format!("`control --version` {bare:.1} ms")],
        target: "≤ 10 ms at any depth",
        holds: worst <= 10.0,
        details: std::iter::once(format!("{rows} rows"))
            .chain(medians.iter().map(|(label, middle)| format!("{label}: {middle:.1} ms")))
            .chain(others)
            .collect(),
    })
}

fn repeat_once(command: &mut Command) -> Result<f64> {
    Ok(crate::report::ms(time(command)?))
}

/// Returns the cursor after a page that ends before this time, as printed by the program, and the
/// number of rows before the next page.
fn cursor_at(shop: &Workshop, db: &Path, filter: &[&str], until: i64) -> Result<(String, i64)> {
    let date = chrono::Local.timestamp_opt(until, 0).earliest().ok_or("find the date of a row")?;
    let date = date.format("%Y-%m-%d").to_string();
    let mut command = shop.control(db);
    command.args(["history", "--json", "--limit", "50", "--until", &date]).args(filter);
    let page: Value = serde_json::from_str(&printed(&mut command)?)?;
    let rows = page["rows"].as_array().ok_or_else(|| format!("read a page until {date}: no rows in {page}"))?;
    let last = rows.last().ok_or_else(|| format!("read a page until {date}: no rows"))?;
    let (end, id) = (&last["endtime"], &last["id"]);
    // In a short history, a page of few names among many reaches back for months.
    let close = end.as_f64().is_some_and(|end| (end - until as f64).abs() < 100.0 * DAY as f64);
    if rows.len() != 50 || !close {
        return Err(format!("read a page until {date}: {} rows, the last ended at {end}", rows.len()).into());
    }
    let cursor = match &page["next"] {
        Value::String(cursor) => cursor.clone(),
        other => other.to_string(),
    };
    let depth = number(db, &format!("SELECT count(*) FROM history WHERE (endtime, id) >= ({end}, {id})"))?;
    Ok((cursor, depth))
}

/// Returns a database with a history of this length, kept between runs as long as the schema is the
/// same.
pub fn long_history(shop: &Workshop, rows: i64) -> Result<PathBuf> {
    let db = shop.database("history")?;
    let shelf = db.parent().ok_or("find the folder of the history")?.to_owned();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures-history");
    let kept = shared.join(format!("{}-{rows}", schema_of(&db)?));
    if kept.exists() {
        return Ok(kept.join("tasks.db"));
    }
    let feedback = shop.shelf("history-feedback")?;
    // An end of each kind, in the order of their ids.
    time(shop.launch(&db).args(["--name", "template", "--", "true"]))?;
    let warning = r#"echo "[warning]disk nearly full" > "$TASKWATCHER_FEEDBACK""#;
    time(shop.launch(&db).args(["--name", "template", "--feedpath"]).arg(feedback).args(["--", "sh", "-c", warning]))?;
    let status = shop.launch(&db).args(["--name", "template", "--", "sh", "-c", "exit 3"]).status()?;
    if status.code() != Some(3) {
        return Err(format!("launch a command that exits with 3: {status}").into());
    }

    eprintln!("  filling a history of {rows} rows, once for this schema");
    let mut connection = writer(&db)?;
    connection.execute_batch("CREATE TEMP TABLE template AS SELECT * FROM history ORDER BY id")?;
    let (templates, newest, first): (i64, i64, i64) =
        connection.query_row("SELECT count(*), max(endtime), max(id) + 1 FROM temp.template", [], |row| {
            Ok((row.get(0)?, row.get::<_, f64>(1)? as i64, row.get(2)?))
        })?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
    if templates != 3 || (now - newest).abs() > DAY {
        return Err(format!("run three tasks: {templates} in the history, the last ended at {newest}").into());
    }
    let oldest = newest - SPAN;
    // Tasks end approximately in the order of their ids: some take longer than others.
    let end = format!("({oldest} + n * {SPAN} / {rows} - n * 7919 % 600)");
    let duration = "(n * 13 % 300)";
    let name = format!(
        "CASE WHEN n % {} = 0 THEN '{RARE}' WHEN n % 2 THEN '{FREQUENT}' ELSE printf('job-%03d', n / 2 % {NAMES}) END",
        rows / 12
    );
    let made_up = |column: &str| match column {
        "id" | "taskid" => Some(format!("{first} + n")),
        "taskname" => Some(name.clone()),
        "endtime" => Some(end.clone()),
        "starttime" | "reservetime" => Some(format!("{end} - {duration}")),
        "duration" => Some(duration.to_owned()),
        "handle" => Some(handle()),
        // The last fields of a UPID: …:starttime:type:id:user:
        "upid" => {
            let tail = "printf(':template:%d:', taskid)";
            Some(format!(
                "substr(upid, 1, instr(upid, {tail}) - 9)
                 || printf('%08X:%s:%d:', {end} - {duration}, {name}, {first} + n)
                 || substr(upid, instr(upid, {tail}) + length({tail}))"
            ))
        }
        _ => None,
    };
    // All other names fail occasionally: 20 and 200 have too many common factors for n / 2 alone.
    let pick =
        "t.rowid = CASE WHEN n % 2 THEN 1 ELSE CASE (n / 2 + n / 400) % 20 WHEN 0 THEN 3 WHEN 7 THEN 2 ELSE 1 END END";
    let transaction = connection.transaction()?;
    copy_rows(&transaction, "history", "temp.template", pick, 0..=rows - 1, made_up)?;
    transaction.commit()?;
    connection.execute_batch("DROP TABLE temp.template; PRAGMA wal_checkpoint(TRUNCATE)")?;
    drop(connection);

    // Databases of older schemas are useless; this one is moved only when complete.
    let suffix = format!("-{rows}");
    for entry in fs::read_dir(&shared).into_iter().flatten().filter_map(std::result::Result::ok) {
        if entry.file_name().to_string_lossy().ends_with(&suffix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    fs::create_dir_all(&shared)?;
    fs::rename(&shelf, &kept).map_err(|cause| format!("move {} to {}: {cause}", shelf.display(), kept.display()))?;
    Ok(kept.join("tasks.db"))
}

/// Identifies a schema: its version, and its text for changes under development.
fn schema_of(db: &Path) -> Result<String> {
    let connection = reader(db)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let text: Option<String> =
        connection.query_row("SELECT group_concat(sql) FROM sqlite_schema", [], |row| row.get(0))?;
    let mut hasher = DefaultHasher::new();
    (text, include_str!("listings.rs")).hash(&mut hasher);
    Ok(format!("v{version}-{:016x}", hasher.finish()))
}

/// A connection for filling: its writes need not survive a power loss.
fn writer(db: &Path) -> Result<Connection> {
    let connection =
        Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -200000")?;
    Ok(connection)
}

/// Returns eight characters that differ for any two n below 24 million: a letter, three times a
/// digit and a letter, a letter.
fn handle() -> String {
    let letter = |power: i64| format!("substr('abcdefghijklmnopqrstuvwxyz', 1 + n / {power} % 26, 1)");
    let digit = |power: i64| format!("substr('23456789', 1 + n / {power} % 8, 1)");
    let (a, b, c, d) = (letter(1), letter(26), digit(676), letter(5408));
    let (e, f) = (digit(140_608), letter(1_124_864));
    format!("{a} || {b} || {c} || {d} || {e} || {f} || 'xy'")
}

/// Copies rows of `source` (alias t, chosen by `pick`) into the table, one for each n. `made_up`
/// lists the values that differ between rows, by column; everything else is copied. A unique column
/// without such a value is reported before SQLite fails.
fn copy_rows(
    connection: &Connection,
    table: &str,
    source: &str,
    pick: &str,
    numbers: std::ops::RangeInclusive<i64>,
    made_up: impl Fn(&str) -> Option<String>,
) -> Result<()> {
    let names = |query: &str| -> Result<Vec<String>> {
        let mut query = connection.prepare(query)?;
        let names = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(names)
    };
    // Hidden columns are computed by SQLite.
    let columns = names(&format!("SELECT name FROM pragma_table_xinfo('{table}') WHERE hidden = 0 ORDER BY cid"))?;
    for index in names(&format!(r#"SELECT name FROM pragma_index_list('{table}') WHERE "unique""#))? {
        let key = names(&format!("SELECT name FROM pragma_index_info('{index}') WHERE name IS NOT NULL"))?;
        if !key.iter().any(|column| made_up(column).is_some()) {
            return Err(format!(
                "copy rows of {table}: nothing is known to tell apart what index {index} wants unique"
            )
            .into());
        }
    }
    let values: Vec<_> =
        columns.iter().map(|column| made_up(column).unwrap_or_else(|| format!(r#"t."{column}""#))).collect();
    let columns: Vec<_> = columns.iter().map(|column| format!(r#""{column}""#)).collect();
    let sql = format!(
        "WITH RECURSIVE counter(n) AS (SELECT {} UNION ALL SELECT n + 1 FROM counter WHERE n < {})
         INSERT INTO {table} ({}) SELECT {} FROM counter CROSS JOIN {source} t ON {pick}",
        numbers.start(),
        numbers.end(),
        columns.join(", "),
        values.join(", ")
    );
    let made = connection.execute(&sql, []).map_err(|cause| format!("copy rows of {table}: {cause}"))?;
    let wanted = numbers.count();
    if made == wanted { Ok(()) } else { Err(format!("copy rows of {table}: {made} instead of {wanted}").into()) }
}

/// Returns the output of a command, which must succeed.
fn printed(command: &mut Command) -> Result<String> {
    let output = command.stdout(Stdio::piped()).output().map_err(|cause| format!("start {command:?}: {cause}"))?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("run {command:?}: {}", output.status).into())
    }
}

/// Returns how long SQLite alone needs to open the database and read this, in milliseconds.
fn floor(db: &Path, query: &str, runs: usize) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let connection = reader(db)?;
        let mut statement = connection.prepare(query)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                bytes += row.get_ref(column)?.as_bytes_or_null().ok().flatten().map_or(8, <[u8]>::len);
            }
        }
        std::hint::black_box(bytes);
        times.push(crate::report::ms(start.elapsed()));
    }
    Ok(median(&times))
}
