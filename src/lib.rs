//! taskwatcher turns any script or program into a trusted task on one SQLite file; no daemon is
//! required.
//!
//! # Layers
//!
//! > Decide in `model`, touch the world in `io`, join them in `app`, read argv in `bin`.
//! > Imports go one way: **bin → app → io → model**. `tests/layering.rs` reads the sources and enforces it.
//!
//! - [`model`]: pure decisions: no file, no process, no clock. Everything in it is tested without
//!   them.
//! - [`io`]: each file owns one part of the outside world and its crate. They do not import each
//!   other, except `io::safe_open`, which opens files in folders of other users, and `io::names`,
//!   which finds hosts.
//! - [`app`]: what each program does, as functions that a Rust program can call too.
//! - [`app::service`]: what can be done with tasks, as values and typed errors ([`model::error`]). The command line,
//!   the pages and the socket are its faces.
//! - `src/bin/`: command lines and exit codes; the only place that prints or exits.

/// Pure decisions: what a task is, when it is silent, how it ended, what a line means.
pub mod model {
    pub use taskwatcher_core::model::*;

    pub mod activity;
    pub mod client;
    pub mod config;
    #[cfg(feature = "supervise")]
    pub mod http;
    pub mod jobs;
    pub mod machine;
    pub mod program;
    pub mod proxmox;
    pub mod reload;
    pub mod run_tracker;
    pub mod shell;
    pub mod shim;
    pub mod suggest;
    pub mod sync;
    pub mod watch;
    #[cfg(feature = "supervise")]
    pub mod web;
    pub mod wire;
}

/// The outside world: each file owns one part of it.
pub mod io {
    pub use taskwatcher_core::io::*;

    pub mod conffile;
    pub mod connect;
    #[cfg(feature = "supervise")]
    pub mod editor;
    pub mod history;
    pub mod https;
    pub mod inbox;
    pub mod listener;
    pub mod names;
    pub mod notify;
    pub mod parcel;
    pub mod pidfile;
    pub mod proglog;
    pub mod progress;
    pub mod pty;
    pub mod rundir;
    pub mod secret;
    pub mod ssh;
    pub mod streams;
    pub mod tasklog;
    pub mod terminal;
    pub mod timerfd;
}

/// What the programs do, as functions.
pub mod app {
    pub use taskwatcher_core::app::*;

    pub mod activation;
    #[cfg(feature = "supervise")]
    pub mod client;
    pub mod control;
    pub mod control_args;
    pub mod engine;
    pub mod export;
    pub mod hearing;
    pub mod launch;
    pub mod launch_args;
    pub mod log;
    pub mod output;
    pub mod parse;
    pub mod parse_args;
    pub mod reexec;
    pub mod remote;
    pub mod remote_verbs;
    pub mod rerun;
    pub mod session;
    #[cfg(feature = "supervise")]
    pub mod shell;
    pub mod shim;
    pub mod show;
    pub mod spec;
    #[cfg(feature = "supervise")]
    pub mod supervise;
    pub mod supervise_args;
    pub mod supervised;
    pub mod time_expr;
    pub mod upkeep;
    pub mod usage;
    #[cfg(feature = "supervise")]
    pub mod web;
    pub mod worker;
}
