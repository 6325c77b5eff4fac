//! A user of this system, as a command is run.

use serde::{Deserialize, Serialize};

/// The user a command runs as; looked up and checked by the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Login name, for messages.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, including the primary group.
    pub groups: Vec<u32>,
}
