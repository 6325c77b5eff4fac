//! One table of all files that a configuration names: none is written by two, and none that is read is written (CFG).
//!
//! Paths are compared after links. Files beside a file belong to it: the older ones of a log, the lock of a pid file, the
//! companions of a database.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::model::{
    path::{beside, standard_stream},
    program::{ProgramSpec, ServerSpec, UnixServer},
};

use super::{Context, Kind, World, programs::Log, report::At, server::Places, value::quoted};

/// What SQLite and the supervisor keep beside a database.
const COMPANIONS: [&str; 6] = ["", "-wal", "-shm", "-journal", "-spool", "-supervise"];

/// A file.
struct Entry {
    /// Where it is, links resolved.
    path: PathBuf,
    what: String,
    at: At,
    /// How many older files are beside it.
    backups: u32,
    /// Whether it is written; what is only read may be named twice.
    written: bool,
    /// Of a log of a program, its path as it is written: those that are written alike are judged elsewhere.
    log: Option<PathBuf>,
}

/// The table while it is made.
struct Table<'w> {
    world: &'w dyn World,
    /// Folders without links, as they were asked for.
    folders: HashMap<PathBuf, PathBuf>,
    entries: Vec<Entry>,
}

impl Table<'_> {
    /// Where a file is that need not exist: its folder without links.
    fn resolve(&mut self, path: &Path) -> PathBuf {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
        let world = self.world;
        let real = |folder: &Path| world.real(folder).unwrap_or_else(|| folder.to_owned());
        self.folders.entry(folder.to_owned()).or_insert_with(|| real(folder)).join(name)
    }

    fn add(&mut self, path: &Path, what: &str, at: &At, backups: u32) {
        if standard_stream(path).is_some() || self.world.kind(path) == Kind::Stream {
            return;
        }
        let path = self.resolve(path);
        let (what, at) = (what.to_owned(), at.clone());
        self.entries.push(Entry { path, what, at, backups, written: true, log: None });
    }
}

/// Says which files exclude each other.
pub(super) fn check<'a>(
    context: &mut Context<'_>,
    read: &[&Path],
    (server, places): (&ServerSpec, &Places),
    unix: Option<(&UnixServer, &At)>,
    commands: impl Iterator<Item = &'a ProgramSpec>,
    logs: &[Log],
) {
    let mut table = Table { world: context.world, folders: HashMap::new(), entries: Vec::new() };
    let mut commands: Vec<PathBuf> =
        commands.filter(|spec| spec.command.contains('/')).map(|spec| spec.here.join(&spec.command)).collect();
    commands.sort_unstable();
    commands.dedup();
    let files = read.iter().map(|path| (*path, "a configuration file"));
    for (path, what) in files.chain(commands.iter().map(|path| (path.as_path(), "the command of a program"))) {
        let path = context.world.real(path).unwrap_or_else(|| path.to_owned());
        let entry = Entry { at: At::file(&path), path, what: what.to_owned(), backups: 0, written: false, log: None };
        table.entries.push(entry);
    }
    if let Some(database) = &server.database {
        for suffix in COMPANIONS {
            let what = if suffix.is_empty() { "the database" } else { "a file of the database" };
            table.add(&beside(database, suffix), what, &places.database, 0);
        }
    }
    table.add(&server.pidfile, "the pid file", &places.pidfile, 0);
    table.add(&beside(&server.pidfile, ".lock"), "the lock of the pid file", &places.pidfile, 0);
    if let Some((unix, at)) = unix {
        table.add(&unix.file, "the socket", at, 0);
    }
    if let Some(logfile) = &server.logfile {
        let backups = if server.logfile_maxbytes.is_some() { server.logfile_backups } else { 0 };
        table.add(logfile, "the activity log", &places.logfile, backups);
    }
    for log in logs {
        let before = table.entries.len();
        table.add(&log.path, &log.of, &log.at, log.backups);
        table.entries.iter_mut().skip(before).for_each(|entry| entry.log = Some(log.path.clone()));
    }
    let entries = table.entries;
    let mut first: HashMap<&Path, &Entry> = HashMap::new();
    for entry in &entries {
        match first.get(entry.path.as_path()) {
            Some(other) if entry.written || other.written => {
                if entry.log.is_none() || entry.log != other.log {
                    let what = format!("{} is also {}", quoted(&entry.path.to_string_lossy()), other.what);
                    context.report.error(&entry.at, what, "another path");
                }
            }
            Some(_) => {}
            None => drop(first.insert(&entry.path, entry)),
        }
    }
    for entry in &entries {
        let Some((of, number)) = older_file_of(&entry.path) else { continue };
        if let Some(log) = first.get(of.as_path()).filter(|log| log.backups >= number) {
            let what = format!("{} is also an older file of {}", quoted(&entry.path.to_string_lossy()), log.what);
            let at = if entry.written { &entry.at } else { &log.at };
            context.report.error(at, what, "another path");
        }
    }
}

/// The log that would give a file this name when it is turned over, and which number that is.
fn older_file_of(path: &Path) -> Option<(PathBuf, u32)> {
    let (log, number) = path.file_name().and_then(OsStr::to_str)?.rsplit_once('.')?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0') && !log.is_empty();
    Some((path.with_file_name(log), number.parse().ok().filter(|_| is_number)?))
}
