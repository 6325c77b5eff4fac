//! Lines of a stream after a first response: pieces of a log, the end of a process, events. Each is
//! one JSON object per line, without a status.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{Channel, Response, WireError};

/// A piece of a log: the content of `tail` and `maintail`, and each line that follows these and
/// `fg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The raw bytes.
    pub data: Vec<u8>,
    /// Offset in the log.
    pub offset: Option<u64>,
    /// The stream; `None` if the log has only one.
    pub channel: Option<Channel>,
}

impl Piece {
    /// Converts to an object. Bytes that are not UTF-8 are encoded in base64.
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let (data, encoding) = match std::str::from_utf8(&self.data) {
            Ok(text) => (text.to_owned(), "utf-8"),
            Err(_) => (STANDARD.encode(&self.data), "base64"),
        };
        map.insert("data".into(), data.into());
        map.insert("encoding".into(), encoding.into());
        if let Some(offset) = self.offset {
            map.insert("offset".into(), offset.into());
        }
        if let Some(channel) = self.channel {
            map.insert("channel".into(), channel.as_str().into());
        }
        map
    }

    /// Parses an object; `None` if it is not a piece. Unknown keys are ignored.
    pub fn from_value(value: &Value) -> Option<Piece> {
        let text = value.get("data")?.as_str()?;
        let data = match value.get("encoding").and_then(Value::as_str) {
            None | Some("utf-8") => text.as_bytes().to_vec(),
            Some("base64") => STANDARD.decode(text).ok()?,
            Some(_) => return None,
        };
        let channel = match value.get("channel").and_then(Value::as_str) {
            Some("stdout") => Some(Channel::Stdout),
            Some("stderr") => Some(Channel::Stderr),
            Some(_) | None => None,
        };
        Some(Piece { data, offset: value.get("offset").and_then(Value::as_u64), channel })
    }
}

/// Text of [`Followed::Ended`] when the supervisor has ended.
pub const SUPERVISOR_ENDED: &str = "the supervisor has ended";

/// One line of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// More of the log.
    Piece(Piece),
    /// The process or the supervisor has ended, as text.
    Ended(String),
    /// Part of the log was removed before it could be read.
    Skipped,
    /// The stream failed.
    Failed(WireError),
    /// An event, or an unknown line of a newer supervisor.
    Other(Value),
}

impl Followed {
    /// Parses one line; `None` if it is not a JSON object.
    pub fn parse(line: &[u8]) -> Option<Followed> {
        if let Ok(Response { error: Some(error), .. }) = Response::parse(line) {
            return Some(Followed::Failed(error));
        }
        let value = super::strict::parse(line).ok().filter(Value::is_object)?;
        if let Some(piece) = Piece::from_value(&value) {
            return Some(Followed::Piece(piece));
        }
        let ended = value.get("ended").and_then(Value::as_str).map(str::to_owned);
        let error = value.get("error").and_then(|error| serde::Deserialize::deserialize(error).ok());
        if value.get("skipped").and_then(Value::as_bool) == Some(true) {
            return Some(Followed::Skipped);
        }
        Some(match (ended, error) {
            (Some(how), _) => Followed::Ended(how),
            (None, Some(error)) => Followed::Failed(error),
            (None, None) => Followed::Other(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::wire::Code;

    #[test]
    fn a_line_is_a_piece_an_end_a_failure_or_something_else() {
        let text = r#"{"data":"a\n","encoding":"utf-8","offset":7,"channel":"stderr"}"#;
        let piece = Piece { data: b"a\n".to_vec(), offset: Some(7), channel: Some(Channel::Stderr) };
        assert_eq!(Value::Object(piece.to_map()).to_string(), text);
        assert_eq!(Followed::parse(text.as_bytes()), Some(Followed::Piece(piece)));
        let ended = Followed::parse(br#"{"ended":"exit status 3"}"#);
        assert_eq!(ended, Some(Followed::Ended("exit status 3".into())));
        assert_eq!(Followed::parse(br#"{"skipped":true,"channel":"stdout"}"#), Some(Followed::Skipped));
        for line in [
            &br#"{"error":{"code":"FAILED","message":"too slow"}}"#[..],
            br#"{"status":500,"error":{"code":"FAILED","message":"too slow"}}"#,
        ] {
            let error = WireError::new(Code::Failed, "too slow");
            assert_eq!(Followed::parse(line), Some(Followed::Failed(error)));
        }
        for line in [&br#"{"event":"tick"}"#[..], br#"{"data":1}"#, br#"{"data":"?","encoding":"base64"}"#] {
            assert!(matches!(Followed::parse(line), Some(Followed::Other(_))));
        }
        for line in [&b"[]"[..], b"{", b"", b"\xff", b"1"] {
            assert_eq!(Followed::parse(line), None);
        }
    }

    proptest! {
        #[test]
        fn a_piece_reads_as_it_was_written(
            data: Vec<u8>, offset: Option<u64>,
            channel in proptest::option::of(proptest::sample::select(vec![Channel::Stdout, Channel::Stderr])),
        ) {
            let piece = Piece { data, offset, channel };
            let line = Value::Object(piece.to_map()).to_string();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(Followed::parse(line.as_bytes()), Some(Followed::Piece(piece)));
        }
    }
}
