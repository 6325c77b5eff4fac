//! The files in the configuration of a supervisor, where other users control a part of the path or another file is in
//! their place.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

use crate::support::{World, daemon::named, until};
use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::{geteuid, mkfifo},
};

/// Returns the configuration of a program that prints a line when it starts, and one for each signal.
fn program(name: &str, more: &str) -> String {
    let script = "trap 'echo again' USR1; echo up; while :; do sleep 0.1; done";
    format!(
        "[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"{script}\"]\nstderr = \"none\"\nstartsecs = 0\n{more}\n"
    )
}

/// Checks that a supervisor refuses to start with these words; root gets an additional warning.
#[track_caller]
fn is_refused(world: &World, words: &[&str]) {
    let ran = world.daemon_begun().started.take().unwrap().wait();
    assert!([1, 2].contains(&ran.code), "{ran:?}");
    let error = ran.err.lines().find(|line| line.contains("error: ")).unwrap_or_default();
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is missing in {:?}", ran.err));
}

/// Checks that the client fails with these words.
#[track_caller]
fn fails(world: &World, args: &[&str], words: &[&str]) {
    let ran = world.ctl(args);
    let said = format!("{}{}", ran.text(), ran.err);
    assert!(ran.code != 0 && words.iter().all(|word| said.contains(word)), "{words:?}: {ran:?}");
}

/// Returns the user `nobody`, if this test can act for it.
fn nobody() -> Option<u32> {
    let user = nix::unistd::User::from_name("nobody").unwrap()?;
    geteuid().is_root().then_some(user.uid.as_raw())
}

/// Creates a folder of a user with the folder `l` in it, and a folder `root` of root beside it.
fn folders(world: &World, owner: u32) {
    for name in ["base/l", "root"] {
        fs::create_dir_all(world.path(name)).unwrap();
    }
    for name in ["base", "base/l"] {
        chown(world.path(name), Some(owner), None).unwrap();
    }
}

/// Replaces `l` by a link to the folder of root, as the owner of the folder could.
fn replace_by_link(world: &World) {
    fs::rename(world.path("base/l"), world.path("base/l2")).unwrap();
    symlink("../root", world.path("base/l")).unwrap();
}

#[test]
fn a_folder_of_the_programs_user_cannot_redirect_logs_of_root() {
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
    // Everything that opens a log: a start, a rotation, a signal to reopen it, a clear, a reader.
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
fn folders_and_pid_files_are_not_created_through_links_of_other_users() {
    let Some(owner) = nobody() else { return };
    let world = World::new();
    folders(&world, owner);
    replace_by_link(&world);
    world.configure_with("create_dirs = true", &program("web", "stdout = \"base/l/new/web\""));
    is_refused(&world, &["cannot create directory", "base/l: it is a symbolic link"]);
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
fn a_file_without_a_pid_is_not_overwritten_by_a_pid() {
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

/// Makes a folder like /tmp the default folder for logs.
fn with_shared_logs(world: &World) {
    fs::create_dir(world.path("shared")).unwrap();
    fs::set_permissions(world.path("shared"), Permissions::from_mode(0o1777)).unwrap();
    let own = format!("childlogdir = \"{}\"", world.path("").display());
    let text = world.read("t.toml");
    assert!(text.contains(&own), "{text}");
    fs::write(world.path("t.toml"), text.replace(&own, "childlogdir = \"shared\"")).unwrap();
}

#[test]
fn a_file_of_another_user_in_the_place_of_a_log_is_not_used_and_stops_nothing() {
    let world = World::new();
    let mut names = vec!["folder", "link", "turned"];
    names.extend(nobody().map(|_| ["pipe", "file"]).into_iter().flatten());
    world.configure(&names.iter().map(|name| program(name, "stdout_maxbytes = 4")).collect::<String>());
    with_shared_logs(&world);
    fs::create_dir(world.path("shared/folder.stdout")).unwrap();
    symlink("../precious", world.path("shared/link.stdout")).unwrap();
    fs::create_dir_all(world.path("shared/turned.stdout.1/x")).unwrap();
    if let Some(owner) = nobody() {
        mkfifo(&world.path("shared/pipe.stdout"), Mode::S_IRWXU).unwrap();
        fs::write(world.path("shared/file.stdout"), "theirs\n").unwrap();
        for name in ["pipe", "file"] {
            chown(world.path(format!("shared/{name}.stdout")), Some(owner), None).unwrap();
        }
    }
    let daemon = world.daemon();
    for name in &names {
        world.comes_to(name, "RUNNING");
        until("what it prints", || world.ctl(&["tail", name]).text() == "up\n");
        if *name != "turned" {
            let place = world.path(format!("tasks.db-supervise/logs/{name}.stdout"));
            assert_eq!(fs::read_to_string(&place).unwrap(), "up\n");
            let warning = format!("{name}.stdout is not used as its log: ");
            assert!(world.log().contains(&warning) && world.log().contains(place.to_str().unwrap()), "{}", world.log());
        }
        assert_eq!(world.ctl(&["clear", name]).code, 0);
    }
    // Two lines exceed the limit of the file: a file in the place of the rotated one is left alone.
    let turned = || fs::read_to_string(world.path("shared/turned.stdout.2")).unwrap_or_default();
    world.ctl(&["signal", "USR1", "turned"]);
    until("the first line", || world.ctl(&["tail", "turned"]).text() == "again\n");
    world.ctl(&["signal", "USR1", "turned"]);
    until("its log to be turned over", || turned() == "again\n");
    assert!(!world.path("precious").exists());
    if nobody().is_some() {
        assert_eq!(world.read("shared/file.stdout"), "theirs\n");
    }
    // Once it is gone, the default path is used again.
    fs::remove_dir(world.path("shared/folder.stdout")).unwrap();
    world.ctl(&["restart", "folder"]);
    until("the usual log", || fs::read_to_string(world.path("shared/folder.stdout")).is_ok_and(|text| text == "up\n"));
    daemon.end();
}

#[test]
fn a_configuration_that_is_not_a_file_blocks_nothing() {
    let world = World::new();
    world.configure(&program("web", ""));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let pid = world.pid("web");
    let text = world.read("t.toml");
    fs::remove_file(world.path("t.toml")).unwrap();
    mkfifo(&world.path("t.toml"), Mode::S_IRWXU).unwrap();
    let why = "it is a pipe, not a regular file";
    assert_eq!(world.state("web"), "RUNNING", "it answers");
    fails(&world, &["reread"], &[why]);
    daemon.signal(Signal::SIGHUP);
    let supervise = || world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(world.path("t.toml"));
    supervise().arg("--check").run().says(2, &[why]);
    let client = supervise().arg("status").run();
    assert!(client.code != 0 && client.err.contains(why), "{client:?}");
    // The same for an included file.
    fs::remove_file(world.path("t.toml")).unwrap();
    mkfifo(&world.path("more.toml"), Mode::S_IRWXU).unwrap();
    fs::write(world.path("t.toml"), format!("[include]\nfiles = [\"more.toml\"]\n{text}")).unwrap();
    fails(&world, &["reread"], &["more.toml", why]);
    assert_eq!(world.pid("web"), pid);
    // An empty file stops nothing.
    for empty in ["", "# all of it\n\n"] {
        fs::write(world.path("t.toml"), empty).unwrap();
        fails(&world, &["reload"], &["the file is empty"]);
    }
    // Nor does a truncated file.
    fs::write(world.path("t.toml"), "[taskmasterd]\n").unwrap();
    fails(&world, &["reload"], &["neither a program nor a server for clients"]);
    daemon.signal(Signal::SIGHUP);
    until("the log to say so", || world.log().matches("nothing was changed").count() > 1);
    assert_eq!((world.state("web").as_str(), world.pid("web")), ("RUNNING", pid));
    fs::write(world.path("t.toml"), text).unwrap();
    assert_eq!(world.ctl(&["reload"]).code, 0);
    daemon.end();
}

#[test]
fn a_client_ignores_a_found_configuration_of_another_user() {
    let Some(owner) = nobody() else { return };
    let world = World::new();
    let place = world.work().join("taskmaster.conf.toml");
    fs::write(&place, format!("[taskmasterctl]\nserverurl = \"unix://{}\"\n", world.path("theirs").display())).unwrap();
    chown(&place, Some(owner), None).unwrap();
    let client = || world.command(env!("CARGO_BIN_EXE_supervise"));
    let path = place.to_str().unwrap();
    let refused = format!("owned by user {owner} (found in a working directory; to use it, specify it with -c)");
    client().arg("status").run().says(2, &[path, &refused]);
    client().arg("-c").arg(&place).arg("status").run().says(4, &["theirs"]);
}

#[test]
fn a_configuration_in_memory_works_in_the_background_too() {
    let Ok(folder) = tempfile::Builder::new().prefix("taskwatcher-").tempdir_in("/dev/shm") else { return };
    let world = World::new();
    world.configure(&program("web", ""));
    let text = world.read("t.toml").replace("\"act.log\"", "\"none\"");
    let [socket, pid] = ["s.sock", "s.pid"].map(|name| world.path(name).display().to_string());
    let text = text.replace("\"s.sock\"", &format!("\"{socket}\"")).replace("\"s.pid\"", &format!("\"{pid}\""));
    fs::write(folder.path().join("t.toml"), text).unwrap();
    let ran = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(folder.path().join("t.toml")).run();
    assert_eq!(ran.code, 0, "{ran:?}");
    world.comes_to("web", "RUNNING");
    assert_eq!(world.ctl(&["shutdown"]).code, 0);
}

#[test]
fn a_follower_learns_whether_the_supervisor_ended_or_died() {
    let world = World::new();
    world.configure(&program("web", ""));
    let socket = world.path("s.sock");
    let follow = |line: &str| {
        let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("--socket").arg(&socket);
        line.split(' ').fold(program, |program, word| program.arg(word)).spawn()
    };
    let lines = ["tail -f web", "maintail -f", "subscribe --json"];
    for dies in [false, true] {
        let daemon = world.daemon();
        world.comes_to("web", "RUNNING");
        let followers = lines.map(follow);
        until("all to be answered", || followers.iter().all(|follower| !follower.stdout().is_empty()));
        match dies {
            true => daemon.crash(),
            false => drop(daemon.end()),
        }
        for (follower, line) in followers.into_iter().zip(lines) {
            let ran = follower.wait();
            assert_eq!(ran.code, i32::from(dies), "{line}: {ran:?}");
            assert_eq!(ran.err.contains("the connection was lost"), dies, "{line}: {ran:?}");
        }
    }
    world.daemon().end();
}

#[test]
fn a_follower_misses_nothing_when_a_log_is_cleared_or_rotated_often() {
    let world = World::new();
    let script = "trap 'seq $FROM $TO | sed s/^/line/' USR1; while :; do sleep 0.1; done";
    let more = format!(
        "args = [\"-c\", \"{script}\"]\nstdout_maxbytes = 200\nstdout_backups = 100\nenv = {{ FROM = 1, TO = 500 }}"
    );
    world.configure(&format!("[programs.web]\ncommand = \"bash\"\nstderr = \"none\"\n{more}\n"));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    fs::write(world.path("web.stdout"), "before\n").unwrap();
    let mut follower = world.connect_to_daemon();
    let mut request = named("tail", "web");
    request["args"] = serde_json::json!({ "follow": true });
    assert_eq!(follower.ask(&request)["content"]["data"], "before\n");
    // All of it is written between two looks, in about twenty files.
    world.ctl(&["signal", "USR1", "web"]);
    let mut text = String::new();
    while !text.contains("line500\n") {
        text += follower.line()["data"].as_str().unwrap();
    }
    let all: String = (1..=500).map(|number| format!("line{number}\n")).collect();
    assert_eq!(text, all);
    daemon.end();
}
