//! What a person is told by the client of a real supervisor: what is wrong is named, and what could be done about it.

mod support;

use support::World;

/// Two programs that run, one that does not, and a group.
const PROGRAMS: &str = "[programs.web]\ncommand = \"sh\"\nargs = [\"-c\", \"echo served; exec sleep 1000\"]\nstartsecs = 0\n\
    [programs.cat]\ncommand = \"cat\"\nstdin = \"pipe\"\nstartsecs = 0\n\
    [programs.idle]\ncommand = \"sleep\"\nargs = [\"1000\"]\nautostart = false\n\
    [programs.mail]\ncommand = \"sleep\"\nargs = [\"1000\"]\nautostart = false\n[groups.back]\nprograms = [\"mail\"]\n";

fn world() -> World {
    let world = World::new();
    world.configure(PROGRAMS);
    world
}

#[test]
fn of_jobs_that_are_not_known_each_is_told() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let ran = world.ctl(&["jobs", "web", "nosuch", "none"]).silent(1);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert!(lines[0].contains("sh -c"), "{lines:?}");
    assert_eq!(lines[1..], ["nosuch: ERROR (no such process)", "none: ERROR (no such process)"]);
    let ran = world.ctl(&["jobs", "nosuch", "none"]).silent(1);
    assert_eq!(ran.text().lines().count(), 2, "{ran:?}");
    assert_eq!(world.ctl(&["jobs", "nosuch"]).silent(1).text(), "nosuch: ERROR (no such process)\n");
    // One that was never started is known, and is no job.
    assert_eq!(world.ctl(&["jobs", "idle"]).silent(0).text(), "");
}
