//! The command line of `parse` and its help. The manual page and completions are generated from it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Parser};

/// Print feedback files and UPIDs as JSON, and task logs of the Proxmox API as text
#[derive(Debug, Clone, Parser)]
#[command(
    name = "parse",
    version,
    group = ArgGroup::new("what").required(true).args(["feedback", "log", "upid"]),
    after_help = "Exit codes: 0 success; 1 unreadable, not a UPID or log, over a limit, or ignored lines with --strict; 2 bad usage."
)]
pub struct ParseArgs {
    /// Print the values of a feedback file as one JSON object (-: standard input)
    #[arg(long, value_name = "FILE")]
    pub feedback: Option<PathBuf>,

    /// Keep running and print a new object on each change
    #[arg(long, requires = "feedback", conflicts_with_all = ["upid", "log"])]
    pub follow: bool,

    /// List every ignored line with its number, and exit with 1 if there are any
    #[arg(long, requires = "feedback", conflicts_with_all = ["upid", "log"])]
    pub strict: bool,

    /// Report on standard error what is read and which lines are ignored
    #[arg(short, long)]
    pub debug: bool,

    /// Print a task log of the Proxmox API (JSON) as text (-: standard input)
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Print the fields of a UPID as one JSON object
    #[arg(long, value_name = "UPID", allow_hyphen_values = true)]
    pub upid: Option<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        ParseArgs::command().debug_assert();
    }

    #[test]
    fn exactly_one_thing_to_parse() {
        let accepts = |line: &str| ParseArgs::try_parse_from(line.split(' ')).is_ok();
        assert!(accepts("parse --feedback f --strict --follow"));
        assert!(accepts("parse --feedback - --follow"));
        assert!(accepts("parse --upid UPID:x"));
        assert!(accepts("parse --log -"));
        assert!(accepts("parse --debug --log -") && accepts("parse -d --upid u") && accepts("parse --feedback f -d"));
        for bad in [
            "parse",
            "parse --feedback f --upid u",
            "parse --upid u --strict",
            "parse --follow",
            "parse f",
            "parse --log f --follow",
        ] {
            assert!(!accepts(bad), "{bad}");
        }
    }
}
