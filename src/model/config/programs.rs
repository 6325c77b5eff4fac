//! The tables `[programs.x]` and `[groups.g]`: each program becomes one process per number.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
};

use crate::model::{
    path::standard_stream,
    program::{Autorestart, GroupSpec, LogSpec, LogTarget, Policy, ProgramSpec, ServerSpec, ServerUrl, Stdin},
    task::Signal,
};

use super::{
    Context, PathKind,
    expand::Instance,
    report::{At, Bad, Report, hint},
    server::{BACKUPS, HookKeys, MAXBYTES},
    value::{self, Section, SourceFile, Value, Written, quoted},
};

/// The tables of all files, before they are resolved.
#[derive(Default)]
pub(super) struct Programs<'a> {
    programs: BTreeMap<&'a str, Section<'a>>,
    groups: BTreeMap<&'a str, Section<'a>>,
}

/// A group as known so far.
struct Group {
    priority: Option<i64>,
    /// The programs, each with the position that names it.
    programs: Vec<(String, At)>,
    at: At,
}

/// A process with the positions of its settings that must be unique.
struct Placed {
    spec: ProgramSpec,
    name: At,
    logs: [At; 2],
}

/// A file to which a process writes a log.
pub(super) struct ProgramLogTarget {
    /// Path.
    pub(super) path: PathBuf,
    /// Description of the log, for messages.
    pub(super) of: String,
    /// Number of older files beside it.
    pub(super) backups: u32,
    /// Position of the setting.
    pub(super) at: At,
}

/// The resolved tables.
pub(super) struct ProgramTables {
    pub(super) groups: BTreeMap<String, GroupSpec>,
    pub(super) processes: BTreeMap<String, ProgramSpec>,
    pub(super) logs: Vec<ProgramLogTarget>,
}

impl<'a> Programs<'a> {
    /// Adds a table `programs` or `groups` of one file.
    pub(super) fn collect(&mut self, source: &'a SourceFile, key: &str, value: &'a Value<'a>, report: &mut Report) {
        let Some(mut all) = Section::new(source, key.to_owned(), value, report) else { return };
        let own = if key == "groups" { &mut self.groups } else { &mut self.programs };
        for (name, _, value) in all.rest() {
            let title = format!("{key}.{}", bare(name));
            let Some(section) = Section::new(source, title, value, report) else { continue };
            if let Err(bad) = value::name(name) {
                report.bad(&section.at, bad);
            }
            match own.entry(name) {
                Entry::Vacant(free) => drop(free.insert(section)),
                Entry::Occupied(taken) => {
                    let other = &taken.get().at;
                    let place = other.file.as_deref().unwrap_or(Path::new("")).display();
                    report.error(&section.at, format!("duplicate: also in {place}:{}", other.line), "");
                }
            }
        }
    }

    /// Resolves the tables to groups and processes. References between tables are checked only if
    /// `whole`: all files could be read.
    pub(super) fn resolve(self, context: &mut Context<'_>, server: &ServerSpec, whole: bool) -> ProgramTables {
        let Programs { mut programs, groups } = self;
        let mut groups = read_groups(groups, &mut context.report);
        for (name, section) in &mut programs {
            if let Some(written) = section.take(&mut context.report, "group", value::string) {
                join(&mut groups, name, written, &mut context.report);
            }
        }
        if whole {
            check_groups(&groups, &programs.keys().copied().collect::<Vec<_>>(), &mut context.report);
        }
        let mut placed = Vec::new();
        for (name, section) in programs {
            let group = groups.iter().find(|(_, group)| group.programs.iter().any(|(program, _)| program == name));
            let group = group.map(|(name, group)| (name.as_str(), group.priority.unwrap_or(999)));
            placed.extend(read_program(context, name, group, section, server));
        }
        if whole {
            check_logs(&placed, context);
        }
        let logs = placed.iter().flat_map(logs_of).collect();
        let mut specs: BTreeMap<String, GroupSpec> = BTreeMap::new();
        for (name, group) in groups {
            let mut programs: Vec<String> = group.programs.into_iter().map(|(program, _)| program).collect();
            programs.dedup();
            specs.insert(name.clone(), GroupSpec { name, priority: group.priority.unwrap_or(999), programs });
        }
        let mut processes: BTreeMap<String, ProgramSpec> = BTreeMap::new();
        for Placed { spec, name, .. } in placed {
            specs.entry(spec.group.clone()).or_insert_with(|| GroupSpec {
                name: spec.group.clone(),
                priority: spec.group_priority,
                programs: vec![spec.program.clone()],
            });
            match processes.entry(spec.name.clone()) {
                Entry::Vacant(free) => drop(free.insert(spec)),
                Entry::Occupied(taken) => {
                    let other = &taken.get().program;
                    let what = format!("the process name {} is also used by program {other}", quoted(&spec.name));
                    context.report.error(&name, what, "names of processes are unique");
                }
            }
        }
        ProgramTables { groups: specs, processes, logs }
    }
}

/// The log files of a process.
fn logs_of(placed: &Placed) -> impl Iterator<Item = ProgramLogTarget> + '_ {
    let Placed { spec, logs: [out, err], .. } = placed;
    let streams = [("stdout", &spec.stdout, out), ("stderr", &spec.stderr, err)];
    streams.into_iter().filter_map(move |(stream, log, at)| {
        let LogTarget::Path(path) = &log.target else { return None };
        let of = format!("the {stream} of {}", spec.full_name());
        let backups = if log.maxbytes.is_some() { log.backups } else { 0 };
        standard_stream(path).is_none().then(|| ProgramLogTarget { path: path.clone(), of, backups, at: at.clone() })
    })
}

/// Formats a name as part of a table's name: quoted if TOML requires it.
pub(super) fn bare(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match !name.is_empty() && name.bytes().all(plain) {
        true => name.to_owned(),
        false => format!("{name:?}"),
    }
}

fn read_groups(sections: BTreeMap<&str, Section<'_>>, report: &mut Report) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for (name, mut section) in sections {
        let before = report.errors.len();
        let programs = section.take(report, "programs", |value| {
            let programs = value::placed_strings(value)?;
            match programs.is_empty() {
                true => Err(Bad::new("empty", "an array of names of programs")),
                false => Ok(programs),
            }
        });
        if programs.is_none() && report.errors.len() == before {
            report.error(&section.at_missing("programs"), "missing", "write programs = [\"name\", …]");
        }
        let priority = section.take(report, "priority", value::integer(i64::MIN..=i64::MAX));
        let priority = Some(priority.map_or(999, |written| written.value));
        let at = |offset| section.source.at(offset, &section.name, "programs");
        let programs = programs.map(|written| written.value).unwrap_or_default();
        let programs = programs.into_iter().map(|(program, offset)| (program, at(offset))).collect();
        groups.insert(name.to_owned(), Group { priority, programs, at: section.at.clone() });
        section.finish(report);
    }
    groups
}

/// Adds a program to the group that its own table names.
fn join(groups: &mut BTreeMap<String, Group>, program: &str, written: Written<String>, report: &mut Report) {
    let Written { value: group, at } = written;
    if let Err(bad) = value::name(&group) {
        return report.bad(&at, bad);
    }
    let new = Group { priority: None, programs: Vec::new(), at: at.clone() };
    let found = groups.entry(group).or_insert(new);
    if !found.programs.iter().any(|(other, _)| other == program) {
        found.programs.push((program.to_owned(), at));
    }
}

fn check_groups(groups: &BTreeMap<String, Group>, programs: &[&str], report: &mut Report) {
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, group) in groups {
        for (program, at) in &group.programs {
            if !programs.contains(&program.as_str()) {
                report.error(at, format!("unknown program {}", quoted(program)), hint(program, programs));
                continue;
            }
            match homes.entry(program) {
                Entry::Vacant(free) => drop(free.insert(name)),
                Entry::Occupied(other) if *other.get() == name.as_str() => {
                    report.error(at, format!("program {} is listed twice", quoted(program)), "");
                }
                Entry::Occupied(other) => {
                    let what = format!("program {} is also in group {}", quoted(program), other.get());
                    report.error(at, what, "a program can be in one group only");
                }
            }
        }
        let own = group.programs.iter().any(|(program, _)| program == name);
        if programs.contains(&name.as_str()) && !own {
            let what = format!("the group has the name of program {} but does not contain it", quoted(name));
            report.error(&group.at, what, "choose another name");
        }
    }
}

/// Reports processes that write to one log: rotation would break it.
fn check_logs(placed: &[Placed], context: &mut Context<'_>) {
    let mut logs: BTreeMap<&Path, Vec<(&Placed, usize)>> = BTreeMap::new();
    for one in placed {
        for (index, log) in [&one.spec.stdout, &one.spec.stderr].into_iter().enumerate() {
            if let LogTarget::Path(path) = &log.target {
                logs.entry(path).or_default().push((one, index));
            }
        }
    }
    let stream = |index: usize| if index == 0 { "stdout" } else { "stderr" };
    for (path, users) in logs.iter().filter(|(_, users)| users.len() > 1) {
        // Streams are not rotated: any number of programs may write to /dev/null.
        if standard_stream(path).is_none() && context.world.kind(path) == PathKind::Stream {
            continue;
        }
        let endless = |(one, index): &(&Placed, usize)| {
            let log = if *index == 0 { &one.spec.stdout } else { &one.spec.stderr };
            log.maxbytes.is_none() && (one.spec.shared_log || standard_stream(path).is_some())
        };
        if users.iter().all(endless) {
            continue;
        }
        let (first, first_index) = users[0];
        for (one, index) in &users[1..] {
            if first.spec.name == one.spec.name && first.spec.program != one.spec.program {
                // The duplicate process name is already reported, and is the cause.
                continue;
            }
            let what = format!(
                "{} is also the {} of {}",
                quoted(&path.to_string_lossy()),
                stream(first_index),
                first.spec.full_name()
            );
            let allowed = match (first.spec.name == one.spec.name, first.spec.program == one.spec.program) {
                (true, _) => "for one log, set redirect_stderr = true".to_owned(),
                (false, true) => "add %(process_num)d".to_owned(),
                (false, false) => {
                    format!("another path; or {}_maxbytes = 0 and shared_log = true in both", stream(*index))
                }
            };
            context.report.error(&one.logs[*index], what, allowed);
        }
    }
}

/// Settings of one output stream of a program.
struct StreamSettings {
    written: Option<Written<String>>,
    at: At,
    maxbytes: Option<u64>,
    backups: u32,
}

/// Key of a stream, and the keys of its limits with their aliases.
type StreamKeys = (&'static str, [&'static str; 2], [&'static str; 2]);

const STDOUT: StreamKeys =
    ("stdout", ["stdout_maxbytes", "stdout_logfile_maxbytes"], ["stdout_backups", "stdout_logfile_backups"]);
const STDERR: StreamKeys =
    ("stderr", ["stderr_maxbytes", "stderr_logfile_maxbytes"], ["stderr_backups", "stderr_logfile_backups"]);

impl StreamSettings {
    fn take(section: &mut Section<'_>, (key, maxbytes, backups): StreamKeys, report: &mut Report) -> StreamSettings {
        let written = section.take(report, key, value::word);
        let default = section.at_missing(key);
        StreamSettings {
            at: written.as_ref().map_or(default, |written| written.at.clone()),
            written,
            maxbytes: section
                .take_either(report, maxbytes, value::size)
                .map_or(Some(MAXBYTES), |written| written.value),
            backups: section.take_either(report, backups, value::count).map_or(BACKUPS, |written| written.value),
        }
    }

    fn resolve(
        &self,
        context: &mut Context<'_>,
        default: PathBuf,
        (here, instance, env): (&Path, Instance<'_>, &[(String, String)]),
    ) -> LogSpec {
        let target = match &self.written {
            None => LogTarget::Path(default),
            Some(written) if written.value.eq_ignore_ascii_case("none") => LogTarget::None,
            Some(written) if written.value.eq_ignore_ascii_case("auto") => LogTarget::Auto,
            Some(written) => context.path(written, here, Some(instance), env).map_or(LogTarget::None, LogTarget::Path),
        };
        if let LogTarget::Path(path) = &target {
            match standard_stream(path) {
                Some(_) if self.maxbytes.is_some() => {
                    let what = format!("{} cannot be rotated", quoted(&path.to_string_lossy()));
                    context.report.error(&self.at, what, format!("set {}_maxbytes = 0", self.at.key));
                }
                Some(_) => {}
                // The file may belong to another user; then the log goes elsewhere.
                None if self.written.is_none() => {}
                None => context.check_file(&self.at, path),
            }
        }
        LogSpec { target, default: self.written.is_none(), maxbytes: self.maxbytes, backups: self.backups }
    }
}

/// Reads one `[programs.x]` and makes its processes.
fn read_program(
    context: &mut Context<'_>,
    program: &str,
    group: Option<(&str, i64)>,
    mut section: Section<'_>,
    server: &ServerSpec,
) -> Vec<Placed> {
    let before = context.report.errors.len();
    let report = &mut context.report;
    let here = section.source.here.clone();
    let name_at = section.at_missing("process_name");
    let command_at = section.at_missing("command");

    let command = section.take_either(report, ["command", "cmd"], |value| {
        let text = value::string(value)?;
        match text.trim().is_empty() {
            true => Err(Bad::new("program has no command", "a command in quotes")),
            false => Ok(text),
        }
    });
    if command.is_none() && report.errors.len() == before {
        report.error(&command_at, "program has no command", "write command = \"…\"");
    }
    let args = section.take(report, "args", value::placed_strings).map(|args| {
        let at = |offset| section.source.at(offset, &section.name, "args");
        args.value.into_iter().map(|(value, offset)| Written { value, at: at(offset) }).collect::<Vec<_>>()
    });
    let args = args.unwrap_or_default();
    let process_name = section.take(report, "process_name", value::word);
    let numprocs = section.take(report, "numprocs", value::integer(1..=1000));
    let numprocs = numprocs.map_or(1, |written| u32::try_from(written.value).unwrap_or(1));
    let numprocs_start = section.take(report, "numprocs_start", value::integer(0..=1_000_000_000));
    let numprocs_start = numprocs_start.map_or(0, |written| u32::try_from(written.value).unwrap_or(0));
    let policy = policy(&mut section, report);
    let user = section.take(report, "user", value::word);
    let redirect_stderr = section.take(report, "redirect_stderr", value::boolean).is_some_and(|written| written.value);
    let stdout = StreamSettings::take(&mut section, STDOUT, report);
    let stderr = StreamSettings::take(&mut section, STDERR, report);
    if redirect_stderr && stderr.written.is_some() {
        report.warn(&stderr.at, "ignored", "redirect_stderr = true sends stderr to stdout");
    }
    let strip_ansi = section.take(report, "strip_ansi", value::boolean);
    let directory = section.take(report, "directory", value::string);
    let umask = section.take(report, "umask", value::octal(0o777)).map(|written| written.value);
    let stdin = section.take(report, "stdin", value::choice(&[("null", Stdin::Null), ("pipe", Stdin::Pipe)]));
    let shared_log = section.take(report, "shared_log", value::boolean).is_some_and(|written| written.value);
    let hook = HookKeys::take(&mut section, report);
    let serverurl = section.take(report, "serverurl", value::word);
    let mut text = |key| section.take(report, key, value::string).map(|written| written.value);
    let info = [text("info1"), text("info2"), text("info3")];
    let timeout = section.take(report, "timeout", |value| {
        let timeout = value::seconds(value)?;
        match timeout.is_zero() {
            true => Err(Bad::new("0 is not a timeout", "seconds above 0; without the key there is no timeout")),
            false => Ok(timeout),
        }
    });
    let feedback = section.take(report, "feedback", value::string);
    let variables = variables(&mut section, report);
    section.finish(report);
    if let Some(user) = &user {
        check_user(context, user);
    }

    let (group, group_priority) = group.unwrap_or((program, policy.priority));
    let named = process_name.clone().unwrap_or_else(|| Written {
        value: match numprocs {
            1 => "%(program_name)s".to_owned(),
            _ => "%(program_name)s_%(process_num)02d".to_owned(),
        },
        at: name_at,
    });
    let mut placed = Vec::new();
    for num in numprocs_start..numprocs_start + numprocs {
        let instance = Instance { program, group, num, numprocs };
        let env = merge(context, &variables, &here, instance);
        let name = match context.expand(&named.value, &here, Some(instance), &env) {
            Ok(expanded) if numprocs > 1 && !expanded.numbered => {
                let what = format!("{} gives several processes the same name", quoted(&named.value));
                context.report.error(&named.at, what, "add %(process_num)02d");
                break;
            }
            Ok(expanded) => expanded.text,
            Err(bad) => {
                context.report.bad(&named.at, bad);
                break;
            }
        };
        // An error in the program's own name was reported before.
        if process_name.is_some()
            && let Err(bad) = value::name(&name)
        {
            context.report.bad(&named.at, bad);
            break;
        }
        let place = (here.as_path(), instance, env.as_slice());
        let mut text = |written: &Written<String>| context.text(written, &here, Some(instance), &env);
        let command = command.as_ref().and_then(&mut text);
        let args = args.iter().filter_map(&mut text).collect();
        let serverurl = serverurl.as_ref().and_then(|written| url(context, written, place));
        let mut path = |written: &Written<String>| context.path(written, &here, Some(instance), &env);
        let (directory, feedback) = (directory.as_ref().and_then(&mut path), feedback.as_ref().and_then(&mut path));
        let log = |stream: &str| server.childlogdir.join(format!("{name}.{stream}"));
        let out = stdout.resolve(context, log("stdout"), place);
        let err = match redirect_stderr {
            // An ignored setting must not make a difference.
            true => LogSpec { target: LogTarget::None, default: false, maxbytes: out.maxbytes, backups: out.backups },
            false => stderr.resolve(context, log("stderr"), place),
        };
        let hook = hook.resolve(server.hook.as_ref(), context, (&here, Some(instance), &env));
        let Some(command) = command else { continue };
        if command.trim().is_empty() {
            context.report.error(&command_at, "program has no command", "its placeholders leave nothing");
        }
        let spec = ProgramSpec {
            name,
            program: program.to_owned(),
            group: group.to_owned(),
            group_priority,
            process_num: num,
            command,
            args,
            env: overlay(&context.env, &env),
            here: here.clone(),
            directory,
            umask,
            user: user.as_ref().map(|written| written.value.clone()),
            stdout: out,
            stderr: err,
            redirect_stderr,
            strip_ansi: strip_ansi.as_ref().map_or(server.strip_ansi, |written| written.value),
            stdin: stdin.as_ref().map_or(Stdin::Null, |written| written.value),
            shared_log,
            serverurl,
            info: info.clone(),
            timeout: timeout.as_ref().map(|written| written.value),
            feedback,
            create_dirs: server.create_dirs,
            hook,
            policy: policy.clone(),
        };
        placed.push(Placed { spec, name: named.at.clone(), logs: [stdout.at.clone(), stderr.at.clone()] });
    }
    placed
}

/// Reads the settings for start and stop of a program.
fn policy(section: &mut Section<'_>, report: &mut Report) -> Policy {
    let default = Policy::default();
    let words = [("true", Autorestart::Always), ("false", Autorestart::Never), ("unexpected", Autorestart::Unexpected)];
    let stopsignal = section.take(report, "stopsignal", value::signal);
    if let Some(Written { value: signal @ (Signal::KILL | Signal::STOP), at }) = &stopsignal {
        report.warn(at, format!("{signal} gives the program no chance to shut down"), "TERM is usual");
    }
    let stopasgroup = section.take(report, "stopasgroup", value::boolean).is_some_and(|written| written.value);
    let killasgroup = section.take(report, "killasgroup", value::boolean);
    if let Some(Written { value: false, at }) = &killasgroup
        && stopasgroup
    {
        report.error(at, "false contradicts stopasgroup = true", "remove it, or set it to true");
    }
    Policy {
        priority: section
            .take(report, "priority", value::integer(i64::MIN..=i64::MAX))
            .map_or(default.priority, |written| written.value),
        autostart: section.take(report, "autostart", value::boolean).is_none_or(|written| written.value),
        startsecs: section.take(report, "startsecs", value::seconds).map_or(default.startsecs, |written| written.value),
        startretries: section
            .take(report, "startretries", value::retries)
            .map_or(default.startretries, |written| written.value),
        autorestart: section
            .take(report, "autorestart", value::choice(&words))
            .map_or(default.autorestart, |written| written.value),
        exitcodes: section.take(report, "exitcodes", value::codes).map_or(default.exitcodes, |written| written.value),
        stopsignal: stopsignal.map_or(default.stopsignal, |written| written.value),
        stopwait: section
            .take(report, "stopwaitsecs", value::seconds_or_forever)
            .map_or(default.stopwait, |written| written.value),
        stopasgroup,
        killasgroup: killasgroup.map_or(stopasgroup, |written| written.value),
    }
}

/// Reports a user who does not exist, or to whom the supervisor cannot switch.
fn check_user(context: &mut Context<'_>, user: &Written<String>) {
    let shown = quoted(&user.value);
    match (context.world.user(&user.value), context.world.uid()) {
        (None, _) => context.report.error(&user.at, format!("unknown user {shown}"), "a name, or a number in quotes"),
        (Some(_), 0) => {}
        (Some(uid), own) if uid == own => {}
        (Some(_), own) => {
            let what = format!("only root can switch to user {shown}; running as user {own}");
            context.report.warn(&user.at, what, "the program will not start");
        }
    }
}

/// The unexpanded variables of `[programs.x.env]`.
fn variables(section: &mut Section<'_>, report: &mut Report) -> Vec<(String, Written<String>)> {
    let Some((_, table)) = section.raw("env") else { return Vec::new() };
    let name = format!("{}.env", section.name);
    let Some(mut section) = Section::new(section.source, name, table, report) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, at, value) in section.rest() {
        match value::variable(key, value.get_ref()) {
            Ok(value) => found.push((key.to_owned(), Written { value, at })),
            Err(bad) => report.bad(&at, bad),
        }
    }
    found
}

/// Expands the variables of one process; each may use the preceding ones.
fn merge(
    context: &mut Context<'_>,
    variables: &[(String, Written<String>)],
    here: &Path,
    instance: Instance<'_>,
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, written) in variables {
        if let Some(value) = context.text(written, here, Some(instance), &env) {
            env.push((name.clone(), value));
        }
    }
    env
}

/// Merges two lists of variables; `over` takes precedence.
fn overlay(under: &[(String, String)], over: &[(String, String)]) -> Vec<(String, String)> {
    let hidden = |name: &String| over.iter().any(|(other, _)| other == name);
    under.iter().filter(|(name, _)| !hidden(name)).chain(over).cloned().collect()
}

/// Reads `serverurl`; `None`: determined at each start.
fn url(
    context: &mut Context<'_>,
    written: &Written<String>,
    (here, instance, env): (&Path, Instance<'_>, &[(String, String)]),
) -> Option<ServerUrl> {
    let text = context.text(written, here, Some(instance), env)?;
    if text.eq_ignore_ascii_case("auto") {
        return None;
    }
    match text.parse() {
        Ok(url) => Some(url),
        Err(_) => {
            let allowed = "expected unix:///path, http://host:port or \"AUTO\"";
            context.report.error(&written.at, format!("{} is not an address", quoted(&text)), allowed);
            None
        }
    }
}
