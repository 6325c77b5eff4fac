//! Formats a resolved configuration as TOML (`--check --dump`): one table per process, all keys,
//! secrets masked.

use std::{path::Path, time::Duration};

use toml::{Table, Value};

use crate::model::program::{
    AutoResume, Autorestart, ClientSpec, Credentials, Hook, Keep, LogSpec, LogTarget, Orphans, ProgramSpec, ServerSpec,
    Stdin,
};

use super::{Config, expand::escape};

/// Replaces a secret value.
const MASK: &str = "***";

pub(super) fn dump(config: &Config) -> String {
    let mut root = Table::new();
    root.insert("taskmasterd".into(), Value::Table(server(&config.server)));
    if let Some(unix) = &config.unix {
        let mut table = Table::new();
        put(&mut table, "file", path(&unix.file));
        put(&mut table, "chmod", octal(unix.chmod));
        if let Some(owner) = &unix.chown {
            put(&mut table, "chown", owner.text.as_str());
        }
        credentials(&mut table, unix.credentials.as_ref());
        root.insert("unix_http_server".into(), Value::Table(table));
    }
    if let Some(inet) = &config.inet {
        let mut table = Table::new();
        let port = match inet.host.as_deref() {
            None => format!("*:{}", inet.port),
            Some(host) if host.contains(':') => format!("[{host}]:{}", inet.port),
            Some(host) => format!("{host}:{}", inet.port),
        };
        put(&mut table, "port", port);
        credentials(&mut table, inet.credentials.as_ref());
        put(&mut table, "allow_remote", inet.allow_remote);
        root.insert("inet_http_server".into(), Value::Table(table));
    }
    root.insert("taskmasterctl".into(), Value::Table(client(&config.client)));
    let mut groups = Table::new();
    for (name, group) in &config.groups {
        // Members are listed by the names of their processes; a program without a group has none to
        // list.
        let members = config.processes.values().filter(|process| process.group == *name);
        let members: Vec<String> = members.map(|process| process.name.clone()).collect();
        let alone = group.programs.len() == 1 && group.programs[0] == *name && members == [name.clone()];
        if !alone {
            let mut table = Table::new();
            put(&mut table, "programs", members);
            put(&mut table, "priority", group.priority);
            groups.insert(name.clone(), Value::Table(table));
        }
    }
    if !groups.is_empty() {
        root.insert("groups".into(), Value::Table(groups));
    }
    let processes = config.processes.iter().map(|(name, spec)| (name.clone(), Value::Table(process(spec))));
    root.insert("programs".into(), Value::Table(processes.collect()));
    root.to_string()
}

fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

/// A path, escaped so that it contains no placeholder.
fn path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

fn octal(bits: u32) -> String {
    format!("0o{bits:03o}")
}

fn size(bytes: Option<u64>) -> Value {
    Value::Integer(bytes.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
}

fn seconds(length: Duration) -> Value {
    match (length.subsec_nanos(), i64::try_from(length.as_secs())) {
        (0, Ok(secs)) => Value::Integer(secs),
        (_, Ok(_) | Err(_)) => Value::Float(length.as_secs_f64()),
    }
}

fn credentials(table: &mut Table, credentials: Option<&Credentials>) {
    if let Some(credentials) = credentials {
        put(table, "username", credentials.username.as_str());
        put(table, "password", MASK);
    }
}

fn hook(table: &mut Table, hook: Option<&Hook>) {
    if let Some(hook) = hook {
        put(table, "on_event", hook.command.iter().map(|word| escape(word)).collect::<Vec<_>>());
        put(table, "on_states", hook.states.iter().map(|state| state.as_str()).collect::<Vec<_>>());
    }
}

fn environment(table: &mut Table, env: &[(String, String)]) {
    if !env.is_empty() {
        let masked = env.iter().map(|(name, _)| (name.clone(), Value::from(MASK)));
        table.insert("env".into(), Value::Table(masked.collect()));
    }
}

fn server(spec: &ServerSpec) -> Table {
    let mut table = Table::new();
    put(&mut table, "logfile", spec.logfile.as_deref().map_or_else(|| "none".to_owned(), path));
    put(&mut table, "logfile_maxbytes", size(spec.logfile_maxbytes));
    put(&mut table, "logfile_backups", i64::from(spec.logfile_backups));
    put(&mut table, "loglevel", spec.loglevel.as_str());
    put(&mut table, "pidfile", path(&spec.pidfile));
    put(&mut table, "umask", octal(spec.umask));
    put(&mut table, "nodaemon", spec.nodaemon);
    put(&mut table, "silent", spec.silent);
    put(&mut table, "minfds", size(Some(spec.minfds)));
    put(&mut table, "minprocs", size(Some(spec.minprocs)));
    if let Some(user) = &spec.user {
        put(&mut table, "user", user.as_str());
    }
    if let Some(directory) = &spec.directory {
        put(&mut table, "directory", path(directory));
    }
    put(&mut table, "strip_ansi", spec.strip_ansi);
    put(&mut table, "identifier", spec.identifier.as_str());
    put(&mut table, "childlogdir", path(&spec.childlogdir));
    put(&mut table, "nocleanup", spec.nocleanup);
    if let Some(database) = &spec.database {
        put(&mut table, "database", path(database));
    }
    put(
        &mut table,
        "orphans",
        match spec.orphans {
            Orphans::Adopt => "adopt",
            Orphans::Stop => "stop",
            Orphans::Leave => "leave",
        },
    );
    put(&mut table, "restart_throttle", seconds(spec.restart_throttle));
    let keep = match spec.history_keep {
        Keep::All => Value::Integer(0),
        Keep::Newest(number) => size(Some(number)),
        Keep::Since(length) => Value::from(format!("{}s", length.as_secs_f64())),
    };
    put(&mut table, "history_keep", keep);
    put(&mut table, "create_dirs", spec.create_dirs);
    put(&mut table, "start_serial", spec.start_serial);
    put(&mut table, "remember_stops", spec.remember_stops);
    hook(&mut table, spec.hook.as_ref());
    environment(&mut table, &spec.env);
    table
}

fn client(spec: &ClientSpec) -> Table {
    let mut table = Table::new();
    put(&mut table, "serverurl", escape(&spec.serverurl.to_string()));
    put(&mut table, "prompt", spec.prompt.as_str());
    put(&mut table, "history", spec.history.as_deref().map(path).unwrap_or_default());
    if let Some(username) = &spec.username {
        put(&mut table, "username", username.as_str());
    }
    if spec.password.is_some() {
        put(&mut table, "password", MASK);
    }
    put(&mut table, "timeout", seconds(spec.timeout.unwrap_or_default()));
    put(&mut table, "notify", spec.notify);
    put(
        &mut table,
        "auto_resume",
        match spec.auto_resume {
            AutoResume::Off => "",
            AutoResume::Exact => "exact",
            AutoResume::Substring => "substring",
        },
    );
    table
}

fn log(table: &mut Table, stream: &str, spec: &LogSpec) {
    let target = match &spec.target {
        LogTarget::Path(target) => path(target),
        LogTarget::Auto => "auto".to_owned(),
        LogTarget::None => "none".to_owned(),
    };
    put(table, stream, target);
    put(table, &format!("{stream}_maxbytes"), size(spec.maxbytes));
    put(table, &format!("{stream}_backups"), i64::from(spec.backups));
}

fn process(spec: &ProgramSpec) -> Table {
    let (mut table, policy) = (Table::new(), &spec.policy);
    put(&mut table, "command", escape(&spec.command));
    put(&mut table, "args", spec.args.iter().map(|arg| escape(arg)).collect::<Vec<_>>());
    put(&mut table, "numprocs_start", i64::from(spec.process_num));
    put(&mut table, "priority", policy.priority);
    put(&mut table, "autostart", policy.autostart);
    put(&mut table, "startsecs", seconds(policy.startsecs));
    put(&mut table, "startretries", policy.startretries.map_or(Value::from("unlimited"), |n| i64::from(n).into()));
    let autorestart = match policy.autorestart {
        Autorestart::Always => "true",
        Autorestart::Never => "false",
        Autorestart::Unexpected => "unexpected",
    };
    put(&mut table, "autorestart", autorestart);
    put(&mut table, "exitcodes", policy.exitcodes.iter().map(|code| i64::from(*code)).collect::<Vec<_>>());
    put(&mut table, "stopsignal", policy.stopsignal.to_string());
    put(&mut table, "stopwaitsecs", policy.stopwait.map_or(Value::from("forever"), seconds));
    put(&mut table, "stopasgroup", policy.stopasgroup);
    put(&mut table, "killasgroup", policy.killasgroup);
    if let Some(user) = &spec.user {
        put(&mut table, "user", user.as_str());
    }
    put(&mut table, "redirect_stderr", spec.redirect_stderr);
    log(&mut table, "stdout", &spec.stdout);
    if !spec.redirect_stderr {
        log(&mut table, "stderr", &spec.stderr);
    }
    put(&mut table, "strip_ansi", spec.strip_ansi);
    if let Some(directory) = &spec.directory {
        put(&mut table, "directory", path(directory));
    }
    if let Some(umask) = spec.umask {
        put(&mut table, "umask", octal(umask));
    }
    put(
        &mut table,
        "stdin",
        match spec.stdin {
            Stdin::Null => "null",
            Stdin::Pipe => "pipe",
        },
    );
    put(&mut table, "shared_log", spec.shared_log);
    let url = spec.serverurl.as_ref().map_or_else(|| "AUTO".to_owned(), |url| escape(&url.to_string()));
    put(&mut table, "serverurl", url);
    for (key, info) in ["info1", "info2", "info3"].into_iter().zip(&spec.info) {
        if let Some(info) = info {
            put(&mut table, key, info.as_str());
        }
    }
    if let Some(timeout) = spec.timeout {
        put(&mut table, "timeout", seconds(timeout));
    }
    if let Some(feedback) = &spec.feedback {
        put(&mut table, "feedback", path(feedback));
    }
    hook(&mut table, spec.hook.as_ref());
    environment(&mut table, &spec.env);
    table
}
