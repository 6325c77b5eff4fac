//! Kinds of errors, for programs that read no English: what the exit code and the HTTP status say.
//! The code on the wire is `Code::of`.

use super::task::exit_code;

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
    /// Any other failure, which its message explains.
    Failed,
    /// A supervised process is not up.
    NotUp,
    /// The supervisor, or a supervised process, is not running.
    NotRunning,
    /// The state of supervised processes cannot be determined.
    StateUnknown,
    /// The supervisor has another protocol version.
    OtherProtocol,
    /// Waiting was interrupted; the operation goes on.
    Interrupted,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [ErrorKind; 24] = [
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
        ErrorKind::Failed,
        ErrorKind::NotUp,
        ErrorKind::NotRunning,
        ErrorKind::StateUnknown,
        ErrorKind::OtherProtocol,
        ErrorKind::Interrupted,
    ];

    /// Returns the exit code of `control` and of the client of the supervisor.
    pub fn exit_code(self) -> u8 {
        let code = match self {
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
            | ErrorKind::System
            | ErrorKind::Failed => exit_code::FAILED,
            ErrorKind::NotUp => exit_code::NOT_UP,
            ErrorKind::StateUnknown => exit_code::STATE_UNKNOWN,
            ErrorKind::OtherProtocol => exit_code::OTHER_PROTOCOL,
            ErrorKind::NotRunning => exit_code::NOT_RUNNING,
            ErrorKind::Interrupted => exit_code::INTERRUPTED,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
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
            ErrorKind::Conflict | ErrorKind::NotUp | ErrorKind::NotRunning => 409,
            ErrorKind::TooLarge => 413,
            ErrorKind::ContentType => 415,
            ErrorKind::System | ErrorKind::Failed => 500,
            ErrorKind::Unsupported | ErrorKind::OtherProtocol => 501,
            ErrorKind::Unreachable | ErrorKind::StateUnknown => 502,
            ErrorKind::Busy | ErrorKind::ShutDown | ErrorKind::Database => 503,
            ErrorKind::TimedOut | ErrorKind::Interrupted => 504,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_never_reads_as_success() {
        for kind in ErrorKind::ALL {
            assert!(kind.exit_code() > 0, "{kind:?}");
            assert!((400..600).contains(&kind.http_status()), "{kind:?}");
        }
    }

    #[test]
    fn the_exit_codes_are_the_published_ones() {
        let of = |code| ErrorKind::ALL.into_iter().filter(move |kind| kind.exit_code() == code).collect::<Vec<_>>();
        assert_eq!(of(2), [ErrorKind::Usage, ErrorKind::Method, ErrorKind::ContentType]);
        assert_eq!(of(3), [ErrorKind::NothingYet, ErrorKind::NotUp]);
        assert_eq!(of(4), [ErrorKind::StateUnknown]);
        assert_eq!(of(5), [ErrorKind::OtherProtocol]);
        assert_eq!(of(7), [ErrorKind::NotRunning]);
        assert_eq!(of(130), [ErrorKind::Interrupted]);
        assert_eq!(of(1).len(), ErrorKind::ALL.len() - 9, "all others are 1");
    }
}
