//! The configuration of `supervise`: from the texts of its files to what is to run, with all errors
//! in the files at once.
//!
//! Pure: the caller reads the files, and provides through [`World`] what only the system knows.
//! Reading takes two steps, because a file may include others: [`includes`] returns their patterns,
//! [`read`] takes all files. Nothing here starts, creates or changes anything. A configuration with
//! an error yields only its errors.

mod dump;
mod expand;
mod files;
mod programs;
mod report;
mod server;
mod value;

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use toml::{Spanned, de::DeTable};

use super::program::{ClientSpec, GroupSpec, InetServer, Level, ProgramSpec, ServerSpec, ServerUrl, UnixServer};

use expand::{ExpandNames, Expanded, Instance};
use programs::Programs;
pub use report::{At, Finding};
use report::{Bad, Report, hint};
use value::{Section, SourceFile, Written, quoted};

/// Configuration files looked for if none is specified, in this order, from the start directory.
pub const SEARCHED: [&str; 2] = ["./taskmaster.conf.toml", "../taskmaster.conf.toml"];

/// All tables of a file.
const TABLES: [&str; 7] =
    ["taskmasterd", "unix_http_server", "inet_http_server", "taskmasterctl", "include", "programs", "groups"];
/// Tables allowed in an included file.
const INCLUDED_TABLES: [&str; 2] = ["programs", "groups"];

/// A configuration file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// None was specified and none was found.
    #[error("no configuration file: tried {}; specify one with -c FILE", SEARCHED.join(" and "))]
    NoneFound,
    /// Does not exist.
    #[error("{}: does not exist", .0.display())]
    Missing(PathBuf),
    /// Is a directory.
    #[error("{}: is a directory, not a file", .0.display())]
    Directory(PathBuf),
    /// Permission denied.
    #[error("{}: cannot be read: permission denied", .0.display())]
    Permission(PathBuf),
    /// Reading failed.
    #[error("{}: cannot be read: {}", .0.display(), .1)]
    Broken(PathBuf, io::Error),
    /// Is not text.
    #[error("{}:{}: is not valid UTF-8", .0.display(), .1)]
    NotUtf8(PathBuf, usize),
}

impl Unreadable {
    /// Converts an error of the system.
    pub fn of(path: &Path, error: io::Error) -> Unreadable {
        match error.kind() {
            io::ErrorKind::NotFound => Unreadable::Missing(path.to_owned()),
            io::ErrorKind::IsADirectory => Unreadable::Directory(path.to_owned()),
            io::ErrorKind::PermissionDenied => Unreadable::Permission(path.to_owned()),
            _ => Unreadable::Broken(path.to_owned(), error),
        }
    }
}

/// Owner and permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Mode, as returned by `stat`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Absolute path; relative paths in the file are relative to its folder.
    pub path: PathBuf,
    /// Contents.
    pub text: String,
    /// Owner and permissions; `None`: not checked.
    pub access: Option<Access>,
}

impl File {
    /// Makes a file from the bytes that were read.
    ///
    /// # Errors
    /// [`Unreadable::NotUtf8`], with the line number.
    pub fn new(path: PathBuf, bytes: Vec<u8>, access: Option<Access>) -> Result<File, Unreadable> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(File { path, text, access }),
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(Unreadable::NotUtf8(path, line))
            }
        }
    }
}

/// The kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Does not exist.
    Missing,
    /// A folder.
    Directory,
    /// A file.
    File,
    /// Cannot be rotated: a pipe, a terminal, a device.
    Stream,
}

/// Facts that only the system knows.
pub trait World {
    /// A variable of the supervisor's environment; `None` also if it is not UTF-8.
    fn env(&self, name: &str) -> Option<String>;
    /// The host name.
    fn host(&self) -> String;
    /// The directory in which the supervisor was started.
    fn start_dir(&self) -> PathBuf;
    /// The effective user id.
    fn uid(&self) -> u32;
    /// Home of a user, given by name or number; `None`: of the effective user.
    fn home(&self, user: Option<&str>) -> Option<PathBuf>;
    /// The uid of an existing user, given by name or number.
    fn user(&self, name: &str) -> Option<u32>;
    /// The gid of an existing group, given by name or number.
    fn group(&self, name: &str) -> Option<u32>;
    /// The kind of a path, links followed.
    fn kind(&self, path: &Path) -> PathKind;
    /// The path with all links resolved; `None` if it does not exist.
    fn real(&self, path: &Path) -> Option<PathBuf>;
}

/// Options of the command line. They override the files, also after each reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `-n`
    pub nodaemon: bool,
    /// `-u`: a name or number.
    pub user: Option<String>,
    /// `-m`
    pub umask: Option<u32>,
    /// `-d`; relative to the start directory, like all paths of the command line.
    pub directory: Option<PathBuf>,
    /// `-l`: a path, or `none`.
    pub logfile: Option<PathBuf>,
    /// `-e`
    pub loglevel: Option<Level>,
    /// `-j`
    pub pidfile: Option<PathBuf>,
    /// `-i`
    pub identifier: Option<String>,
    /// `--minfds`
    pub minfds: Option<u64>,
    /// `--minprocs`
    pub minprocs: Option<u64>,
    /// `--db`
    pub database: Option<PathBuf>,
}

/// A pattern of `[include]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The pattern for file names, absolute.
    pub glob: PathBuf,
    /// Position in the main file.
    pub at: At,
}

/// A pattern of `[include]` with the files that match it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The pattern.
    pub pattern: Pattern,
    /// The files, in any order.
    pub files: Vec<File>,
}

/// Everything a configuration is read from.
#[derive(Clone, Copy, Debug)]
pub struct ConfigInput<'a> {
    /// The main file.
    pub main: &'a File,
    /// Whether the file was not specified but found in a working directory.
    pub found: bool,
    /// The files matching the patterns of [`includes`].
    pub included: &'a [Included],
    /// The command line.
    pub overrides: &'a Overrides,
}

/// A configuration with all defaults and placeholders filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The main file.
    pub file: PathBuf,
    /// SHA-256 of the contents of the main file, in hexadecimal digits; empty: not computed.
    pub sha256: String,
    /// Settings of the supervisor.
    pub server: ServerSpec,
    /// Unix socket of the supervisor.
    pub unix: Option<UnixServer>,
    /// TCP port of the supervisor.
    pub inet: Option<InetServer>,
    /// Settings of clients.
    pub client: ClientSpec,
    /// The groups by name; a program without a group has its own.
    pub groups: BTreeMap<String, GroupSpec>,
    /// The processes by name.
    pub processes: BTreeMap<String, ProgramSpec>,
}

impl Config {
    /// The `serverurl` for a process: its own setting, or else the socket, or else the port.
    pub fn server_url(&self, process: &ProgramSpec) -> Option<ServerUrl> {
        let unix = || self.unix.as_ref().map(|unix| ServerUrl::Unix(unix.file.clone()));
        let inet = |inet: &InetServer| ServerUrl::Http {
            host: inet.host.clone().unwrap_or_else(|| "localhost".to_owned()),
            port: inet.port,
        };
        process.serverurl.clone().or_else(unix).or_else(|| self.inet.as_ref().map(inet))
    }

    /// Names of the processes in start order; the stop order is its reverse.
    pub fn start_order(&self) -> Vec<&str> {
        let mut specs: Vec<&ProgramSpec> = self.processes.values().collect();
        specs.sort_by_key(|spec| spec.order());
        specs.into_iter().map(|spec| spec.name.as_str()).collect()
    }

    /// The configuration as TOML that reads back as the same, except that values of environments
    /// and passwords are masked.
    pub fn dump(&self) -> String {
        dump::dump(self)
    }
}

/// Returns the patterns of `[include]` in the main file.
///
/// # Errors
/// Errors in the TOML or in `[include]`.
pub fn includes(main: &File, world: &dyn World) -> Result<Vec<Pattern>, Vec<Finding>> {
    let mut context = Context::new(world);
    let source = SourceFile::new(&main.path, &main.text);
    let mut found = Vec::new();
    if let Some(root) = parse(&source, &main.text, &mut context.report)
        && let Some(value) = root.get_ref().get("include")
        && let Some(mut section) = Section::new(&source, "include".to_owned(), value, &mut context.report)
    {
        let files = section.take(&mut context.report, "files", value::placed_words);
        if files.is_none() && context.report.errors.is_empty() {
            context.report.error(&section.at_missing("files"), "missing", "write files = [\"conf.d/*.toml\"]");
        }
        if let Some(files) = files {
            for (text, offset) in files.value {
                let at = offset.map_or_else(|| files.at.clone(), |offset| source.at(offset, "include", "files"));
                let written = Written { value: text, at };
                found.extend(
                    context.path(&written, &source.here, None, &[]).map(|glob| Pattern { glob, at: written.at }),
                );
            }
        }
        section.finish(&mut context.report);
    }
    context.report.sort(&[&main.path]);
    match context.report.errors.is_empty() {
        true => Ok(found),
        false => Err(context.report.errors),
    }
}

/// Returns the configuration and its warnings.
///
/// # Errors
/// All errors of all files, by file and line.
pub fn read(input: &ConfigInput<'_>, world: &dyn World) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    read_files(input, world, true)
}

/// Returns the errors of the files that could be read while included files could not. References to
/// tables that may be in the missing files are not checked.
pub fn errors_in_part(input: &ConfigInput<'_>, world: &dyn World) -> Vec<Finding> {
    read_files(input, world, false).err().unwrap_or_default()
}

fn read_files(
    input: &ConfigInput<'_>,
    world: &dyn World,
    complete: bool,
) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    let mut context = Context::new(world);
    let files = files_of(input);
    let sources: Vec<SourceFile> = files.iter().map(|file| SourceFile::new(&file.path, &file.text)).collect();
    let parsed = files.iter().zip(&sources).map(|(file, source)| parse(source, &file.text, &mut context.report));
    let roots: Vec<Option<Spanned<DeTable<'_>>>> = parsed.collect();
    // A file with invalid TOML may define what others refer to, so those references are not
    // checked.
    let whole = complete && roots.iter().all(Option::is_some);

    let mut tables: BTreeMap<&str, (&SourceFile, &value::Value<'_>)> = BTreeMap::new();
    let mut programs = Programs::default();
    for (index, (source, root)) in sources.iter().zip(&roots).enumerate() {
        let Some(root) = root else { continue };
        let top = At::file(&source.path);
        for (key, at, value) in Section::of(source, String::new(), top, root.get_ref()).rest() {
            let at = At { table: key.to_owned(), key: String::new(), ..at };
            match key {
                "programs" | "groups" => programs.collect(source, key, value, &mut context.report),
                "include" if index > 0 => context.report.error(
                    &at,
                    "not allowed in an included file",
                    "only the main file may include others",
                ),
                _ if !TABLES.contains(&key) => {
                    let what =
                        if value.get_ref().is_table() { "unknown table" } else { "unknown key outside any table" };
                    let at = if value.get_ref().is_table() {
                        at
                    } else {
                        At { table: String::new(), key: key.to_owned(), ..at }
                    };
                    context.report.error(&at, what, hint(key, &TABLES));
                }
                _ if index > 0 => {
                    let allowed = format!("only {} are", INCLUDED_TABLES.join(" and "));
                    context.report.error(&at, "not allowed in an included file", allowed);
                }
                _ => drop(tables.insert(key, (source, value))),
            }
        }
    }

    let main = &sources[0];
    let mut section = |name: &str, report: &mut Report| {
        tables.remove(name).and_then(|(source, value)| Section::new(source, name.to_owned(), value, report))
    };
    let daemon = section("taskmasterd", &mut context.report);
    let (server, places) = server::server(&mut context, main, daemon, input.overrides);
    let unix = section("unix_http_server", &mut context.report);
    if unix.is_none() && whole {
        let at = At { table: "unix_http_server".to_owned(), ..At::file(&main.path) };
        context.report.warn(&at, "missing, so no client can connect", "only signals control the supervisor");
    }
    let unix = unix.and_then(|section| server::unix(&mut context, section));
    let inet = section("inet_http_server", &mut context.report).and_then(|section| server::inet(&mut context, section));
    let usual = ClientSpec::usual(world.uid() == 0, context.home.as_deref());
    let client = section("taskmasterctl", &mut context.report)
        .map_or_else(|| usual, |section| server::client(&mut context, section));
    let listed = programs.resolve(&mut context, &server, whole);
    let (groups, processes) = (listed.groups, listed.processes);
    if whole {
        let read: Vec<&Path> = files.iter().map(|file| file.path.as_path()).collect();
        files::check(
            &mut context,
            &read,
            (&server, &places),
            (unix.as_ref().map(|(unix, at)| (unix, at)), &client),
            &processes.values().collect::<Vec<_>>(),
            &listed.logs,
        );
    }
    let unix = unix.map(|(unix, _)| unix);

    for included in input.included.iter().filter(|included| included.files.is_empty()) {
        let what = format!("no file matches {}", quoted(&included.pattern.glob.to_string_lossy()));
        context.report.warn(&included.pattern.at, what, "");
    }
    if input.found && world.uid() == 0 {
        let what = "found in a working directory, and root would run its commands";
        context.report.warn(&At::file(&main.path), what, "specify it with -c");
    }
    for (file, root) in files.iter().zip(&roots) {
        access(file, root.as_ref(), &mut context);
    }
    // A configuration that root runs is checked by a stricter rule, wherever it was found.
    if input.found
        && world.uid() != 0
        && let Some(why) = main_file_is_foreign(input.main, world)
    {
        context.report.error(&At::file(&main.path), why, FOUND);
    }

    let paths: Vec<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    context.report.sort(&paths);
    let Report { errors, warnings } = context.report;
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok((
        Config { file: main.path.clone(), sha256: String::new(), server, unix, inet, client, groups, processes },
        warnings,
    ))
}

/// The remedy for a foreign file that was not specified.
const FOUND: &str = "found in a working directory; to use it, specify it with -c";

/// Returns why a file that was found but not specified may be a trap set by the owner of the
/// directory.
fn main_file_is_foreign(main: &File, world: &dyn World) -> Option<String> {
    let Access { mode, uid, .. } = main.access?;
    match () {
        () if uid != 0 && uid != world.uid() => Some(format!("owned by user {uid}")),
        () if mode & 0o002 != 0 => Some(format!("writable by everybody (mode {:04o})", mode & 0o7777)),
        () => None,
    }
}

/// Whether a file contains only blanks and comments.
pub fn is_blank(file: &File) -> bool {
    file.text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

/// Returns the settings of a client; errors elsewhere in the file are ignored. `found`: the file
/// was not specified on the command line.
///
/// # Errors
/// Errors in `[taskmasterctl]`; a file of another user that was found but not specified.
pub fn read_client(main: &File, found: bool, world: &dyn World) -> Result<ClientSpec, Vec<Finding>> {
    if let Some(what) = main_file_is_foreign(main, world).filter(|_| found) {
        return Err(vec![Finding { at: At::file(&main.path), what, allowed: FOUND.to_owned() }]);
    }
    let mut context = Context::new(world);
    context.home = world.home(None);
    let source = SourceFile::new(&main.path, &main.text);
    let (root, errors) = DeTable::parse_recoverable(&main.text);
    for error in errors {
        let finding = syntax(&source, &main.text, &error);
        if finding.at.table == "taskmasterctl" {
            context.report.errors.push(finding);
        }
    }
    let usual = ClientSpec::usual(world.uid() == 0, context.home.as_deref());
    let client = match root.get_ref().get("taskmasterctl") {
        Some(value) => Section::new(&source, "taskmasterctl".to_owned(), value, &mut context.report)
            .map_or_else(|| usual.clone(), |section| server::client(&mut context, section)),
        None => usual,
    };
    context.report.sort(&[&main.path]);
    match context.report.errors.is_empty() {
        true => Ok(client),
        false => Err(context.report.errors),
    }
}

/// The main file, then the included ones by name, without duplicates.
fn files_of<'a>(input: &ConfigInput<'a>) -> Vec<&'a File> {
    let mut more: Vec<&File> = input.included.iter().flat_map(|included| &included.files).collect();
    more.retain(|file| file.path != input.main.path);
    more.sort_by(|a, b| a.path.cmp(&b.path));
    more.dedup_by(|a, b| a.path == b.path);
    std::iter::once(input.main).chain(more).collect()
}

/// Parses the tables of a file; reports invalid TOML.
fn parse<'a>(source: &SourceFile, text: &'a str, report: &mut Report) -> Option<Spanned<DeTable<'a>>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(root);
    }
    report.errors.extend(errors.iter().map(|error| syntax(source, text, error)));
    None
}

/// Reports a TOML error, with the table it is in.
fn syntax(source: &SourceFile, text: &str, error: &toml::de::Error) -> Finding {
    let span = error.span().unwrap_or(text.len()..text.len());
    let line = source.line(span.start);
    let content = |line: usize| text.get(source.span_of_line(line, text)).unwrap_or_default().trim();
    // The last preceding line that looks like a table header; a guess within a multi-line string.
    let head = (1..=line).rev().map(content).find(|line| line.starts_with('['));
    let head = head.map(|line| line.split(']').next().unwrap_or_default().trim_matches(['[', ' '])).unwrap_or_default();
    let here = content(line);
    let duplicate = error.message() == "duplicate key";
    let allowed = match (duplicate, here.contains("[program:") || here.contains("[group:")) {
        (true, _) => "each key and table may occur once",
        (false, true) => "write [programs.NAME] or [groups.NAME]",
        (false, false) => "",
    };
    let key = if duplicate && !here.starts_with('[') { text.get(span).unwrap_or_default().trim() } else { "" };
    let what = if duplicate { "duplicate".to_owned() } else { format!("not valid TOML: {}", error.message()) };
    let at = At { file: Some(source.path.clone()), line, table: head.to_owned(), key: key.to_owned() };
    Finding { at, what, allowed: allowed.to_owned() }
}

/// Reports a file that the wrong users can read or change.
fn access(file: &File, root: Option<&Spanned<DeTable<'_>>>, context: &mut Context<'_>) {
    let Some(Access { mode, uid, .. }) = file.access else { return };
    let at = At::file(&file.path);
    let others_write = mode & 0o022 != 0;
    let what = match (others_write, uid) {
        (true, _) => format!("writable by others (mode {:04o})", mode & 0o7777),
        (false, uid) => format!("writable by its owner, user {uid}"),
    };
    if context.world.uid() == 0 && (others_write || uid != 0) {
        context.report.error(&at, what, "root would run its commands: make root the owner and the mode 0644 or less");
    } else if others_write {
        context.report.warn(&at, what, "its commands are executed: chmod go-w");
    }
    let table =
        |name: &str| root.and_then(|root| root.get_ref().get(name)).and_then(|value| value.get_ref().as_table());
    let has = |name: &str, key: &str| table(name).is_some_and(|table| table.contains_key(key));
    let of_programs = table("programs").is_some_and(|programs| {
        programs.values().any(|program| program.get_ref().as_table().is_some_and(|program| program.contains_key("env")))
    });
    let passwords = ["unix_http_server", "inet_http_server", "taskmasterctl"].iter().any(|name| has(name, "password"));
    if mode & 0o004 != 0 && (passwords || has("taskmasterd", "env") || of_programs) {
        let what = format!("passwords and environments are readable by everybody (mode {:04o})", mode & 0o7777);
        context.report.warn(&at, what, "chmod o-r");
    }
}

/// State shared by the readers of values.
struct Context<'a> {
    world: &'a dyn World,
    host: String,
    /// Home of the supervisor's user.
    home: Option<PathBuf>,
    /// `[taskmasterd.env]`.
    env: Vec<(String, String)>,
    /// Whether missing folders are created.
    create_dirs: bool,
    /// Root's default folder for logs, which is created in any case.
    made: Option<PathBuf>,
    report: Report,
}

impl<'a> Context<'a> {
    fn new(world: &'a dyn World) -> Context<'a> {
        let (host, home) = (world.host(), world.home(None));
        Context { world, host, home, env: Vec::new(), create_dirs: false, made: None, report: Report::default() }
    }

    /// Expands placeholders; `env` takes precedence over `[taskmasterd.env]`, which takes
    /// precedence over the environment.
    fn expand(
        &self,
        text: &str,
        here: &Path,
        instance: Option<Instance<'_>>,
        env: &[(String, String)],
    ) -> Result<Expanded, Bad> {
        let lookup = |name: &str| {
            let set = env.iter().chain(&self.env).find(|(other, _)| other == name);
            set.map(|(_, value)| value.clone()).or_else(|| self.world.env(name))
        };
        let here = here.to_string_lossy();
        ExpandNames { here: &here, host: &self.host, instance, env: &lookup }.expand(text)
    }

    /// Like [`Context::expand`], and reports errors.
    fn text(
        &mut self,
        written: &Written<String>,
        here: &Path,
        instance: Option<Instance<'_>>,
        env: &[(String, String)],
    ) -> Option<String> {
        match self.expand(&written.value, here, instance, env) {
            Ok(expanded) => Some(expanded.text),
            Err(bad) => {
                self.report.bad(&written.at, bad);
                None
            }
        }
    }

    /// Resolves a path: placeholders expanded, `~` is the home of the supervisor's user, relative
    /// to `here`.
    fn path(
        &mut self,
        written: &Written<String>,
        here: &Path,
        instance: Option<Instance<'_>>,
        env: &[(String, String)],
    ) -> Option<PathBuf> {
        let text = self.text(written, here, instance, env)?;
        let allowed = "a path; ~ is the home of the supervisor's user";
        if text.is_empty() || text.contains('\0') {
            self.report.error(&written.at, format!("{} is not a path", quoted(&text)), allowed);
            return None;
        }
        let path = match text.strip_prefix('~') {
            None => here.join(&text),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => match &self.home {
                Some(home) => home.join(rest.trim_start_matches('/')),
                None => {
                    self.report.error(
                        &written.at,
                        "~ cannot be expanded: the user has no home",
                        "write the absolute path",
                    );
                    return None;
                }
            },
            Some(_) => {
                self.report.error(&written.at, format!("{} is the home of another user", quoted(&text)), allowed);
                return None;
            }
        };
        // Removes `.` components, so that each file has one name.
        Some(path.components().collect())
    }

    /// Reports a path where no file can be created: it is a folder, or its folder does not exist
    /// and is not to be created.
    fn check_file(&mut self, at: &At, path: &Path) {
        if self.world.kind(path) == PathKind::Directory {
            self.report.error(at, format!("{} is a directory", quoted(&path.to_string_lossy())), "a path of a file");
            return;
        }
        let Some(parent) = path.parent() else { return };
        let shown = quoted(&parent.to_string_lossy());
        match self.world.kind(parent) {
            PathKind::Directory => {}
            PathKind::Missing if self.create_dirs || self.made.as_deref() == Some(parent) => {}
            PathKind::Missing => {
                let allowed = "create it, or set create_dirs = true in [taskmasterd]";
                self.report.error(at, format!("the directory {shown} does not exist"), allowed);
            }
            PathKind::File | PathKind::Stream => self.report.error(at, format!("{shown} is not a directory"), ""),
        }
    }
}
