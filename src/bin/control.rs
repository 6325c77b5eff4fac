//! `control`: command line and exit code. The work is in `taskwatcher::app::control`.

use std::{
    io::{self, BufWriter, IsTerminal, LineWriter, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use taskwatcher::{
    app::{
        control::{VerbOutput, run},
        control_args::ControlArgs,
        usage,
    },
    io::{inbox, store::LockTimeout, sys::Zone, terminal},
    model::task::exit_code,
};

fn main() -> ExitCode {
    inbox::survive_file_size_limit();
    // Each line in one write, so that lines of concurrent programs do not mix.
    let (stdout, mut messages) = (io::stdout(), LineWriter::new(io::stderr()));
    let args = match ControlArgs::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            return ExitCode::from(usage::report(&error, "control", exit_code::FAILED, &mut messages));
        }
    };
    let mut ask = ask;
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    let width = || terminal::width(io::stdout().as_fd());
    let notify: Option<fn()> = io::stderr().is_terminal().then_some(say_waiting);
    let mut data = BufWriter::with_capacity(1 << 16, stdout.lock());
    let mut output = VerbOutput {
        data: &mut data,
        messages: &mut messages,
        width: &width,
        colours: width().is_some() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        patience: LockTimeout { notify, ..LockTimeout::USUAL },
        confirm: if can_ask { Some(&mut ask) } else { None },
    };
    if let Some(text) = Zone::unknown() {
        let _ = writeln!(output.messages, "control: TZ={text:?} is not a time zone; times are in UTC");
    }
    let done = run(args, &mut output).and_then(|code| Ok(data.flush().map(|()| code)?));
    let code = match done {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => 0,
        Err(error) => {
            // Output from before the failure is still flushed.
            let _ = data.flush();
            let _ = writeln!(messages, "control: error: {error}");
            i32::from(error.kind().exit_code())
        }
    };
    // After a broken pipe, the rest of the buffer must not be flushed on drop.
    std::mem::forget(data);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Asks the user at the terminal. No answer means no.
fn ask(question: &str) -> bool {
    let mut answer = String::new();
    let asked = io::stderr().write_all(format!("control: {question} [y/N] ").as_bytes());
    asked.and_then(|()| io::stdin().read_line(&mut answer)).is_ok()
        && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

fn say_waiting() {
    let _ = io::stderr().write_all(b"control: waiting for the database, which is locked by another program\n");
}
