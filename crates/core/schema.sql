-- The database of taskwatcher, version 5. One SQLite file, WAL mode, application_id 0x74776368 ("twch").
--
-- A task is in `tasks` from its reservation or start until its end, then in `history`: always in exactly one of them.
-- Times are unix seconds, durations seconds, sizes bytes. This file defines the newest version; older databases are
-- upgraded by the migrations in src/io/store/open.rs.

CREATE TABLE tasks (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    slot            INTEGER,          -- its slot in the spool (see src/io/spool.rs)
    name            TEXT NOT NULL,    -- by default the command's file name
    info1           TEXT,             -- free text
    info2           TEXT,
    info3           TEXT,
    pid             INTEGER,          -- the command
    status          TEXT NOT NULL,    -- RESERVED RUNNING SILENT STALLED STOPPING ORPHANED, as last stored
    feedback        INTEGER NOT NULL DEFAULT 0, -- 1: writes a feedback file
    reservetime     INTEGER,          -- time of the reservation
    starttime       INTEGER,          -- time of the start
    duration        REAL,             -- run time, as last stored
    lastupdate      INTEGER,          -- last stored sign of life
    timeout         REAL,             -- longest allowed silence
    -- above: the published interface; below: further data of the programs
    handle          TEXT NOT NULL,    -- eight random characters
    expires         INTEGER,          -- when the reservation expires
    upid            TEXT,             -- from the start on
    launcher_pid    INTEGER,          -- the launcher: pid and start time (clock ticks since boot)
    launcher_pstart INTEGER,
    pid_pstart      INTEGER,          -- the command's start time (clock ticks since boot)
    boot_id         TEXT,             -- boot id at the start
    host            TEXT,
    user            TEXT,             -- login name
    argv            TEXT,             -- JSON array; an argument that is not UTF-8 is {"bytes":"base64…"}
    cwd             TEXT,
    feedpath        TEXT,             -- full path of the feedback file (BLOB if not UTF-8)
    keep_feedback   INTEGER NOT NULL DEFAULT 0, -- 1: the file is kept after the end
    max_runtime     REAL,             -- run-time limit
    stop_signal     TEXT,             -- the stop signal
    kill_after      REAL,             -- seconds between the stop signal and SIGKILL
    log             TEXT,             -- path of the log file, if any
    options         TEXT,             -- JSON array: the options of launch, as on its command line
    supervised      TEXT,             -- JSON object: the supervised process of which it is a run, if any
    held            INTEGER,          -- 1: the launcher holds a lock on the slot while it lives
    namespace       TEXT,             -- pid and time namespaces of its pids and start times
    launcher_inode  INTEGER,          -- pidfd inodes of launcher and command (Linux 6.9 and newer)
    pid_inode       INTEGER,
    pid_session     INTEGER           -- session id of the command
);

CREATE TABLE feedbacks (
    id              INTEGER PRIMARY KEY, -- the task
    feedback        TEXT,             -- JSON object of the values so far
    lastupdate      INTEGER,          -- time of reading
    state           TEXT              -- file and offset to continue from, and the parser's state
);

CREATE TABLE history (
    id              INTEGER PRIMARY KEY, -- the task id; rows of taskwatcher 1.7 keep their own ids
    taskid          INTEGER NOT NULL,
    taskname        TEXT,
    info1           TEXT,
    info2           TEXT,
    info3           TEXT,
    termsignal      TEXT,             -- name of the signal that ended the command
    termerror       TEXT,             -- the reason, as text
    starttime       INTEGER,
    endtime         INTEGER NOT NULL,
    duration        REAL,
    feedback        TEXT,             -- the last feedback, a JSON object
    -- above: the published interface
    outcome         TEXT NOT NULL,    -- OK | WARNINGS: n | ERROR: text | unknown
    result          TEXT NOT NULL,    -- ok warnings error unknown
    exitcode        INTEGER,          -- exit code of launch
    warnings        INTEGER NOT NULL DEFAULT 0,
    upid            TEXT,
    handle          TEXT,
    pid             INTEGER,
    reservetime     INTEGER,
    argv            TEXT,
    cwd             TEXT,
    user            TEXT,
    host            TEXT,
    log             TEXT,
    cpu_user        REAL,             -- seconds in user mode, of the command and children it waited for
    cpu_sys         REAL,             -- seconds in the kernel
    maxrss          INTEGER,          -- peak memory of its largest process
    ended_by        TEXT,             -- itself, reader (of its output), timeout, max-runtime, expiry, or the requester
    options         TEXT,
    amended         INTEGER,          -- serial number of a correction made after the end was recorded
    supervised      TEXT              -- as in tasks, with "expected": whether the configuration expects such an end
);

-- SQLite's table sqlite_sequence (name, seq) has three rows: 'tasks', the last task id; 'amended', the serial number of
-- the last correction; and 'database', the unique id of this database. An additional table would be read at every start.

-- Pages of history, newest first, of all names and of one. An index on end time implicitly ends with the row id.
CREATE INDEX history_by_end  ON history (endtime);
CREATE INDEX history_by_name ON history (taskname, endtime);
-- Failures are rare and queried most; successful tasks cost nothing here.
CREATE INDEX history_failed  ON history (result, endtime) WHERE result <> 'ok';
-- Handles are used with reservations; a task launched without a reservation is found by a scan.
CREATE INDEX history_by_handle ON history (handle) WHERE reservetime IS NOT NULL;
-- For `control export`. Corrections are rare; other ends cost nothing here.
CREATE INDEX history_amended ON history (amended) WHERE amended IS NOT NULL;
