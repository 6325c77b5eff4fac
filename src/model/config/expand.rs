//! Placeholders in values, such as `%(here)s`.
//!
//! Only `%(` starts a placeholder, `%%(` stands for `%(`, and any other `%` is literal. The
//! replacement text is not expanded again.

use super::report::Bad;

/// The instance of a program to which a value belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instance<'a> {
    pub(super) program: &'a str,
    pub(super) group: &'a str,
    pub(super) num: u32,
    pub(super) numprocs: u32,
}

/// The values of placeholders.
pub(super) struct ExpandNames<'a> {
    /// Folder of the file.
    pub(super) here: &'a str,
    /// Host name.
    pub(super) host: &'a str,
    /// The instance, inside a program.
    pub(super) instance: Option<Instance<'a>>,
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

/// An expanded text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether it contains the number of the instance.
    pub(super) numbered: bool,
}

/// Largest width of a padded number.
const WIDEST: usize = 20;

impl ExpandNames<'_> {
    fn known(&self) -> String {
        let program = ", %(program_name)s, %(group_name)s, %(process_num)d, %(numprocs)d";
        let program = if self.instance.is_some() { program } else { "" };
        format!("known: %(here)s, %(host_node_name)s, %(ENV_NAME)s{program}; write %%( for a plain %(")
    }

    /// Expands the placeholders of a text.
    pub(super) fn expand(&self, text: &str) -> Result<Expanded, Bad> {
        let mut expanded = Expanded { text: String::with_capacity(text.len()), numbered: false };
        let mut rest = text;
        while let Some(at) = rest.find("%(") {
            let (before, after) = rest.split_at(at);
            let inner = &after[2..];
            if let Some(plain) = before.strip_suffix('%') {
                expanded.text.push_str(plain);
                expanded.text.push_str("%(");
                rest = inner;
                continue;
            }
            expanded.text.push_str(before);
            let Some((name, tail)) = inner.split_once(')') else {
                return Err(Bad::new("unterminated placeholder: \"%(\" without \")\"", self.known()));
            };
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            let (width, kind) = tail.split_at(digits);
            let number = match name {
                "process_num" => self.instance.map(|instance| instance.num),
                "numprocs" => self.instance.map(|instance| instance.numprocs),
                _ => None,
            };
            if let Some(number) = number {
                let padded = match (width.strip_prefix('0'), kind.chars().next()) {
                    (None, Some('d' | 's')) if width.is_empty() => number.to_string(),
                    (Some(width), Some('d')) => match width.parse::<usize>() {
                        Ok(width) if width <= WIDEST => format!("{number:0width$}"),
                        Ok(_) | Err(_) => return Err(self.form(name, width)),
                    },
                    (Some(_) | None, _) => return Err(self.form(name, width)),
                };
                expanded.text.push_str(&padded);
                expanded.numbered |= name == "process_num";
                rest = kind.get(1..).unwrap_or_default();
                continue;
            }
            let value = match (name, self.instance, name.strip_prefix("ENV_")) {
                ("here", _, _) => self.here.to_owned(),
                ("host_node_name", _, _) => self.host.to_owned(),
                ("program_name", Some(instance), _) => instance.program.to_owned(),
                ("group_name", Some(instance), _) => instance.group.to_owned(),
                (_, _, Some(variable)) if !variable.is_empty() => match (self.env)(variable) {
                    Some(value) => value,
                    None => {
                        return Err(Bad::new(
                            format!("environment variable {variable:?} of %({name})s is not set"),
                            "set it before the supervisor starts, or in a table .env",
                        ));
                    }
                },
                _ => return Err(Bad::new(format!("unknown placeholder {:?}", format!("%({name})")), self.known())),
            };
            let Some(next) = tail.strip_prefix('s') else {
                return Err(Bad::new(format!("missing \"s\" after %({name})"), format!("write %({name})s")));
            };
            expanded.text.push_str(&value);
            rest = next;
        }
        expanded.text.push_str(rest);
        Ok(expanded)
    }

    fn form(&self, name: &str, width: &str) -> Bad {
        let what = match width {
            "" => format!("missing \"d\" after %({name})"),
            _ => format!("invalid width after %({name})"),
        };
        Bad::new(what, format!("write %({name})d or %({name})02d"))
    }
}

/// Escapes a text, so that it expands to itself.
pub(super) fn escape(text: &str) -> String {
    text.replace("%(", "%%(")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/me".into()),
            "ODD" => Some("%(here)s %%(".into()),
            _ => None,
        }
    }

    fn names(inside: bool) -> ExpandNames<'static> {
        let instance = Instance { program: "web", group: "front", num: 7, numprocs: 12 };
        ExpandNames { here: "/etc/tm", host: "box", instance: inside.then_some(instance), env: &env }
    }

    #[test]
    fn known_placeholders_are_expanded() {
        for (text, expected) in [
            ("", ""),
            ("%(here)s/x", "/etc/tm/x"),
            ("%(program_name)s_%(process_num)02d", "web_07"),
            ("%(process_num)d%(process_num)s%(process_num)003d", "77007"),
            ("%(numprocs)d of %(group_name)s@%(host_node_name)s", "12 of front@box"),
            ("%(ENV_HOME)s", "/home/me"),
            // Never expanded again.
            ("%(ENV_ODD)s", "%(here)s %%("),
            // Everything else stands for itself.
            ("100% %s %d %%s %% %", "100% %s %d %%s %% %"),
            ("%%(here)s", "%(here)s"),
            ("%%%(here)s", "%%(here)s"),
            ("é%(here)sü", "é/etc/tmü"),
            ("%(here)ss", "/etc/tms"),
        ] {
            assert_eq!(names(true).expand(text).map(|e| e.text).as_deref(), Ok(expected), "{text}");
        }
        assert!(names(true).expand("%(process_num)d").unwrap().numbered);
        assert!(!names(true).expand("%(numprocs)d%%(process_num)d").unwrap().numbered);
    }

    #[test]
    fn an_unknown_placeholder_is_an_error_that_lists_the_known_ones() {
        let inside = "known: %(here)s, %(host_node_name)s, %(ENV_NAME)s, %(program_name)s, %(group_name)s, \
                      %(process_num)d, %(numprocs)d; write %%( for a plain %(";
        let outside = "known: %(here)s, %(host_node_name)s, %(ENV_NAME)s; write %%( for a plain %(";
        for (text, what, allowed) in [
            ("%(her)s", "unknown placeholder \"%(her)\"", inside),
            ("%()s", "unknown placeholder \"%()\"", inside),
            ("%(ENV_)s", "unknown placeholder \"%(ENV_)\"", inside),
            ("a%(here", "unterminated placeholder: \"%(\" without \")\"", inside),
            ("%(here)", "missing \"s\" after %(here)", "write %(here)s"),
            ("%(here)d", "missing \"s\" after %(here)", "write %(here)s"),
            ("%(process_num)", "missing \"d\" after %(process_num)", "write %(process_num)d or %(process_num)02d"),
            ("%(process_num)2d", "invalid width after %(process_num)", "write %(process_num)d or %(process_num)02d"),
            (
                "%(process_num)099999999999999999999d",
                "invalid width after %(process_num)",
                "write %(process_num)d or %(process_num)02d",
            ),
            (
                "%(ENV_NONE)s",
                "environment variable \"NONE\" of %(ENV_NONE)s is not set",
                "set it before the supervisor starts, or in a table .env",
            ),
        ] {
            assert_eq!(names(true).expand(text), Err(Bad::new(what, allowed)), "{text}");
        }
        for name in ["program_name", "group_name", "process_num", "numprocs"] {
            let bad = Bad::new(format!("unknown placeholder \"%({name})\""), outside);
            assert_eq!(names(false).expand(&format!("%({name})s")), Err(bad));
        }
    }

    proptest! {
        #[test]
        fn any_text_expands_or_is_refused(text in "([%()0-9ds]|ENV_|here|process_num|HOME|.){0,30}") {
            let _ = names(true).expand(&text);
        }

        #[test]
        fn an_escaped_text_expands_to_itself(text in "([%()]|here|.){0,30}") {
            let escaped = names(true).expand(&escape(&text));
            prop_assert_eq!(escaped.map(|e| e.text), Ok(text));
        }
    }
}
