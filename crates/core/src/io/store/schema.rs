//! The schema of a database, and the numbers by which a database is recognized.

/// `PRAGMA application_id` of taskwatcher databases: "twch".
pub(super) const APPLICATION_ID: i32 = 0x7477_6368;

/// `PRAGMA user_version` of the newest schema.
pub(super) const VERSION: i32 = 5;

/// The newest schema.
pub(super) const SCHEMA: &str = include_str!("../../../schema.sql");

/// Returns a schema without its comments and blanks.
pub(super) fn bare(schema: &str) -> String {
    let bare = |line: &str| line.split("--").next().unwrap_or_default().trim().to_owned();
    let lines: Vec<String> = schema.lines().map(bare).filter(|line| !line.is_empty()).collect();
    lines.join(" ").trim_end_matches(';').to_owned()
}
