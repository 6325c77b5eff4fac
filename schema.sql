-- The database of taskwatcher, version 5. One SQLite file, WAL mode, application_id 0x74776368 ("twch").
--
-- A task lives in `tasks` from its reservation or start until it ends, then in `history`: at every instant in exactly
-- one of them. Times are unix seconds, durations seconds, sizes bytes. This file is the definition of the newest
-- version; older files are brought forward by the migrations in src/io/store.rs.

CREATE TABLE tasks (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    slot            INTEGER,          -- its place in the spool (see src/io/spool.rs)
    name            TEXT NOT NULL,    -- the command's file name, unless named
    info1           TEXT,             -- free side information
    info2           TEXT,
    info3           TEXT,
    pid             INTEGER,          -- the command
    status          TEXT NOT NULL,    -- RESERVED RUNNING SILENT STALLED STOPPING ORPHANED, as last stored
    feedback        INTEGER NOT NULL DEFAULT 0, -- 1: it writes a feedback file
    reservetime     INTEGER,          -- when it was reserved
    starttime       INTEGER,          -- when it was started
    duration        REAL,             -- how long it runs, as last stored
    lastupdate      INTEGER,          -- last sign of life that was stored
    timeout         REAL,             -- longest silence allowed
    -- above: the published interface; below: what our own programs need besides
    handle          TEXT NOT NULL,    -- eight random characters
    expires         INTEGER,          -- when the reservation lapses
    upid            TEXT,             -- identity, from the start on
    launcher_pid    INTEGER,          -- the launcher: pid and start time (clock ticks since boot)
    launcher_pstart INTEGER,
    pid_pstart      INTEGER,          -- the command's start time (clock ticks since boot)
    boot_id         TEXT,             -- boot during which it was started
    host            TEXT,
    user            TEXT,             -- login name
    argv            TEXT,             -- JSON array; what is not UTF-8 is {"bytes":"base64…"}
    cwd             TEXT,
    feedpath        TEXT,             -- full path of the feedback file (BLOB where it is not UTF-8)
    keep_feedback   INTEGER NOT NULL DEFAULT 0, -- 1: the file stays after the end
    max_runtime     REAL,             -- longest run allowed
    stop_signal     TEXT,             -- the signal that ends it politely
    kill_after      REAL,             -- SIGKILL follows after so long
    log             TEXT,             -- path of its log file, if it has one
    options         TEXT,             -- JSON array: what launch was told about it, as its command line says it
    supervised      TEXT,             -- JSON object: of which supervised process it is a run, and which one; none: of none
    held            INTEGER,          -- 1: its launcher holds a lock on its slot for as long as it lives
    namespace       TEXT,             -- the namespaces of pids and of clocks in which its processes are counted
    launcher_inode  INTEGER,          -- the pidfd's inode of the launcher, and of the command (Linux 6.9 and newer)
    pid_inode       INTEGER,
    pid_session     INTEGER           -- the command's session
);

CREATE TABLE feedbacks (
    id              INTEGER PRIMARY KEY, -- the task
    feedback        TEXT,             -- JSON object of the values so far
    lastupdate      INTEGER,          -- when they were read
    state           TEXT              -- where in which file to go on reading, and the parser's state there
);

CREATE TABLE history (
    id              INTEGER PRIMARY KEY, -- the task's id; rows of taskwatcher 1.7 keep their own
    taskid          INTEGER NOT NULL,
    taskname        TEXT,
    info1           TEXT,
    info2           TEXT,
    info3           TEXT,
    termsignal      TEXT,             -- name of the signal that ended the command
    termerror       TEXT,             -- the reason in words
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
    cpu_user        REAL,             -- seconds in user mode, of the command and what it waited for
    cpu_sys         REAL,             -- seconds in the kernel
    maxrss          INTEGER,          -- peak memory of its largest process
    ended_by        TEXT,             -- itself, reader (of its output), timeout, max-runtime, expiry, or who asked
    options         TEXT,
    amended         INTEGER,          -- counts the ends that were corrected after they were recorded
    supervised      TEXT              -- as in tasks, with "expected": whether it ended as the configuration expects it
);

-- SQLite's own sqlite_sequence (name, seq) has three rows: 'tasks', the last task id; 'amended', the last number of a
-- corrected end; and 'database', which one this is, as no other. A table of our own would be read at every start.

-- Pages of history, newest first, and the same for one name. An index on end time ends with the row id by itself.
CREATE INDEX history_by_end  ON history (endtime);
CREATE INDEX history_by_name ON history (taskname, endtime);
-- What failed is rare and asked for most; tasks that went well pay nothing for it.
CREATE INDEX history_failed  ON history (result, endtime) WHERE result <> 'ok';
-- Handles are given to scripts with a reservation; a task that was launched without one is found by a scan.
CREATE INDEX history_by_handle ON history (handle) WHERE reservetime IS NOT NULL;
-- For those who follow by `control export`. Corrections are rare; other ends pay nothing for it.
CREATE INDEX history_amended ON history (amended) WHERE amended IS NOT NULL;
