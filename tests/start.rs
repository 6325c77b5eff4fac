//! How a command is started and stays in the launcher's care: the launcher's new start as a smaller program, the
//! descriptors and variables that the command gets, and what is said when it cannot be started.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does, and says what it skips"
)]

mod support;

use std::process::{Command, Stdio};

use support::World;

/// In a script: whether the launcher has become a new program.
const ANEW: &str = "tr '\\0' '\\n' </proc/$PPID/environ | grep -q '^TASKWATCHER_LAUNCHER='";

/// Whether a mount namespace can be had here, which takes root.
fn has_mounts() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has = tried.is_ok_and(|status| status.success());
    if !has {
        eprintln!("skipped: no mount namespace to be had");
    }
    has
}

#[test]
fn a_launcher_that_cannot_look_at_itself_does_not_start_the_command_again() {
    if !has_mounts() {
        return;
    }
    let world = World::new();
    let job =
        format!("mount --bind /dev/null /proc/$PPID/stat; echo run >> \"$W/runs\"; until {ANEW}; do :; done; exit 3");
    let ran = world.sh(&format!("exec unshare -m \"$LAUNCH\" -- sh -c '{}'", job.replace('\'', "'\\''"))).run();
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(world.read("runs"), "run\n");
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 3");
}

#[test]
fn a_launcher_without_descriptors_after_its_new_start_waits_for_them() {
    let world = World::new();
    // They are enough for the parcel, and too few for what is in it.
    let job = format!(
        "echo one; prlimit --pid $PPID --nofile=6:; until {ANEW}; do :; done; echo run >> \"$W/runs\"
         prlimit --pid $PPID --nofile=256:; echo two; exit 3"
    );
    let ran = world.launch(["--max-runtime", "100s", "--quiet", "--", "sh", "-c", &job]).run().silent(3);
    assert_eq!(ran.text(), "one\ntwo\n");
    assert_eq!(world.read("runs"), "run\n");
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 3");
}
