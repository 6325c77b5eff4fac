//! Only the startup of a supervisor, for `tests/it/begin.rs`: starts like `supervise`, writes its
//! state to a file, and ends on request.
//!
//! `begin [-n] [-u USER] [-c FILE] [--report FILE] [--late MESSAGE] [--check [--dump]]`

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
};

use taskwatcher::{
    app::supervise::begin::{BeginError, Begun, DaemonArgs, StartOutcome, check, start},
    io::inbox::{Inbox, Notice},
};

#[derive(Default)]
struct Args {
    daemon: DaemonArgs,
    report: Option<String>,
    late: Option<String>,
    check: bool,
    dump: bool,
}

fn main() -> ExitCode {
    let (mut args, mut words) = (Args::default(), std::env::args().skip(1));
    while let Some(word) = words.next() {
        match word.as_str() {
            "-n" => args.daemon.overrides.nodaemon = true,
            "-c" => args.daemon.file = words.next().map(Into::into),
            "-u" => args.daemon.overrides.user = words.next(),
            "--report" => args.report = words.next(),
            "--late" => args.late = words.next(),
            "--check" => args.check = true,
            "--dump" => args.dump = true,
            _ => return ExitCode::from(2),
        }
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            failed.lines.iter().for_each(|line| say(line));
            ExitCode::from(u8::try_from(failed.code).unwrap_or(u8::MAX))
        }
    }
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(args: &Args) -> Result<(), BeginError> {
    if args.check {
        let checked = check(&args.daemon)?;
        checked.warnings.iter().for_each(|line| say(line));
        if args.dump {
            write!(io::stdout(), "{}", checked.dump).map_err(BeginError::new)?;
        }
        return Ok(());
    }
    match start(&args.daemon, &mut say)? {
        StartOutcome::Launched => Ok(()),
        StartOutcome::Begun(begun) => serve(*begun, args),
    }
}

fn serve(mut begun: Begun, args: &Args) -> Result<(), BeginError> {
    let inbox = Inbox::open(0).map_err(BeginError::new)?;
    if let Some(message) = &args.late {
        let failed = BeginError::new(message);
        begun.ready.fail(&failed);
        return Err(failed);
    }
    if let Some(path) = &args.report {
        let text = report(&begun).map_err(BeginError::new)?;
        fs::write(path, text).map_err(BeginError::new)?;
    }
    begun.ready.report_ready();
    loop {
        inbox.wait(None).map_err(BeginError::new)?;
        while let Some(notice) = inbox.next().map_err(BeginError::new)? {
            if matches!(notice, Notice::Stop { .. }) {
                return Ok(());
            }
        }
    }
}

/// What tests want to know of it, a line each.
fn report(begun: &Begun) -> io::Result<String> {
    let mut lines = vec![
        format!("pid {}", std::process::id()),
        format!("daemonized {}", begun.daemonized),
        format!("db {}", begun.db.display()),
        format!("cwd {}", std::env::current_dir()?.display()),
        format!("ports {}", begun.inet.len()),
        format!("socket {}", begun.unix.is_some()),
    ];
    lines.extend(begun.warnings.iter().map(|(level, line)| format!("{} {line}", level.as_str())));
    lines.push(String::new());
    Ok(lines.join("\n"))
}
