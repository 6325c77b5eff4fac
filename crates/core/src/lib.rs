//! The record of taskwatcher: what a task is, whether it lives, and how it ended, in one SQLite file and the files beside it.
//!
//! Every program that starts, shows or ends tasks stands on this crate. It knows neither command lines nor pages nor
//! networks. [`app::service::Tasks`] is its face: what can be done with the tasks of a database.

/// Pure decisions: what a task is, how it ended, what a line means.
pub mod model {
    pub mod ansi;
    pub mod error;
    pub mod export;
    pub mod feedback;
    pub mod identity;
    pub mod log;
    pub mod notify;
    pub mod path;
    pub mod proxmox_access;
    pub mod query;
    pub mod reconcile;
    pub mod remote;
    pub mod stats;
    pub mod task;
    pub mod unsettled;
    pub mod upid;
}

/// The outside world: each file owns one part of it.
pub mod io {
    pub mod account;
    pub mod bell;
    pub mod child;
    pub mod feedfile;
    pub mod limits;
    pub mod logread;
    pub mod logtree;
    pub mod process;
    pub mod safe_open;
    pub mod spool;
    pub mod store;
    pub mod sys;
    pub mod tail;
}

/// What can be done with the record.
pub mod app {
    pub mod db;
    pub mod reconcile;
    pub mod service;
    pub mod tree;
    pub mod wait;
}
