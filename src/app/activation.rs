//! Socket activation (`LISTEN_FDS`, sd_listen_fds(3)): a command uses the sockets only if `LISTEN_PID` is its own pid.
//!
//! A program that starts `launch` with sockets sets `LISTEN_PID` to the pid of `launch`. The command is another
//! process, whose pid is unknown before it exists. Therefore a small helper process sets the variable to its own pid
//! and then executes the command. If the variable names another process, or is not set, the command is started
//! directly.
//!
//! # If the helper dies here
//! Before the exec, only an empty process ends. After it, the helper is the command.

use std::{
    ffi::{CString, OsString},
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::io::child::{self, CannotRun};

/// The name (`argv[0]`) under which the program runs as the helper.
pub const LISTENER: &str = "launch-listener";
const VARIABLE: &str = "LISTEN_PID";
/// Inode number of the pidfd of the receiver, by which newer programs detect a reused pid. It is that of `launch`, too.
const PIDFD_VARIABLE: &str = "LISTEN_PIDFDID";

/// Whether the sockets of this process were passed to the process with this pid.
fn are_given_to(pid: i32) -> bool {
    std::env::var(VARIABLE).is_ok_and(|named| named.parse() == Ok(pid))
}

/// Starts a command like [`child::spawn`]. If sockets were passed to `launch`, which is this process or its parent, the
/// command gets them.
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
    // The pipe ends with the exec.
    match report.read_to_string(&mut said).ok().and_then(|_| said.parse().ok()) {
        None => Ok(pid),
        Some(number) => {
            child::wait_for(pid);
            Err(CannotRun::from_number(number))
        }
    }
}

/// Runs as the helper: executes the command in its arguments. Returns only if that fails, after reporting the error.
pub fn become_command() {
    let mut args = std::env::args_os().skip(1);
    let Some(number) = args.next().and_then(|number| number.to_str()?.parse::<i32>().ok()) else { return };
    let argv: Vec<OsString> = args.collect();
    // The reopened descriptor is closed by the exec.
    let report: io::Result<File> = OpenOptions::new().write(true).open(format!("/proc/self/fd/{number}"));
    let Ok(mut report) = report else { return };
    child::close(number);
    let pid = child::own_pid().to_string();
    let env = child::environment(&[(VARIABLE, pid.into())], &[PIDFD_VARIABLE]);
    let error = child::become_program(&argv, &env);
    let _ = report.write_all(error.raw_os_error().unwrap_or(0).to_string().as_bytes());
}
