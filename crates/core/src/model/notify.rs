//! Messages of a service to its manager (`sd_notify(3)`): the part that taskwatcher uses.

/// Announces a request in the spool. Never passed on to a manager: it is internal to taskwatcher.
pub const LOOK_FOR_REQUEST: &[u8] = b"X_TASKWATCHER_REQUEST=1";

/// Returns the name of a launcher's notify socket, without the `@` of its address.
pub fn socket_name(random: u64) -> String {
    format!("taskwatcher-{random:016x}")
}

/// Whether the name has the form of [`socket_name`].
pub fn is_socket_name(name: &str) -> bool {
    let random = name.strip_prefix("taskwatcher-").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    random.is_some_and(|random| socket_name(random) == name)
}

/// The known fields of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyMessage {
    /// `WATCHDOG=1`: a heartbeat.
    pub beat: bool,
    /// `READY=1`: startup is complete.
    pub ready: bool,
    /// `STATUS=…`: free text about the current activity; an empty text clears it.
    pub status: Option<String>,
}

/// Parses a datagram: lines of `NAME=value`. The last line of a name wins, unknown names are
/// ignored.
pub fn parse(message: &[u8]) -> NotifyMessage {
    let mut parsed = NotifyMessage::default();
    for line in message.split(|byte| *byte == b'\n') {
        match line {
            b"WATCHDOG=1" => parsed.beat = true,
            b"READY=1" => parsed.ready = true,
            other => {
                if let Some(text) = other.strip_prefix(b"STATUS=") {
                    parsed.status = Some(String::from_utf8_lossy(text).into_owned());
                }
            }
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_read_and_others_ignored() {
        let parsed = parse(b"READY=1\nMAINPID=5\nSTATUS=one\nSTATUS=two = 2\nWATCHDOG=trigger\n");
        assert_eq!(parsed, NotifyMessage { beat: false, ready: true, status: Some("two = 2".into()) });
        assert!(parse(b"WATCHDOG=1").beat);
        assert_eq!(parse(b"STATUS=\xff\n").status.as_deref(), Some("\u{fffd}"));
        for text in [&b""[..], b"\n\n", b"READY=0", b"XWATCHDOG=1", b"WATCHDOG=10", b"\0\0"] {
            assert_eq!(parse(text), NotifyMessage::default());
        }
    }
}
