//! Columns of rows with their types.

use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::upid::Upid;

/// A value that databases and JSON keep as the text that it prints.
pub trait OfText: fmt::Display + Sized {
    /// Returns the value that prints this text, if there is one.
    fn of_text(text: &str) -> Option<Self>;
}

/// A column of a row: a value, or the text itself where an older version or another program wrote something else. It
/// prints the stored text in both cases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stored<T> {
    /// The value that the text says.
    Value(T),
    /// A text that says no such value.
    Text(String),
}

impl<T: OfText> Stored<T> {
    /// Reads the text of a column.
    pub fn read(text: &str) -> Stored<T> {
        match T::of_text(text).filter(|value| prints(value, text)) {
            Some(value) => Stored::Value(value),
            None => Stored::Text(text.to_owned()),
        }
    }
}

impl<T> Stored<T> {
    /// Returns the value, if the text says one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Stored::Value(value) => Some(value),
            Stored::Text(_) => None,
        }
    }
}

impl Stored<Upid> {
    /// Reads the text of a column without copying it.
    pub fn from_text(text: String) -> Stored<Upid> {
        Upid::from_text(text).map_or_else(Stored::Text, Stored::Value)
    }

    /// The text of the column.
    pub fn as_str(&self) -> &str {
        match self {
            Stored::Value(upid) => upid.as_str(),
            Stored::Text(text) => text,
        }
    }
}

impl<T> From<T> for Stored<T> {
    fn from(value: T) -> Stored<T> {
        Stored::Value(value)
    }
}

impl<T: fmt::Display> fmt::Display for Stored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stored::Value(value) => value.fmt(f),
            Stored::Text(text) => text.fmt(f),
        }
    }
}

impl<T: fmt::Display> Serialize for Stored<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: OfText> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stored<T>, D::Error> {
        String::deserialize(deserializer).map(|text| Stored::read(&text))
    }
}

/// Whether `value` prints exactly this text. Allocates nothing.
fn prints(value: &impl fmt::Display, text: &str) -> bool {
    struct Rest<'t>(&'t str);
    impl Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}

impl OfText for Upid {
    fn of_text(text: &str) -> Option<Upid> {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::model::task::{Asker, Class, EndedBy, Outcome, Signal};

    /// Reads a text, and checks that nothing of it is lost.
    fn read<T: OfText + Debug + PartialEq>(text: &str) -> Stored<T> {
        let column = Stored::<T>::read(text);
        assert_eq!(column.to_string(), text);
        let json = serde_json::to_string(&column).unwrap();
        assert_eq!(json, serde_json::to_string(text).unwrap());
        assert_eq!(serde_json::from_str::<Stored<T>>(&json).unwrap(), column);
        column
    }

    #[test]
    fn an_outcome_is_read_and_a_foreign_text_is_kept() {
        assert_eq!(read("OK"), Stored::Value(Outcome::Ok));
        assert_eq!(read("WARNINGS: 3"), Stored::Value(Outcome::Warnings(3)));
        assert_eq!(read("ERROR: exit code 1"), Stored::Value(Outcome::Error("exit code 1".into())));
        assert_eq!(read("ERROR: "), Stored::Value(Outcome::Error(String::new())));
        assert_eq!(read("unknown"), Stored::Value(Outcome::Unknown(String::new())));
        let foreign = [
            ("", Class::Error),
            ("fine", Class::Error),
            ("ERROR", Class::Error),
            ("ERROR:x", Class::Error),
            ("WARNINGS: many", Class::Warnings),
            ("WARNINGS: 03", Class::Warnings),
            ("OK: almost", Class::Ok),
            ("unknown: launcher lost", Class::Unknown),
        ];
        for (text, class) in foreign {
            let column: Stored<Outcome> = read(text);
            assert_eq!((column.value(), column.class()), (None, class), "{text}");
        }
    }

    #[test]
    fn a_signal_is_read_in_the_spelling_of_rows_only() {
        assert_eq!(read("SIGTERM"), Stored::Value(Signal::TERM));
        for text in ["TERM", "15", "SIGRTMIN+3", "signal 33", ""] {
            assert_eq!(read::<Signal>(text), Stored::Text(text.into()));
        }
    }

    #[test]
    fn who_ended_a_task_is_read() {
        let by = |user: &str, signal, pid| Asker::Signal { signal, sender: Some((user.into(), pid)) };
        let askers = [
            Asker::Control { user: "me".into(), pid: 812 },
            Asker::Control { user: "a (b".into(), pid: -1 },
            by("me", Signal::TERM, 7),
            by("me", Signal::INT, 0),
            Asker::Signal { signal: Signal::HUP, sender: None },
            Asker::Signal { signal: Signal(24), sender: None },
        ];
        for asker in askers {
            assert_eq!(read(&asker.to_string()), Stored::Value(EndedBy::Asker(asker)));
        }
        let words = [
            ("itself", EndedBy::Itself),
            ("reader", EndedBy::Reader),
            ("timeout", EndedBy::Timeout),
            ("max-runtime", EndedBy::MaxRuntime),
            ("expiry", EndedBy::Expiry),
            ("launch", EndedBy::Launch),
            ("supervise", EndedBy::Supervise),
        ];
        for (text, by) in words {
            assert_eq!(read(text), Stored::Value(by));
        }
        for text in ["", "stopped by supervise", "me (control, pid x)", "the kernel (SIGINT)", "me (SIGTERM, pid 0)"] {
            assert_eq!(read::<EndedBy>(text), Stored::Text(text.into()));
        }
    }

    #[test]
    fn a_column_that_is_no_upid_keeps_its_text() {
        let text = "UPID:n:00000001:00000001:00000001:t:1:u@pam:";
        assert_eq!(read::<Upid>(text).value().map(Upid::as_str), Some(text));
        for text in ["", "UPID:", "task 7"] {
            assert_eq!(read::<Upid>(text), Stored::Text(text.into()));
            assert_eq!(read::<Upid>(text).as_str(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_lost(text in prop_oneof![
            ".{0,30}",
            "(OK|WARNINGS|ERROR|unknown)?(: ?)?[0-9a-z]{0,3}",
            "(me|the (kernel|terminal)| \\()? \\((control|SIG(TERM|INT|XCPU)|x)(, (pid -?[0-9]{1,3}|from outside the container))?\\)",
        ]) {
            read::<Outcome>(&text);
            read::<Signal>(&text);
            read::<EndedBy>(&text);
            read::<Upid>(&text);
        }
    }
}
