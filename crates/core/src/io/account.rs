//! Users and groups of this system, and switching to one of them.
//!
//! Users and groups are read from the files in /etc. A name that is missing there is looked up with
//! `getent`, a program of the system: this program is linked statically, and the C library would
//! load the modules of its name service into it, which ends in a crash. So a user in the file has
//! the groups that are in the file.
//!
//! A switch is done completely or not at all, and verified afterwards: groups, group and user,
//! real, effective and saved, and whether root could be regained. It is done before any thread is
//! started, because it affects the whole process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, geteuid, getgroups, getresgid, getresuid, getuid, setgid, setgroups, setuid},
};

use crate::model::identity::Identity;

/// The files of users and groups.
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// Folders of the system's programs; the PATH of the caller is not used.
const FOLDERS: [&str; 3] = ["/usr/bin", "/bin", "/run/current-system/sw/bin"];

/// Why a user cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No user has this name or number.
    #[error("unknown user {0:?}")]
    Unknown(String),
    /// The user or its groups cannot be looked up.
    #[error("cannot look up user {0:?}: {1}")]
    Unreadable(String, io::Error),
    /// The switch was refused or incomplete.
    #[error("cannot switch to user {0:?}: {1}")]
    Switch(String, io::Error),
}

/// A line of the file of users.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

fn fields(line: &str) -> Option<Vec<&str>> {
    let fields: Vec<&str> = line.split(':').collect();
    // `+` and `-` are directives of the old NIS name service.
    fields.first().is_some_and(|name| !name.is_empty() && !name.starts_with(['+', '-'])).then_some(fields)
}

fn user_of_line(line: &str) -> Option<User> {
    let fields = fields(line)?;
    let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
    Some(User { name: (*name).to_owned(), uid: number(uid)?, gid: number(gid)?, home: PathBuf::from(home) })
}

/// Finds a user by name, or by number if no user has that name.
fn user_in(text: &str, wanted: &str) -> Option<User> {
    let find = |is: &dyn Fn(&User) -> bool| text.lines().filter_map(user_of_line).find(is);
    find(&|user| user.name == wanted).or_else(|| {
        let wanted = number(wanted)?;
        find(&|user| user.uid == wanted)
    })
}

/// Returns name, number and members.
fn group_of_line(line: &str) -> Option<(&str, u32, &str)> {
    let fields = fields(line)?;
    let [name, _, gid, members, ..] = fields.as_slice() else { return None };
    Some((name, number(gid)?, members))
}

fn group_in(text: &str, wanted: &str) -> Option<u32> {
    let find = |is: &dyn Fn(&(&str, u32, &str)) -> bool| text.lines().filter_map(group_of_line).find(is);
    let found = find(&|(name, ..)| *name == wanted).or_else(|| {
        let wanted = number(wanted)?;
        find(&|(_, gid, _)| *gid == wanted)
    });
    found.map(|(_, gid, _)| gid)
}

/// Returns the groups that a user is a member of, besides its primary one.
fn groups_in(text: &str, user: &str) -> Vec<u32> {
    let groups = text.lines().filter_map(group_of_line);
    groups.filter(|(_, _, members)| members.split(',').any(|member| member == user)).map(|(_, gid, _)| gid).collect()
}

fn number(text: &str) -> Option<u32> {
    // The largest number means "none" in system calls.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.filter(|number| *number != u32::MAX)
}

/// Reads a file in which some lines may have any encoding; a missing file is empty.
fn read(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
    }
}

/// Returns the output of a program of the system about a name; empty if there is none.
fn ask(program: &str, words: &[&str], name: &str) -> io::Result<String> {
    // A name that looks like an option, or contains a separator of the output.
    if name.is_empty() || name.starts_with('-') || name.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Ok(String::new());
    }
    let Some(file) = FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|file| file.exists()) else {
        return Ok(String::new());
    };
    let mut command = Command::new(file);
    command.args(words).arg(name).env_clear().current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    let answer = if output.status.success() { output.stdout } else { vec![] };
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns a user, and whether it is in the file of users.
fn look_up(user: &str) -> io::Result<Option<(User, bool)>> {
    if let Some(found) = user_in(&read(USERS)?, user) {
        return Ok(Some((found, true)));
    }
    Ok(user_in(&ask("getent", &["passwd"], user)?, user).map(|user| (user, false)))
}

/// Returns the number of a user, given by name or number; `None` if there is no such user.
pub fn uid(user: &str) -> Option<u32> {
    look_up(user).ok()?.map(|(user, _)| user.uid)
}

/// Returns the number of a group, given by name or number; `None` if there is no such group.
pub fn gid(group: &str) -> Option<u32> {
    let in_file = group_in(&read(GROUPS).ok()?, group);
    in_file.or_else(|| group_in(&ask("getent", &["group"], group).ok()?, group))
}

/// Returns the home folder of a user, given by name or number; without `user`, of the calling user.
pub fn home(user: Option<&str>) -> Option<PathBuf> {
    let of = |user: &str| look_up(user).ok()?.map(|(user, _)| user.home).filter(|home| home.is_absolute());
    match user {
        Some(user) => of(user),
        // The calling user may be missing in the file: a container often has numbers only.
        None => of(&own_uid().to_string())
            .or_else(|| std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())),
    }
}

/// Returns the number of the calling user.
pub fn own_uid() -> u32 {
    geteuid().as_raw()
}

/// Returns all that is needed to run as a user, given by name or number.
///
/// # Errors
/// [`AccountError::Unknown`], [`AccountError::Unreadable`]
pub fn identity(user: &str) -> Result<Identity, AccountError> {
    let unreadable = |error| AccountError::Unreadable(user.to_owned(), error);
    let found = look_up(user).map_err(unreadable)?;
    let (found, in_file) = found.ok_or_else(|| AccountError::Unknown(user.to_owned()))?;
    let mut groups: Vec<u32> = match in_file {
        true => groups_in(&read(GROUPS).map_err(unreadable)?, &found.name),
        false => {
            let answer = ask("id", &["-G"], &found.name).map_err(unreadable)?;
            answer.split_whitespace().filter_map(number).collect()
        }
    };
    groups.push(found.gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { name: found.name, uid: found.uid, gid: found.gid, groups })
}

/// Switches this process to another user permanently. After an error the process must end: its user
/// and groups are undefined.
///
/// # Errors
/// [`AccountError::Switch`]
pub fn switch(to: &Identity) -> Result<(), AccountError> {
    become_user(to.uid, to.gid, &to.groups).map_err(|error| AccountError::Switch(to.name.clone(), error))
}

/// Switches to a user with these groups. After an error the process must end: its user and groups
/// are undefined.
///
/// # Errors
/// Those of the system; also EPERM if the system reported success and did something else.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if !geteuid().is_root() {
        // Nothing to change, or not permitted.
        return if geteuid() == uid && getuid() == uid { Ok(()) } else { Err(Errno::EPERM.into()) };
    }
    // Groups first, as only root may set them.
    let mut wanted: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&wanted)?;
    setgid(gid)?;
    setuid(uid)?;
    // A partial switch would be worse than none.
    let mut have = getgroups()?;
    for list in [&mut have, &mut wanted] {
        list.sort_unstable_by_key(|group| group.as_raw());
        list.dedup();
    }
    let (users, own) = (getresuid()?, getresgid()?);
    let is_user = [users.real, users.effective, users.saved] == [uid; 3];
    let is_group = [own.real, own.effective, own.saved] == [gid; 3];
    // If root can be regained, the switch is void.
    let stays = uid.is_root() || setuid(Uid::from_raw(0)).is_err();
    match is_user && is_group && have == wanted && stays {
        true => Ok(()),
        false => Err(Errno::EPERM.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_as_they_are() {
        let users = "root:x:0:0:root:/root:/bin/sh\n+@nis::::::\n# a remark\nshort:x:1\nodd:x:1x:1::/:\n\
                     web:x:33:34:Web, of all:/var/www:/bin/false\n33:x:1000:1000::/home/33:\nweb:x:99:99::/:\n";
        let user = |wanted: &str| user_in(users, wanted).map(|user| (user.uid, user.gid, user.home));
        assert_eq!(user("root"), Some((0, 0, "/root".into())));
        assert_eq!(user("web"), Some((33, 34, "/var/www".into())), "the first of a name");
        assert_eq!(user("33"), Some((1000, 1000, "/home/33".into())), "a name goes before a number");
        assert_eq!(user("1000"), Some((1000, 1000, "/home/33".into())));
        for unknown in ["", "+@nis", "# a remark", "short", "odd", "we", "4294967295", "-1", "+0", "0x0"] {
            assert_eq!(user(unknown), None, "{unknown:?}");
        }
        let groups = "root:x:0:\nadm:x:4:web,root\nshort:x:5\nwww:x:34:webb\nlog:*:7:web\n";
        assert_eq!(groups_in(groups, "web"), [4, 7]);
        assert_eq!(groups_in(groups, "nobody"), [0; 0]);
        assert_eq!(
            (group_in(groups, "www"), group_in(groups, "7"), group_in(groups, "short")),
            (Some(34), Some(7), None)
        );
    }

    #[test]
    fn a_file_of_groups_that_cannot_be_read_is_not_an_empty_one() {
        assert_eq!(read("/no/such/file").unwrap(), "");
        assert!(read("/").unwrap_err().to_string().starts_with("/: "));
    }

    #[test]
    fn users_and_groups_of_this_system_are_found() {
        assert_eq!((uid("root"), uid("0")), (Some(0), Some(0)));
        assert_eq!((gid("root"), gid("0")), (Some(0), Some(0)));
        // Passed on to the system's programs too, which must not be misled.
        for unknown in ["", "no such user", "nosuchuser", "-1", "+0", "--help", "4294967295", "99999999999", "a\0b"] {
            assert_eq!((uid(unknown), gid(unknown), home(Some(unknown))), (None, None, None), "{unknown:?}");
        }
        assert!(home(Some("root")).is_some());
        assert!(home(None).is_some());
        let root = identity("0").unwrap();
        assert_eq!((root.name.as_str(), root.uid, root.gid), ("root", 0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(identity("no such user").unwrap_err().to_string(), "unknown user \"no such user\"");
        // The output of those programs has the format of the files.
        assert_eq!(user_in(&ask("getent", &["passwd"], "root").unwrap(), "root").map(|user| user.uid), Some(0));
        assert!(ask("id", &["-G"], "root").unwrap().split_whitespace().any(|gid| gid == "0"));
    }

    #[test]
    fn only_root_can_switch_users() {
        if geteuid().is_root() {
            eprintln!("skipped: it must not run as root; tests/it/begin.rs switches users");
            return;
        }
        let me = own_uid();
        assert!(become_user(me, 0, &[]).is_ok(), "already this user");
        assert!(become_user(me + 1, 0, &[]).is_err());
    }
}
