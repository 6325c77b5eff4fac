//! Fills in the tables of options in the pages of the reference. A page contains, for each command line that it explains,
//! two comments; the lines between them are generated from the definition of the command line:
//!
//! ```text
//! <!-- options: control list -->
//! <!-- end of options -->
//! ```

use std::{fs, io, path::Path};

use clap::{Arg, Command};
use taskwatcher::app::control_args::Program;

const BEGIN: &str = "<!-- options: ";
const END: &str = "<!-- end of options -->";

/// Options that every verb has, explained once.
const SHARED: [&str; 2] = ["help", "interactive"];
/// Arguments of actions that take names, explained once; clap has them in the group `which`.
const NAMES: [&str; 4] = ["names", "program", "group", "process"];

/// Returns the definition of a command line by its words, such as `control remote add`.
pub fn find(words: &str) -> Option<Command> {
    let mut words = words.split(' ');
    let program = words.next()?;
    let all = [Program::Launch, Program::Control, Program::Parse, Program::Supervise];
    let mut command = all.into_iter().map(Program::command).find(|command| command.get_name() == program)?;
    command.build();
    words.try_fold(command, |command, word| command.find_subcommand(word).cloned())
}

/// Returns a page with its tables filled in.
///
/// # Errors
/// A comment that names no command line, or that has no end.
pub fn filled(page: &str) -> Result<String, String> {
    let mut done = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (words, after) = after.split_once(" -->\n").ok_or_else(|| format!("{BEGIN} has no end"))?;
        let (_, after) = after.split_once(END).ok_or_else(|| format!("{BEGIN}{words} has no {END}"))?;
        let command = find(words).ok_or_else(|| format!("there is no command line `{words}`"))?;
        done.push_str(&format!("{before}{BEGIN}{words} -->\n{}\n{END}", described(&command, words)));
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// Describes a command line: the usage of a verb, and a table of its arguments and options.
fn described(command: &Command, words: &str) -> String {
    let is_verb = words.contains(' ');
    let mut text = String::new();
    if is_verb {
        let usage = command.clone().render_usage().to_string();
        text.push_str(&format!("\n```text\n{}\n```\n", usage.trim_start_matches("Usage: ").trim()));
    }
    let takes_names = command.get_groups().any(|group| group.get_id() == "which");
    let is_own = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        let is_shared = arg.is_global_set() || SHARED.contains(&id) || takes_names && NAMES.contains(&id);
        !is_verb || !is_shared
    };
    let rows: String = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter(is_own).map(row).collect();
    if !rows.is_empty() {
        text.push_str(&format!("\n| option | meaning |\n|---|---|\n{rows}"));
    }
    text
}

/// Returns the row of one argument or option.
fn row(arg: &Arg) -> String {
    let value = match arg.get_action().takes_values() {
        true => arg.get_value_names().unwrap_or_default().join(" "),
        false => String::new(),
    };
    let short = arg.get_short().map(|short| code(&format!("-{short}")));
    let long = match arg.get_long() {
        Some(long) => code(&format!("--{long} {value}")),
        None => code(&value),
    };
    let names: Vec<String> = short.into_iter().chain([long]).collect();
    format!("| {} | {} |\n", names.join(", "), meaning(arg))
}

/// Returns the help of an argument with what clap adds to it: the values, the default, other names.
fn meaning(arg: &Arg) -> String {
    let mut text = escaped(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    if arg.get_action().takes_values() && !arg.is_hide_possible_values_set() {
        let values = arg.get_possible_values();
        let shown = || values.iter().filter(|value| !value.is_hide_set());
        let described: Vec<String> = shown()
            .filter_map(|value| {
                Some(format!("{}: {}", code(value.get_name()), escaped(&value.get_help()?.to_string())))
            })
            .collect();
        if !described.is_empty() {
            text.push_str(&format!(". {}", described.join("; ")));
        } else if !shown().all(|value| text.contains(value.get_name())) {
            let names: Vec<String> = shown().map(|value| code(value.get_name())).collect();
            text.push_str(&format!(": {}", names.join(", ")));
        }
    }
    let default: Vec<String> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into()).collect();
    if arg.get_action().takes_values() && !default.is_empty() {
        text.push_str(&format!(" [default: {}]", escaped(&default.join(" "))));
    }
    if let Some(aliases) = arg.get_visible_aliases().filter(|aliases| !aliases.is_empty()) {
        let aliases = aliases.iter().map(|alias| code(&format!("--{alias}"))).collect::<Vec<_>>();
        text.push_str(&format!(". Also {}", aliases.join(", ")));
    }
    text
}

fn code(text: &str) -> String {
    format!("`{}`", text.trim().replace('|', "\\|"))
}

/// Returns a text whose characters mean nothing to Markdown, with options as code.
fn escaped(text: &str) -> String {
    let is_option = |word: &str| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic));
    let words = text.split(' ').map(|word| {
        let option = word.trim_end_matches([':', ',', ';', '.', ')', ']']);
        if is_option(option) { word.replacen(option, &format!("`{option}`"), 1) } else { word.to_owned() }
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let mut done = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        if c == '|' || !in_code && ['*', '<', '~'].contains(&c) {
            done.push('\\');
        }
        done.push(if c == '\n' { ' ' } else { c });
    }
    done
}

/// Fills in the tables of all pages of a folder, or with `write` unset only returns a line for each page that would
/// change.
///
/// # Errors
/// A page that cannot be read, written or filled in.
pub fn update(folder: &Path, write: bool) -> io::Result<Vec<String>> {
    let mut drift = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let page = fs::read_to_string(&path)?;
        let new = filled(&page).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        if new == page {
            continue;
        }
        if write {
            fs::write(&path, new)?;
        } else {
            drift.push(format!("{} is out of date", path.display()));
        }
    }
    drift.sort();
    Ok(drift)
}
