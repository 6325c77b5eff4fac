//! What a program tells the manager of services that started it (`sd_notify(3)`): the part that means something to us.

/// One message, as far as we know what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyMessage {
    /// `WATCHDOG=1`: it is alive.
    pub beat: bool,
    /// `READY=1`: it has started up.
    pub ready: bool,
    /// `STATUS=…`: what it does, in its own words; empty takes back what it said.
    pub status: Option<String>,
}

/// Reads a datagram: lines of `NAME=value`; the last of a name wins, what we do not know is left alone.
pub fn parse(message: &[u8]) -> NotifyMessage {
    let mut told = NotifyMessage::default();
    for line in message.split(|byte| *byte == b'\n') {
        match line {
            b"WATCHDOG=1" => told.beat = true,
            b"READY=1" => told.ready = true,
            other => {
                if let Some(text) = other.strip_prefix(b"STATUS=") {
                    told.status = Some(String::from_utf8_lossy(text).into_owned());
                }
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_know_is_taken_from_what_we_do_not() {
        let told = parse(b"READY=1\nMAINPID=5\nSTATUS=one\nSTATUS=two = 2\nWATCHDOG=trigger\n");
        assert_eq!(told, NotifyMessage { beat: false, ready: true, status: Some("two = 2".into()) });
        assert!(parse(b"WATCHDOG=1").beat);
        assert_eq!(parse(b"STATUS=\xff\n").status.as_deref(), Some("\u{fffd}"));
        for text in [&b""[..], b"\n\n", b"READY=0", b"XWATCHDOG=1", b"WATCHDOG=10", b"\0\0"] {
            assert_eq!(parse(text), NotifyMessage::default());
        }
    }
}
