//! `control remote` with hosts that run taskwatcher: through a real sshd on the loopback interface, and through a
//! stand-in for `ssh` where a host must be slow, dead or faulty.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does"
)]

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::support::{
    Program, Ran, World,
    desk::{CRASH_AT, KILLED},
    until,
};
use serde_json::{Value, json};

/// Simulated hosts, each with its own database in the world, and ways to reach them.
impl World {
    /// Puts a program called `ssh` first in PATH. In it, `$host` and `$line` are the arguments of ssh.
    fn fake_ssh(&self, script: &str) {
        fs::create_dir_all(self.path("bin")).unwrap();
        let head = "#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\nhost=$1 line=$2 TASKWATCHER_DB=$W/$1.db\nexport TASKWATCHER_DB\n";
        self.program("bin/ssh", format!("{head}{script}\n"));
    }

    fn path_with_programs(&self) -> OsString {
        let programs = Path::new(env!("CARGO_BIN_EXE_control")).parent().unwrap();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = [self.path("bin"), programs.to_owned()].into_iter().chain(std::env::split_paths(&others));
        std::env::join_paths(all).unwrap()
    }

    fn near(&self, args: &[&str]) -> Program<'_> {
        self.control(args).env("PATH", self.path_with_programs())
    }

    /// Runs a program on a host.
    fn there(&self, host: &str, script: &str) -> Program<'_> {
        self.sh(script).env("PATH", self.path_with_programs()).env("TASKWATCHER_DB", self.path(format!("{host}.db")))
    }

    fn add_ssh(&self, host: &str) {
        self.near(&["remote", "add", host, "--ssh", host]).run().ok();
    }

    /// Returns the UPIDs of all ended tasks of remotes, as in the list.
    fn ended_here(&self) -> Vec<String> {
        let page = self.near_json(&["history", "--all-remotes", "--limit", "1000"]);
        let rows = page["rows"].as_array().unwrap().iter().filter(|row| !row["remote"].is_null());
        rows.map(|row| row["upid"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the UPIDs of all ended tasks of a host, from its own database.
    fn ended_there(&self, host: &str) -> Vec<String> {
        let text = self.there(host, "control history --json --limit 1000").run().silent(0);
        let page: Value = serde_json::from_str(text.text()).unwrap();
        let upid = |row: &Value| format!("{host}!{}", row["upid"].as_str().unwrap());
        page["rows"].as_array().unwrap().iter().map(upid).collect()
    }

    fn near_json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        let ran = self.near(&args).run().silent(0);
        serde_json::from_str(ran.text()).unwrap()
    }

    #[track_caller]
    fn same_as_there(&self, hosts: &[&str]) {
        let listed = self.ended_here();
        let there: BTreeSet<String> = hosts.iter().flat_map(|host| self.ended_there(host)).collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), there, "no gap");
        assert_eq!(listed.len(), there.len(), "no double");
    }
}

/// Runs the requested command on the host, whose database is `$W/HOST.db`.
const HONEST: &str = "exec sh -c \"$line\"";
/// Like [`HONEST`], with two tasks per response.
const SHORT: &str = "exec sh -c \"$(printf %s \"$line\" | sed 's/--limit 5000/--limit 2/')\"";

/// An sshd for this world.
struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sshd(world: &World) -> Option<Sshd> {
    let program = Path::new("/usr/sbin/sshd");
    if !program.exists() {
        eprintln!("SKIPPED: there is no {program:?}; install openssh-server");
        return None;
    }
    // Privilege separation needs this folder, which the system's service creates.
    let _ = fs::create_dir("/run/sshd");
    for key in ["host_key", "user_key"] {
        world.sh(&format!("ssh-keygen -q -t ed25519 -N '' -f \"$W/{key}\"")).run().silent(0);
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = world.path("");
    let folder = folder.to_str().unwrap();
    let path = world.path_with_programs();
    let path = path.to_str().unwrap();
    fs::write(
        world.path("sshd_config"),
        format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             SetEnv PATH={path} TASKWATCHER_DB={folder}/far.db\n"
        ),
    )
    .unwrap();
    let host_key = world.read("host_key.pub");
    fs::write(world.path("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
    fs::write(
        world.path("ssh_config"),
        format!(
            "Host far\nHostName 127.0.0.1\nPort {port}\nIdentityFile {folder}/user_key\nIdentitiesOnly yes\n\
             UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\n"
        ),
    )
    .unwrap();
    // ssh reads its configuration from the user's home in passwd, regardless of HOME.
    let real =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join("ssh")).find(|p| p.exists());
    fs::create_dir_all(world.path("bin")).unwrap();
    world.program("bin/ssh", format!("#!/bin/sh\nexec {} -F \"$W/ssh_config\" \"$@\"\n", real.unwrap().display()));
    let log = fs::File::create(world.path("sshd.log")).unwrap();
    let child = Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(world.path("sshd_config"))
        .stdin(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let sshd = Sshd(child);
    until("sshd to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(sshd)
}

#[test]
fn a_real_ssh_remote_is_listed_shown_waited_for_and_ended() {
    let world = World::new();
    let Some(_sshd) = sshd(&world) else { return };
    world.there("far", "launch --name 'my job' --info1 x sh -c 'echo \"a  b\"; exit 3'").run();
    world.launch(["--name", "here", "true"]).run().silent(0);
    world.near(&["remote", "add", "web", "--ssh", "far"]).run().ok();
    tells(world.near(&["remote", "test", "web"]).run(), 0, &["remote web responds: host ", "taskwatcher 0."]);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote web: 1 new"]);
    let page = world.near_json(&["history", "--all-remotes"]);
    let rows = page["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| row["taskname"].as_str().unwrap()).collect::<BTreeSet<_>>(),
        ["here", "my job"].into()
    );
    let far = rows.iter().find(|row| row["remote"] == "web").unwrap();
    assert_eq!(
        (&far["outcome"], &far["info1"], &far["exitcode"]),
        (&json!("ERROR: exit code 3"), &json!("x"), &json!(3))
    );
    let upid = far["upid"].as_str().unwrap();
    let shown = world.near_json(&["show", upid]);
    assert_eq!(world.near_json(&["show", "web!1"]), shown);
    tells(world.near(&["history", "--remote", "web"]).run(), 0, &["  web!1\n"]);
    tells(world.near(&["show", "web!7"]).run(), 1, &["control: error: remote web: there is no task web!7\n"]);
    assert_eq!((&shown["remote"], &shown["taskname"]), (&json!("web"), &json!("my job")));
    for task in [upid, "web!1"] {
        let shown = world.near(&["show", task]).run().silent(0);
        let first = shown.text().lines().next().unwrap();
        assert!(first.starts_with("task web!1 (my job) failed after "), "{first}");
        assert!(first.ends_with("s: exit code 3"), "{first}");
        assert!(shown.text().contains("\n\nlast lines (full log: control log web!1)\n    | a  b\n"), "{shown:?}");
    }
    assert_eq!(shown["argv"], json!(["sh", "-c", "echo \"a  b\"; exit 3"]));
    assert_eq!(world.near(&["log", upid, "--no-time", "--limit", "1"]).run().silent(0).text(), "a  b\n");
    tells(world.near(&["wait", upid]).run(), 1, &["web!1 ERROR: exit code 3\n"]);

    let mut long = world.there("far", "exec launch --name long sh -c 'sleep 300 & sleep 300'").spawn();
    until("the task to run there", || {
        world.near(&["remote", "sync", "web"]).run().ok();
        world.near_json(&["list", "--remote", "web"]).as_array().unwrap().len() == 1
    });
    let live = world.near_json(&["list", "--all-remotes"]);
    assert_eq!(
        (&live[0]["name"], &live[0]["status"], &live[0]["not_seen_since"]),
        (&json!("long"), &json!("RUNNING"), &json!(null))
    );
    let upid = live[0]["upid"].as_str().unwrap();
    tells(world.near(&["wait", upid, "--timeout", "0.1"]).run(), 124, &["task web!2 has not ended"]);
    tells(world.near(&["kill", upid]).run(), 0, &["task web!2 (long): ERROR: killed by"]);
    long.child.wait().unwrap();
    assert_eq!(world.near_json(&["list", "--remote", "web"]), json!([]));
    let ended = world.near_json(&["history", "--remote", "web", "--name", "long"]);
    assert_eq!(ended["rows"][0]["upid"].as_str().unwrap(), upid);
    assert!(ended["rows"][0]["outcome"].as_str().unwrap().starts_with("ERROR: killed by"));
    tells(world.near(&["remote", "sync"]).run(), 0, &["0 new"]);
    world.near(&["remote", "add", "closed", "--ssh", "nobody@127.0.0.1"]).run().ok();
    tells(world.near(&["remote", "sync", "closed"]).run(), 1, &["remote closed: ssh failed: "]);
}

#[test]
fn several_responses_are_stored_completely_and_once() {
    let world = World::new();
    world.fake_ssh(SHORT);
    world.add_ssh("a");
    for round in 1..4 {
        world.there("a", "for i in 1 2 3 4 5; do launch true; done").run();
        world.near(&["remote", "sync"]).run().ok();
        assert!(world.ended_here().len() >= round * 5, "{round}");
        world.near(&["remote", "sync"]).run().ok();
    }
    world.same_as_there(&["a"]);
    // A reservation is not a task yet; an expired one is listed as in the history there.
    world.there("a", "control reserve --name later").run().ok();
    world.near(&["remote", "sync"]).run().ok();
    assert_eq!(world.near_json(&["list", "--remote", "a"]), json!([]));
    let there = rusqlite::Connection::open(world.path("a.db")).unwrap();
    there.execute_batch("UPDATE tasks SET expires = 1000").unwrap();
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 1 new"]);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 0 new"]);
    let row = world.near_json(&["history", "--remote", "a", "--name", "later"])["rows"][0].clone();
    assert!(row["outcome"].as_str().unwrap().starts_with("ERROR: reservation lapsed"), "{row}");
    tells(world.near(&["show", row["upid"].as_str().unwrap()]).run(), 0, &["reservation lapsed"]);
    world.is_whole();
}

#[test]
fn a_sync_that_is_killed_anywhere_loses_and_duplicates_nothing() {
    for point in ["sync.received", "sync.added"] {
        let world = World::new();
        world.fake_ssh(SHORT);
        world.add_ssh("a");
        world.add_ssh("b");
        world.there("a", "for i in 1 2 3 4 5; do launch true; done").run().silent(0);
        world.there("b", "for i in 1 2 3; do launch true; done").run().silent(0);
        let mut killed = 0;
        // Each sync stores a little more, until nothing is new; the crash point is passed once per response.
        while killed < 4 {
            let ran = world.near(&["remote", "sync"]).env(CRASH_AT, point).run();
            assert_eq!(ran.code, KILLED, "{ran:?}");
            killed += 1;
        }
        world.near(&["remote", "sync"]).run().ok();
        world.same_as_there(&["a", "b"]);
        world.is_whole();
    }
}

#[test]
fn a_hanging_remote_does_not_delay_others_and_its_tasks_are_not_ended() {
    let world = World::new();
    world.fake_ssh(HONEST);
    for host in ["a", "b", "hangs"] {
        world.add_ssh(host);
        world.there(host, "launch true").run().silent(0);
    }
    let mut long = world.there("hangs", "exec launch --name long sleep 300").spawn();
    until("it to run", || {
        world.near(&["remote", "sync", "hangs"]).run().ok();
        world.near_json(&["list", "--remote", "hangs"]).as_array().unwrap().len() == 1
    });
    world.fake_ssh(&format!("[ $host != hangs ] || exec sleep 300\n{HONEST}"));
    world.there("a", "launch true").run().silent(0);
    let mut sync = world.near(&["remote", "sync", "--every", "50ms"]).spawn();
    until("the others to be reported in each round", || {
        world.ended_here().iter().filter(|upid| upid.starts_with("a!")).count() == 2
    });
    world.there("b", "launch true").run().silent(0);
    until("the others to be reported again", || {
        world.ended_here().iter().filter(|upid| upid.starts_with("b!")).count() == 2
    });
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
    world.fake_ssh("[ $host != hangs ] || { echo 'no route to host' >&2; exit 255; }\nexec sh -c \"$line\"");
    tells(world.near(&["remote", "sync", "hangs"]).run(), 1, &["remote hangs: ssh failed: no route to host"]);
    let live = world.near_json(&["list", "--all-remotes"]);
    assert_eq!((&live[0]["name"], &live[0]["status"]), (&json!("long"), &json!("RUNNING")));
    assert_eq!(live[0]["not_seen_since"], live[0]["seen"]);
    let table = world.near(&["list", "--remote", "hangs"]).run().silent(0);
    assert!(table.text().contains("NOT SEEN SINCE"), "{}", table.text());
    let listed = world.near_json(&["remote", "list"]);
    let dead = listed.as_array().unwrap().iter().find(|remote| remote["name"] == "hangs").unwrap();
    assert_eq!((&dead["failures"], &dead["error"]), (&json!(1), &json!("ssh failed: no route to host")));
    // The remote is skipped for a while, unless it is named.
    let ran = world.near(&["remote", "sync"]).run();
    tells(ran, 0, &["remote hangs is skipped for", "no route to host", "remote a: 0 new"]);
    long.signal(nix::sys::signal::Signal::SIGTERM);
    long.child.wait().unwrap();
}

#[test]
fn a_silent_remote_is_asked_again_with_the_full_limit() {
    let world = World::new();
    world.fake_ssh("echo asked >> $W/asked; [ $(wc -l < $W/asked) -gt 1 ] || exec sleep 300\nexec sh -c \"$line\"");
    world.add_ssh("slow");
    world.there("slow", "launch true").run().silent(0);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote slow: 1 new\n"]);
    assert_eq!(world.read("asked").lines().count(), 2);
    world.same_as_there(&["slow"]);
}

#[test]
fn a_truncated_log_as_json_is_not_printed() {
    let world = World::new();
    world.fake_ssh("printf '[{\"n\":1,\"t\":\"a\"},'; echo gone >&2; exit 255");
    world.add_ssh("far");
    let ran = world.near(&["--json", "log", "far!1"]).run();
    assert_eq!(ran.text(), "", "{ran:?}");
    tells(ran, 1, &["remote far: ssh failed: gone"]);
}

#[test]
fn a_recreated_database_is_followed_from_its_beginning() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    world.there("a", "launch --name old true").run().silent(0);
    let mut long = world.there("a", "exec launch --name long sleep 300").spawn();
    until("it to run", || {
        world.near(&["remote", "sync", "a"]).run().ok();
        world.near_json(&["list", "--remote", "a"]).as_array().unwrap().len() == 1
    });
    long.signal(nix::sys::signal::Signal::SIGKILL);
    long.child.wait().unwrap();
    world.sh("rm -rf \"$W\"/a.db*").run().silent(0);
    world.there("a", "launch --name new true").run().silent(0);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 2 new"]);
    assert_eq!(world.near_json(&["list", "--remote", "a"]), json!([]));
    let page = world.near_json(&["history", "--remote", "a"]);
    let mut said: Vec<_> = page["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["taskname"].as_str().unwrap(), row["outcome"].as_str().unwrap()))
        .collect();
    said.sort_unstable();
    assert_eq!(said, [("long", "unknown"), ("new", "OK"), ("old", "OK")]);
}

#[test]
fn valid_parts_of_a_truncated_response_are_stored_and_the_rest_is_requested_again() {
    let world = World::new();
    world.fake_ssh("sh -c \"$line\" | head -n 3");
    world.add_ssh("a");
    world.there("a", "for i in 1 2 3 4 5; do launch true; done").run().silent(0);
    tells(world.near(&["remote", "sync"]).run(), 1, &["remote a: truncated response"]);
    assert_eq!(world.ended_here().len(), 2);
    assert_eq!(world.near_json(&["remote", "list"])[0]["cursor"], json!(null));
    // With the same JSON types as local tasks.
    let page = world.near_json(&["history", "--remote", "a"]);
    let row = &page["rows"][0];
    assert!(row["duration"].is_f64() && row["exitcode"] == 0, "{row}");
    // Invalid lines among valid ones, and a line of a newer version, which is not an error.
    let garbled = "sh -c \"$line\" | sed '2s/^/\\xff\\n{\"type\":\"ended\",\"task\":{\"upid\":\"UPID:x\"}}\\n{\"type\":\"later\"}\\n/'";
    world.fake_ssh(garbled);
    tells(world.near(&["remote", "sync", "a"]).run(), 0, &["remote a: 3 new"]);
    assert_eq!(world.near_json(&["remote", "list"])[0]["unread"], 2);
    world.same_as_there(&["a"]);
    world.fake_ssh("echo '{\"type\":\"start\",\"version\":99,\"taskwatcher\":\"9\",\"database\":\"x\",\"host\":\"h\",\"anew\":false}'");
    world
        .near(&["remote", "sync", "a"])
        .run()
        .says(1, &["it uses export version 99", "update taskwatcher on this host"]);
    world.fake_ssh("exit 127");
    tells(world.near(&["remote", "sync", "a"]).run(), 1, &["no program `control` in its PATH"]);
    world.fake_ssh("echo 'control: error: no database' >&2; exit 1");
    world.near(&["remote", "sync", "a"]).run().says(1, &["its control exited with 1: control: error: no database"]);
    // Text of another host is escaped on a terminal.
    world.fake_ssh("printf 'evil \\033]0;title\\007\\n' >&2; exit 255");
    world.near(&["remote", "sync", "a"]).run().says(1, &["ssh failed: evil \\x1b]0;title\\x07"]);
    tells(world.near(&["remote", "test", "a"]).run(), 1, &["ssh failed: evil \\x1b]0;title\\x07"]);
    world.fake_ssh("printf '{\"k\\\\u001b[2J\":\"v\\\\u001b[2J\",\"lastlines\":[\"l\\\\u001b[2J\"]}\\n'");
    let shown = world.near(&["show", "a!1"]).run().silent(0);
    for part in ["k\\x1b[2J", "v\\x1b[2J", "l\\x1b[2J"] {
        assert!(shown.text().contains(part), "{part} in {}", shown.text());
    }
    assert!(!shown.text().contains('\u{1b}'));
    world.same_as_there_without_ssh();
}

/// Fails unless the program exits with this code and prints all these texts.
#[track_caller]
fn tells(ran: Ran, code: i32, words: &[&str]) -> Ran {
    let all = format!("{}{}", String::from_utf8_lossy(&ran.out), ran.err);
    assert_eq!(ran.code, code, "{all}");
    words.iter().for_each(|word| assert!(all.contains(word), "{word:?} is missing in {all:?}"));
    ran
}

impl World {
    fn same_as_there_without_ssh(&self) {
        self.is_whole();
        assert_eq!(self.ended_here().len(), 5);
    }
}

#[test]
fn lost_tasks_are_fetched_again_and_old_ones_removed() {
    let world = World::new();
    world.fake_ssh(SHORT);
    world.add_ssh("a");
    world.there("a", "for i in 1 2 3 4 5; do launch true; done").run().silent(0);
    world.near(&["remote", "sync"]).run().ok();
    world.edit("DELETE FROM remote_tasks WHERE key % 2 = 0; DELETE FROM remote_counts;");
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 0 new"]);
    world.near(&["remote", "sync", "a", "--refetch"]).run().ok();
    world.same_as_there(&["a"]);
    tells(world.near(&["remote", "sync", "--keep", "1h"]).run(), 0, &["remote a: 0 new\n"]);
    assert_eq!(world.ended_here().len(), 5);
    world.edit("UPDATE remote_counts SET count = count + 1");
    tells(world.near(&["verify"]).run(), 1, &["1 count of tasks of remotes is wrong"]);
    world.near(&["verify", "--repair"]).run().ok();
    tells(world.near(&["verify"]).run(), 0, &[]);
    tells(world.near(&["remote", "sync", "--keep-tasks", "2"]).run(), 0, &["3 old tasks of remotes removed"]);
    assert_eq!(world.ended_here().len(), 2);
    tells(world.near(&["remote", "sync", "--refetch"]).run(), 2, &["<NAME>"]);
}

#[test]
fn a_host_without_a_database_has_no_tasks() {
    let world = World::new();
    world.fake_ssh(HONEST);
    let none = ["no database", "control remote add NAME"];
    for verb in ["list", "sync"] {
        world.near(&["remote", verb]).run().says(1, &none);
    }
    world.add_ssh("a");
    tells(
        world.near(&["remote", "test", "a"]).run(),
        0,
        &["remote a responds: no task was launched there yet, 0 running"],
    );
    assert_eq!(world.near_json(&["remote", "test", "a"])["running"], 0);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 0 new\n"]);
    let remote = world.near_json(&["remote", "list"])[0].clone();
    assert!(remote["contact"].is_i64() && remote["error"].is_null(), "{remote}");
    world.there("a", "launch true").run().silent(0);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 1 new\n"]);
    // A database that is gone is an error, and so is a configured path.
    fs::remove_file(world.path("a.db")).unwrap();
    let gone = [&*format!("remote a: on that host: no database {:?}", world.path("a.db")), "launch a task there"];
    world.near(&["remote", "sync"]).run().says(1, &gone);
    world.near(&["remote", "test", "a"]).run().says(1, &gone);
    world.near(&["remote", "add", "b", "--ssh", "b", "--remote-db", "/nope/x.db"]).run().ok();
    world.near(&["remote", "test", "b"]).run().says(1, &["remote b: on that host: no database \"/nope/x.db\""]);
}

#[test]
fn unsupported_requests_are_reported() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.launch(["true"]).run().silent(0);
    world.near(&["history", "--all-remotes"]).run().says(1, &["no remotes configured; add one"]);
    world.near(&["remote", "sync"]).run().says(1, &["no remotes configured; add one"]);
    tells(world.near(&["remote", "remove", "a"]).run(), 1, &["no such remote: \"a\""]);
    let ran = tells(world.near(&["remote", "add", "x1"]).run(), 2, &["<--ssh <[USER@]HOST>|--pve <URL>|--pbs <URL>>"]);
    assert!(!ran.err.contains("--token"), "only the API has those: {}", ran.err);
    let wants = ["--token <USER@REALM!NAME>", "--secret-file <FILE>"];
    tells(world.near(&["remote", "add", "x1", "--pve", "https://x1"]).run(), 2, &wants);
    tells(world.near(&["remote", "add", "a b", "--ssh", "x"]).run(), 2, &["not a name for a remote"]);
    tells(world.near(&["remote", "add", "a", "--ssh=-oProxyCommand=x"]).run(), 2, &["not an ssh destination"]);
    world.add_ssh("a");
    let wrong = "not a task of a remote: expected NUMBER, START:PID or a UPID";
    tells(world.near(&["show", "a!x"]).run(), 2, &[wrong]);
    tells(world.near(&["show", "a!618C1D55:000AE992"]).run(), 2, &["tasks of remote a have numbers", "a!NUMBER"]);
    tells(world.near(&["history", "--since", "tomorrow"]).run(), 2, &["not a time"]);
    tells(world.near(&["remote", "add", "a", "--ssh", "x"]).run(), 1, &["remote \"a\" already exists"]);
    tells(
        world.near(&["history", "--remote", "a", "--after", "1.2"]).run(),
        2,
        &["cursor does not match this query: it was printed without"],
    );
    tells(
        world.near(&["history", "--after", "1.local.2"]).run(),
        2,
        &["cursor does not match this query: it was printed with"],
    );
    tells(world.near(&["history", "--type", "x"]).run(), 2, &["--node and --type apply to tasks of remotes"]);
    let upid = "UPID:n:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:";
    tells(world.near(&["wait", &format!("a!{upid}"), "1"]).run(), 2, &["tasks of several hosts in one command"]);
    tells(world.near(&["show", &format!("z!{upid}")]).run(), 1, &["no such remote: \"z\""]);
    tells(
        world.near(&["run-again", &format!("a!{upid}")]).run(),
        2,
        &["run-again works for tasks of this host only; log in to remote a to run one there"],
    );
    world.near(&["initialize"]).run().ok();
    assert_eq!(world.near_json(&["remote", "list"]), json!([]));
}

#[test]
fn the_database_of_a_remote_can_be_changed_and_pipes_get_full_texts() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    world.there("a", "launch true").run().silent(0);
    world.there("b", "launch --name other false").run();
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 1 new"]);
    let other = world.path("b.db");
    let other = other.to_str().unwrap();
    let set = |args: &[&str]| world.near(&[&["remote", "set", "a"], args].concat()).run();
    tells(set(&["--remote-db", other]), 0, &[&format!("remote a set (ssh a {other}); ")]);
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 1 new"]);
    tells(world.near(&["wait", "a!1"]).run(), 1, &["a!1 ERROR: exit code 1"]);
    tells(set(&["--no-remote-db", "--ssh", "me@a"]), 0, &["remote a set (ssh me@a); "]);
    tells(set(&["--remote-db", "x", "--no-remote-db"]), 2, &["cannot be used with"]);
    tells(set(&["--url", "https://a"]), 2, &["--url is not supported for remote a (by ssh)"]);
    let long = "x".repeat(90);
    world.fake_ssh(&format!("echo 'why {long}' >&2; exit 255"));
    tells(set(&["--ssh", &format!("me@{long}")]), 0, &[]);
    tells(world.near(&["remote", "sync", "a"]).run(), 1, &[]);
    tells(
        world.near(&["remote", "list"]).run(),
        0,
        &[&format!("ssh me@{long} "), &format!("ssh failed: why {long}\n")],
    );
}

/// Returns a stand-in for ssh that truncates the output of the first calls of a verb after this many bytes, like a lost
/// connection.
fn breaks(verb: &str, calls: usize, bytes: usize) -> String {
    format!(
        "case \"$line\" in \"control {verb}\"*) echo x >> $W/calls; [ $(wc -l < $W/calls) -gt {calls} ] || \
         {{ sh -c \"$line\" | head -c {bytes}; printf 'a banner\\r\\nclient_loop: send disconnect: Broken pipe\\r\\n' >&2; exit 255; }};; esac\n{HONEST}"
    )
}

#[test]
fn the_end_after_wait_or_kill_is_stored_at_once() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    let mut killed = world.there("a", "exec launch --name killed --info1 why sleep 300").spawn();
    let mut waited = world.there("a", "exec launch --name waited sleep 300").spawn();
    until("both to run", || {
        world.near(&["remote", "sync", "a"]).run().code == 0
            && world.near_json(&["list", "--remote", "a"]).as_array().unwrap().len() == 2
    });
    let number = |name: &str| {
        let live = world.near_json(&["list", "--remote", "a", "--name", name]);
        format!("a!{}", live[0]["taskid"])
    };
    let (kill, wait) = (number("killed"), number("waited"));
    let waiter = world.near(&["--json", "wait", &wait]).spawn();
    let ran = tells(world.near(&["--json", "kill", &kill]).run(), 0, &["killed by"]);
    let said: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!((&said["remote"], &said["name"]), (&json!("a"), &json!("killed")));
    killed.child.wait().unwrap();
    waited.signal(nix::sys::signal::Signal::SIGTERM);
    waited.child.wait().unwrap();
    let ran = waiter.wait();
    let said: Value = serde_json::from_slice(&ran.out).unwrap();
    assert_eq!((&said["remote"], &said["status"]), (&json!("a"), &json!("stopped")));
    assert_eq!(world.near_json(&["list", "--remote", "a"]), json!([]));
    let ended = |name: &str| world.near_json(&["history", "--remote", "a", "--name", name])["rows"][0].clone();
    assert!(ended("killed")["outcome"].as_str().unwrap().starts_with("ERROR: killed by"));
    assert_eq!(ended("killed")["info1"], "why");
    assert_eq!(ended("waited")["upid"], said["upid"], "with its remote, as history has it");
    world.same_as_there(&["a"]);
    // A sync finds nothing new.
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 0 new\n"]);
    let ran = world.near(&["kill", &kill]).run();
    tells(ran, 1, &[&format!("control: error: remote a: task {kill} has ended already: ERROR: killed by")]);
}

#[test]
fn a_printed_end_is_stored_even_if_its_host_is_unreachable_then() {
    for json in [false, true] {
        let world = World::new();
        world.fake_ssh(HONEST);
        world.add_ssh("a");
        let mut known = world.there("a", "exec launch --name known --info1 why sh -c 'sleep 300; exit 3'").spawn();
        until("it to run", || {
            world.near(&["remote", "sync", "a"]).run().code == 0
                && world.near_json(&["list", "--remote", "a"]).as_array().unwrap().len() == 1
        });
        // A task that was never synced.
        let mut new = world.there("a", "exec launch --name new sleep 300").spawn();
        until("both to run", || world.there("a", "control --json list").run().text().contains("\"new\""));
        let closed = "case \"$line\" in \"control show\"*) echo 'Connection refused' >&2; exit 255;; esac";
        world.fake_ssh(&format!("{closed}\n{HONEST}"));
        let args = if json { vec!["--json", "wait", "a!1", "a!2"] } else { vec!["wait", "a!1", "a!2"] };
        let waiter = world.near(&args).spawn();
        world.there("a", "control kill 1; control kill 2").run();
        let ran = waiter.wait();
        assert_eq!(ran.code, 1, "{ran:?}");
        known.child.wait().unwrap();
        new.child.wait().unwrap();
        let rows = world.near_json(&["history", "--remote", "a"])["rows"].clone();
        let kept = |name: &str| rows.as_array().unwrap().iter().find(|row| row["taskname"] == name).cloned();
        let known = kept("known").unwrap();
        assert!(known["outcome"].as_str().unwrap().starts_with("ERROR: killed by"), "{known}");
        assert_eq!(known["info1"], "why");
        assert_eq!(world.near_json(&["list", "--remote", "a"]), json!([]));
        // JSON contains the UPID of the other task; a line contains only its number, which is reported.
        let why = "control: remote a: the end of task a!2 is not stored here (ssh failed: Connection refused); the next sync fetches it\n";
        assert_eq!((kept("new").is_some(), ran.err.as_str()), (json, if json { "" } else { why }), "{rows}");
        // The sync corrects the times.
        world.fake_ssh(HONEST);
        world.near(&["remote", "sync"]).run().ok();
        world.same_as_there(&["a"]);
    }
}

#[test]
fn a_wait_survives_a_lost_connection() {
    let world = World::new();
    world.fake_ssh(&breaks("wait", 3, 7));
    world.add_ssh("a");
    world.there("a", "launch true; launch false").run();
    // The first line always arrives, the second one never.
    let ran = world.near(&["wait", "a!1", "a!2"]).run();
    assert_eq!((ran.code, ran.text()), (1, "a!1 OK\na!2 ERROR: exit code 1\n"), "{ran:?}");
    let said = "control: remote a: ssh failed: client_loop: send disconnect: Broken pipe; retrying until it responds\n";
    assert_eq!(ran.err, said, "the end that was heard is kept and not asked for again");
    // A refused connection is not retried.
    world.fake_ssh("printf 'me@a: Permission denied (publickey).\\r\\n' >&2; exit 255");
    let ran = world.near(&["wait", "a!3"]).run();
    assert_eq!(
        (ran.code, &*ran.err),
        (1, "control: error: remote a: ssh failed: me@a: Permission denied (publickey)\n")
    );
    world.fake_ssh("printf 'Host key verification failed.\\r\\n' >&2; exit 255");
    let hint = "control: error: remote a: ssh failed: Host key verification failed; log in there once with ssh";
    world.near(&["wait", "a!3"]).run().says(1, &[hint]);
    // A silent host is given up soon after the timeout, and so is one that never comes back.
    world.fake_ssh("exec sleep 300");
    tells(
        world.near(&["wait", "a!3", "--timeout", "0.2"]).run(),
        124,
        &["remote a: no answer within 5 s\n", "task a!3 has not ended\n"],
    );
    world.fake_ssh("echo 'No route to host' >&2; exit 255");
    let ran = tells(world.near(&["wait", "a!3", "--timeout", "0.5"]).run(), 124, &["task a!3 has not ended\n"]);
    assert!(ran.err.contains("No route to host; retrying"), "{}", ran.err);
}

#[test]
fn a_stored_end_is_used_if_the_host_has_forgotten_the_task() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    world.there("a", "launch true; launch false; launch true").run();
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 3 new\n"]);
    world.there("a", "control clear --yes; launch true; launch true; launch true; launch true").run();
    let ran = tells(world.near(&["wait", "a!1"]).run(), 0, &["the end of task a!1 is known from the last sync"]);
    assert_eq!(ran.text(), "a!1 OK\n");
    let ran = world.near(&["wait", "a!1", "a!4", "a!3"]).run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.text().lines().collect::<BTreeSet<_>>(), BTreeSet::from(["a!1 OK", "a!3 OK", "a!4 OK"]), "{ran:?}");
    assert_eq!(world.near(&["wait", "a!3", "a!2"]).run().code, 1, "one of them failed");
    assert_eq!(world.near(&["wait", "a!99"]).run().code, 1, "it is known nowhere");
}

#[test]
fn an_endless_response_to_show_is_given_up() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    // Endless empty lines, and one endless line.
    for script in ["exec yes ''", "exec tr '\\0' x < /dev/zero"] {
        world.fake_ssh(script);
        for verb in ["show", "wait"] {
            let ran = world.near(&[verb, "a!1"]).run();
            assert_eq!(ran.code, 1, "{script} {verb}: {}", ran.err);
            assert!(ran.err.contains("too long") || ran.err.contains("a line of over"), "{}", ran.err);
        }
    }
}

#[test]
fn a_stored_end_is_used_if_the_host_is_unreachable() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    world.there("a", "launch true; launch --name bad --info1 why false").run();
    tells(world.near(&["remote", "sync"]).run(), 0, &["remote a: 2 new\n"]);
    let page = world.near_json(&["history", "--remote", "a"]);
    let row = page["rows"].as_array().unwrap().iter().find(|row| row["taskname"] == "bad").unwrap();
    let upid = row["upid"].as_str().unwrap();
    for script in [
        "echo 'No route to host' >&2; exit 255",
        "echo 'Permission denied' >&2; exit 255",
        "exit 127",
        "echo 'control: error: there is no task 2' >&2; exit 1",
    ] {
        world.fake_ssh(script);
        let shown = tells(
            world.near(&["--json", "show", "a!2"]).run(),
            0,
            &["the end of task a!2 is known from the last sync"],
        );
        let shown: Value = serde_json::from_slice(&shown.out).unwrap();
        assert_eq!(
            (&shown["outcome"], &shown["taskname"], &shown["info1"], &shown["exitcode"]),
            (&json!("ERROR: exit code 1"), &row["taskname"], &json!("why"), &json!(1)),
            "{shown}"
        );
        if script.starts_with("echo 'control") {
            continue;
        }
        let ran =
            tells(world.near(&["wait", "a!1", "a!2"]).run(), 1, &["the end of task a!1 is known from the last sync"]);
        assert_eq!(ran.text(), "a!1 OK\na!2 ERROR: exit code 1\n", "{script}");
        assert_eq!(world.near(&["wait", "--any", "a!7", "a!1"]).run().code, 0, "{script}");
        let ran = world.near(&["--json", "wait", upid]).run();
        let said: Value = serde_json::from_slice(&ran.out).unwrap();
        assert_eq!((ran.code, &said["upid"], &said["exitstatus"]), (1, &json!(upid), &json!("exit code 1")), "{said}");
    }
    // The number of a running task does not match an earlier ended task.
    world.fake_ssh("exit 127");
    tells(world.near(&["wait", "a!7", "--timeout", "0.1"]).run(), 1, &["no program `control`"]);
}

#[test]
fn a_follower_continues_where_it_was_after_a_lost_connection() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    world.there("a", "launch sh -c 'seq 1 40'").run().silent(0);
    let all: String = (1..=40).map(|n| format!("{n}\n")).collect();
    let follow = |more: &[&str]| {
        world.sh("rm -f $W/calls").run().silent(0);
        let ran = world.near(&[&["log", "a!1", "--follow"], more].concat()).run();
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.text().to_owned()
    };
    let behind = |lines: &str, more: &str| lines.starts_with(more);
    // Lost in the middle of a line, and between two lines.
    for bytes in [4, 16] {
        world.fake_ssh(&breaks("log", 4, bytes));
        let text = follow(&["--no-time"]);
        assert!(behind(&text, &all) && text.lines().count() == 41, "{text:?}");
        let text = follow(&["--no-time", "--start", "5", "--limit", "9"]);
        assert_eq!(text, "6\n7\n8\n9\n10\n11\n12\n13\n14\n");
    }
    // Lines lost with the beginning of the log are reported.
    world.fake_ssh("echo x >> $W/calls; [ $(wc -l < $W/calls) -gt 1 ] || { printf 'a\\nb\\n'; exit 255; }; echo c");
    world.sh("rm -f $W/calls").run().silent(0);
    let ran = tells(
        world.near(&["log", "a!1", "--follow"]).run(),
        0,
        &["ssh failed: the connection broke off", "lines may be missing"],
    );
    assert_eq!(ran.text(), "a\nb\nc\n");
    // The first call determines where the last lines begin.
    world.fake_ssh(&breaks("log", 2, 12));
    let text = follow(&["--no-time", "--tail", "8"]);
    let tail = "34\n35\n36\n37\n38\n39\n40\n";
    assert!(behind(&text, tail) && text.lines().count() == 8, "{text:?}");
    world.fake_ssh(&breaks("log", 3, 60));
    let json: Vec<Value> = follow(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json.iter().map(|line| line["n"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=41).collect::<Vec<_>>());
}

#[test]
fn a_host_with_an_endless_response_is_given_up() {
    let world = World::new();
    world.fake_ssh(HONEST);
    world.add_ssh("a");
    world.there("a", "launch true").run();
    let exported = world.there("a", "control export").run().silent(0);
    let line =
        |kind: &str| exported.text().lines().find(|line| line.contains(&format!("\"type\":\"{kind}\""))).unwrap();
    fs::write(world.path("first"), format!("{}\n", line("start"))).unwrap();
    fs::write(world.path("ended"), line("ended")).unwrap();
    fs::write(world.path("end"), line("end").replace("\"more\":false", "\"more\":true")).unwrap();
    for (script, why) in [
        // As fast as possible: the same line, and a line of a newer version.
        ("cat $W/first; exec yes \"$(cat $W/ended)\"", "response too long: over 5000 ended tasks"),
        ("cat $W/first; exec yes '{\"type\":\"news\"}'", "response too long: over 50000 other lines"),
        ("cat $W/first; exec yes garbage", "response too long: over 50000 other lines"),
        // Slowly, but never silent.
        (
            "cat $W/first; while :; do echo '{\"type\":\"news\"}'; sleep 0.05; done",
            "response without an end: stopped after ",
        ),
        // Responses that announce more tasks.
        (
            "cat $W/first; sed \"s/\\\"cursor\\\":\\\"/&$(date +%N)/\" $W/end",
            "it reports more tasks but sent none in 20 responses",
        ),
    ] {
        world.fake_ssh(script);
        tells(world.near(&["remote", "sync", "a", "--timeout", "0.4"]).run(), 1, &["error: remote a: ", why]);
    }
    // Endless lines neither block a `wait` forever nor delay its timeout.
    world.fake_ssh("exec yes 'a banner'");
    tells(world.near(&["wait", "a!9"]).run(), 1, &["error: remote a: ", "its response is too long"]);
    world.fake_ssh("while :; do echo 'a banner'; sleep 0.5; done");
    tells(world.near(&["wait", "a!9", "--timeout", "0.2"]).run(), 124, &["task a!9 has not ended"]);
}
