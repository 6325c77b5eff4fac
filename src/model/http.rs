//! Parts of HTTP requests: the page of a path, the fields of a query or a form, credentials and
//! origin.
//!
//! Everything here is total, and nothing reads a socket. A path is split before its parts are
//! decoded, each once: so no name can lead to another page, and none is ever used as the path of a
//! file.

use core::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use super::wire::{Auth, Channel};

/// Longest incomplete character, bytes.
const LONGEST_CHAR: usize = 4;

/// The page of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The programs.
    Programs,
    /// The log of a program.
    Tail,
    /// Live tasks.
    Tasks,
    /// Ended tasks.
    History,
    /// One task, by number, handle or UPID.
    Task(String),
    /// All runs of a name.
    Name(String),
    /// The timeline.
    Timeline,
    /// The growing log of a program.
    LogTail(String, Channel),
    /// The growing log of the supervisor.
    MainLogTail,
    /// The growing log of a task.
    TaskLog(String),
    /// Changes, for open pages.
    Events,
    /// Style sheet.
    Style,
    /// Script that updates pages.
    Script,
    /// Icon.
    Icon,
    /// Metrics for monitoring.
    Metrics,
    /// Action of a button.
    Action,
    /// Requests, as on the socket.
    Api,
    /// The programs, as JSON.
    ApiStatus,
    /// Live tasks, as JSON.
    ApiTasks,
    /// Ended tasks, as JSON.
    ApiHistory,
    /// One task, as JSON.
    ApiTask(String),
}

impl Route {
    /// Returns the page of a path as received; `None`: no such page.
    pub fn of(path: &str) -> Option<Route> {
        let parts: Vec<String> = path.strip_prefix('/')?.split('/').map(decode).collect::<Option<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match parts[..] {
            [""] => Route::Programs,
            ["tail"] => Route::Tail,
            ["tasks"] => Route::Tasks,
            ["history"] => Route::History,
            ["task", task] if !task.is_empty() => Route::Task(task.to_owned()),
            ["name", name] => Route::Name(name.to_owned()),
            ["timeline"] => Route::Timeline,
            ["logtail", name, channel] if !name.is_empty() => Route::LogTail(name.to_owned(), channel_of(channel)?),
            ["mainlogtail"] => Route::MainLogTail,
            ["tasklog", task] if !task.is_empty() => Route::TaskLog(task.to_owned()),
            ["events"] => Route::Events,
            ["style.css"] => Route::Style,
            ["live.js"] => Route::Script,
            ["icon.svg"] => Route::Icon,
            ["metrics"] => Route::Metrics,
            ["action"] => Route::Action,
            ["api"] => Route::Api,
            ["api", "status"] => Route::ApiStatus,
            ["api", "tasks"] => Route::ApiTasks,
            ["api", "history"] => Route::ApiHistory,
            ["api", "task", task] if !task.is_empty() => Route::ApiTask(task.to_owned()),
            _ => return None,
        })
    }

    /// Whether the page has an effect: such pages need POST, all others GET.
    pub fn acts(&self) -> bool {
        matches!(self, Route::Action | Route::Api)
    }

    /// The format of its errors, which is that of its results.
    pub fn errors(&self) -> Errors {
        match self {
            Route::Api | Route::ApiStatus | Route::ApiTasks | Route::ApiHistory | Route::ApiTask(_) => Errors::Json,
            Route::LogTail(..) | Route::MainLogTail | Route::TaskLog(_) | Route::Events | Route::Metrics => {
                Errors::Text
            }
            Route::Programs
            | Route::Tail
            | Route::Tasks
            | Route::History
            | Route::Task(_)
            | Route::Name(_)
            | Route::Timeline
            | Route::Style
            | Route::Script
            | Route::Icon
            | Route::Action => Errors::Page,
        }
    }
}

/// The format of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// HTML page.
    Page,
    /// Line of text.
    Text,
    /// JSON object, as in a response on the socket.
    Json,
}

/// Parses the name of an output stream.
pub fn channel_of(word: &str) -> Option<Channel> {
    [Channel::Stdout, Channel::Stderr].into_iter().find(|channel| channel.as_str() == word)
}

fn decode(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The fields of a query or a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses `a=b&c=d`. Invalid UTF-8 is replaced.
    pub fn parse(text: &str) -> Fields {
        let read = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Fields(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (read(name), read(value))
                })
                .collect(),
        )
    }

    /// Returns the first field of that name, if present.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first field of that name; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }
}

/// Parses a header `Authorization: Basic …`. The password may contain `:`.
pub fn basic(header: &[u8]) -> Option<Auth> {
    let (scheme, rest) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Auth { username: username.to_owned(), password: password.to_owned() })
}

/// Returns the host of a header `Host`, without its port; `None`: invalid.
pub fn host_of(authority: &str) -> Option<&str> {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return (good && address.parse::<core::net::Ipv6Addr>().is_ok()).then_some(address);
    }
    let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (is_port(port) && !name.is_empty() && name.bytes().all(is_plain)).then_some(name)
}

/// Whether a foreign page cannot have this as the name of its own host (DNS rebinding): an IP
/// address or `localhost` always means this host, and any other name must be in `known`.
pub fn is_own_host(host: &str, known: &[&str]) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || known.iter().any(|known| host.eq_ignore_ascii_case(known))
}

/// Whether a header `Origin` belongs to a page from the host that this request was sent to.
pub fn is_same_origin(origin: &str, host: &str) -> bool {
    let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    from.is_some_and(|from| from.eq_ignore_ascii_case(host))
}

/// Decodes text that arrives in pieces: invalid UTF-8 is replaced, and a piece may end inside a
/// character.
#[derive(Clone, Debug, Default)]
pub struct Pieces(Vec<u8>);

impl Pieces {
    /// Adds bytes and returns the text that is complete.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let rest = self.0.split_off(self.0.len() - self.unfinished());
        String::from_utf8_lossy(&std::mem::replace(&mut self.0, rest)).into_owned()
    }

    /// Number of bytes at the end that may become a character.
    fn unfinished(&self) -> usize {
        let tail = self.0.iter().rev().take(LONGEST_CHAR).position(|byte| byte & 0xc0 != 0x80);
        let Some(len) = tail.map(|at| at + 1) else { return 0 };
        let start = self.0.len() - len;
        match std::str::from_utf8(self.0.get(start..).unwrap_or_default()) {
            Err(error) if error.error_len().is_none() => len,
            Ok(_) | Err(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_split_and_then_decoded_once() {
        assert_eq!(Route::of("/"), Some(Route::Programs));
        assert_eq!(Route::of("/task/7"), Some(Route::Task("7".into())));
        assert_eq!(Route::of("/name/a%2Fb%20c%2525"), Some(Route::Name("a/b c%25".into())));
        assert_eq!(Route::of("/name/"), Some(Route::Name(String::new())));
        assert_eq!(Route::of("/logtail/g%3Ap/stderr"), Some(Route::LogTail("g:p".into(), Channel::Stderr)));
        assert_eq!(Route::of("/logtail/%2e%2e%2fetc/stdout"), Some(Route::LogTail("../etc".into(), Channel::Stdout)));
        for path in
            ["", "x", "//", "/tasks/", "/task/", "/logtail/a/b", "/logtail/../x/stdout", "/name/%ff", "/../x", "/API"]
        {
            assert_eq!(Route::of(path), None, "{path}");
        }
        assert!(Route::Action.acts() && !Route::ApiStatus.acts());
    }

    #[test]
    fn fields_with_any_content_are_parsed() {
        let fields = Fields::parse("a=1&b=x+y%26z&a=2&&c&=d&e=%ff%");
        assert_eq!((fields.get("a"), fields.get("b"), fields.given("c")), ("1", "x y&z", Some("")));
        assert_eq!((fields.given("d"), fields.get(""), fields.get("e")), (None, "d", "\u{fffd}%"));
    }

    #[test]
    fn passwords_may_contain_a_colon() {
        let header = |text: &str| format!("bAsIc {}", STANDARD.encode(text)).into_bytes();
        let auth = basic(&header("me:a:b")).unwrap();
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("me", "a:b"));
        for bad in [&b"Basic"[..], b"Basic ?", b"Bearer bWU6eA==", b"Basic \xff", &header("me")] {
            assert!(basic(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn only_names_that_no_foreign_page_can_have_are_own() {
        for (authority, host) in
            [("localhost:80", "localhost"), ("[::1]:9", "::1"), ("[::1]", "::1"), ("a.b", "a.b"), ("a:", "a")]
        {
            assert_eq!(host_of(authority), Some(host), "{authority}");
        }
        for authority in ["", ":80", "[x]", "[::1]x", "a:b", "a b", "a/b", "u@h", "a\u{e9}"] {
            assert_eq!(host_of(authority), None, "{authority}");
        }
        for host in ["localhost", "LOCALHOST.", "127.0.0.1", "::1", "10.1.2.3", "build7"] {
            assert!(is_own_host(host, &["build7"]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "build77"] {
            assert!(!is_own_host(host, &["build7"]), "{host}");
        }
        assert!(is_same_origin("http://localhost:1", "Localhost:1") && is_same_origin("https://h", "h"));
        for origin in
            ["null", "", "http://localhost", "http://localhost:12", "http://localhost:1/", "ftp://localhost:1"]
        {
            assert!(!is_same_origin(origin, "localhost:1"), "{origin}");
        }
    }

    proptest! {
        #[test]
        fn pieces_decode_like_the_whole(
            bytes in proptest::collection::vec(proptest::sample::select(b"a\xc3\xa4\xf0\x9f\x98\x80\xe2\x82\xff".to_vec()), 0..40),
            cuts in proptest::collection::vec(0..40_usize, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces = Pieces::default();
            let mut text: String = cuts.windows(2).map(|pair| pieces.push(&bytes[pair[0]..pair[1]])).collect();
            text.push_str(&String::from_utf8_lossy(&pieces.0));
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }

        #[test]
        fn no_input_causes_a_panic(text in ".{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (Route::of(&text), Fields::parse(&text), host_of(&text), basic(&bytes), is_same_origin(&text, &text));
        }
    }
}
