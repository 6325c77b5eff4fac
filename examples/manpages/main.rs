//! Writes the manual pages to `docs/man` and the shell completions to `docs/completions`, or checks
//! that they are up to date:
//!
//! ```text
//! cargo run --example manpages             write them
//! cargo run --example manpages -- --check  fail if one is missing, out of date or superfluous
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports its result")]

mod pages;

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("manpages: error: unknown argument {other:?}: only --check is supported");
            return ExitCode::from(2);
        }
    };
    let done = pages::all().and_then(|files| match check {
        true => pages::drift(&docs, &files),
        false => pages::write(&docs, &files).map(|()| vec![]),
    });
    match done {
        Ok(drift) if drift.is_empty() => {
            println!("manpages: {} {}", docs.display(), if check { "is up to date" } else { "is written" });
            ExitCode::SUCCESS
        }
        Ok(drift) => {
            for line in drift {
                eprintln!("manpages: {line}");
            }
            eprintln!("manpages: run `cargo run --example manpages` and commit the result");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("manpages: error: {error}");
            ExitCode::FAILURE
        }
    }
}
