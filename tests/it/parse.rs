//! The program `parse` as a script sees it: its outputs and its exit code.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test, as the test itself does"
)]

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

const EXAMPLE: &str = "[info]Starting test\n[playbook]myPlaybook\n[info]\n[heartbeat]\n[testcase_id]001\n\
    [testcase_name]Initialization\n[progress]12\n[progress]15\n[testcase_id]002\n\
    [testcase_name]Setting up topology\n[progress]10\n";

/// Time limit of waits: longer than any wait of a passing test on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn parse() -> Command {
    Command::new(env!("CARGO_BIN_EXE_parse"))
}

#[derive(Debug, PartialEq)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run_with(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("parse starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end before it has read everything; then writing fails, which is fine.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("parse prints UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    run_with(parse().args(args), b"")
}

fn feedback(input: impl AsRef<[u8]>) -> Ran {
    run_with(parse().args(["--feedback", "-"]), input.as_ref())
}

fn printed(json: &str) -> Ran {
    Ran { code: Some(0), stdout: format!("{json}\n"), stderr: String::new() }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_example_from_a_file_and_from_standard_input() {
    let expected = printed(
        r#"{"playbook":"myPlaybook","testcase_id":"002","testcase_name":"Setting up topology","progress":"10"}"#,
    );
    let folder = Folder::new();
    let file = folder.file("feedback_1.log", EXAMPLE);
    assert_eq!(run([OsStr::new("--feedback"), file.as_os_str()]), expected);
    assert_eq!(feedback(EXAMPLE), expected);
}

#[test]
fn every_rule_of_the_grammar() {
    for (text, json) in [
        ("", "{}"),
        ("[a]1\n[a]2\n", r#"{"a":"2"}"#),
        ("[a]1\n[b]2\n[a]3\n", r#"{"a":"3","b":"2"}"#),
        ("[a]1\n[b]2\n[a]\n[a]3\n", r#"{"b":"2","a":"3"}"#),
        ("[a]1\n[b]2\n[a]\n", r#"{"b":"2"}"#),
        ("[a]1\n[]\n[b]2\n", r#"{"b":"2"}"#),
        ("[a]1\n[]text\n", r#"{"a":"1"}"#),
        ("# [a]1\n#[a]1\n\n", "{}"),
        ("[a b]1\n[1a]1\n[a\n x\n [a]1\n[\t]1\n", "{}"),
        ("[a1]1\n[é]2\n[a-b.c]3\n", r#"{"a1":"1","é":"2","a-b.c":"3"}"#),
        ("[a] 1 \n", r#"{"a":" 1 "}"#),
        ("[a]1\r\n[b]2\r\n[b]\r\n", r#"{"a":"1"}"#),
        ("[a][b]]\n", r#"{"a":"[b]]"}"#),
        ("[a]1\n[b]2", r#"{"a":"1","b":"2"}"#),
        ("[a]1\n[a]", "{}"),
        ("[progress]10\n[warning]w\n", r#"{"progress":"10","warning":"w"}"#),
    ] {
        assert_eq!(feedback(text), printed(json), "{text:?}");
    }
    assert_eq!(feedback(b"[a]\xff\xfe\n"), printed("{\"a\":\"\u{fffd}\u{fffd}\"}"));
}

#[test]
fn a_path_that_is_not_a_file_is_an_error() {
    let folder = Folder::new();
    let file = folder.file("file", EXAMPLE);
    symlink(&file, folder.path("link")).unwrap();
    nix::unistd::mkfifo(&folder.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, cause) in [
        (folder.path("missing"), "No such file or directory (os error 2)"),
        (folder.path("no folder/x"), "No such file or directory (os error 2)"),
        (folder.path("file/x"), "Not a directory (os error 20)"),
        (folder.path("."), "it is a folder, not a regular file"),
        (folder.path("link"), "it is a symbolic link, which is not followed, not a regular file"),
        (folder.path("pipe"), "it is a pipe, not a regular file"),
        ("/dev/null".into(), "it is a device, not a regular file"),
    ] {
        for more in [&[] as &[&str], &["--strict"], &["--follow"]] {
            let ran = run_with(parse().arg("--feedback").arg(&path).args(more), b"");
            let stderr = format!("parse: error: cannot open feedback file {path:?}: {cause}\n");
            assert_eq!(ran, Ran { code: Some(1), stdout: String::new(), stderr });
        }
    }
}

#[test]
fn bad_usage_is_exit_code_2() {
    for args in [
        &[] as &[&str],
        &["--feedback", "f", "--upid", "u"],
        &["--feedback"],
        &["--feedback", ""],
        &["--follow"],
        &["--strict", "--upid", "u"],
        &["--nonsense"],
        &["f"],
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(!ran.stderr.is_empty());
    }
    assert_eq!(run(["--help"]).code, Some(0));
}

#[test]
fn strict_lists_every_ignored_line_and_fails() {
    let folder = Folder::new();
    let file = folder.file("f", "[a]1\n# fine\n\n\r\nplain\n[b c]\x1b[2J\r\n[]x\n[1]\n[half\nlast \u{202e}one");
    let name = file.display();
    let stderr = format!(
        "{name}:5: ignored: plain (does not begin with [keyword])\n\
         {name}:6: ignored: [b c]\\u{{1b}}[2J (white space in the keyword)\n\
         {name}:7: ignored: []x (text after [])\n\
         {name}:8: ignored: [1] (the keyword begins with a digit)\n\
         {name}:9: ignored: [half (the bracket is not closed)\n\
         {name}:10: ignored: last \\u{{202e}}one (does not begin with [keyword])\n"
    );
    let ran = run_with(parse().arg("--strict").arg("--feedback").arg(&file), b"");
    assert_eq!(ran, Ran { code: Some(1), stdout: "{\"a\":\"1\"}\n".into(), stderr });

    let strict = |input: &[u8]| run_with(parse().args(["--feedback", "-", "--strict"]), input);
    assert_eq!(strict(EXAMPLE.as_bytes()).code, Some(0));
    assert_eq!(strict(b"x\n").stderr, "-:1: ignored: x (does not begin with [keyword])\n");
    let long = strict("é".repeat(1000).as_bytes());
    assert_eq!(long.stderr, format!("-:1: ignored: {}… (does not begin with [keyword])\n", "é".repeat(200)));
}

#[test]
fn over_a_limit_what_fits_is_printed_with_one_message() {
    let mib = 1 << 20;
    let keywords: String = (0..4100).map(|n| format!("[k{n}]{n}\n")).collect();
    let half = "x".repeat(mib / 2);
    for (text, keys, left_out) in [
        (format!("[a]{}\n[b]2\n", "x".repeat(mib)), 1, "line 1 longer than 1 MiB"),
        (keywords, 4096, "4 lines with new keywords, at most 4096 are kept (the first is line 4097)"),
        (format!("[a]{half}\n[b]{half}\n[c]1\n"), 2, "line 3 with new values, at most 1 MiB of values are kept"),
        (format!("[a]1\n{}", "y".repeat(4 * mib)), 1, "line 2 longer than 1 MiB"),
    ] {
        let ran = feedback(&text);
        assert_eq!(ran.stderr, format!("parse: error: standard input is over a limit: left out {left_out}\n"));
        assert_eq!(ran.code, Some(1));
        let values: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(values.as_object().unwrap().len(), keys);
    }
    let most = format!("[a]{}\n", "x".repeat(mib - 3));
    assert_eq!((feedback(&most).code, feedback(&most).stdout.len()), (Some(0), mib - 3 + 9));
    let ran = feedback(format!("[a]{half}\n[b]{half}\n"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "a whole mebibyte of values fits");
}

#[test]
fn a_hostile_file_needs_little_memory() {
    let endless = vec![b'['; 64 << 20];
    let resets: String = (0..20_000).map(|n| format!("[k{n}]{}\n[k{n}]x\n", "y".repeat(2000))).collect();
    for input in [endless, resets.into_bytes()] {
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -v 32768 && exec \"$0\" --feedback -", env!("CARGO_BIN_EXE_parse")]);
        let ran = run_with(&mut limited, &input);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("parse: error: standard input is over a limit: "), "{}", ran.stderr);
    }
}

#[test]
fn any_bytes_give_an_object() {
    // A small generator: the same bytes in every run.
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for _ in 0..20 {
        let letters = b"[]#\n\r a1\0\xff\xc3";
        let input: Vec<u8> = (0..20_000)
            .map(|_| match random() % 3 {
                0 => random(),
                _ => letters[random() as usize % letters.len()],
            })
            .collect();
        let ran = feedback(&input);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let values: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(values.as_object().unwrap().values().all(Value::is_string));
    }
}

#[test]
fn an_output_without_a_reader_is_not_an_error() {
    let mut child = parse()
        .args(["--feedback", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // The input ends only now, so the program writes only after its reader is gone.
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"" as &[u8]));
}

#[test]
fn a_full_output_is_an_error() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        parse().args(["--feedback", "-"]).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let message = "parse: error: cannot write to standard output: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), message.as_bytes()));
}

/// A running `parse --follow`, and the objects that it prints.
struct Follower {
    child: Child,
    objects: Receiver<String>,
}

impl Follower {
    fn of(source: &OsStr, more: &[&str]) -> Follower {
        let mut child = parse()
            .args(["--follow", "--feedback"])
            .arg(source)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, objects) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Follower { child, objects }
    }

    fn next(&self) -> String {
        self.objects.recv_timeout(PATIENCE).expect("another object is printed")
    }

    fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn following_a_file_prints_an_object_at_each_change() {
    let folder = Folder::new();
    let file = folder.file("f", "[a]1\n");
    let follower = Follower::of(file.as_os_str(), &[]);
    assert_eq!(follower.next(), r#"{"a":"1"}"#);
    append(&file, "[b]2\n");
    assert_eq!(follower.next(), r#"{"a":"1","b":"2"}"#);
    append(&file, "# nothing new\n");
    append(&file, "[c]3");
    assert_eq!(follower.next(), r#"{"a":"1","b":"2","c":"3"}"#, "shown when its end does not come");
    append(&file, "4\n");
    assert_eq!(follower.next(), r#"{"a":"1","b":"2","c":"34"}"#);
    fs::write(&file, "[d]5\n").unwrap();
    // Truncating and writing are two changes: an empty object in between may be seen or not.
    let mut object = follower.next();
    if object == "{}" {
        object = follower.next();
    }
    assert_eq!(object, r#"{"d":"5"}"#);
    fs::remove_file(&file).unwrap();
    fs::rename(folder.file("new", "[e]6\n"), &file).unwrap();
    assert_eq!(follower.next(), r#"{"e":"6"}"#);
    append(&file, "[f]7\n");
    assert_eq!(follower.next(), r#"{"e":"6","f":"7"}"#);
}

#[test]
fn following_a_path_that_becomes_a_link_ends_with_an_error() {
    let folder = Folder::new();
    let file = folder.file("f", "[a]1\n");
    let mut follower = Follower::of(file.as_os_str(), &[]);
    assert_eq!(follower.next(), r#"{"a":"1"}"#);
    symlink("/etc/passwd", folder.path("link")).unwrap();
    fs::rename(folder.path("link"), &file).unwrap();
    assert_eq!(follower.child.wait().unwrap().code(), Some(1));
    assert!(follower.objects.recv_timeout(PATIENCE).is_err(), "nothing more is printed");
}

#[test]
fn following_standard_input_until_its_end() {
    let mut follower = Follower::of(OsStr::new("-"), &["--strict"]);
    let mut input = follower.stdin();
    input.write_all(b"[a]1\n[b").unwrap();
    assert_eq!(follower.next(), r#"{"a":"1"}"#);
    input.write_all(b"]2\nplain\n").unwrap();
    assert_eq!(follower.next(), r#"{"a":"1","b":"2"}"#);
    input.write_all(b"[c]3").unwrap();
    drop(input);
    assert_eq!(follower.next(), r#"{"a":"1","b":"2","c":"3"}"#);
    assert_eq!(follower.child.wait().unwrap().code(), Some(1));
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut follower.child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert_eq!(stderr, "-:3: ignored: plain (does not begin with [keyword])\n");
}

#[test]
fn following_an_empty_input_prints_one_empty_object() {
    let ran = run_with(parse().args(["--feedback", "-", "--follow"]), b"");
    assert_eq!(ran, printed("{}"));
}

#[test]
fn a_follower_ends_when_its_reader_goes_away() {
    let folder = Folder::new();
    let file = folder.file("f", "[a]1\n");
    let mut child = parse()
        .args(["--follow", "--feedback"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "{\"a\":\"1\"}\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"" as &[u8]));
}

#[test]
fn the_published_upids() {
    for (text, fields) in [
        (
            "UPID:example-node:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:",
            json!({"node": "example-node", "pid": 715154, "pstart": 10623911, "starttime": 1636572501,
                "type": "vzdump", "id": "100", "user": "root@pam", "comment": ""}),
        ),
        (
            "UPID:example-node:00213D37:01ECA9AD:618F6B8D:aptupdate::root@pam:",
            json!({"node": "example-node", "pid": 2178359, "pstart": 32287149, "starttime": 1636789133,
                "type": "aptupdate", "id": "", "user": "root@pam", "comment": ""}),
        ),
        (
            "UPID:pbs:000002B2:00000158:00000000:674D828C:logrotate::root@pam:",
            json!({"node": "pbs", "pid": 690, "pstart": 344, "starttime": 1733132940,
                "type": "logrotate", "id": "", "user": "root@pam", "comment": "", "task_id": 0}),
        ),
        (
            r"far!UPID:pbs:000002b2:1000001580:0000000A:674D828C:backup:store\x3avm-100:root@pam!auto:",
            json!({"node": "pbs", "pid": 690, "pstart": 68719482240_u64, "starttime": 1733132940, "type": "backup",
                "id": "store:vm/100", "user": "root@pam", "comment": "", "tokenid": "auto", "task_id": 10,
                "remote": "far"}),
        ),
    ] {
        let ran = run(["--upid", text]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(ran.stdout.matches('\n').count(), 1);
        let mut got: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(got.as_object_mut().unwrap().shift_remove("upid"), Some(text.into()));
        assert_eq!(got, fields);
    }
    let order = r#"{"upid":"UPID:n:00000001:00000002:00000003:t:i:u@pam:","node":"n","pid":1,"pstart":2,"starttime":3,"type":"t","id":"i","user":"u@pam","comment":""}"#;
    assert_eq!(run(["--upid", "UPID:n:00000001:00000002:00000003:t:i:u@pam:"]), printed(order));
}

#[test]
fn an_invalid_upid_is_an_error_with_a_reason() {
    for (text, why) in [
        ("", "does not begin with \"UPID:\""),
        ("UPID:n:00000001:00000002:00000003:t:i:u@pam", "the colon after the user is missing"),
        ("UPID:n:0000000G:00000002:00000003:t:i:u@pam:", "pid \"0000000G\" is not a hexadecimal number"),
        ("UPID:n:00000001:00000002:00000003::i:u@pam:", "type is empty"),
        ("-x", "does not begin with \"UPID:\""),
        ("UPID:\x1b[2J", "has 2 fields; expected nine, or ten with a task counter"),
    ] {
        let stderr = format!("parse: error: cannot parse UPID {text:?}: {why}\n");
        assert_eq!(run(["--upid", text]), Ran { code: Some(1), stdout: String::new(), stderr });
    }
    let ran = run([OsStr::new("--upid"), OsStr::from_bytes(b"UPID:\xff")]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "parse: error: cannot parse UPID \"UPID:\u{fffd}\": it is not UTF-8\n");
}

#[test]
fn debug_reports_what_is_read_and_what_is_ignored_without_failing() {
    for flag in ["--debug", "-d"] {
        let ran = run_with(parse().args(["--feedback", "-", flag]), b"[progress]5\nhello\n[a]b\n");
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "{\"progress\":\"5\",\"a\":\"b\"}\n"), "{ran:?}");
        assert!(ran.stderr.contains("-:2: ignored: hello"), "{ran:?}");
        assert!(ran.stderr.contains("parse: debug: read 3 lines of standard input, ignored 1\n"), "{ran:?}");
    }
    let ran = run_with(parse().args(["-d", "--log", "-"]), br#"[{"n":1,"t":"a"}]"#);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "a\n"));
    assert!(ran.stderr.contains("parse: debug: read 1 lines"), "{ran:?}");
    let ran = run(["-d", "--upid", "UPID:n:00000001:00000001:618C1D55:t:1:root@pam:"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("parse: debug: read a UPID"), "{ran:?}");
    assert_eq!(run_with(parse().args(["--feedback", "-", "-d", "--strict"]), b"hello\n").code, Some(1));
}

#[test]
fn a_log_may_have_lines_without_text_and_come_in_pieces() {
    let log = |text: &str| run_with(parse().args(["--log", "-"]), text.as_bytes());
    for (text, lines) in [
        (r#"[{"n":1},{"n":2,"t":"x"}]"#, "\nx\n"),
        (r#"[{"n":1,"t":null},{"n":2,"t":"x"}]"#, "\nx\n"),
        ("{\"n\":2,\"t\":\"b\"}\n{\"n\":1,\"t\":\"a\"}\n", "a\nb\n"),
        (r#"[{"n":1,"t":"a"}][{"n":2,"t":"b"}]"#, "a\nb\n"),
        (r#"{"data":[{"n":1,"t":"a"}]} {"data":[{"n":2,"t":"b"}]}"#, "a\nb\n"),
    ] {
        let ran = log(text);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), lines), "{text}: {ran:?}");
    }
    for text in ["", "{}", "[{\"t\":\"x\"}]", "[{\"n\":1,\"t\":7}]", "{\"n\":1} x", "7"] {
        let ran = log(text);
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{text}: {ran:?}");
    }
}

#[test]
fn quotes_and_white_space_around_a_upid_are_ignored() {
    let upid = "UPID:n:00000001:00000001:618C1D55:vzdump:100:root@pam:";
    let plain = run(["--upid", upid]);
    assert_eq!(plain.code, Some(0));
    for text in [format!("\"{upid}\""), format!("{upid}\n"), format!(" '{upid}' \n"), format!("\"{upid}\"\n")] {
        let ran = run(["--upid", &text]);
        assert_eq!((ran.code, &ran.stdout), (Some(0), &plain.stdout), "{text:?}: {ran:?}");
    }
    assert_eq!(run(["--upid", &format!("\"{upid}")]).code, Some(1));
}

#[test]
fn a_colon_in_the_id_of_a_upid_is_reported() {
    for text in [
        "UPID:n:000AE992:00A21BA7:618C1D55:download:local:iso/x:root@pam:",
        "UPID:n:000AE992:00A21BA7:618C1D55:download:a:b:c:root@pam:",
        "UPID:n:000AE992:00A21BA7:00000001:618C1D55:backup:a:b:root@pam:",
    ] {
        let ran = run(["--upid", text]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.ends_with(": id contains the character ':'\n"), "{text}: {}", ran.stderr);
    }
    let ran = run(["--upid", "UPID:n:000AE992:00A21BA7:00000001:soon:backup:a:root@pam:"]);
    assert!(ran.stderr.contains("start time \"soon\" is not a hexadecimal number"), "{}", ran.stderr);
}
