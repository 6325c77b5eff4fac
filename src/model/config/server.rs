//! The tables of the supervisor and its clients: `[taskmasterd]`, `[unix_http_server]`,
//! `[inet_http_server]`, `[taskmasterctl]`.

use core::net::IpAddr; // Only the notation: `core::net` has no sockets.
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeValue;

use crate::model::{
    program::{
        AutoResume, BadState, ClientSpec, Credentials, Hook, InetServer, Keep, Level, Orphans, Owner, Password,
        ProcState, ServerSpec, ServerUrl, UnixServer, default_childlogdir, host_and_port,
    },
    task::parse_span,
};

use super::{
    Context, Overrides, PathKind,
    expand::Instance,
    report::{At, Bad, Report},
    value::{self, Section, SourceFile, Written, quoted, shown},
};

/// Longest path of a socket, bytes: the size of a `sockaddr_un` path without its terminating zero.
const SOCKET_PATH: usize = 107;
/// Default size at which a log is rotated, as in Supervisor.
pub(super) const MAXBYTES: u64 = 50 << 20;
/// Default number of runs to keep per process. Each run has a log of its own, and a program that
/// fails immediately makes up to 86,400 runs a day.
const KEEP: Keep = Keep::Newest(10_000);
/// Default number of rotated logs to keep, as in Supervisor.
pub(super) const BACKUPS: u32 = 10;

/// The two keys of a hook, as written.
pub(super) struct HookKeys {
    command: Option<Written<Vec<String>>>,
    states: Option<Written<Vec<ProcState>>>,
}

impl HookKeys {
    pub(super) fn take(section: &mut Section<'_>, report: &mut Report) -> HookKeys {
        let command = section.take(report, "on_event", |value| {
            let words = value::strings(value)?;
            match words.first().is_some_and(|first| first.trim().is_empty()) {
                true => Err(Bad::new("the command is empty", "an array: the command, then its arguments")),
                false => Ok(words),
            }
        });
        let states = section.take(report, "on_states", |value| {
            let words = value::strings(value)?;
            let read = |word: &String| {
                let error = |bad: BadState| Bad::new(format!("{}: {bad}", quoted(word)), "");
                word.to_uppercase().parse().map_err(error)
            };
            words.iter().map(read).collect()
        });
        HookKeys { command, states }
    }

    /// Returns the hook; missing keys are taken from `default`, and without `on_states` all states
    /// count. Placeholders in the command are expanded, and a file with a `/` is relative to
    /// `here`.
    pub(super) fn resolve(
        &self,
        default: Option<&Hook>,
        context: &mut Context<'_>,
        (here, instance, env): (&Path, Option<Instance<'_>>, &[(String, String)]),
    ) -> Option<Hook> {
        let mut command: Vec<String> = match (&self.command, default) {
            (Some(Written { value, at }), _) => {
                let written = |word: &String| Written { value: word.clone(), at: at.clone() };
                value.iter().map(written).filter_map(|word| context.text(&word, here, instance, env)).collect()
            }
            (None, Some(default)) => default.command.clone(),
            (None, None) => Vec::new(),
        };
        if let Some(file) = command.first_mut().filter(|file| file.contains('/')) {
            *file = here.join(&*file).components().collect::<PathBuf>().to_string_lossy().into_owned();
        }
        if command.is_empty() {
            if let Some(states) = &self.states {
                context.report.warn(&states.at, "no effect", "on_event is not set");
            }
            return None;
        }
        let states = self.states.as_ref().map(|states| states.value.clone());
        let states = states.or_else(|| default.map(|hook| hook.states.clone()));
        Some(Hook { command, states: states.unwrap_or_else(|| ProcState::ALL.to_vec()) })
    }
}

/// Positions of the settings that name the supervisor's own files.
pub(super) struct Places {
    pub(super) logfile: At,
    pub(super) pidfile: At,
    pub(super) database: At,
}

/// Reads `[taskmasterd]`; without it, all settings have their defaults.
pub(super) fn server(
    context: &mut Context<'_>,
    main: &SourceFile,
    section: Option<Section<'_>>,
    overrides: &Overrides,
) -> (ServerSpec, Places) {
    let empty = toml::de::DeTable::new();
    let top = At { table: "taskmasterd".to_owned(), ..At::file(&main.path) };
    let mut section = section.unwrap_or_else(|| Section::of(main, "taskmasterd".to_owned(), top, &empty));
    let (here, start) = (main.here.clone(), context.world.start_dir());
    let option = |name: &str| At::option(name);

    // First the settings that others depend on.
    context.env = environment(context, &mut section);
    let user = section.take(&mut context.report, "user", value::word);
    let user = overrides.user.clone().map(|value| Written { value, at: option("user") }).or(user);
    if let Some(user) = &user {
        own_user(context, user);
    }
    let user = user.map(|user| user.value);
    context.home = context.world.home(user.as_deref());
    let is_root = match &user {
        Some(user) => context.world.user(user) == Some(0),
        None => context.world.uid() == 0,
    };
    let childlogs = default_childlogdir(is_root, context.home.as_deref());
    let report = &mut context.report;
    context.create_dirs = section.take(report, "create_dirs", value::boolean).is_some_and(|written| written.value);

    let mut file = |context: &mut Context<'_>, key: &'static str, given: &Option<PathBuf>| {
        let written = section.take(&mut context.report, key, value::string);
        if let Some(path) = given {
            let none = key == "logfile" && path.as_os_str() == "none";
            return Some((option(key), (!none).then(|| start.join(path).components().collect())));
        }
        let written = written?;
        if key == "logfile" && written.value.eq_ignore_ascii_case("none") {
            return Some((written.at, None));
        }
        let path: Option<PathBuf> = context.path(&written, &here, None, &[]);
        path.map(|path| (written.at, Some(path)))
    };
    let default = |key: &str, name: &str| (At { key: key.to_owned(), ..At::file(&main.path) }, Some(start.join(name)));
    let logfile = file(context, "logfile", &overrides.logfile).unwrap_or_else(|| default("logfile", "taskmaster.log"));
    let pidfile = file(context, "pidfile", &overrides.pidfile).unwrap_or_else(|| default("pidfile", "taskmasterd.pid"));
    let database = file(context, "database", &overrides.database);
    let directory = file(context, "directory", &overrides.directory);
    let childlogdir = file(context, "childlogdir", &None);
    let is_usual = childlogdir.as_ref().is_none_or(|(_, path)| path.as_ref() == Some(&childlogs));
    context.made = (is_root && is_usual).then(|| childlogs.clone());

    for (at, path) in [Some(&logfile), Some(&pidfile), database.as_ref()].into_iter().flatten() {
        if let Some(path) = path {
            context.check_file(at, path);
        }
    }
    for (at, path) in [(&directory, false), (&childlogdir, context.create_dirs || context.made.is_some())]
        .into_iter()
        .filter_map(|(found, make)| {
            let (at, path) = found.as_ref()?;
            path.as_ref().filter(|path| !(make && context.world.kind(path) == PathKind::Missing)).map(|path| (at, path))
        })
    {
        let shown = quoted(&path.to_string_lossy());
        match context.world.kind(path) {
            PathKind::Directory => {}
            PathKind::Missing => context.report.error(at, format!("the directory {shown} does not exist"), ""),
            PathKind::File | PathKind::Stream => context.report.error(at, format!("{shown} is not a directory"), ""),
        }
    }

    let report = &mut context.report;
    let logfile_maxbytes =
        section.take(report, "logfile_maxbytes", value::size).map_or(Some(MAXBYTES), |written| written.value);
    if let (at, Some(path)) = &logfile
        && logfile_maxbytes.is_some()
        && context.world.kind(path) == PathKind::Stream
    {
        report.error(at, format!("{} cannot be rotated", quoted(&path.to_string_lossy())), "set logfile_maxbytes = 0");
    }
    let nodaemon = section.take(report, "nodaemon", value::boolean).is_some_and(|written| written.value);
    let nodaemon = nodaemon || overrides.nodaemon;
    if let Some((at, _)) = &directory
        && nodaemon
    {
        report.warn(at, "ignored", "with nodaemon the working directory is kept");
    }
    let umask = section.take(report, "umask", value::octal(0o777)).map_or(0o22, |written| written.value);
    let loglevel = section.take(report, "loglevel", level).map_or(Level::Info, |written| written.value);
    let minfds = section.take(report, "minfds", value::amount).map_or(1024, |written| written.value);
    let minprocs = section.take(report, "minprocs", value::amount).map_or(200, |written| written.value);
    let identifier = section.take(report, "identifier", value::word);
    let identifier = identifier.map_or_else(|| "supervise".to_owned(), |written| written.value);
    let mut flag = |key| section.take(report, key, value::boolean).is_some_and(|written| written.value);
    let (silent, strip_ansi, nocleanup) = (flag("silent"), flag("strip_ansi"), flag("nocleanup"));
    let (start_serial, remember_stops) = (flag("start_serial"), flag("remember_stops"));
    let words = [("adopt", Orphans::Adopt), ("stop", Orphans::Stop), ("leave", Orphans::Leave)];
    let orphans =
        section.take(report, "orphans", value::choice(&words)).map_or(Orphans::Adopt, |written| written.value);
    let places = Places {
        logfile: logfile.0,
        pidfile: pidfile.0,
        database: database.as_ref().map_or_else(At::default, |(at, _)| at.clone()),
    };
    let spec = ServerSpec {
        logfile: logfile.1,
        logfile_maxbytes,
        logfile_backups: section.take(report, "logfile_backups", value::count).map_or(BACKUPS, |written| written.value),
        loglevel: overrides.loglevel.unwrap_or(loglevel),
        pidfile: pidfile.1.unwrap_or_default(),
        umask: overrides.umask.unwrap_or(umask),
        nodaemon,
        silent,
        minfds: overrides.minfds.unwrap_or(minfds),
        minprocs: overrides.minprocs.unwrap_or(minprocs),
        user,
        directory: directory.and_then(|(_, path)| path),
        strip_ansi,
        identifier: overrides.identifier.clone().unwrap_or(identifier),
        childlogdir: childlogdir.and_then(|(_, path)| path).unwrap_or(childlogs),
        nocleanup,
        database: database.and_then(|(_, path)| path),
        orphans,
        restart_throttle: section
            .take(report, "restart_throttle", value::seconds)
            .map_or(Duration::from_secs(1), |written| written.value),
        history_keep: section.take(report, "history_keep", keep).map_or(KEEP, |written| written.value),
        create_dirs: context.create_dirs,
        start_serial,
        remember_stops,
        hook: None,
        env: context.env.clone(),
    };
    let hook = HookKeys::take(&mut section, report);
    section.finish(report);
    let hook = hook.resolve(None, context, (&here, None, &[]));
    (ServerSpec { hook, ..spec }, places)
}

/// Reads `[taskmasterd.env]`; each value may use the preceding ones.
fn environment(context: &mut Context<'_>, section: &mut Section<'_>) -> Vec<(String, String)> {
    let Some((_, table)) = section.raw("env") else { return Vec::new() };
    let name = format!("{}.env", section.name);
    let here = section.source.here.clone();
    let Some(mut section) = Section::new(section.source, name, table, &mut context.report) else { return Vec::new() };
    let mut env: Vec<(String, String)> = Vec::new();
    for (key, at, value) in section.rest() {
        match value::variable(key, value.get_ref()).and_then(|text| context.expand(&text, &here, None, &env)) {
            Ok(value) => env.push((key.to_owned(), value.text)),
            Err(bad) => context.report.bad(&at, bad),
        }
    }
    env
}

/// Reports a user who does not exist, or to whom the supervisor cannot switch.
fn own_user(context: &mut Context<'_>, user: &Written<String>) {
    let shown = quoted(&user.value);
    match (context.world.user(&user.value), context.world.uid()) {
        (None, _) => context.report.error(&user.at, format!("unknown user {shown}"), "a name, or a number in quotes"),
        (Some(_), 0) => {}
        (Some(uid), own) if uid == own => {}
        (Some(_), own) => {
            let what = format!("only root can switch to user {shown}; running as user {own}");
            context.report.error(&user.at, what, "start the supervisor as root, or remove the key");
        }
    }
}

fn level(value: &DeValue<'_>) -> Result<Level, Bad> {
    let text = value::string(value)?;
    text.parse().map_err(|_| {
        let names: Vec<&str> = Level::ALL.iter().map(|level| level.as_str()).collect();
        Bad::new(format!("unknown level {}", quoted(&text)), format!("use {}", names.join(", ")))
    })
}

/// Reads a number of runs, or a time such as `30d`.
fn keep(value: &DeValue<'_>) -> Result<Keep, Bad> {
    let allowed = "a number of runs, a time such as \"30d\", or 0 for all";
    match value {
        DeValue::String(text) => match parse_span(text) {
            Ok(Duration::ZERO) => Ok(Keep::All),
            Ok(length) => Ok(Keep::Since(length)),
            Err(_) => Err(Bad::new(format!("{} is not a time", quoted(text)), allowed)),
        },
        other => match value::integer(0..=i64::MAX)(other) {
            Ok(0) => Ok(Keep::All),
            Ok(number) => Ok(Keep::Newest(number.unsigned_abs())),
            Err(bad) => Err(Bad { allowed: allowed.to_owned(), ..bad }),
        },
    }
}

/// Reads username and password: both or neither.
fn credentials(section: &mut Section<'_>, report: &mut Report) -> Option<Credentials> {
    // A key with an invalid value is not also reported as missing.
    let (mut named, mut given) = (false, false);
    let username = section.take(report, "username", |value| {
        named = true;
        username(value)
    });
    let password = section.take(report, "password", |value| {
        given = true;
        password(value)
    });
    let allowed = "set both username and password, or neither";
    match (username, password) {
        (Some(username), Some(password)) => {
            return Some(Credentials { username: username.value, password: password.value });
        }
        (Some(username), None) if !given => report.error(&username.at, "no password is set", allowed),
        (None, Some(password)) if !named => report.error(&password.at, "no username is set", allowed),
        (Some(_) | None, None) | (None, Some(_)) => {}
    }
    None
}

fn username(value: &DeValue<'_>) -> Result<String, Bad> {
    let text = value::word(value)?;
    match text.contains(':') {
        true => Err(Bad::new(format!("{} contains a colon", quoted(&text)), "a colon ends the name in HTTP")),
        false => Ok(text),
    }
}

/// Reads a password, which appears in no message.
fn password(value: &DeValue<'_>) -> Result<Password, Bad> {
    let allowed = "the password itself, or {SHA256} and 64 hexadecimal digits";
    let text = value::secret(value)?;
    if text.is_empty() {
        return Err(Bad::new("empty", allowed));
    }
    if text.starts_with("{SHA}") {
        return Err(Bad::new("{SHA} is not supported", allowed));
    }
    let Some(hex) = text.strip_prefix("{SHA256}") else { return Ok(Password::Plain(text)) };
    let digit = |at: usize| hex.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut sum = [0u8; 32];
    for (at, byte) in sum.iter_mut().enumerate() {
        let (Some(high), Some(low)) = (digit(2 * at), digit(2 * at + 1)) else {
            return Err(Bad::new("{SHA256} is not followed by 64 hexadecimal digits", allowed));
        };
        *byte = u8::try_from(high * 16 + low).unwrap_or_default();
    }
    match hex.len() {
        64 => Ok(Password::Sha256(sum)),
        _ => Err(Bad::new("{SHA256} is not followed by 64 hexadecimal digits", allowed)),
    }
}

/// Reads `[unix_http_server]`.
pub(super) fn unix(context: &mut Context<'_>, mut section: Section<'_>) -> Option<(UnixServer, At)> {
    let before = context.report.errors.len();
    let file = section.take(&mut context.report, "file", value::string);
    if file.is_none() && context.report.errors.len() == before {
        context.report.error(&section.at_missing("file"), "missing", "write file = \"/path/of/the.sock\"");
    }
    let here = section.source.here.clone();
    let file = file.and_then(|file| context.path(&file, &here, None, &[]).map(|path| (file.at, path)));
    if let Some((at, path)) = &file {
        let length = path.as_os_str().len();
        if length > SOCKET_PATH {
            let what = format!("the path of the socket has {length} bytes");
            context.report.error(at, what, format!("at most {SOCKET_PATH} are possible"));
        }
        context.check_file(at, path);
    }
    let chmod = section.take(&mut context.report, "chmod", value::octal(0o7777)).map_or(0o700, |written| written.value);
    let chown = section.take(&mut context.report, "chown", value::word).and_then(|written| owner(context, &written));
    let credentials = credentials(&mut section, &mut context.report);
    section.finish(&mut context.report);
    let (at, file) = file?;
    Some((UnixServer { file, chmod, chown, credentials }, at))
}

/// Reads `user` or `user:group`, each a name or a number.
fn owner(context: &mut Context<'_>, written: &Written<String>) -> Option<Owner> {
    let text = &written.value;
    let allowed = "user or user:group, each a name or a number";
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text.as_str(), None),
    };
    let parts = text.split(':');
    if parts.clone().count() > 2 || parts.clone().any(str::is_empty) {
        context.report.error(&written.at, format!("{} is not user:group", quoted(text)), allowed);
        return None;
    }
    // A file's owner can be a number without a user.
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten();
    let uid = number(user).or_else(|| context.world.user(user));
    if uid.is_none() {
        context.report.error(&written.at, format!("unknown user {}", quoted(user)), allowed);
    }
    let gid = group.map(|group| number(group).or_else(|| context.world.group(group)));
    if let (Some(group), Some(None)) = (group, gid) {
        context.report.error(&written.at, format!("unknown group {}", quoted(group)), allowed);
        return None;
    }
    Some(Owner { text: text.clone(), uid: uid?, gid: gid.flatten() })
}

/// Reads `[inet_http_server]`.
pub(super) fn inet(context: &mut Context<'_>, mut section: Section<'_>) -> Option<InetServer> {
    let report = &mut context.report;
    let before = report.errors.len();
    let port = section.take(report, "port", address);
    if port.is_none() && report.errors.len() == before {
        report.error(&section.at_missing("port"), "missing", "write port = \"127.0.0.1:9001\"");
    }
    let good = report.errors.len() == before;
    let credentials = credentials(&mut section, report);
    let good = good && report.errors.len() == before;
    let allow_remote = section.take(report, "allow_remote", value::boolean).is_some_and(|written| written.value);
    if let Some(port) = &port
        && credentials.is_none()
        && good
    {
        let host = port.value.0.as_deref();
        let loopback = host.is_some_and(|host| {
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        });
        match (loopback, allow_remote) {
            (true, _) => report.warn(&port.at, "open to every user of this host", "set username and password"),
            (false, true) => report.warn(&port.at, "open to everybody who can reach it", "set username and password"),
            (false, false) => {
                let allowed = "set username and password, listen on 127.0.0.1, or set allow_remote = true";
                report.error(&port.at, "open to other hosts without a password", allowed);
            }
        }
    }
    section.finish(report);
    let (host, port) = port?.value;
    Some(InetServer { host, port, credentials, allow_remote })
}

/// Reads an address to listen on; an empty host and `*` mean all addresses.
fn address(value: &DeValue<'_>) -> Result<(Option<String>, u16), Bad> {
    let allowed = "\"host:port\", \":port\", \"*:port\" or \"[::1]:port\", the port from 1 to 65535";
    let Some(text) = value.as_str() else {
        return Err(Bad::new(format!("{} is not a string", shown(value)), allowed));
    };
    let all = text.strip_prefix("*:").map(|port| format!(":{port}"));
    let (host, port) = host_and_port(all.as_deref().unwrap_or(text))
        .ok_or_else(|| Bad::new(format!("{} is not an address", quoted(text)), allowed))?;
    Ok(((!host.is_empty()).then_some(host), port))
}

/// Reads `[taskmasterctl]`.
pub(super) fn client(context: &mut Context<'_>, mut section: Section<'_>) -> ClientSpec {
    let default = ClientSpec::usual(context.world.uid() == 0, context.home.as_deref());
    let here = section.source.here.clone();
    let serverurl = section.take(&mut context.report, "serverurl", value::string);
    let serverurl = serverurl.and_then(|written| {
        let text = context.text(&written, &here, None, &[])?;
        match text.parse::<ServerUrl>() {
            Ok(url) => Some(url),
            Err(error) => {
                context.report.error(&written.at, format!("{} is not an address", quoted(&text)), error.to_string());
                None
            }
        }
    });
    let history = match section.take(&mut context.report, "history", value::string) {
        Some(written) if written.value.is_empty() => None,
        Some(written) => context.path(&written, &here, None, &[]),
        None => default.history,
    };
    let report = &mut context.report;
    let words = [("", AutoResume::Off), ("exact", AutoResume::Exact), ("substring", AutoResume::Substring)];
    let client = ClientSpec {
        serverurl: serverurl.unwrap_or(default.serverurl),
        prompt: section.take(report, "prompt", value::string).map_or(default.prompt, |written| written.value),
        history,
        username: section.take(report, "username", username).map(|written| written.value),
        password: section
            .take(report, "password", |value| value::secret(value).map(Password::Plain))
            .map(|written| written.value),
        timeout: section
            .take(report, "timeout", value::seconds)
            .map(|written| written.value)
            .filter(|timeout| !timeout.is_zero()),
        notify: section.take(report, "notify", value::boolean).is_some_and(|written| written.value),
        auto_resume: section
            .take(report, "auto_resume", value::choice(&words))
            .map_or(AutoResume::Off, |written| written.value),
    };
    section.finish(report);
    client
}
