//! Errors in a configuration: snippets, and the exact messages.

use super::{
    includes,
    tests::{Fake, errors, lines, main_file},
};

/// Erroneous lines of a program, each the third line of the file, and the message.
const PROGRAM_ERRORS: &[(&str, &str)] = &[
    (
        "stopsignal = \"FOO\"",
        "stopsignal: unknown signal \"FOO\" (use a name such as TERM or SIGINT, or a number in quotes)",
    ),
    (
        "stopsignal = \"0\"",
        "stopsignal: unknown signal \"0\" (use a name such as TERM or SIGINT, or a number in quotes)",
    ),
    (
        "stopsignal = \"SIGRTMIN+3\"",
        "stopsignal: \"SIGRTMIN+3\" is a real-time signal, which cannot be sent (use a name such as TERM or SIGINT, or a number in quotes)",
    ),
    ("stopsignal = 15", "stopsignal: 15 is not a string (write \"15\", or a name such as \"TERM\")"),
    (
        "stopsignal = true",
        "stopsignal: true is not a string (use a name such as TERM or SIGINT, or a number in quotes)",
    ),
    (
        "autorestart = true",
        "autorestart: true is not a string (write \"true\" in quotes; use \"true\", \"false\", \"unexpected\")",
    ),
    ("autorestart = \"yes\"", "autorestart: unknown value \"yes\" (use \"true\", \"false\", \"unexpected\")"),
    ("autostart = \"true\"", "autostart: \"true\" is not a boolean (true or false, without quotes)"),
    ("startsecs = -5", "startsecs: -5 is negative (seconds, such as 10 or 0.5)"),
    ("startsecs = -0.5", "startsecs: -0.5 is negative (seconds, such as 10 or 0.5)"),
    ("startsecs = nan", "startsecs: nan is not a number of seconds (seconds, such as 10 or 0.5)"),
    ("startsecs = inf", "startsecs: inf is not a number of seconds (seconds, such as 10 or 0.5)"),
    ("startsecs = \"5\"", "startsecs: \"5\" is not a number of seconds (seconds, such as 10 or 0.5)"),
    ("startsecs = 99999999999", "startsecs: 99999999999 is too long (seconds, such as 10 or 0.5)"),
    (
        "stopwaitsecs = \"never\"",
        "stopwaitsecs: \"never\" is not a number of seconds (seconds, such as 10 or 0.5, or \"forever\")",
    ),
    ("startretries = -1", "startretries: -1 is out of range (a whole number from 0, or \"unlimited\")"),
    ("startretries = \"many\"", "startretries: \"many\" is not an integer (a whole number from 0, or \"unlimited\")"),
    ("numprocs = 0", "numprocs: 0 is out of range (a whole number from 1 to 1000)"),
    ("numprocs = -1", "numprocs: -1 is out of range (a whole number from 1 to 1000)"),
    ("numprocs = 1001", "numprocs: 1001 is out of range (a whole number from 1 to 1000)"),
    ("numprocs_start = -1", "numprocs_start: -1 is out of range (a whole number from 0 to 1000000000)"),
    ("priority = \"high\"", "priority: \"high\" is not an integer (a whole number)"),
    ("priority = 99999999999999999999", "priority: 99999999999999999999 is out of range (a whole number)"),
    ("exitcodes = 0", "exitcodes: 0 is not an array (an array of exit codes from 0 to 255)"),
    ("exitcodes = [0, 256]", "exitcodes: element 1: 256 is out of range (an array of exit codes from 0 to 255)"),
    ("exitcodes = [\"0\"]", "exitcodes: element 0: \"0\" is not an integer (an array of exit codes from 0 to 255)"),
    ("args = \"-x\"", "args: \"-x\" is not an array (an array of strings)"),
    ("args = [\"-x\", 3]", "args: element 1: 3 is not a string (an array of strings)"),
    ("args = [\"\\u0000\"]", "args: element 0: \"\\0\" contains a NUL character (an array of strings)"),
    ("umask = 22", "umask: 22 is not written in octal (write 0o22)"),
    ("umask = 89", "umask: 89 is not written in octal (octal, such as 0o022 or \"022\", up to 0o777)"),
    ("umask = 0x12", "umask: 0x12 is not written in octal (octal, such as 0o022 or \"022\", up to 0o777)"),
    ("umask = 0o1000", "umask: 0o1000 is out of range (octal, such as 0o022 or \"022\", up to 0o777)"),
    ("umask = \"98\"", "umask: \"98\" is not an octal number (octal, such as 0o022 or \"022\", up to 0o777)"),
    ("umask = \"\"", "umask: \"\" is not an octal number (octal, such as 0o022 or \"022\", up to 0o777)"),
    ("umask = \"+22\"", "umask: \"+22\" is not an octal number (octal, such as 0o022 or \"022\", up to 0o777)"),
    ("umask = 2.2", "umask: 2.2 is not an octal number (octal, such as 0o022 or \"022\", up to 0o777)"),
    (
        "stdout_maxbytes = -1",
        "stdout_maxbytes: -1 is negative (bytes, or a text such as \"50MB\" with KB, MB or GB; 0 for no limit)",
    ),
    (
        "stdout_maxbytes = \"-1MB\"",
        "stdout_maxbytes: \"-1MB\" is negative (bytes, or a text such as \"50MB\" with KB, MB or GB; 0 for no limit)",
    ),
    (
        "stderr_maxbytes = \"1.5GB\"",
        "stderr_maxbytes: \"1.5GB\" is not a size (bytes, or a text such as \"50MB\" with KB, MB or GB; 0 for no limit)",
    ),
    (
        "stderr_maxbytes = \"9999999999GB\"",
        "stderr_maxbytes: \"9999999999GB\" is not a size (bytes, or a text such as \"50MB\" with KB, MB or GB; 0 for no limit)",
    ),
    ("stdout_backups = -1", "stdout_backups: -1 is out of range (a whole number from 0 to 4294967295)"),
    ("user = \"nobody\"", "user: unknown user \"nobody\" (a name, or a number in quotes)"),
    ("user = 33", "user: 33 is not a string (a text in quotes)"),
    ("stdin = \"tty\"", "stdin: unknown value \"tty\" (use \"null\", \"pipe\")"),
    ("stdout = \"/dev/stdout\"", "stdout: \"/dev/stdout\" cannot be rotated (set stdout_maxbytes = 0)"),
    ("stdout = \"/tmp\"", "stdout: \"/tmp\" is a directory (a path of a file)"),
    (
        "stderr = \"/nowhere/x\"",
        "stderr: the directory \"/nowhere\" does not exist (create it, or set create_dirs = true in [taskmasterd])",
    ),
    ("stderr = \"tm.toml/x\"", "stderr: \"/etc/tm/tm.toml\" is not a directory"),
    (
        "stdout = \"~bob/x\"",
        "stdout: \"~bob/x\" is the home of another user (a path; ~ is the home of the supervisor's user)",
    ),
    (
        "stdout = \"/tmp/x\"\nstderr = \"/tmp/./x\"",
        "stderr: \"/tmp/x\" is also the stdout of web (for one log, set redirect_stderr = true)",
    ),
    ("directory = \"\"", "directory: \"\" is not a path (a path; ~ is the home of the supervisor's user)"),
    (
        "serverurl = \"/tmp/s\"",
        "serverurl: \"/tmp/s\" is not an address (expected unix:///path, http://host:port or \"AUTO\")",
    ),
    ("timeout = 0", "timeout: 0 is not a timeout (seconds above 0; without the key there is no timeout)"),
    ("on_event = [\" \"]", "on_event: the command is empty (an array: the command, then its arguments)"),
    (
        "on_states = [\"DEAD\"]",
        "on_states: \"DEAD\": unknown state: use STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN",
    ),
    (
        "killasgroup = false\nstopasgroup = true",
        "killasgroup: false contradicts stopasgroup = true (remove it, or set it to true)",
    ),
    ("cmd = \"x\"", "cmd: command and cmd are two names of one key (keep command)"),
    (
        "stdout_logfile_maxbytes = 1\nstdout_maxbytes = 2",
        "stdout_logfile_maxbytes: stdout_maxbytes and stdout_logfile_maxbytes are two names of one key (keep stdout_maxbytes)",
    ),
    ("stopsginal = \"TERM\"", "stopsginal: unknown key (did you mean \"stopsignal\"?)"),
    ("environment = \"A=1\"", "environment: unknown key (did you mean \"env\"?)"),
    ("stdout_syslog = true", "stdout_syslog: unknown key (not supported by taskwatcher)"),
    ("stderr_capture_maxbytes = 1", "stderr_capture_maxbytes: unknown key (not supported by taskwatcher)"),
    ("stdout_events_enabled = true", "stdout_events_enabled: unknown key (not supported by taskwatcher)"),
    (
        "process_name = \"a b\"",
        "process_name: the name \"a b\" contains ' ' (a name has no blanks, no control characters and none of : / [ ] % * ?)",
    ),
    (
        "process_name = \"%(x)s\"",
        "process_name: unknown placeholder \"%(x)\" (known: %(here)s, %(host_node_name)s, %(ENV_NAME)s, %(program_name)s, %(group_name)s, %(process_num)d, %(numprocs)d; write %%( for a plain %()",
    ),
    (
        "numprocs = 2\nprocess_name = \"w\"",
        "process_name: \"w\" gives several processes the same name (add %(process_num)02d)",
    ),
    (
        "group = \"a:b\"",
        "group: the name \"a:b\" contains ':' (a name has no blanks, no control characters and none of : / [ ] % * ?)",
    ),
    ("env = 3", "env]: 3 is not a table (write [programs.web.env])"),
    (
        "env = { 1A = \"x\" }",
        "env] 1A: not a valid variable name (letters A-Z a-z, digits and _, not beginning with a digit)",
    ),
    ("env = { A = [\"x\"] }", "env] A: its value is an array (a string, number, boolean or datetime)"),
    ("env = { A = \"secret\\u0000\" }", "env] A: its value contains a NUL character"),
    (
        "env = { A = \"%(ENV_NONE)s\" }",
        "env] A: environment variable \"NONE\" of %(ENV_NONE)s is not set (set it before the supervisor starts, or in a table .env)",
    ),
];

#[test]
fn an_error_in_a_program_is_reported_in_one_line() {
    for (body, expected) in PROGRAM_ERRORS {
        let text = format!("[programs.web]\ncommand = \"/bin/web\"\n{body}\n");
        let at = body.lines().position(|line| {
            let key = expected.split([':', ']']).next().unwrap();
            line.split(" = ").next() == Some(key)
        });
        let line = 3 + at.unwrap_or(0);
        let table = if expected.starts_with("env]") { "[programs.web." } else { "[programs.web] " };
        assert_eq!(errors(&text), [format!(":{line}: {table}{expected}")], "{text}");
    }
}

#[test]
fn an_error_elsewhere_is_reported_in_one_line() {
    let long = format!("[unix_http_server]\nfile = \"/tmp/{}\"", "x".repeat(103));
    let name = "x".repeat(201);
    let named = format!("[programs.{name}]\ncommand = \"x\"");
    let about_name = format!(
        ":1: [programs.{name}]: the name has 201 bytes (at most 200, because names of logs are derived from it)"
    );
    for (text, expected) in [
        (named.as_str(), about_name.as_str()),
        ("[programs.web]", ":1: [programs.web] command: program has no command (write command = \"…\")"),
        ("[programs.web]\ncommand = \" \"", ":2: [programs.web] command: program has no command (a command in quotes)"),
        ("[programs.web]\ncommand = 3", ":2: [programs.web] command: 3 is not a string (a text in quotes)"),
        ("programs = 3", ":1: [programs]: 3 is not a table (write [programs])"),
        ("[programs]\nweb = 3", ":2: [programs.web]: 3 is not a table (write [programs.web])"),
        (
            "[programs.\"\"]\ncommand = \"x\"",
            ":1: [programs.\"\"]: the name is empty (a name has no blanks, no control characters and none of : / [ ] % * ?)",
        ),
        (
            "[programs.\"a b\"]\ncommand = \"x\"",
            ":1: [programs.\"a b\"]: the name \"a b\" contains ' ' (a name has no blanks, no control characters and none of : / [ ] % * ?)",
        ),
        (
            "[programs.\"..\"]\ncommand = \"x\"",
            ":1: [programs.\"..\"]: the name \"..\" is the name of a folder (choose another)",
        ),
        (
            "[taskmasterd]\npidfile = \"tm.toml\"",
            ":2: [taskmasterd] pidfile: \"/etc/tm/tm.toml\" is also a configuration file (choose another path)",
        ),
        (
            "[taskmasterd]\ndatabase = \"/tmp/d\"\nlogfile = \"/tmp/d-wal\"",
            ":3: [taskmasterd] logfile: \"/tmp/d-wal\" is also a file of the database (choose another path)",
        ),
        (
            "[taskmasterd]\npidfile = \"/tmp/p\"\n[programs.a]\ncommand = \"x\"\nstdout = \"/tmp/p.lock\"",
            ":5: [programs.a] stdout: \"/tmp/p.lock\" is also the lock of the pid file (choose another path)",
        ),
        (
            "[taskmasterd]\nlogfile = \"/tmp/l\"\n[programs.a]\ncommand = \"x\"\nstderr = \"/tmp/l\"",
            ":5: [programs.a] stderr: \"/tmp/l\" is also the activity log (choose another path)",
        ),
        (
            "[programs.a]\ncommand = \"/tmp/run\"\nstdout = \"/tmp/run\"",
            ":3: [programs.a] stdout: \"/tmp/run\" is also the command of a program (choose another path)",
        ),
        (
            "[programs.a]\ncommand = \"x\"\non_event = [\"./hook.sh\"]\nstdout = \"hook.sh\"",
            ":4: [programs.a] stdout: \"/etc/tm/hook.sh\" is also the command of a hook (choose another path)",
        ),
        (
            "[taskmasterd]\non_event = [\"/tmp/h\"]\nlogfile = \"/tmp/h\"",
            ":3: [taskmasterd] logfile: \"/tmp/h\" is also the command of a hook (choose another path)",
        ),
        (
            "[taskmasterd]\ndatabase = \"/tmp/d\"\nlogfile = \"/tmp/d.logs\"",
            ":3: [taskmasterd] logfile: \"/tmp/d.logs\" is also a folder of the database (choose another path)",
        ),
        (
            "[taskmasterd]\ndatabase = \"/tmp/d\"\ncreate_dirs = true\nlogfile = \"/tmp/d-supervise/x\"",
            ":4: [taskmasterd] logfile: \"/tmp/d-supervise/x\" is in a folder of the database (choose another path)",
        ),
        (
            "[taskmasterd]\ndatabase = \"/tmp/d\"\nlogfile = \"/tmp/d.7-af.new\"",
            ":3: [taskmasterd] logfile: \"/tmp/d.7-af.new\" is reserved for a database that is being created (choose another path)",
        ),
        (
            "[taskmasterctl]\nhistory = \"/tmp/h\"\n[programs.a]\ncommand = \"x\"\nstdout = \"/tmp/h\"",
            ":5: [programs.a] stdout: \"/tmp/h\" is also the history of the shell (choose another path)",
        ),
        (
            "[programs.a]\ncommand = \"x\"\nstdout = \"l\"\n[programs.b]\ncommand = \"x\"\nstdout = \"/etc/linked/l\"",
            ":6: [programs.b] stdout: \"/etc/tm/l\" is also the stdout of a (choose another path)",
        ),
        (
            "[programs.a]\ncommand = \"x\"\nstdout = \"/tmp/l\"\n[programs.b]\ncommand = \"x\"\nstdout = \"/tmp/l.10\"",
            ":6: [programs.b] stdout: \"/tmp/l.10\" is also an older file of the stdout of a (choose another path)",
        ),
        (
            "[programs.all]\ncommand = \"x\"",
            ":1: [programs.all]: the name \"all\" stands for all processes (choose another)",
        ),
        (
            "[programs.12]\ncommand = \"x\"",
            ":1: [programs.12]: the name \"12\" consists of digits only, like a job number (add a letter)",
        ),
        ("[program.web]\ncommand = \"x\"", ":1: [program]: unknown table (did you mean \"programs\"?)"),
        ("[supervisord]", ":1: [supervisord]: unknown table (did you mean \"taskmasterd\"?)"),
        ("[eventlistener.x]", ":1: [eventlistener]: unknown table (not supported by taskwatcher)"),
        ("[\"fcgi-program\".x]", ":1: [fcgi-program]: unknown table (not supported by taskwatcher)"),
        ("[rpcinterface]", ":1: [rpcinterface]: unknown table (not supported by taskwatcher)"),
        (
            "logfile = \"x\"",
            ":1: logfile: unknown key outside any table (known: taskmasterd, unix_http_server, inet_http_server, taskmasterctl, include, programs, groups)",
        ),
        ("[taskmasterd]\nlogfil = \"x\"", ":2: [taskmasterd] logfil: unknown key (did you mean \"logfile\"?)"),
        (
            "[taskmasterd]\nlogfile = \"/dev/stdout\"",
            ":2: [taskmasterd] logfile: \"/dev/stdout\" cannot be rotated (set logfile_maxbytes = 0)",
        ),
        (
            "[taskmasterd]\nlogfile = \"x/y\"",
            ":2: [taskmasterd] logfile: the directory \"/etc/tm/x\" does not exist (create it, or set create_dirs = true in [taskmasterd])",
        ),
        (
            "[taskmasterd]\npidfile = \"%(program_name)s\"",
            ":2: [taskmasterd] pidfile: unknown placeholder \"%(program_name)\" (known: %(here)s, %(host_node_name)s, %(ENV_NAME)s; write %%( for a plain %()",
        ),
        (
            "[taskmasterd]\ndatabase = \"/no/x\"",
            ":2: [taskmasterd] database: the directory \"/no\" does not exist (create it, or set create_dirs = true in [taskmasterd])",
        ),
        (
            "[taskmasterd]\nloglevel = \"blather\"",
            ":2: [taskmasterd] loglevel: unknown level \"blather\" (use crit, error, warn, info, debug, trace)",
        ),
        (
            "[taskmasterd]\numask = 0o1777",
            ":2: [taskmasterd] umask: 0o1777 is out of range (octal, such as 0o022 or \"022\", up to 0o777)",
        ),
        ("[taskmasterd]\nminfds = 0", ":2: [taskmasterd] minfds: 0 is out of range (a whole number from 1)"),
        (
            "[taskmasterd]\nuser = \"nobody\"",
            ":2: [taskmasterd] user: unknown user \"nobody\" (a name, or a number in quotes)",
        ),
        ("[taskmasterd]\ndirectory = \"/no\"", ":2: [taskmasterd] directory: the directory \"/no\" does not exist"),
        (
            "[taskmasterd]\nchildlogdir = \"/etc/tm/tm.toml\"",
            ":2: [taskmasterd] childlogdir: \"/etc/tm/tm.toml\" is not a directory",
        ),
        (
            "[taskmasterd]\norphans = \"kill\"",
            ":2: [taskmasterd] orphans: unknown value \"kill\" (use \"adopt\", \"stop\", \"leave\")",
        ),
        (
            "[taskmasterd]\nhistory_keep = \"soon\"",
            ":2: [taskmasterd] history_keep: \"soon\" is not a time (a number of runs, a time such as \"30d\", or 0 for all)",
        ),
        (
            "[taskmasterd]\nhistory_keep = -1",
            ":2: [taskmasterd] history_keep: -1 is out of range (a number of runs, a time such as \"30d\", or 0 for all)",
        ),
        (
            "[taskmasterd]\nrestart_throttle = -1",
            ":2: [taskmasterd] restart_throttle: -1 is negative (seconds, such as 10 or 0.5)",
        ),
        ("[taskmasterd]\nidentifier = \"\"", ":2: [taskmasterd] identifier: empty (a text in quotes)"),
        (
            "[taskmasterd.env]\n\"a b\" = 1",
            ":2: [taskmasterd.env] a b: not a valid variable name (letters A-Z a-z, digits and _, not beginning with a digit)",
        ),
        ("[unix_http_server]", ":1: [unix_http_server] file: missing (write file = \"/path/of/the.sock\")"),
        (&long, ":2: [unix_http_server] file: the path of the socket has 108 bytes (at most 107 are possible)"),
        (
            "[unix_http_server]\nfile = \"/no/s\"",
            ":2: [unix_http_server] file: the directory \"/no\" does not exist (create it, or set create_dirs = true in [taskmasterd])",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nchmod = 700",
            ":3: [unix_http_server] chmod: 700 is not written in octal (write 0o700)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nchmod = 0o10000",
            ":3: [unix_http_server] chmod: 0o10000 is out of range (octal, such as 0o022 or \"022\", up to 0o7777)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nchown = \"a:b:c\"",
            ":3: [unix_http_server] chown: \"a:b:c\" is not user:group (user or user:group, each a name or a number)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nchown = \":adm\"",
            ":3: [unix_http_server] chown: \":adm\" is not user:group (user or user:group, each a name or a number)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nchown = \"bob:adm\"",
            ":3: [unix_http_server] chown: unknown user \"bob\" (user or user:group, each a name or a number)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nchown = \"me:staff\"",
            ":3: [unix_http_server] chown: unknown group \"staff\" (user or user:group, each a name or a number)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nusername = \"u\"",
            ":3: [unix_http_server] username: no password is set (set both username and password, or neither)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\npassword = \"hush\"",
            ":3: [unix_http_server] password: no username is set (set both username and password, or neither)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nusername = \"u\"\npassword = 12345",
            ":4: [unix_http_server] password: integer is not a string (a text in quotes)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nusername = \"u\"\npassword = \"{SHA256}12\"",
            ":4: [unix_http_server] password: {SHA256} is not followed by 64 hexadecimal digits (the password itself, or {SHA256} and 64 hexadecimal digits)",
        ),
        (
            "[unix_http_server]\nfile = \"/tmp/s\"\nusername = \"u:v\"\npassword = \"x\"",
            ":3: [unix_http_server] username: \"u:v\" contains a colon (a colon ends the name in HTTP)",
        ),
        ("[inet_http_server]", ":1: [inet_http_server] port: missing (write port = \"127.0.0.1:9001\")"),
        (
            "[inet_http_server]\nport = 9001",
            ":2: [inet_http_server] port: 9001 is not a string (\"host:port\", \":port\", \"*:port\" or \"[::1]:port\", the port from 1 to 65535)",
        ),
        (
            "[inet_http_server]\nport = \"9001\"",
            ":2: [inet_http_server] port: \"9001\" is not an address (\"host:port\", \":port\", \"*:port\" or \"[::1]:port\", the port from 1 to 65535)",
        ),
        (
            "[inet_http_server]\nport = \"::1:9001\"",
            ":2: [inet_http_server] port: \"::1:9001\" is not an address (\"host:port\", \":port\", \"*:port\" or \"[::1]:port\", the port from 1 to 65535)",
        ),
        (
            "[inet_http_server]\nport = \":9001\"",
            ":2: [inet_http_server] port: open to other hosts without a password (set username and password, listen on 127.0.0.1, or set allow_remote = true)",
        ),
        (
            "[inet_http_server]\nport = \"box:9001\"",
            ":2: [inet_http_server] port: open to other hosts without a password (set username and password, listen on 127.0.0.1, or set allow_remote = true)",
        ),
        (
            "[taskmasterctl]\nserverurl = \"/tmp/s\"",
            ":2: [taskmasterctl] serverurl: \"/tmp/s\" is not an address (expected unix:///path or http://host:port)",
        ),
        (
            "[taskmasterctl]\nauto_resume = \"on\"",
            ":2: [taskmasterctl] auto_resume: unknown value \"on\" (use \"\", \"exact\", \"substring\")",
        ),
        ("[groups.g]", ":1: [groups.g] programs: missing (write programs = [\"name\", …])"),
        ("[groups.g]\nprograms = []", ":2: [groups.g] programs: empty (an array of names of programs)"),
        (
            "[programs.web]\ncommand = \"x\"\n[groups.g]\nprograms = [\n \"web\",\n \"wep\"]",
            ":6: [groups.g] programs: unknown program \"wep\" (did you mean \"web\"?)",
        ),
        (
            "[programs.web]\ncommand = \"x\"\n[groups.g]\nprograms = [\"web\"]\n[groups.h]\nprograms = [\"web\"]",
            ":6: [groups.h] programs: program \"web\" is also in group g (a program can be in one group only)",
        ),
        (
            "[programs.web]\ncommand = \"x\"\n[groups.g]\nprograms = [\"web\", \"web\"]",
            ":4: [groups.g] programs: program \"web\" is listed twice",
        ),
        (
            "[programs.web]\ncommand = \"x\"\ngroup = \"h\"\n[groups.g]\nprograms = [\"web\"]",
            ":3: [programs.web] group: program \"web\" is also in group g (a program can be in one group only)",
        ),
        (
            "[programs.web]\ncommand = \"x\"\n[programs.g]\ncommand = \"x\"\n[groups.g]\nprograms = [\"web\"]",
            ":5: [groups.g]: the group has the name of program \"g\" but does not contain it (choose another name)",
        ),
        (
            "[programs.web]\ncommand = \"x\"\n[programs.b]\ncommand = \"x\"\nprocess_name = \"web\"\nstdout = \"none\"\nstderr = \"none\"",
            ":1: [programs.web] process_name: the process name \"web\" is also used by program b (names of processes are unique)",
        ),
        (
            "[programs.a]\ncommand = \"x\"\nstdout = \"/tmp/l\"\n[programs.b]\ncommand = \"x\"\nstderr = \"/tmp/l\"",
            ":6: [programs.b] stderr: \"/tmp/l\" is also the stdout of a (another path; or stderr_maxbytes = 0 and shared_log = true in both)",
        ),
        (
            "[programs.a]\ncommand = \"x\"\nnumprocs = 3\nstdout = \"/tmp/l\"",
            ":4: [programs.a] stdout: \"/tmp/l\" is also the stdout of a:a_00 (add %(process_num)d)",
        ),
        ("[include]\nfile = [\"x\"]", ":2: [include] file: unknown key (did you mean \"files\"?)"),
        (
            "[taskmasterd]\numask = 0o22\numask = 0o22",
            ":3: [taskmasterd] umask: duplicate (each key and table may occur once)",
        ),
        (
            "[programs.web]\ncommand = \"x\"\n[programs.web]",
            ":3: [programs.web]: duplicate (each key and table may occur once)",
        ),
    ] {
        if text.starts_with("[include]") {
            let errors = lines(&includes(&main_file(text), &Fake::root()).unwrap_err());
            assert!(errors.iter().any(|line| line.ends_with(expected)), "{text}\n{errors:#?}");
            continue;
        }
        assert_eq!(errors(text), [expected], "{text}");
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    for (text, start) in [
        ("[taskmasterd]\numask =\n", ":2: [taskmasterd]: not valid TOML: "),
        ("[program:web]\ncommand = \"x\"", ":1: [program:web]: not valid TOML: "),
        ("a = \"x", ":1: not valid TOML: "),
        ("x y", ":1: not valid TOML: "),
    ] {
        let errors = errors(text);
        assert!(errors[0].starts_with(start), "{text}: {errors:#?}");
    }
    let found = errors("[program:web]\ncommand = \"x\"");
    assert!(found.iter().any(|line| line.ends_with("(write [programs.NAME] or [groups.NAME])")), "{found:#?}");
    // References to tables that could not be read are not reported.
    let found = errors("[groups.g]\nprograms = [\"web\"]\n[programs.web\ncommand = \"x\"");
    assert!(found.iter().all(|line| line.contains("not valid TOML")), "{found:#?}");
}

#[test]
fn all_errors_are_reported_at_once_by_line() {
    let text = "[programs.web]\nstopsignal = \"FOO\"\ncolour = 1\n[taskmasterd]\nminfds = 0\n[programs.db]\ncommand = \"x\"\nexitcodes = [\n  1,\n  300,\n]\n";
    let errors = errors(text);
    let starts: Vec<&str> = errors.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(starts, [":1", ":2", ":3", ":5", ":10"], "{errors:#?}");
}

#[test]
fn secrets_are_in_no_message() {
    let text = "[programs.web]\ncommand = \"x\"\n[programs.web.env]\nA = [\"hush\"]\nB = \"hush%(x)s\"\n\"hush hush\" = 1\n\
                [unix_http_server]\nfile = \"/tmp/s\"\nusername = \"u\"\npassword = [\"hush\"]\n\
                [inet_http_server]\nport = \"127.0.0.1:1\"\nusername = \"u\"\npassword = \"{SHA256}hush\"\n";
    let errors = errors(text);
    assert_eq!(errors.len(), 5);
    // A name is not a secret.
    assert_eq!(errors.iter().filter(|line| line.contains("hush")).count(), 1, "{errors:#?}");
}
