//! A supervisor in a test world: the real daemon with real processes, accessed through its real socket.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use taskwatcher::io::process;

use super::{PATIENCE, Ran, Started, World, eventually, until};

/// A supervisor in the foreground.
pub struct Daemon<'w> {
    world: &'w World,
    pub started: Option<Started<'w>>,
}

impl World {
    /// Writes the configuration: the common head and then this text.
    pub fn configure(&self, text: &str) {
        self.configure_with("", text);
    }

    pub fn configure_with(&self, server: &str, text: &str) {
        let head = format!(
            "[taskmasterd]\ndatabase = \"{}\"\nlogfile = \"act.log\"\npidfile = \"s.pid\"\nloglevel = \"debug\"\nminfds = 64\nminprocs = 16\nchildlogdir = \"{}\"\n{server}\n\
             [unix_http_server]\nfile = \"s.sock\"\n",
            self.db().display(),
            self.path("").display()
        );
        // Replaced by a rename, as an editor does it, so that a supervisor never reads an incomplete file.
        fs::write(self.path("t.toml.new"), head + text).unwrap();
        fs::rename(self.path("t.toml.new"), self.path("t.toml")).unwrap();
    }

    pub fn daemon(&self) -> Daemon<'_> {
        let daemon = self.daemon_begun();
        daemon.ready();
        daemon
    }

    pub fn daemon_begun(&self) -> Daemon<'_> {
        let program = self.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(self.path("t.toml"));
        Daemon { world: self, started: Some(program.spawn()) }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("act.log")).unwrap_or_default()
    }

    /// Runs the client with these arguments.
    pub fn ctl(&self, args: &[&str]) -> Ran {
        let socket = self.path("s.sock");
        let mut program = self.command(env!("CARGO_BIN_EXE_supervise")).arg("--socket").arg(socket);
        program.command.args(args);
        program.run()
    }

    pub fn connect_to_daemon(&self) -> Client {
        let stream = eventually("the socket", || UnixStream::connect(self.path("s.sock")).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    #[track_caller]
    pub fn ask(&self, request: Value) -> Value {
        self.connect_to_daemon().ask(&request)
    }

    /// Returns the process objects of `status`, by full name.
    #[track_caller]
    pub fn states(&self) -> BTreeMap<String, Value> {
        let answer = self.ask(json!({ "command": "status" }));
        let processes = answer["content"]["processes"].as_array().unwrap().clone();
        processes.into_iter().map(|process| (full_name(&process), process)).collect()
    }

    #[track_caller]
    pub fn state(&self, name: &str) -> String {
        self.states()[name]["state"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        i32::try_from(self.states()[name]["pid"].as_i64().unwrap()).unwrap()
    }

    /// Waits until another run of a process is up.
    #[track_caller]
    pub fn runs_again(&self, name: &str, pid: i32) {
        until(&format!("{name} to run again; {}", self.log()), || {
            let process = &self.states()[name];
            process["state"] == "RUNNING" && process["pid"] != pid
        });
    }

    #[track_caller]
    pub fn comes_to(&self, name: &str, state: &str) {
        until(&format!("{name} to be {state}; {}", self.log()), || self.state(name) == state);
    }
}

pub fn full_name(process: &Value) -> String {
    let (group, name) = (process["group"].as_str().unwrap(), process["name"].as_str().unwrap());
    if group == name { name.to_owned() } else { format!("{group}:{name}") }
}

impl Daemon<'_> {
    pub fn ready(&self) {
        until(&format!("the supervisor to be ready: {}", self.world.log()), || {
            UnixStream::connect(self.world.path("s.sock")).is_ok() && self.world.log().contains("INFO ready")
        });
    }

    pub fn signal(&self, signal: Signal) {
        self.started.as_ref().unwrap().signal(signal);
    }

    /// Shuts the supervisor down in order.
    #[track_caller]
    pub fn end(mut self) -> Ran {
        let started = self.started.take().unwrap();
        started.signal(Signal::SIGTERM);
        started.wait()
    }

    /// Kills the supervisor, as in a crash.
    pub fn crash(mut self) {
        let mut started = self.started.take().unwrap();
        started.signal(Signal::SIGKILL);
        started.child.wait().unwrap();
        fs::remove_file(self.world.path("act.log")).unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(started) = &mut self.started {
            let _ = started.child.kill();
            let _ = started.child.wait();
        }
    }
}

pub struct Client {
    pub reader: BufReader<UnixStream>,
    pub stream: UnixStream,
}

impl Client {
    pub fn send(&mut self, request: &Value) {
        self.stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.line()
    }
}

/// Returns the shim of the current run of a process.
#[track_caller]
pub fn shim_of(pid: i32) -> i32 {
    process::stat(pid).unwrap().ppid
}

pub fn named(command: &str, name: &str) -> Value {
    json!({ "command": command, "target": "process", "name": name })
}

/// Returns the times of the log lines that contain these words, in seconds after the first one.
pub fn times(log: &str, words: &str) -> Vec<f64> {
    let at = |line: &str| {
        let clock: Vec<f64> = line[11..23].replace(',', ".").split(':').map(|part| part.parse().unwrap()).collect();
        clock[0] * 3600.0 + clock[1] * 60.0 + clock[2]
    };
    let all: Vec<f64> = log.lines().filter(|line| line.contains(words)).map(at).collect();
    all.iter().map(|time| time - all[0]).collect()
}
