//! Writes what is generated from the definitions of the command lines: the tables of options in `docs/reference/`,
//! which are in git, and the manual pages and shell completions, which a packager makes:
//!
//! ```text
//! cargo run --example manpages             write the tables of options into docs/reference/
//! cargo run --example manpages -- --check  fail if a table is out of date
//! cargo run --example manpages -- FOLDER   write manual pages to FOLDER/man, completions to FOLDER/completions
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports its result")]

mod markdown;
mod pages;
mod reference;

use std::{io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let done = match std::env::args().nth(1).as_deref() {
        None => reference::update(&folder, true).map(|_| format!("{} is written", folder.display())),
        Some("--check") => checked(&folder),
        Some(option) if option.starts_with('-') => {
            eprintln!("manpages: error: unknown option {option:?}: only --check is supported");
            return ExitCode::from(2);
        }
        Some(to) => {
            pages::all().and_then(|files| pages::write(Path::new(to), &files)).map(|()| format!("{to} is written"))
        }
    };
    match done {
        Ok(text) => {
            println!("manpages: {text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("manpages: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn checked(folder: &Path) -> io::Result<String> {
    let drift = reference::update(folder, false)?;
    if drift.is_empty() {
        return Ok(format!("{} is up to date", folder.display()));
    }
    Err(io::Error::other(format!("{}; run `cargo run --example manpages`", drift.join(", "))))
}
