//! The files that a supervisor names in its configuration, where other users control a part of the way to them or
//! something else is in their place.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

use nix::{sys::signal::Signal, unistd::geteuid};
use support::{World, until};

/// A program that prints a line when it starts, and one for each signal.
fn program(name: &str, more: &str) -> String {
    let script = "trap 'echo again' USR1; echo up; while :; do sleep 0.1; done";
    format!(
        "[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"{script}\"]\nstderr = \"none\"\nstartsecs = 0\n{more}\n"
    )
}

/// Lets a supervisor begin, which does not start, and says so with these words; root is warned besides.
#[track_caller]
fn is_refused(world: &World, words: &[&str]) {
    let ran = world.daemon_begun().started.take().unwrap().wait();
    assert!([1, 2].contains(&ran.code), "{ran:?}");
    let error = ran.err.lines().find(|line| line.contains("error: ")).unwrap_or_default();
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is missing in {:?}", ran.err));
}

/// What the client says, which fails.
#[track_caller]
fn fails(world: &World, args: &[&str], words: &[&str]) {
    let ran = world.ctl(args);
    let said = format!("{}{}", ran.text(), ran.err);
    assert!(ran.code != 0 && words.iter().all(|word| said.contains(word)), "{words:?}: {ran:?}");
}

/// The user `nobody`, if this test can act for it.
fn nobody() -> Option<u32> {
    let user = nix::unistd::User::from_name("nobody").unwrap()?;
    geteuid().is_root().then_some(user.uid.as_raw())
}

/// A folder of a user, with the folder `l` in it, and a folder `root` of root's beside it.
fn folders(world: &World, owner: u32) {
    for name in ["base/l", "root"] {
        fs::create_dir_all(world.path(name)).unwrap();
    }
    for name in ["base", "base/l"] {
        chown(world.path(name), Some(owner), None).unwrap();
    }
}

/// As the owner of the folder could: `l` becomes a link to the folder of root.
fn replace_by_link(world: &World) {
    fs::rename(world.path("base/l"), world.path("base/l2")).unwrap();
    symlink("../root", world.path("base/l")).unwrap();
}

#[test]
fn a_folder_of_the_programs_user_leads_no_log_of_root_elsewhere() {
    let Some(owner) = nobody() else { return };
    let world = World::new();
    folders(&world, owner);
    let log =
        |name: &str| format!("stdout = \"{}\"\nuser = \"nobody\"", world.path(format!("base/l/{name}")).display());
    world.configure(&(program("web", &log("web")) + &program("db", &log("db"))));
    let daemon = world.daemon();
    until("its first line", || fs::read(world.path("base/l/web")).is_ok_and(|text| text == b"up\n"));
    let meta = fs::metadata(world.path("base/l/web")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (owner, 0o644), "a log in its user's own folder is its user's");
    fs::write(world.path("root/db"), "precious\n").unwrap();
    replace_by_link(&world);
    // What opens a log: another start, a turn, a signal to open it again, a clear, a reader.
    daemon.signal(Signal::SIGUSR2);
    world.ctl(&["signal", "USR1", "web"]);
    fails(&world, &["restart", "web"], &["web", "on the way", "symbolic link"]);
    fails(&world, &["clear", "db"], &["on the way", "symbolic link"]);
    fails(&world, &["tail", "db"], &["on the way", "symbolic link"]);
    until("the log of the supervisor to tell of it", || {
        world.log().contains("base/l on the way: it is a symbolic link")
    });
    assert!(!world.path("root/web").exists());
    assert_eq!(world.read("root/db"), "precious\n");
    fs::remove_file(world.path("base/l")).unwrap();
    fs::rename(world.path("base/l2"), world.path("base/l")).unwrap();
    assert_eq!(world.ctl(&["restart", "web"]).code, 0);
    daemon.end();
}

#[test]
fn folders_and_pid_files_are_not_made_through_links_of_others() {
    let Some(owner) = nobody() else { return };
    let world = World::new();
    folders(&world, owner);
    replace_by_link(&world);
    world.configure_with("create_dirs = true", &program("web", "stdout = \"base/l/new/web\""));
    is_refused(&world, &["cannot make directory", "base/l: it is a symbolic link"]);
    assert!(!world.path("root/new").exists());
    world.configure(&program("web", "stdout = \"none\""));
    let text = world.read("t.toml").replace("pidfile = \"s.pid\"", "pidfile = \"base/l/s.pid\"");
    fs::write(world.path("t.toml"), text).unwrap();
    fs::write(world.path("root/s.pid"), "1\n").unwrap();
    is_refused(&world, &["cannot lock", "symbolic link"]);
    assert_eq!(world.read("root/s.pid"), "1\n");
}

#[test]
fn a_link_that_only_the_supervisors_user_controls_is_followed() {
    let world = World::new();
    fs::create_dir(world.path("real")).unwrap();
    symlink("real", world.path("l")).unwrap();
    world.configure(&program("web", "stdout = \"l/web\""));
    let daemon = world.daemon();
    until("its first line", || fs::read(world.path("real/web")).is_ok_and(|text| text == b"up\n"));
    assert_eq!(world.ctl(&["tail", "web"]).text(), "up\n");
    daemon.end();
}

#[test]
fn a_pid_is_not_written_over_a_file_that_holds_none() {
    let world = World::new();
    world.configure(&program("web", ""));
    let text = world.read("t.toml").replace("pidfile = \"s.pid\"", "pidfile = \"notes\"");
    fs::write(world.path("t.toml"), text).unwrap();
    fs::write(world.path("notes"), "remember the milk\n").unwrap();
    is_refused(&world, &["cannot write pid file", "holds no pid"]);
    assert_eq!(world.read("notes"), "remember the milk\n");
    fs::set_permissions(world.path("notes"), Permissions::from_mode(0o644)).unwrap();
    fs::write(world.path("notes"), "4711\n").unwrap();
    world.daemon().end();
}
