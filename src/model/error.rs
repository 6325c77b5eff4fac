//! Kinds of errors, for programs that read no English: what the exit code, the HTTP status and the code on the wire say.

use super::{task::exit_code, wire::Code};

/// What kind of error a call of the service failed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be understood: a malformed argument, or arguments that exclude each other.
    Usage,
    /// The task, name, remote or page does not exist.
    NotFound,
    /// There is no database yet.
    NoDatabase,
    /// There is no database, and so nothing to export.
    NothingYet,
    /// The state of a task or of the database excludes it.
    Conflict,
    /// The caller may not do it: a permission, or a page of another site.
    Denied,
    /// A name and a password are missing or wrong.
    Unauthorized,
    /// The path does not take this HTTP method.
    Method,
    /// The content type of the request is not accepted.
    ContentType,
    /// The request body did not arrive in time.
    SlowRequest,
    /// The request is too large.
    TooLarge,
    /// The request is known and not supported here.
    Unsupported,
    /// Too many requests are pending.
    Busy,
    /// The supervisor has ended.
    ShutDown,
    /// The database cannot be read or written.
    Database,
    /// The operation takes longer than its limit and goes on.
    TimedOut,
    /// Another process or host that has to be asked does not answer, or refuses.
    Unreachable,
    /// A system call failed.
    System,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [ErrorKind; 18] = [
        ErrorKind::Usage,
        ErrorKind::NotFound,
        ErrorKind::NoDatabase,
        ErrorKind::NothingYet,
        ErrorKind::Conflict,
        ErrorKind::Denied,
        ErrorKind::Unauthorized,
        ErrorKind::Method,
        ErrorKind::ContentType,
        ErrorKind::SlowRequest,
        ErrorKind::TooLarge,
        ErrorKind::Unsupported,
        ErrorKind::Busy,
        ErrorKind::ShutDown,
        ErrorKind::Database,
        ErrorKind::TimedOut,
        ErrorKind::Unreachable,
        ErrorKind::System,
    ];

    /// Returns the exit code of `control`.
    pub fn exit_code(self) -> i32 {
        match self {
            ErrorKind::Usage | ErrorKind::Method | ErrorKind::ContentType => exit_code::USAGE,
            ErrorKind::NothingYet => exit_code::NOTHING_YET,
            ErrorKind::NotFound
            | ErrorKind::NoDatabase
            | ErrorKind::Conflict
            | ErrorKind::Denied
            | ErrorKind::Unauthorized
            | ErrorKind::SlowRequest
            | ErrorKind::TooLarge
            | ErrorKind::Unsupported
            | ErrorKind::Busy
            | ErrorKind::ShutDown
            | ErrorKind::Database
            | ErrorKind::TimedOut
            | ErrorKind::Unreachable
            | ErrorKind::System => exit_code::FAILED,
        }
    }

    /// Returns the HTTP status.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::Usage => 400,
            ErrorKind::Unauthorized => 401,
            ErrorKind::Denied => 403,
            ErrorKind::NotFound | ErrorKind::NoDatabase | ErrorKind::NothingYet => 404,
            ErrorKind::Method => 405,
            ErrorKind::SlowRequest => 408,
            ErrorKind::Conflict => 409,
            ErrorKind::TooLarge => 413,
            ErrorKind::ContentType => 415,
            ErrorKind::System => 500,
            ErrorKind::Unsupported => 501,
            ErrorKind::Unreachable => 502,
            ErrorKind::Busy | ErrorKind::ShutDown | ErrorKind::Database => 503,
            ErrorKind::TimedOut => 504,
        }
    }

    /// Returns the code of the protocol.
    pub fn wire_code(self) -> Code {
        match self {
            ErrorKind::Usage | ErrorKind::Method | ErrorKind::ContentType | ErrorKind::SlowRequest => Code::BadRequest,
            ErrorKind::Unauthorized => Code::Unauthorized,
            ErrorKind::Denied => Code::Forbidden,
            ErrorKind::NotFound => Code::BadName,
            ErrorKind::NoDatabase | ErrorKind::NothingYet => Code::NoFile,
            ErrorKind::TooLarge => Code::TooLarge,
            ErrorKind::Unsupported => Code::Unsupported,
            ErrorKind::ShutDown => Code::ShuttingDown,
            ErrorKind::Database => Code::DbError,
            ErrorKind::TimedOut => Code::Timeout,
            ErrorKind::Conflict | ErrorKind::Busy | ErrorKind::Unreachable | ErrorKind::System => Code::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_never_reads_as_success() {
        for kind in ErrorKind::ALL {
            assert!((1..=3).contains(&kind.exit_code()), "{kind:?}");
            assert!((400..600).contains(&kind.http_status()), "{kind:?}");
        }
    }

    #[test]
    fn an_error_of_the_database_and_a_busy_server_have_different_codes() {
        let codes = [ErrorKind::Database, ErrorKind::Busy, ErrorKind::ShutDown].map(|kind| kind.wire_code().as_str());
        assert_eq!(codes, ["DB_ERROR", "FAILED", "SHUTTING_DOWN"]);
    }

    #[test]
    fn status_and_code_are_of_one_class() {
        for kind in ErrorKind::ALL {
            let (status, of_code) = (kind.http_status(), kind.wire_code().status());
            let is_own = matches!(kind, ErrorKind::Conflict);
            assert!(is_own || status / 100 == of_code / 100, "{kind:?}: {status} and {of_code}");
        }
    }
}
