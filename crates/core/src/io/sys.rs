//! The local machine: its clocks and time zone, its name, its users, its randomness.
//!
//! `now()` is the only reader of the clocks. Nothing here starts or signals a process.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{OnceLock, mpsc},
    time::Duration,
};

use chrono::Offset;
use nix::libc;
use nix::time::{ClockId, clock_gettime};

use crate::model::task::{Handle, Tick, Timestamp};

/// Reads both clocks.
pub fn now() -> Tick {
    // Neither clock can fail on Linux; a zero would only make ages look large, which readers clamp.
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    let wall = read(ClockId::CLOCK_REALTIME);
    Tick { mono: read(ClockId::CLOCK_MONOTONIC), wall: Timestamp(i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX)) }
}

/// Sleeps before another host is polled again, which reports no changes by itself. Local events are
/// never waited for by sleeping.
#[expect(clippy::disallowed_methods, reason = "the one place; see above")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Formats unix seconds in the local time zone as RFC 3339 (`2026-11-23T20:15:00+01:00`).
pub fn stamp(secs: i64) -> String {
    let at = chrono::DateTime::from_timestamp(secs, 0).unwrap_or_default().with_timezone(&Zone);
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Formats a time in the local time zone as the start of a line in a supervisor's log: `2026-11-25
/// 04:10:05,123`.
pub fn log_stamp(at: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_nanos(at.0).with_timezone(&Zone);
    at.format("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

/// The local time zone: that of `TZ` in all forms of POSIX and `tzset(3)`, else that of the system.
/// `TZ` is read once; an invalid one counts as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone;

/// The time zone that `TZ` names; `None`: `TZ` is not set, and the zone of the system holds.
static NAMED: OnceLock<Option<jiff::tz::TimeZone>> = OnceLock::new();

/// Folders of the time zone database on glibc, musl and other systems.
const ZONES: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];
/// Largest zone file that is read, in bytes; real ones have a few thousand.
const LARGEST_ZONE: u64 = 1 << 20;
/// The days on which clocks change if `TZ` names a summer time without a rule; the same as in the C
/// library.
const USUAL_RULE: &str = ",M3.2.0,M11.1.0";

impl Zone {
    fn named() -> Option<&'static jiff::tz::TimeZone> {
        let read = || {
            let text = std::env::var("TZ").ok()?;
            Some(zone_of(&text).unwrap_or(jiff::tz::TimeZone::UTC))
        };
        NAMED.get_or_init(read).as_ref()
    }

    /// Returns the value of `TZ` if it is not a time zone.
    pub fn unknown() -> Option<String> {
        std::env::var("TZ").ok().filter(|text| zone_of(text).is_none())
    }
}

fn zone_of(text: &str) -> Option<jiff::tz::TimeZone> {
    let name = text.strip_prefix(':').unwrap_or(text);
    if name.is_empty() {
        return Some(jiff::tz::TimeZone::UTC);
    }
    let in_file = || match Path::new(name).is_absolute() {
        true => read_zone(Path::new(name)),
        false => ZONES.iter().find_map(|folder| read_zone(&Path::new(folder).join(name))),
    };
    let posix = |rule: &str| jiff::tz::TimeZone::posix(&format!("{name}{rule}")).ok();
    in_file().or_else(|| posix("")).or_else(|| posix(USUAL_RULE))
}

/// Reads a time zone from a regular file, without blocking on a pipe.
fn read_zone(path: &Path) -> Option<jiff::tz::TimeZone> {
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    file.metadata().ok().filter(|meta| meta.is_file())?;
    let mut bytes = vec![];
    file.take(LARGEST_ZONE).read_to_end(&mut bytes).ok()?;
    jiff::tz::TimeZone::tzif(path.to_str()?, &bytes).ok()
}

impl chrono::TimeZone for Zone {
    type Offset = chrono::FixedOffset;

    fn from_offset(_: &chrono::FixedOffset) -> Zone {
        Zone
    }

    fn offset_from_local_date(&self, local: &chrono::NaiveDate) -> chrono::MappedLocalTime<chrono::FixedOffset> {
        self.offset_from_local_datetime(&local.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_local_datetime(
        &self,
        local: &chrono::NaiveDateTime,
    ) -> chrono::MappedLocalTime<chrono::FixedOffset> {
        // No zone changes its clocks twice within two days.
        let day = chrono::TimeDelta::days(1);
        let holds = |offset: &chrono::FixedOffset| {
            local.checked_sub_offset(*offset).is_some_and(|utc| self.offset_from_utc_datetime(&utc) == *offset)
        };
        let around = [local.checked_sub_signed(day), local.checked_add_signed(day)];
        let [before, after] = around.map(|at| at.map(|at| self.offset_from_utc_datetime(&at)).filter(holds));
        match (before, after) {
            (Some(before), Some(after)) if before != after => chrono::MappedLocalTime::Ambiguous(before, after),
            (Some(offset), _) | (None, Some(offset)) => chrono::MappedLocalTime::Single(offset),
            (None, None) => chrono::MappedLocalTime::None,
        }
    }

    fn offset_from_utc_date(&self, utc: &chrono::NaiveDate) -> chrono::FixedOffset {
        self.offset_from_utc_datetime(&utc.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &chrono::NaiveDateTime) -> chrono::FixedOffset {
        match Zone::named() {
            None => chrono::Local.offset_from_utc_datetime(utc),
            Some(zone) => {
                let at = jiff::Timestamp::from_second(utc.and_utc().timestamp()).unwrap_or_default();
                chrono::FixedOffset::east_opt(zone.to_offset(at).seconds()).unwrap_or(chrono::Utc.fix())
            }
        }
    }
}

/// Path of the kernel's id of this boot.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Returns the kernel's id of this boot.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let mut text = String::with_capacity(40);
    fs::File::open(BOOT_ID)?.read_to_string(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// Returns the pid and time namespaces of this process, as `4026531836:4026531834`. Pids and start
/// times recorded in other namespaces mean nothing in this one. `None` where the kernel does not
/// show the namespaces.
pub fn namespace() -> Option<String> {
    let inode = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        let number = link.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
    };
    let pids = inode("pid")?;
    // Before Linux 5.6 all processes have one clock.
    Some(inode("time").map_or_else(|| pids.clone(), |clocks| format!("{pids}:{clocks}")))
}

/// Returns the host name of this machine up to its first dot, as in UPIDs; `localhost` if it has
/// none.
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    match name.split('.').next() {
        Some(node) if !node.is_empty() => node.to_owned(),
        _ => "localhost".to_owned(),
    }
}

/// Returns the full host name of this machine; `localhost` if it has none.
pub fn node_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    if name.is_empty() { "localhost".to_owned() } else { name.to_string_lossy().into_owned() }
}

/// Returns the login name of a user from the password file, else the user id. The name service is
/// not asked: a launcher must not wait for a directory server, and a static program cannot load the
/// service's modules.
pub fn login_of(uid: u32) -> String {
    let number = uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

/// Returns the login name of the calling user.
pub fn login() -> String {
    login_of(nix::unistd::geteuid().as_raw())
}

/// Returns a new random handle.
///
/// # Errors
/// When the kernel has no randomness.
pub fn new_handle() -> io::Result<Handle> {
    let mut bytes = [0; 8];
    // So few bytes are never returned in part.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(Handle::from_random(bytes))
}

/// Returns how many processors this process may use. The answer of the first call is kept: the kernel is asked in
/// several files.
fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Kills this process with SIGKILL if `TASKWATCHER_CRASH_AT` names this point; `tests/it/crash.rs` uses that
/// to crash between any two steps. Compiled into debug builds only.
pub fn crash_point(name: &str) {
    if cfg!(debug_assertions) && std::env::var("TASKWATCHER_CRASH_AT").is_ok_and(|point| point == name) {
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
    }
}
/// Runs `work` on chunks of `things` on all processors and returns the results in order. Meant for
/// work that is mostly system calls. Each thread gets at least `enough` things.
pub fn on_all_processors<T: Sync, R: Send>(
    things: &[T],
    enough: usize,
    work: impl Fn(&[T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let threads = processors().min(things.len() / enough.max(1));
    if threads < 2 {
        return work(things);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = things.chunks(things.len().div_ceil(threads));
        let mine = parts.next().unwrap_or_default();
        let spawn = |part| (part, std::thread::Builder::new().spawn_scoped(scope, move || work(part)));
        let others: Vec<_> = parts.map(spawn).collect();
        let mut done = work(mine);
        for (part, other) in others {
            // If no thread can be started, this thread does its part.
            done.extend(other.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| work(part)));
        }
        done
    })
}

/// Runs `work` on all items that `read` emits, in parts of `size` items, and returns the results in
/// order. If there is more than one part, `work` runs on another thread while this one reads.
///
/// # Errors
/// That of `read`.
pub fn work_while_reading<T: Send, R: Send, E>(
    size: usize,
    read: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), E>,
    work: impl Fn(Vec<T>) -> Vec<R> + Sync,
) -> Result<Vec<R>, E> {
    let work = &work;
    std::thread::scope(|scope| {
        let (to, parts) = mpsc::channel();
        let (mut parts, mut worker) = (Some(parts), None);
        let (mut part, mut done) = (Vec::new(), Vec::new());
        read(&mut |item| {
            if part.len() == size {
                let full = std::mem::replace(&mut part, Vec::with_capacity(size));
                if let Some(parts) = parts.take() {
                    let spawned = std::thread::Builder::new()
                        .spawn_scoped(scope, move || parts.into_iter().flat_map(work).collect::<Vec<R>>());
                    worker = spawned.ok();
                }
                // If no thread can be started, this thread does the work.
                if let Err(mpsc::SendError(full)) = to.send(full) {
                    done.extend(work(full));
                }
            }
            part.push(item);
        })?;
        let Some(worker) = worker else {
            done.extend(work(part));
            return Ok(done);
        };
        // The worker receives until the sender is dropped, so it gets the last part too, or has panicked.
        let _ = to.send(part);
        drop(to);
        Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_beside_reading_keeps_the_order_and_reports_the_error() {
        for count in [0, 1, 10, 11, 20, 1005] {
            let read = |emit: &mut dyn FnMut(usize)| {
                (0..count).for_each(emit);
                Ok::<_, ()>(())
            };
            let done = work_while_reading(10, read, |part| part.iter().map(|n| n * 2).collect()).unwrap();
            assert_eq!(done, (0..count).map(|n| n * 2).collect::<Vec<_>>());
            let fail = |emit: &mut dyn FnMut(usize)| {
                (0..count).for_each(emit);
                Err("unreadable")
            };
            assert_eq!(work_while_reading(10, fail, |part| part), Err("unreadable"));
        }
    }

    #[test]
    fn results_of_many_processors_are_in_order() {
        for (count, enough) in [(0, 1), (1, 1), (1000, 1), (1001, 250), (7, 1000), (3, 0)] {
            let things: Vec<usize> = (0..count).collect();
            let done = on_all_processors(&things, enough, |part| part.iter().map(|n| n * 2).collect());
            assert_eq!(done, things.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
    }
}
