//! Commands that are given sockets (`LISTEN_FDS`, sd_listen_fds(3)): they take them only if `LISTEN_PID` is their own pid.
//!
//! Whoever starts `launch` with sockets names the pid of `launch` there. The command is another process, whose pid nobody
//! knows before it exists; so a small process of ours sets the variable to its own pid and becomes the command. Where the
//! variable names somebody else, or there is none, the command is started directly.
//!
//! # If we die here
//! Before the exec: an empty process that ends. After it: it is the command.

use std::{
    ffi::{CString, OsString},
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::io::child::{self, CannotRun};

/// The name by which the program knows that it is to be this.
pub const LISTENER: &str = "launch-listener";
const VARIABLE: &str = "LISTEN_PID";
/// Newer readers of the sockets know by it that the pid was not used again; it is that of `launch` too.
const PIDFD_VARIABLE: &str = "LISTEN_PIDFDID";

/// Whether the sockets that this process has were given to the process of this pid.
fn are_given_to(pid: i32) -> bool {
    std::env::var(VARIABLE).is_ok_and(|named| named.parse() == Ok(pid))
}

/// Starts a command as [`child::spawn`] does; if the sockets that came along were given to `launch`, which is this
/// process or its parent, they are the command's.
///
/// # Errors
/// [`CannotRun`]
pub fn spawn(
    argv: &[OsString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, i32)],
    inherited: &[i32],
    ignored: u64,
) -> Result<i32, CannotRun> {
    if !are_given_to(child::own_pid()) && !are_given_to(child::parent_pid()) {
        return child::spawn(argv, env, put, ignored);
    }
    let failed = |error: io::Error| CannotRun::from_number(error.raw_os_error().unwrap_or(0));
    let (mut report, reports) = io::pipe().map_err(failed)?;
    let reports = OwnedFd::from(reports);
    let number = child::number_above(inherited, &[put, &[(reports.as_fd(), 0)]].concat());
    let mut put = put.to_vec();
    put.push((reports.as_fd(), number));
    let mut args = vec![OsString::from(LISTENER), number.to_string().into()];
    args.extend_from_slice(argv);
    let pid = child::spawn_self_in_group(&args, env, &put, ignored).map_err(failed)?;
    drop(reports);
    let mut said = String::new();
    // It ends with the exec.
    match report.read_to_string(&mut said).ok().and_then(|_| said.parse().ok()) {
        None => Ok(pid),
        Some(number) => {
            child::wait_for(pid);
            Err(CannotRun::from_number(number))
        }
    }
}

/// The small process: becomes the command that its arguments tell of. Says why not, if it cannot.
pub fn become_command() {
    let mut args = std::env::args_os().skip(1);
    let Some(number) = args.next().and_then(|number| number.to_str()?.parse::<i32>().ok()) else { return };
    let argv: Vec<OsString> = args.collect();
    // Opened again, it closes with the exec.
    let report: io::Result<File> = OpenOptions::new().write(true).open(format!("/proc/self/fd/{number}"));
    let Ok(mut report) = report else { return };
    child::close(number);
    let pid = child::own_pid().to_string();
    let env = child::environment(&[(VARIABLE, pid.into())], &[PIDFD_VARIABLE]);
    let error = child::become_program(&argv, &env);
    let _ = report.write_all(error.raw_os_error().unwrap_or(0).to_string().as_bytes());
}
