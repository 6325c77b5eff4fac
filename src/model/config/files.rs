//! Checks the files that a configuration names: no file is written for two purposes, and none that
//! is read is written.
//!
//! Paths are compared with links resolved. A file's companions belong to it: the older files of a
//! log, the lock of a pid file, the companions of a database.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::model::{
    log::LOGS,
    path::{beside, is_unfinished, standard_stream},
    program::{ClientSpec, Hook, ProgramSpec, ServerSpec, UnixServer},
};

use super::{Context, PathKind, World, programs::ProgramLogTarget, report::At, server::Places, value::quoted};

/// Suffixes of the files that SQLite and taskwatcher keep beside a database.
const COMPANIONS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Suffixes of the folders that taskwatcher keeps beside a database.
const FOLDERS: [&str; 2] = [LOGS, "-supervise"];

/// A file.
struct Entry {
    /// Path with links resolved.
    path: PathBuf,
    what: String,
    at: At,
    /// Number of older files beside it.
    backups: u32,
    /// Whether the file is written; a file that is only read may be named twice.
    written: bool,
    /// For a log of a program, the path as written: identical paths are checked in `check_logs`.
    log: Option<PathBuf>,
}

/// The files found so far.
struct Table<'w> {
    world: &'w dyn World,
    /// Cache of folders with links resolved.
    folders: HashMap<PathBuf, PathBuf>,
    entries: Vec<Entry>,
}

impl Table<'_> {
    /// Resolves the folder of a file that need not exist.
    fn resolve(&mut self, path: &Path) -> PathBuf {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
        let world = self.world;
        let real = |folder: &Path| world.real(folder).unwrap_or_else(|| folder.to_owned());
        self.folders.entry(folder.to_owned()).or_insert_with(|| real(folder)).join(name)
    }

    /// Adds the files that are only read: configuration files and executables.
    fn add_read(&mut self, files: &[&Path], processes: &[&ProgramSpec], server_hook: Option<&Hook>) {
        let is_path = |command: &&String| command.contains('/');
        let commands = processes.iter().filter(|spec| is_path(&&spec.command));
        let commands = commands.map(|spec| (spec.here.join(&spec.command), "the command of a program"));
        // The path of a hook is absolute.
        let hooks = processes.iter().filter_map(|spec| spec.hook.as_ref()).chain(server_hook);
        let hooks = hooks.filter_map(|hook| hook.command.first()).filter(is_path);
        let hooks = hooks.map(|command| (PathBuf::from(command), "the command of a hook"));
        let files = files.iter().map(|file| ((*file).to_owned(), "a configuration file"));
        let mut all: Vec<(PathBuf, &str)> = commands.chain(hooks).collect();
        all.sort_unstable();
        all.dedup();
        for (path, what) in files.chain(all) {
            let path = self.world.real(&path).unwrap_or(path);
            let at = At::file(&path);
            self.entries.push(Entry { path, what: what.to_owned(), at, backups: 0, written: false, log: None });
        }
    }

    fn add(&mut self, path: &Path, what: &str, at: &At, backups: u32) {
        if standard_stream(path).is_some() || self.world.kind(path) == PathKind::Stream {
            return;
        }
        let path = self.resolve(path);
        let (what, at) = (what.to_owned(), at.clone());
        self.entries.push(Entry { path, what, at, backups, written: true, log: None });
    }
}

/// Reports files that conflict with each other.
pub(super) fn check(
    context: &mut Context<'_>,
    read: &[&Path],
    (server, places): (&ServerSpec, &Places),
    (unix, client): (Option<(&UnixServer, &At)>, &ClientSpec),
    processes: &[&ProgramSpec],
    logs: &[ProgramLogTarget],
) {
    let mut table = Table { world: context.world, folders: HashMap::new(), entries: Vec::new() };
    table.add_read(read, processes, server.hook.as_ref());
    let mut folders = Vec::new();
    if let Some(database) = &server.database {
        for suffix in COMPANIONS {
            let what = if suffix.is_empty() { "the database" } else { "a file of the database" };
            table.add(&beside(database, suffix), what, &places.database, 0);
        }
        // The further files of the spool are named like the older files of a log.
        table.add(&beside(database, "-spool"), "the spool of the database", &places.database, u32::MAX);
        for suffix in FOLDERS {
            table.add(&beside(database, suffix), "a folder of the database", &places.database, 0);
            folders.push(table.resolve(&beside(database, suffix)));
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
    if let Some(history) = &client.history {
        let at = At { table: "taskmasterctl".to_owned(), ..At::file(read.first().unwrap_or(&history.as_path())) };
        table.add(history, "the history of the shell", &at, 0);
    }
    for log in logs {
        let before = table.entries.len();
        table.add(&log.path, &log.of, &log.at, log.backups);
        table.entries.iter_mut().skip(before).for_each(|entry| entry.log = Some(log.path.clone()));
    }
    let arguments = arguments(context, &mut table, server, processes);
    let database = server.database.as_deref().map(|database| table.resolve(database));
    let entries = table.entries;
    let mut first: HashMap<&Path, &Entry> = HashMap::new();
    for entry in &entries {
        match first.get(entry.path.as_path()) {
            Some(other) if entry.written || other.written => {
                if entry.log.is_none() || entry.log != other.log {
                    let what = format!("{} is also {}", quoted(&entry.path.to_string_lossy()), other.what);
                    context.report.error(&entry.at, what, "choose another path");
                }
            }
            Some(_) => {}
            None => drop(first.insert(&entry.path, entry)),
        }
    }
    for entry in entries.iter().filter(|entry| entry.written) {
        let shown = quoted(&entry.path.to_string_lossy());
        if entry.path.ancestors().skip(1).any(|above| folders.iter().any(|folder| folder == above)) {
            context.report.error(&entry.at, format!("{shown} is in a folder of the database"), "choose another path");
        }
        let behind = |database: &PathBuf| {
            let (path, database) = (entry.path.as_os_str().as_encoded_bytes(), database.as_os_str().as_encoded_bytes());
            path.strip_prefix(database).is_some_and(is_unfinished)
        };
        if database.as_ref().is_some_and(behind) {
            let what = format!("{shown} is reserved for a database that is being created");
            context.report.error(&entry.at, what, "choose another path");
        }
    }
    for (path, name) in arguments {
        if let Some(log) = first.get(path.as_path()).filter(|entry| entry.log.is_some()) {
            let what = format!("{} is also an argument of {name}", quoted(&path.to_string_lossy()));
            context.report.warn(&log.at, what, "clear would empty it, and rotation would rename it");
        }
    }
    for entry in &entries {
        let Some((of, number)) = older_file_of(&entry.path) else { continue };
        if let Some(log) = first.get(of.as_path()).filter(|log| log.backups >= number) {
            let part = if log.backups == u32::MAX { "a part" } else { "an older file" };
            let what = format!("{} is also {part} of {}", quoted(&entry.path.to_string_lossy()), log.what);
            let at = if entry.written { &entry.at } else { &log.at };
            context.report.error(at, what, "choose another path");
        }
    }
}

/// Returns the files that arguments of programs and hooks may name, with their owners: `command =
/// "/bin/sh"` with `args = ["run.sh"]`.
fn arguments(
    context: &Context<'_>,
    table: &mut Table<'_>,
    server: &ServerSpec,
    processes: &[&ProgramSpec],
) -> Vec<(PathBuf, String)> {
    let start = context.world.start_dir();
    let mut found = Vec::new();
    let mut add = |folder: &Path, args: &[String], name: &str| {
        for arg in args.iter().filter(|arg| !arg.is_empty() && !arg.starts_with('-')) {
            found.push((table.resolve(&folder.join(arg)), name.to_owned()));
        }
    };
    let own = server.directory.as_deref().unwrap_or(&start);
    for spec in processes {
        add(spec.directory.as_deref().unwrap_or(own), &spec.args, &spec.full_name());
    }
    // Hooks run in the supervisor's directory.
    let hooks: BTreeMap<&[String], String> = processes
        .iter()
        .filter_map(|spec| Some((spec.hook.as_ref()?.command.get(1..)?, format!("the hook of {}", spec.full_name()))))
        .collect();
    hooks.iter().for_each(|(args, name)| add(own, args, name));
    found
}

/// Returns the log that would be rotated to this path, and the number of the rotation.
fn older_file_of(path: &Path) -> Option<(PathBuf, u32)> {
    let (log, number) = path.file_name().and_then(OsStr::to_str)?.rsplit_once('.')?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0') && !log.is_empty();
    Some((path.with_file_name(log), number.parse().ok().filter(|_| is_number)?))
}
