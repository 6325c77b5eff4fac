-- The tasks of other hosts. These tables are created when the first remote is added, so that a database without remotes
-- does not read them at every start.
--
-- An ended task is one row of numbers. Its key is (start << 18) + its position among the tasks of the same second, so
-- that rows are stored in the order of listings; texts are ids of `remote_words`. The UPID is rebuilt from the row, byte
-- for byte, or kept as text if that is impossible. Columns without a type contain numbers or texts. Each column costs a
-- byte besides its value, except NULL at the end of a row: so most rows have neither `status` nor `more`.

CREATE TABLE remotes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    name      TEXT NOT NULL UNIQUE,
    source    TEXT NOT NULL,       -- how to reach it, a JSON object
    cursor    TEXT,                -- position up to which it was followed
    tried     INTEGER,             -- time of the last request
    contact   INTEGER,             -- time of the last response
    lag       INTEGER,             -- seconds between its newest end and the response that reported it
    failures  INTEGER NOT NULL DEFAULT 0, -- consecutive failures since then
    error     TEXT,                -- the last failure
    unread    INTEGER NOT NULL DEFAULT 0  -- entries of its responses that could not be parsed
);

-- The nodes of Proxmox remotes; each is followed separately.
CREATE TABLE remote_nodes (
    remote    INTEGER NOT NULL,
    node      TEXT NOT NULL,
    cutoff    INTEGER,             -- all tasks started before it have ended and are known; by the node's clock
    wide      INTEGER,             -- time of the last request for tasks that arrive days late
    tried     INTEGER NOT NULL,    -- time of the last request
    contact   INTEGER,             -- time of the last response
    failures  INTEGER NOT NULL DEFAULT 0, -- consecutive failures since then
    error     TEXT,                -- the last failure, or that the node is offline
    PRIMARY KEY (remote, node)
) WITHOUT ROWID;

CREATE TABLE remote_hosts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT, -- in `remote_tasks`; never used twice
    remote    INTEGER NOT NULL,
    node      TEXT NOT NULL,
    boot      INTEGER NOT NULL     -- time of the boot, in hundredths of a second; one row per boot of a node
);

CREATE TABLE remote_words (
    id        INTEGER PRIMARY KEY,
    word      TEXT NOT NULL UNIQUE -- a type, a user, a frequent reason or id
);

CREATE TABLE remote_tasks (
    key       INTEGER PRIMARY KEY,
    host      INTEGER NOT NULL,
    type      INTEGER NOT NULL,
    user      INTEGER NOT NULL,
    id,                            -- object: a number, the negated id of a word, a text, or NULL
    process   INTEGER NOT NULL,    -- lower 22 bits: pid; above: deviation of its start from the one expected by the boot
    duration  INTEGER NOT NULL,
    status,                        -- NULL: OK; 4 n + 1: n warnings; 4 word + 2: an error; 4 word + 3: unknown; text: an error
    more                           -- the counter of a ten-field UPID, or a JSON object with further data
);

-- Number of these tasks per ten minutes (start / 600), to find any offset.
CREATE TABLE remote_counts (
    slot      INTEGER PRIMARY KEY,
    count     INTEGER NOT NULL
);

CREATE TABLE remote_active (
    remote    INTEGER NOT NULL,
    upid      TEXT NOT NULL,
    start     INTEGER NOT NULL,
    seen      INTEGER NOT NULL,    -- time of the last report that it runs
    detail    TEXT NOT NULL,       -- a JSON object: the report of its host
    PRIMARY KEY (remote, upid)
) WITHOUT ROWID;

CREATE INDEX remote_failed ON remote_tasks (user) WHERE status IS NOT NULL;
-- Local tasks ordered by start, like those of other hosts: long tasks by this index, the others within ten minutes of
-- their ends.
CREATE INDEX history_long ON history (coalesce(starttime, endtime)) WHERE endtime - coalesce(starttime, endtime) >= 600;
