//! The configuration of the supervisor: finding and reading its files.
//!
//! Which content is valid is decided in [`crate::model::config`]. The location of the files, and
//! the base of relative paths, is determined once at the start: a reload reads the same files, even
//! after a change of the working directory.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::{
    io::{account, conffile, rundir::RunDir, secret, sys},
    model::{
        config::{
            self, Config, ConfigInput, File, Finding, Included, Overrides, PathKind, Pattern, SEARCHED, Unreadable,
            World,
        },
        program::{LogTarget, default_childlogdir},
    },
};

/// The location of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// The main file; absolute.
    pub file: PathBuf,
    /// Whether the file was found in a working directory and not named.
    pub found: bool,
    /// The directory in which the supervisor was started; absolute.
    pub start_dir: PathBuf,
}

impl Where {
    /// Returns the named file, or else the first existing one of [`SEARCHED`].
    ///
    /// # Errors
    /// One line: no file exists, or the directory was removed. Whether the file is readable is
    /// checked by [`load`].
    pub fn find(named: Option<&Path>) -> Result<Where, String> {
        let start_dir = std::env::current_dir();
        let start_dir = start_dir.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                "the working directory was removed; start from another one, for example after: cd /".to_owned()
            }
            _ => format!("cannot determine the working directory: {error}"),
        })?;
        Where::find_from(start_dir, named).map_err(|error| one_line(&error.to_string()))
    }

    fn find_from(start_dir: PathBuf, named: Option<&Path>) -> Result<Where, Unreadable> {
        if let Some(named) = named {
            return Ok(Where { file: joined(&start_dir, named), found: false, start_dir });
        }
        let there = SEARCHED.iter().map(|path| joined(&start_dir, Path::new(path)));
        // An existing file that cannot be read is still the intended one; using the next would be a
        // surprise.
        let file = there.into_iter().find(|path| conffile::is_there(path)).ok_or(Unreadable::NoneFound)?;
        Ok(Where { file, found: true, start_dir })
    }
}

/// Joins a path to a folder, removing `.` and any leading `..`.
fn joined(folder: &Path, path: &Path) -> PathBuf {
    let mut joined = folder.to_owned();
    let mut leading = true;
    for part in path.components() {
        leading &= matches!(part, Component::CurDir | Component::ParentDir);
        match part {
            Component::CurDir => {}
            // The folder has no links in it: its path comes from the kernel.
            Component::ParentDir if leading => drop(joined.pop()),
            part => joined.push(part),
        }
    }
    joined
}

/// This machine, as seen by a configuration.
#[derive(Clone, Debug)]
pub struct System {
    start_dir: PathBuf,
}

impl System {
    /// Resolves relative paths from this directory.
    pub fn new(start_dir: PathBuf) -> System {
        System { start_dir }
    }
}

impl World for System {
    fn env(&self, name: &str) -> Option<String> {
        // A name with `=` or NUL finds no variable.
        std::env::var(name).ok()
    }

    fn host(&self) -> String {
        sys::node_name()
    }

    fn start_dir(&self) -> PathBuf {
        self.start_dir.clone()
    }

    fn uid(&self) -> u32 {
        account::own_uid()
    }

    fn home(&self, user: Option<&str>) -> Option<PathBuf> {
        account::home(user)
    }

    fn user(&self, name: &str) -> Option<u32> {
        account::uid(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        account::gid(name)
    }

    fn kind(&self, path: &Path) -> PathKind {
        conffile::kind(path)
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        conffile::real(path)
    }
}

/// Reads the configuration, at the start and at each reload. Nothing is created or changed.
///
/// # Errors
/// All errors, one line each.
pub fn load(place: &Where, overrides: &Overrides) -> Result<(Config, Vec<Finding>), Vec<String>> {
    load_main(&read_main(place)?, place, overrides)
}

/// Reads the configuration for a running supervisor. A file that was emptied (by an editor on a
/// full disk, or by `>` before a command that failed), or that was only written in part and has
/// neither programs nor a server for clients, is an error: it does not mean that all programs
/// should be stopped.
///
/// # Errors
/// Those of [`load`]; an empty file.
pub fn load_again(place: &Where, overrides: &Overrides) -> Result<(Config, Vec<Finding>), Vec<String>> {
    let main = read_main(place)?;
    let refused = |what: &str| {
        let how = "so it is not used (to stop all programs: supervise shutdown, or stop all)";
        Err(vec![one_line(&format!("{}: {what}, {how}", place.file.display()))])
    };
    if config::is_blank(&main) {
        return refused("the file is empty");
    }
    let (config, findings) = load_main(&main, place, overrides)?;
    if config.processes.is_empty() && config.unix.is_none() && config.inet.is_none() {
        return refused("the file has neither a program nor a server for clients");
    }
    Ok((config, findings))
}

fn read_main(place: &Where) -> Result<File, Vec<String>> {
    read_file(&place.file).map_err(|error| vec![one_line(&error.to_string())])
}

fn load_main(main: &File, place: &Where, overrides: &Overrides) -> Result<(Config, Vec<Finding>), Vec<String>> {
    let world = System::new(place.start_dir.clone());
    let lines = |findings: Vec<Finding>| findings.iter().map(Finding::to_string).collect::<Vec<String>>();
    let input = |included| ConfigInput { main, found: place.found, included, overrides };
    let patterns = match config::includes(main, &world) {
        Ok(patterns) => patterns,
        Err(errors) => {
            let mut all = config::errors_in_part(&input(&[]), &world);
            all.extend(errors.into_iter().filter(|error| !all.contains(error)).collect::<Vec<_>>());
            all.sort_by_key(|finding| finding.at.line);
            return Err(lines(all));
        }
    };
    let (mut included, mut missing) = (Vec::new(), Vec::new());
    for pattern in patterns {
        let (files, errors) = read_included(&pattern, place);
        missing.extend(errors);
        included.push(Included { pattern, files });
    }
    if missing.is_empty() {
        let (config, findings) = config::read(&input(&included), &world).map_err(lines)?;
        return Ok((Config { sha256: secret::hex(&secret::sha256(main.text.as_bytes())), ..config }, findings));
    }
    missing.extend(config::errors_in_part(&input(&included), &world));
    Err(lines(missing))
}

/// Returns the files of a pattern, and the errors of those that cannot be read.
fn read_included(pattern: &Pattern, place: &Where) -> (Vec<File>, Vec<Finding>) {
    let wrong = |what: String| Finding { at: pattern.at.clone(), what, allowed: String::new() };
    let here = place.file.parent().unwrap_or(Path::new("/"));
    let paths = match conffile::matching(&pattern.glob, here) {
        Ok(paths) => paths,
        Err(error) => return (Vec::new(), vec![wrong(error.to_string())]),
    };
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match read_file(&path) {
            Ok(file) => files.push(file),
            Err(error) => errors.push(wrong(error.to_string())),
        }
    }
    (files, errors)
}

fn read_file(path: &Path) -> Result<File, Unreadable> {
    let (bytes, access) = conffile::read(path).map_err(|error| Unreadable::of(path, error))?;
    File::new(path.to_owned(), bytes, Some(access))
}

/// Returns a value that changes when a file of the configuration does, from modification times and
/// lengths.
pub fn stamp(place: &Where) -> String {
    let mut files = vec![place.file.clone()];
    let world = System::new(place.start_dir.clone());
    if let Ok(main) = read_file(&place.file)
        && let Ok(patterns) = config::includes(&main, &world)
    {
        let here = place.file.parent().unwrap_or(Path::new("/"));
        let found = patterns.iter().filter_map(|pattern| conffile::matching(&pattern.glob, here).ok());
        files.extend(found.flatten());
    }
    files.iter().map(|file| conffile::stamp(file).unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

/// Returns the folders that a configuration with `create_dirs` permits to create, each once.
fn folders(config: &Config) -> Vec<&Path> {
    let server = &config.server;
    let mut folders = Vec::new();
    if server.create_dirs {
        let files = [server.logfile.as_deref(), Some(server.pidfile.as_path()), server.database.as_deref()];
        let socket = config.unix.as_ref().map(|unix| unix.file.as_path());
        folders.extend(files.into_iter().chain([socket]).flatten().filter_map(Path::parent));
        folders.push(&server.childlogdir);
    }
    for process in config.processes.values().filter(|process| process.create_dirs) {
        for log in [&process.stdout, &process.stderr] {
            if let LogTarget::Path(path) = &log.target {
                folders.extend(path.parent());
            }
        }
    }
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// Creates the missing folders that may be created, at the start and after a reload. Root gives
/// them to `owner`, user and group.
///
/// # Errors
/// One line for each folder that cannot be created.
pub fn make_folders(config: &Config, owner: Option<(u32, u32)>) -> Result<(), Vec<String>> {
    let made = folders(config).into_iter().map(|folder| make_folder(folder, owner));
    let errors: Vec<String> = made.filter_map(Result::err).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether logs without a configured path go into the default folder of root.
pub(super) fn has_roots_folder(config: &Config) -> bool {
    let usual = || default_childlogdir(true, account::home(None).as_deref());
    account::own_uid() == 0 && config.server.childlogdir == usual()
}

/// Creates the default log folder of root, with access for root alone: it holds the logs of all
/// programs.
///
/// # Errors
/// One line: the folder cannot be created.
pub(super) fn make_usual_folder(config: &Config) -> Result<(), String> {
    let folder = &config.server.childlogdir;
    if !has_roots_folder(config) {
        return Ok(());
    }
    let failed = |error| one_line(&format!("cannot create directory {}: {error}", folder.display()));
    RunDir::make_above(folder).map_err(failed)
}

/// Creates a folder, and those above it.
pub(super) fn make_folder(folder: &Path, owner: Option<(u32, u32)>) -> Result<(), String> {
    let made = conffile::make_folder(folder, owner.filter(|_| account::own_uid() == 0));
    made.map(drop).map_err(|(path, error)| one_line(&format!("cannot create directory {}: {error}", path.display())))
}

/// Returns the text on one line, with control characters escaped: a path may contain any character.
pub(super) fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct TempFolder(tempfile::TempDir);

    impl TempFolder {
        fn new() -> TempFolder {
            let folder = TempFolder(tempfile::tempdir().unwrap());
            fs::create_dir(folder.path("start")).unwrap();
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        }

        fn load(&self, name: &str) -> Result<(Config, Vec<String>), Vec<String>> {
            let place = Where::find_from(self.path("start"), Some(&self.path(name))).unwrap();
            let loaded = load(&place, &Overrides::default());
            let root = format!("{}/", self.0.path().display());
            let short = |line: &String| line.replace(&root, "");
            loaded
                .map(|(config, found)| (config, found.iter().map(|f| short(&f.to_string())).collect()))
                .map_err(|errors| errors.iter().map(short).collect())
        }
    }

    #[test]
    fn the_file_is_found_from_the_start_directory() {
        let folder = TempFolder::new();
        let start = folder.path("start");
        let find = |named: Option<&str>| {
            Where::find_from(start.clone(), named.map(Path::new)).map(|place| (place.file, place.found))
        };
        assert_eq!(
            find(None).unwrap_err().to_string(),
            "no configuration file: tried ./taskmaster.conf.toml and ../taskmaster.conf.toml; specify one with -c FILE"
        );
        let above = folder.write("taskmaster.conf.toml", "");
        assert_eq!(find(None).unwrap(), (above, true));
        let here = folder.write("start/taskmaster.conf.toml", "");
        assert_eq!(find(None).unwrap(), (here.clone(), true));
        assert_eq!(find(Some("taskmaster.conf.toml")).unwrap(), (here, false));
        assert_eq!(find(Some("../x/./y")).unwrap().0, folder.path("x/y"));
        assert_eq!(find(Some("x/../y")).unwrap().0, start.join("x/../y"), "x may be a link");
        assert_eq!(find(Some("/x")).unwrap().0, Path::new("/x"));
        // A dangling link exists, and is reported as dangling.
        fs::remove_file(start.join("taskmaster.conf.toml")).unwrap();
        std::os::unix::fs::symlink("/nowhere", start.join("taskmaster.conf.toml")).unwrap();
        assert_eq!(find(None).unwrap().0, start.join("taskmaster.conf.toml"));
    }

    #[test]
    fn unreadable_files_have_messages_of_their_own() {
        let folder = TempFolder::new();
        fs::create_dir(folder.path("d")).unwrap();
        folder.write("latin", b"a = 1\nb = \"\xe4\"\n");
        folder.write("toml", "a = 1\nb = [\n");
        let errors = |name: &str| folder.load(name).map(drop).unwrap_err();
        assert_eq!(errors("none"), ["none: does not exist"]);
        assert_eq!(errors("d"), ["d: is a directory, not a file"]);
        assert_eq!(errors("latin"), ["latin:2: is not valid UTF-8"]);
        let toml = errors("toml");
        assert!(toml[0].starts_with("toml:") && toml[0].contains("not valid TOML"), "{toml:?}");
    }

    #[test]
    fn included_files_are_read_and_their_errors_reported() {
        let folder = TempFolder::new();
        let main = "[include]\nfiles = [\"conf.d/*.toml\", \"none/*\"]\n[unix_http_server]\nfile = \"s\"\n\
                    [groups.g]\nprograms = [\"a\", \"b\"]\n";
        folder.write("main", main);
        folder.write("conf.d/b.toml", "[programs.b]\ncommand = \"/bin/b\"\n");
        folder.write("conf.d/a.toml", "[programs.a]\ncommand = \"/bin/a\"\n");
        folder.write("conf.d/.#a.toml", "an editor's");
        fs::create_dir(folder.path("conf.d/old.toml")).unwrap();
        let (config, warnings) = folder.load("main").unwrap();
        assert_eq!(config.processes.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config.unix.unwrap().file, folder.path("s"));
        assert_eq!(warnings, ["main:2: [include] files: no file matches \"none/*\""]);

        folder.write("conf.d/b.toml", "[programs.b]\ncommand = \"/bin/b\"\nnumprocs = 0\n[taskmasterd]\n");
        folder.write("conf.d/c.toml", [0xff]);
        let errors = folder.load("main").map(drop).unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:#?}");
        assert_eq!(errors[0], "main:2: [include] files: conf.d/c.toml:1: is not valid UTF-8");
        assert!(errors[1].starts_with("conf.d/b.toml:3: [programs.b] numprocs: 0 is out of range"), "{errors:#?}");
        assert!(errors[2].starts_with("conf.d/b.toml:4: [taskmasterd]: "), "{errors:#?}");
    }

    #[test]
    fn a_wrong_include_hides_nothing_else() {
        let folder = TempFolder::new();
        folder.write("main", "[include]\nfiles = 7\n[programs.a]\ncommand = \"\"\n[groups.g]\nprograms = [\"b\"]\n");
        let errors = folder.load("main").map(drop).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:#?}");
        assert!(errors[0].starts_with("main:2: [include] files: "), "{errors:#?}");
        assert!(errors[1].starts_with("main:4: [programs.a] command: "), "{errors:#?}");
        folder.write("main", "[include]\nfiles = [\"conf[\"]\n[programs.a]\ncommand = \"\"\n");
        let errors = folder.load("main").map(drop).unwrap_err();
        assert!(errors[0].starts_with("main:2: [include] files: invalid file pattern conf["), "{errors:#?}");
        assert_eq!(errors.len(), 2, "{errors:#?}");
    }

    #[test]
    fn missing_folders_are_created_if_configured() {
        let folder = TempFolder::new();
        let text = |create: bool| {
            format!(
                "[taskmasterd]\ncreate_dirs = {create}\nlogfile = \"a/b/log\"\npidfile = \"run/pid\"\n\
                 childlogdir = \"logs\"\n[unix_http_server]\nfile = \"run/s\"\n\
                 [programs.p]\ncommand = \"x\"\nstdout = \"out/o\"\nstderr = \"none\"\n"
            )
        };
        folder.write("main", text(false));
        let errors = folder.load("main").map(drop).unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:#?}");
        folder.write("main", text(true));
        let (config, _) = folder.load("main").unwrap();
        make_folders(&config, None).unwrap();
        for name in ["a/b", "run", "logs", "out"] {
            assert!(folder.path(name).is_dir(), "{name}");
        }
    }
}
