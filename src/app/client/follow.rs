//! Output after the first response: a growing log, the output of a process, events.

use std::{fmt::Write as _, io};

use serde_json::Value;

use super::{ClientError, ClientOutput, safe_json};
use crate::{
    app::{show::local_time, supervise_args::ClientArgs},
    io::connect::{ConnectError, Socket},
    model::{
        ansi,
        ansi::plain,
        client::{DONE, reason},
        error::ErrorKind,
        wire::{Channel, Command, Followed, SUPERVISOR_ENDED},
    },
};

/// Prints lines until either side ends, and returns the exit code. Each piece is flushed before the
/// next is read.
pub(super) fn follow(
    args: &ClientArgs,
    command: &Command,
    socket: &mut Socket,
    output: &mut ClientOutput<'_>,
) -> Result<u8, ClientError> {
    let is_fg = matches!(command, Command::Fg { .. });
    let mut has_ended = false;
    loop {
        let line = match socket.line(None, output.reader) {
            Ok(Some(line)) => line,
            Ok(None) if has_ended => return Ok(DONE),
            Ok(None) if is_fg => {
                return Err(ClientError::Broken("the connection was closed before the process ended".to_owned()));
            }
            // A supervisor that shuts down sends a last line.
            Ok(None) => {
                return Err(ClientError::Broken(
                    "the connection was lost: the supervisor has died or was killed".to_owned(),
                ));
            }
            Err(ConnectError::Interrupted) => return Err(ClientError::Interrupted),
            Err(ConnectError::ReaderGone) => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            Err(error) => return Err(ClientError::Broken(error.to_string())),
        };
        let Some(followed) = Followed::parse(&line) else {
            return Err(ClientError::Broken("invalid line from the supervisor: not a JSON object".to_owned()));
        };
        if args.json {
            output.out.write_all(format!("{}\n", safe_json(&line)).as_bytes())?;
        }
        match followed {
            Followed::Failed(error) => {
                return match args.json {
                    true => Ok(ErrorKind::Failed.exit_code()),
                    false => Err(ClientError::Broken(reason(error.code, &error.message))),
                };
            }
            Followed::Ended(how) => {
                has_ended = true;
                // Not into the output of the process.
                let _ = match command {
                    _ if args.json => Ok(()),
                    Command::Fg { name } => {
                        writeln!(output.err, "supervise: {} has ended: {}", plain(name), plain(&how))
                    }
                    Command::Tail { name, .. } if how != SUPERVISOR_ENDED => {
                        writeln!(output.err, "supervise: {}: {}", plain(name), plain(&how))
                    }
                    _ => Ok(()),
                };
            }
            _ if args.json => {}
            Followed::Skipped => {
                let why = "the log was rotated faster than it was read";
                let _ = writeln!(output.err, "supervise: some of the output is missing here: {why}");
            }
            Followed::Piece(piece) => {
                let bytes = fit(&piece.data, args.action.is_raw(), output.width);
                match piece.channel {
                    Some(Channel::Stderr) if is_fg => output.err.write_all(&bytes)?,
                    _ => output.out.write_all(&bytes)?,
                }
            }
            Followed::Other(event) => output.out.write_all(format!("{}\n", event_line(&event)).as_bytes())?,
        }
        output.out.flush()?;
        output.err.flush()?;
    }
}

/// Prepares a piece of a log for the output: unchanged, except on a terminal, where only colours
/// are kept of its control sequences.
pub(in crate::app) fn fit(data: &[u8], is_raw: bool, width: Option<u16>) -> Vec<u8> {
    if is_raw || width.is_none() {
        return data.to_vec();
    }
    let fitted = data.split_inclusive(|&byte| byte == b'\n').flat_map(|line| {
        let (line, end) = line.strip_suffix(b"\n").map_or((line, ""), |line| (line, "\n"));
        format!("{}{end}", ansi::fit(line)).into_bytes()
    });
    fitted.collect()
}

/// Returns the line for an event.
fn event_line(event: &Value) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).map(plain);
    let number = |key: &str| event.get(key).and_then(Value::as_i64);
    let time = number("time").map(|time| format!("{} ", local_time(time))).unwrap_or_default();
    let content = |key: &str| event.get(key).map(|value| format!(" {}", plain(&value.to_string()))).unwrap_or_default();
    match (event.get("event").and_then(Value::as_str), text("name"), text("from"), text("to")) {
        (Some("state"), Some(name), Some(from), Some(to)) => {
            let mut line = format!("{time}{name}: {from} -> {to}");
            let how = match (number("exit_code"), text("exit_signal")) {
                (Some(code), _) => Some(format!("exit status {code}")),
                (None, Some(signal)) => Some(format!("killed by {signal}")),
                (None, None) => None,
            };
            if let Some(how) = how {
                let expected = event.get("expected").and_then(Value::as_bool);
                let unexpected = if expected == Some(false) { ", unexpected" } else { "" };
                let _ = write!(line, " ({how}{unexpected})");
            }
            line
        }
        (Some("config"), ..) => format!("{time}configuration reloaded:{}", content("content")),
        (Some("shutdown"), ..) => format!("{time}the supervisor is shutting down"),
        (Some("tick"), ..) => format!("{time}tick"),
        (Some("dropped"), ..) => format!("{} events were lost", number("count").unwrap_or_default()),
        _ => plain(&event.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_terminal_gets_colours_and_no_other_control_sequences() {
        let data = b"a\x1b[31mb\x1b[2J\n\x07c\xff";
        assert_eq!(fit(data, false, None), data);
        assert_eq!(fit(data, true, Some(80)), data);
        assert_eq!(fit(data, false, Some(80)), "a\x1b[31mb\x1b[0m\nc\u{fffd}".as_bytes());
        assert_eq!(fit(b"", false, Some(80)), b"");
    }

    #[test]
    fn events_are_lines() {
        let state = json!({"event": "state", "name": "w\x1bb", "from": "RUNNING", "to": "EXITED", "exit_code": 1, "expected": false});
        assert_eq!(event_line(&state), "w\\u{1b}b: RUNNING -> EXITED (exit status 1, unexpected)");
        let killed = json!({"event": "state", "name": "w", "from": "RUNNING", "to": "EXITED", "exit_signal": "KILL"});
        assert_eq!(event_line(&killed), "w: RUNNING -> EXITED (killed by KILL)");
        assert_eq!(event_line(&json!({"event": "dropped", "count": 3})), "3 events were lost");
        assert_eq!(event_line(&json!({"event": "new"})), r#"{"event":"new"}"#);
    }
}
