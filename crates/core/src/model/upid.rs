//! UPIDs, the task ids of Proxmox products: parses both published forms and makes one.
//!
//! One job: text to fields and back. Knows no process and no clock.
//!
//! ```text
//! [remote!]UPID:node:pid:pstart:starttime:type:id:user:comment              nine fields (PVE and taskwatcher)
//! [remote!]UPID:node:pid:pstart:task_id:starttime:type:id:user:comment      ten fields (PBS)
//! ```
//!
//! A parsed UPID keeps its text, so printing it returns the same bytes whatever the case and width
//! of its numbers. Numbers need the eight digits that every writer prints, so that a decimal number
//! is not misread as hexadecimal.
//!
//! # Ids in systemd escapes
//!
//! PBS writes ids as systemd escapes unit names: `/` as `-`, unusual characters as `\x2d`. In the
//! ten-field form every id is escaped. PVE writes ids unescaped, so `local-lvm` in a nine-field
//! UPID is a storage of that name and not `local/lvm`; such an id counts as escaped only if it
//! contains `\x`. An id that is not validly escaped is kept as it is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// Longest task type, characters. The UPID is part of a file name, which Linux limits to 255 bytes.
const TYPE: usize = 64;
/// Longest host name, characters (the limit of DNS for one label).
const NODE: usize = 63;
/// Longest login in a UPID made here, characters; enough for `first.last@corp.example.com`.
const LOGIN: usize = 40;

/// Longest realm and longest token in a UPID made here, characters. Both reduce the room of the
/// login.
const REALM: usize = 16;

/// Longest escaped id in a UPID made here, characters.
const ID: usize = 32;

/// Earliest plausible start of a task, in the year 2001: a smaller number is a counter.
const FIRST_START: i64 = 1_000_000_000;

/// One of the fields, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The part before the `!`.
    Remote,
    /// The host.
    Node,
    /// The process.
    Pid,
    /// When the process started, in clock ticks since boot.
    Pstart,
    /// The counter of the ten-field form.
    TaskId,
    /// When the task started, in unix seconds.
    Starttime,
    /// The type of the task.
    Type,
    /// The object the task works on.
    Id,
    /// The user who started the task.
    User,
    /// The name of the API token.
    Token,
    /// Free text at the end.
    Comment,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Remote => "remote",
            Field::Node => "node",
            Field::Pid => "pid",
            Field::Pstart => "pstart",
            Field::TaskId => "task id",
            Field::Starttime => "start time",
            Field::Type => "type",
            Field::Id => "id",
            Field::User => "user",
            Field::Token => "token",
            Field::Comment => "comment",
        })
    }
}

/// Why a text is not a UPID: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpidError {
    /// Another text at the start.
    #[error("does not begin with \"UPID:\"")]
    NotUpid,
    /// The last field has no colon before it.
    #[error("the colon after the user is missing")]
    NoLastColon,
    /// Neither nine nor ten fields.
    #[error("has {0} fields; expected nine, or ten with a task counter")]
    FieldCount(usize),
    /// A mandatory field is empty.
    #[error("{0} is empty")]
    Empty(Field),
    /// A number with a character that is not a hexadecimal digit.
    #[error("{field} {text:?} is not a hexadecimal number")]
    NotHex {
        /// The number's field.
        field: Field,
        /// The text of the field.
        text: String,
    },
    /// A number with fewer digits than every writer prints.
    #[error("{field} {text:?} has fewer than eight digits")]
    TooShort {
        /// The number's field.
        field: Field,
        /// The text of the field.
        text: String,
    },
    /// A number out of range.
    #[error("{field} {text:?} is too large")]
    TooLarge {
        /// The number's field.
        field: Field,
        /// The text of the field.
        text: String,
    },
    /// A character that is not allowed in this field.
    #[error("{field} contains the character {character:?}")]
    BadCharacter {
        /// The field.
        field: Field,
        /// The first such character.
        character: char,
    },
    /// A user without a realm.
    #[error("user {0:?} has no @realm")]
    NoRealm(String),
    /// A type that is too long.
    #[error("type has {0} characters; at most 64 are allowed")]
    LongType(usize),
}

/// What every UPID begins with.
const PREFIX: &str = "UPID:";

/// A UPID: its text, and the numbers in it. The other fields are parts of the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upid {
    text: String,
    /// Pid of the process that runs the task.
    pub pid: u32,
    /// Start time of that process: clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub pstart: u64,
    /// The counter of the ten-field form, which distinguishes tasks of one process.
    pub task_id: Option<u64>,
    /// Start time of the task, unix seconds.
    pub starttime: i64,
}

impl Upid {
    /// Makes a UPID in the nine-field form. The result always parses, whatever the names are:
    ///
    /// - `node`: the host name up to its first dot, as Proxmox tools name a host; a character they
    ///   do not accept becomes `-`
    /// - the type: `name` reduced to `[A-Za-z0-9_-]`, at most 64 characters; `task` if nothing is
    ///   left
    /// - `login`: becomes `<login>@pam`; a character that would end the field or begin a token
    ///   becomes `_`
    ///
    /// The text has at most 243 bytes, so that `<UPID>.log` is a valid file name.
    pub fn build(node: &str, pid: u32, pstart: u64, starttime: i64, name: &str, id: u64, login: &str) -> Upid {
        Upid::make(node, pid, pstart, None, starttime, name, id.to_string(), login)
    }

    /// Makes the UPID of a worker inside a process, in the ten-field form. `counter`, the task id,
    /// distinguishes workers of one type and process; `id` is the object of the work, escaped, and
    /// cut where the text would become too long for a file name. `user` becomes `<user>@pam` if it
    /// has no realm; a token after a `!` is kept.
    #[expect(clippy::too_many_arguments, reason = "its fields, in their order")]
    pub fn build_worker(
        node: &str,
        pid: u32,
        pstart: u64,
        counter: u64,
        starttime: i64,
        kind: &str,
        id: &str,
        user: &str,
    ) -> Upid {
        let mut escaped = String::new();
        for (at, c) in id.char_indices() {
            let mut bytes = [0; 4];
            let next = escape_unit(c.encode_utf8(&mut bytes), at == 0);
            if escaped.len() + next.len() > ID {
                break;
            }
            escaped.push_str(&next);
        }
        Upid::make(node, pid, pstart, Some(counter), starttime, kind, escaped, user)
    }

    #[expect(clippy::too_many_arguments, reason = "its fields, in their order")]
    fn make(
        node: &str,
        pid: u32,
        pstart: u64,
        task_id: Option<u64>,
        starttime: i64,
        name: &str,
        raw_id: String,
        login: &str,
    ) -> Upid {
        let node: String = node.split('.').next().unwrap_or_default().chars().take(NODE).map(node_letter).collect();
        let node = match node.trim_matches('-') {
            "" => "localhost",
            node => node,
        };
        // Leaves room for an escaped id and a counter.
        let longest = if task_id.is_some() { TYPE / 2 } else { TYPE };
        let mut worker_type: String = name.chars().filter(|c| is_type_letter(*c)).take(longest).collect();
        if worker_type.is_empty() {
            worker_type.push_str("task");
        }
        // A login may contain an @; the realm is the last part. Only the user of a worker may have
        // a realm and a token, both optional.
        let (whole, token) = match login.split_once('!') {
            Some((whole, token)) if task_id.is_some() => (whole, token),
            _ => (login, ""),
        };
        let (name, realm) = match whole.rsplit_once('@') {
            Some((name, realm)) if task_id.is_some() => (name, realm),
            _ => (whole, ""),
        };
        let part = |text: &str, longest| text.chars().take(longest).map(login_letter).collect::<String>();
        let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
        let (realm, token) = (or(part(realm, REALM), "pam"), part(token, REALM));
        // Realm and token reduce the room of the name: the length of a file name is fixed.
        let signed = if token.is_empty() { String::new() } else { format!("!{token}") };
        let name = or(part(name, LOGIN + "pam".len() - realm.len() - signed.len()), "unknown");
        let user = format!("{name}@{realm}");
        let starttime = starttime.max(0);
        let counter = task_id.map(|counter| format!("{counter:08X}:")).unwrap_or_default();
        let text = format!(
            "{PREFIX}{node}:{pid:08X}:{pstart:08X}:{counter}{starttime:08X}:{worker_type}:{raw_id}:{user}{signed}:"
        );
        Upid { text, pid, pstart, task_id, starttime }
    }

    /// The remote through which the UPID was read, from `remote!UPID:…`.
    pub fn remote(&self) -> Option<&str> {
        split_remote(&self.text).0
    }

    /// Host name of the machine that runs the task.
    pub fn node(&self) -> &str {
        self.own().split(':').nth(1).unwrap_or_default()
    }

    /// Returns the text field with this number, counted from the type.
    fn field(&self, number: usize) -> &str {
        let first = if self.task_id.is_some() { 6 } else { 5 };
        self.own().split(':').nth(first + number).unwrap_or_default()
    }

    /// The type of the task.
    pub fn worker_type(&self) -> &str {
        self.field(0)
    }

    /// The object the task works on, as in the text; [`Upid::id`] decodes it.
    pub fn raw_id(&self) -> &str {
        self.field(1)
    }

    /// The user who started the task, without the token.
    pub fn user(&self) -> &str {
        split_token(self.field(2)).0
    }

    /// The name of the API token that was used.
    pub fn tokenid(&self) -> Option<&str> {
        split_token(self.field(2)).1
    }

    /// Free text at the end; empty in all known UPIDs.
    pub fn comment(&self) -> &str {
        self.field(3)
    }

    /// The task id, if taskwatcher made this UPID.
    pub fn number(&self) -> Option<i64> {
        match self.task_id {
            Some(counter) => i64::try_from(counter).ok(),
            None => self.raw_id().parse().ok(),
        }
    }

    /// The text from which the UPID was parsed, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text without the remote, as on the task's own host.
    pub fn own(&self) -> &str {
        split_remote(&self.text).1
    }

    /// Returns the UPID as on the task's own host.
    pub fn without_remote(&self) -> Upid {
        Upid { text: self.own().to_owned(), ..*self }
    }

    /// Reads a text without copying it.
    ///
    /// # Errors
    /// The text, if it is not a UPID.
    pub fn from_text(text: String) -> Result<Upid, String> {
        match Numbers::of(&text) {
            Ok(Numbers { pid, pstart, task_id, starttime }) => Ok(Upid { text, pid, pstart, task_id, starttime }),
            Err(_) => Err(text),
        }
    }

    /// The object the task works on, decoded where it is escaped (see the head of this module).
    pub fn id(&self) -> Cow<'_, str> {
        let raw = self.raw_id();
        if self.task_id.is_none() && !raw.contains("\\x") {
            return Cow::Borrowed(raw);
        }
        match unescape_unit(raw) {
            Some(id) => Cow::Owned(id),
            None => Cow::Borrowed(raw),
        }
    }

    /// The fields under their names in the Proxmox API; `tokenid`, `task_id` and `remote` only if
    /// present.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("upid", self.text.as_str().into());
        put("node", self.node().into());
        put("pid", self.pid.into());
        put("pstart", self.pstart.into());
        put("starttime", self.starttime.into());
        put("type", self.worker_type().into());
        put("id", self.id().into());
        put("user", self.user().into());
        put("comment", self.comment().into());
        if let Some(token) = self.tokenid() {
            put("tokenid", token.into());
        }
        if let Some(counter) = self.task_id {
            put("task_id", counter.into());
        }
        if let Some(remote) = self.remote() {
            put("remote", remote.into());
        }
        Value::Object(fields)
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Upid, UpidError> {
        let Numbers { pid, pstart, task_id, starttime } = Numbers::of(text)?;
        Ok(Upid { text: text.to_owned(), pid, pstart, task_id, starttime })
    }
}

/// The numbers in a UPID.
struct Numbers {
    pid: u32,
    pstart: u64,
    task_id: Option<u64>,
    starttime: i64,
}

impl Numbers {
    /// Checks all fields of a text.
    fn of(text: &str) -> Result<Numbers, UpidError> {
        let (remote, upid) = split_remote(text);
        let behind = upid.strip_prefix(PREFIX).ok_or(UpidError::NotUpid)?;
        let (mut fields, mut count) = ([""; 10], 0);
        for (place, field) in fields.iter_mut().zip(behind.split(':')) {
            (*place, count) = (field, count + 1);
        }
        if count > 8 && has_colon_in_id(upid) {
            return Err(UpidError::BadCharacter { field: Field::Id, character: ':' });
        }
        let (node, pid, pstart, counter, starttime, worker_type, raw_id, user, comment) = match fields[..count] {
            [node, pid, pstart, starttime, kind, id, user, comment] => {
                (node, pid, pstart, None, starttime, kind, id, user, comment)
            }
            [node, pid, pstart, counter, starttime, kind, id, user, comment] => {
                (node, pid, pstart, Some(counter), starttime, kind, id, user, comment)
            }
            [_, _, _, _, _, _, _] => return Err(UpidError::NoLastColon),
            _ => return Err(UpidError::FieldCount(upid.split(':').count())),
        };
        let (user, tokenid) = split_token(user);
        if let Some(remote) = remote {
            word(Field::Remote, remote)?;
        }
        word(Field::Node, node)?;
        if let Some(character) = node.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
            return Err(UpidError::BadCharacter { field: Field::Node, character });
        }
        let pid = hex(Field::Pid, pid)?;
        let pstart = hex(Field::Pstart, pstart)?;
        let task_id = counter.map(|counter| hex(Field::TaskId, counter)).transpose()?;
        let starttime = hex(Field::Starttime, starttime)?;
        word(Field::Type, worker_type)?;
        if worker_type.chars().count() > TYPE {
            return Err(UpidError::LongType(worker_type.chars().count()));
        }
        no_blanks(Field::Id, raw_id)?;
        word(Field::User, user)?;
        // This also distinguishes a ten-field UPID without its last colon from a nine-field one
        // with a comment.
        if user.rsplit_once('@').is_none_or(|(login, realm)| login.is_empty() || realm.is_empty()) {
            return Err(UpidError::NoRealm(user.to_owned()));
        }
        if let Some(token) = tokenid {
            word(Field::Token, token)?;
        }
        if let Some(character) = comment.chars().find(|c| c.is_control()) {
            return Err(UpidError::BadCharacter { field: Field::Comment, character });
        }
        Ok(Numbers { pid, pstart, task_id, starttime })
    }
}

/// Splits the remote from a UPID. A token has a `!` too, so only a prefix of `UPID:` is a remote.
fn split_remote(text: &str) -> (Option<&str>, &str) {
    match text.split_once('!') {
        Some((remote, upid)) if upid.starts_with(PREFIX) && !text.starts_with(PREFIX) => (Some(remote), upid),
        _ => (None, text),
    }
}

/// Splits the name of an API token from a user.
fn split_token(user: &str) -> (&str, Option<&str>) {
    match user.split_once('!') {
        Some((user, token)) => (user, Some(token)),
        None => (user, None),
    }
}

/// Whether a text is a UPID except for colons in its id. One more colon makes ten fields out of
/// nine, and the error would name the wrong field. Such a text has a type where ten fields have the
/// start time, and the start time one field earlier.
fn has_colon_in_id(upid: &str) -> bool {
    let fields: Vec<&str> = upid.split(':').skip(1).collect();
    let time = |at: usize| fields.get(at).and_then(|text| hex::<i64>(Field::Starttime, text).ok());
    let is_type = |at: usize| {
        fields.get(at).is_some_and(|text| text.chars().all(is_type_letter) && hex::<u64>(Field::Type, text).is_err())
    };
    let user = fields.len().checked_sub(2).and_then(|at| fields.get(at));
    let begins = |start: usize| {
        fields.len() > start + 5 && (1..start).all(|at| time(at).is_some()) && time(start) > Some(FIRST_START)
    };
    user.is_some_and(|user| user.contains('@'))
        && ((begins(3) && is_type(4)) || (begins(4) && fields.len() > 9 && is_type(5)))
}

/// A mandatory field without blanks.
fn word(field: Field, text: &str) -> Result<(), UpidError> {
    match text {
        "" => Err(UpidError::Empty(field)),
        text => no_blanks(field, text),
    }
}

fn no_blanks(field: Field, text: &str) -> Result<(), UpidError> {
    match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        Some(character) => Err(UpidError::BadCharacter { field, character }),
        None => Ok(()),
    }
}

fn hex<N: TryFrom<u64>>(field: Field, text: &str) -> Result<N, UpidError> {
    if text.is_empty() {
        return Err(UpidError::Empty(field));
    }
    let owned = || text.chars().take(40).collect::<String>();
    // Checked first: the standard library would also accept "+1234567".
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(UpidError::NotHex { field, text: owned() });
    }
    if text.len() < 8 {
        return Err(UpidError::TooShort { field, text: owned() });
    }
    let number = u64::from_str_radix(text, 16).ok().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| UpidError::TooLarge { field, text: owned() })
}

fn is_type_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn node_letter(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '-' }
}

fn login_letter(c: char) -> char {
    if c.is_ascii_graphic() && !matches!(c, ':' | '/' | '!') { c } else { '_' }
}

/// Escapes one character as `systemd-escape` does; `first`: a dot at the start of the text is
/// escaped too.
fn escape_unit(c: &str, first: bool) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b'.' && !first);
    let byte = |byte: u8| match byte {
        b'/' => "-".to_owned(),
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    c.bytes().map(byte).collect()
}

/// Decodes the text as `systemd-escape --unescape` does; `None` if it is not validly escaped.
fn unescape_unit(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'-' => b'/',
            b'\\' => {
                let [b'x', high, low, after @ ..] = rest else { return None };
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(*high)? << 4 | digit(*low)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(text: &str) -> Upid {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refused(text: &str) -> String {
        text.parse::<Upid>().expect_err(text).to_string()
    }

    #[test]
    fn nine_fields() {
        let text = "UPID:example-node:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:";
        let expected = json!({"upid": text, "node": "example-node", "pid": 715154, "pstart": 10623911,
            "starttime": 1636572501, "type": "vzdump", "id": "100", "user": "root@pam", "comment": ""});
        assert_eq!(parse(text).to_json(), expected);
        let empty_id = parse("UPID:example-node:00213D37:01ECA9AD:618F6B8D:aptupdate::root@pam:");
        assert_eq!((empty_id.id().as_ref(), empty_id.worker_type()), ("", "aptupdate"));
    }

    #[test]
    fn ten_fields() {
        let text = "UPID:pbs:000002B2:00000158:00000000:674D828C:logrotate::root@pam:";
        let expected = json!({"upid": text, "node": "pbs", "pid": 690, "pstart": 344, "starttime": 1733132940,
            "type": "logrotate", "id": "", "user": "root@pam", "comment": "", "task_id": 0});
        assert_eq!(parse(text).to_json(), expected);
    }

    #[test]
    fn ids_are_decoded_where_they_are_escaped() {
        let id = |text: &str| parse(text).to_json()["id"].as_str().unwrap().to_owned();
        let ten = |id: &str| format!("UPID:pbs:000002B2:00000158:00000000:674D828C:backup:{id}:root@pam:");
        let nine = |id: &str| format!("UPID:pve:000002B2:00000158:674D828C:download:{id}:root@pam:");
        assert_eq!(id(&ten(r"store\x3avm-100")), "store:vm/100");
        assert_eq!(id(&ten(r"back\x2dup")), "back-up");
        assert_eq!(id(&nine(r"store\x3avm-100")), "store:vm/100");
        assert_eq!(id(&nine("local-lvm")), "local-lvm", "PVE does not escape ids");
        for raw in [r"a\", r"a\x", r"a\x2", r"a\xzz", r"a\y41", r"a\xff", r"a\x+1"] {
            assert_eq!(id(&ten(raw)), raw, "an invalid escape is kept");
        }
        assert_eq!(parse(&ten(r"a\x2db")).raw_id(), r"a\x2db");
    }

    #[test]
    fn tokens_and_remotes() {
        let text = "pve-1!UPID:n:000AE992:1A2B3C4D5:618C1D55:vzdump:100:root@pam!auto:";
        let upid = parse(text);
        assert_eq!((upid.user(), upid.tokenid()), ("root@pam", Some("auto")));
        assert_eq!((upid.remote(), upid.pstart), (Some("pve-1"), 0x1_A2B3_C4D5));
        assert_eq!(upid.to_json()["remote"], "pve-1");
        assert_eq!(upid.to_string(), text);
        let upid = parse("UPID:n:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam!auto:");
        assert_eq!((upid.remote(), upid.tokenid()), (None, Some("auto")));
    }

    #[test]
    fn numbers_in_either_case_print_back_unchanged() {
        let text = "UPID:n:000ae992:00A21bA7:618c1d55:t:1:root@pam:a comment";
        let upid = parse(text);
        assert_eq!((upid.pid, upid.to_string().as_str(), upid.comment()), (715154, text, "a comment"));
    }

    #[test]
    fn the_largest_numbers() {
        let upid = parse("UPID:n:FFFFFFFF:FFFFFFFFFFFFFFFF:FFFFFFFFFFFFFFFF:7FFFFFFFFFFFFFFF:t::u@pve:");
        assert_eq!(
            (upid.pid, upid.pstart, upid.task_id, upid.starttime),
            (u32::MAX, u64::MAX, Some(u64::MAX), i64::MAX)
        );
    }

    #[test]
    fn errors_say_which_field_and_why() {
        let with = |fields: &str| refused(&format!("UPID:{fields}"));
        assert_eq!(refused(""), "does not begin with \"UPID:\"");
        assert_eq!(refused("UPID"), "does not begin with \"UPID:\"");
        assert_eq!(refused(" UPID:n:000AE992:00A21BA7:618C1D55:t:1:u@pam:"), "does not begin with \"UPID:\"");
        assert_eq!(refused("upid:n:000AE992:00A21BA7:618C1D55:t:1:u@pam:"), "does not begin with \"UPID:\"");
        assert_eq!(refused("!UPID:n:000AE992:00A21BA7:618C1D55:t:1:u@pam:"), "remote is empty");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1:u@pam"), "the colon after the user is missing");
        let count = "has 3 fields; expected nine, or ten with a task counter";
        assert_eq!(with("n:000AE992"), count);
        assert_eq!(with(&"a:".repeat(100)), count.replace('3', "102"));
        assert_eq!(with(":000AE992:00A21BA7:618C1D55:t:1:u@pam:"), "node is empty");
        assert_eq!(with("n/..:000AE992:00A21BA7:618C1D55:t:1:u@pam:"), "node contains the character '/'");
        assert_eq!(with("n::00A21BA7:618C1D55:t:1:u@pam:"), "pid is empty");
        assert_eq!(with("n:0x0AE992:00A21BA7:618C1D55:t:1:u@pam:"), "pid \"0x0AE992\" is not a hexadecimal number");
        assert_eq!(with("n:+00AE992:00A21BA7:618C1D55:t:1:u@pam:"), "pid \"+00AE992\" is not a hexadecimal number");
        assert_eq!(with("n:AE992:00A21BA7:618C1D55:t:1:u@pam:"), "pid \"AE992\" has fewer than eight digits");
        assert_eq!(with("n:100000000:00A21BA7:618C1D55:t:1:u@pam:"), "pid \"100000000\" is too large");
        assert_eq!(
            with("n:000AE992:10000000000000000:618C1D55:t:1:u@pam:"),
            "pstart \"10000000000000000\" is too large"
        );
        assert_eq!(
            with("n:000AE992:00A21BA7:8000000000000000:t:1:u@pam:"),
            "start time \"8000000000000000\" is too large"
        );
        assert_eq!(
            with("n:000AE992:00A21BA7:vzdump00:618C1D55:t:1:u@pam:"),
            "task id \"vzdump00\" is not a hexadecimal number"
        );
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55::1:u@pam:"), "type is empty");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:a b:1:u@pam:"), "type contains the character ' '");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1 2:u@pam:"), "id contains the character ' '");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1::"), "user is empty");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1:!x:"), "user is empty");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1:u@pam!:"), "token is empty");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1:u@pam:\n"), "comment contains the character '\\n'");
        assert_eq!(with("n:000AE992:00A21BA7:618C1D55:t:1:root:"), "user \"root\" has no @realm");
        let shifted = "pbs:000002B2:00000158:00000000:674D828C:backup:store:root@pam";
        assert_eq!(with(shifted), "user \"store\" has no @realm", "ten fields but no last colon");
        let long = format!("n:000AE992:00A21BA7:618C1D55:{}:1:u@pam:", "t".repeat(65));
        assert_eq!(with(&long), "type has 65 characters; at most 64 are allowed");
    }

    #[test]
    fn a_upid_of_a_task() {
        let upid = Upid::build("example-node", 715154, 10623911, 1636572501, "vz dump", 100, "root");
        assert_eq!(upid.as_str(), "UPID:example-node:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:");
        assert_eq!(parse(upid.as_str()), upid);
    }

    #[test]
    fn a_upid_of_a_task_is_valid_for_any_names() {
        let upid = Upid::build("host_1.example.com", 1, 1, -5, "näme: ../x y", 7, "a:b/c d!e\n");
        assert_eq!(upid.as_str(), "UPID:host-1:00000001:00000001:00000000:nmexy:7:a_b_c_d_e_@pam:");
        let upid = Upid::build("n", 1, 1, 1, "t", 7, "first.last@corp");
        assert_eq!(parse(upid.as_str()).user(), "first.last@corp@pam", "the realm is the last part");
        let upid = Upid::build("", 1, 1, 1, "✓", 7, "");
        assert_eq!(upid.as_str(), "UPID:localhost:00000001:00000001:00000001:task:7:unknown@pam:");
        let long = "x".repeat(1000);
        let upid = Upid::build(&long, u32::MAX, u64::MAX, i64::MAX, &long, u64::MAX, &long);
        assert_eq!(upid.worker_type().len(), 64);
        assert_eq!(upid.as_str().len(), 243);
    }

    proptest! {
        #[test]
        fn a_built_upid_parses_and_prints_back(
            node in "\\PC{0,80}", pid: u32, pstart: u64, starttime in 0..i64::MAX, name in "\\PC{0,80}", id: u64, login in ".{0,50}",
        ) {
            let built = Upid::build(&node, pid, pstart, starttime, &name, id, &login);
            let parsed: Upid = built.as_str().parse().unwrap();
            prop_assert_eq!(parsed.to_string(), built.to_string());
            prop_assert_eq!(&parsed, &built);
            prop_assert_eq!((parsed.pid, parsed.pstart, parsed.starttime), (pid, pstart, starttime));
            prop_assert!(built.as_str().len() <= 243);
            prop_assert!(built.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
        }

        #[test]
        fn a_built_upid_of_a_worker_parses_and_prints_back(
            node in "\\PC{0,80}", pid: u32, pstart: u64, counter: u64, starttime in 0..i64::MAX, kind in "\\PC{0,80}",
            id in ".{0,50}", user in "[a-z@! ]{0,9}|.{0,60}",
        ) {
            let built = Upid::build_worker(&node, pid, pstart, counter, starttime, &kind, &id, &user);
            let parsed: Upid = built.as_str().parse().unwrap();
            prop_assert_eq!(&parsed, &built);
            prop_assert_eq!(parsed.task_id, Some(counter));
            prop_assert!(id.starts_with(parsed.id().as_ref()));
            prop_assert!(built.as_str().len() <= 240);
            prop_assert!(built.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
        }

        #[test]
        fn any_text_is_a_upid_that_prints_back_or_an_error(text in prop_oneof![
            ".{0,60}",
            "(r!)?UPID:[a-z.-]{0,3}(:[0-9A-Fa-f]{7,9}){3,4}:[a-z]{0,2}:[a-z\\\\x0-9-]{0,6}:(u@r|[a-z@!]{0,4})(!t)?:?[ a:]{0,2}",
        ]) {
            if let Ok(upid) = text.parse::<Upid>() {
                prop_assert_eq!(upid.to_string(), text);
                prop_assert_eq!(upid.to_json()["pid"].as_u64(), Some(u64::from(upid.pid)));
            }
        }
    }

    #[test]
    fn workers_have_a_counter_and_an_escaped_id() {
        let upid = Upid::build_worker("node.example", 1, 2, 3, 4, "verify", "store/ü-1:x", "root@pbs");
        let text = r"UPID:node:00000001:00000002:00000003:00000004:verify:store-\xc3\xbc\x2d1\x3ax:root@pbs:";
        assert_eq!(upid.as_str(), text);
        assert_eq!(text.parse::<Upid>().unwrap(), upid);
        assert_eq!((upid.id().as_ref(), upid.number()), ("store/ü-1:x", Some(3)));
        let long = Upid::build_worker(
            &"n".repeat(99),
            u32::MAX,
            u64::MAX,
            u64::MAX,
            i64::MAX,
            &"t".repeat(99),
            &"ü".repeat(99),
            &"u".repeat(99),
        );
        assert!(long.as_str().len() <= 240, "{}", long.as_str().len());
        assert_eq!(long.as_str().parse::<Upid>().unwrap(), long);
        assert_eq!(Upid::build_worker("n", 1, 2, 3, 4, "", "", "").to_string().parse::<Upid>().unwrap().id(), "");
    }

    #[test]
    fn users_of_workers_keep_their_realm_and_token() {
        let users = [
            ("me", "me@pam"),
            ("root@pbs", "root@pbs"),
            ("root@pam!auto", "root@pam!auto"),
            ("me!auto", "me@pam!auto"),
            ("a@b@ldap", "a@b@ldap"),
            ("root@", "root@pam"),
            ("@pbs", "unknown@pbs"),
            ("!", "unknown@pam"),
            ("a b:c@d/e!f!g", "a_b_c@d_e!f_g"),
            ("a123456789b123456789c123456789d12345678@realm", "a123456789b123456789c123456789d1234567@realm"),
        ];
        for (given, user) in users {
            let upid = Upid::build_worker("n", 1, 2, 3, 4, "t", "", given);
            let shown = format!("{}{}", upid.user(), upid.tokenid().map(|t| format!("!{t}")).unwrap_or_default());
            assert_eq!((shown.as_str(), upid.as_str().parse::<Upid>().as_ref()), (user, Ok(&upid)), "{given}");
        }
    }
}
