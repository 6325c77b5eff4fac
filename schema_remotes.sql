-- The tasks of other hosts. These tables are made in the database when its first remote is added: a database without
-- remotes does not pay for them at every start.
--
-- A task that ended is one row of numbers. Its key is (start << 18) + its place among those of the same second, so that
-- rows lie in the order in which they are listed; texts are numbers of `remote_words`. Its UPID is made of these, byte for
-- byte; one that cannot be is kept as text. Columns without a type hold numbers or texts. Each column costs a byte beside
-- its value, NULL at the end of a row none: so most rows have neither a status nor more.

CREATE TABLE remotes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    name      TEXT NOT NULL UNIQUE,
    source    TEXT NOT NULL,       -- how it is reached, a JSON object
    cursor    TEXT,                -- up to where it was followed
    tried     INTEGER,             -- when it was last asked
    contact   INTEGER,             -- when it last answered
    lag       INTEGER,             -- seconds between its newest end and the answer that told it
    failures  INTEGER NOT NULL DEFAULT 0, -- since then
    error     TEXT,                -- the last of them
    unread    INTEGER NOT NULL DEFAULT 0  -- entries of its answers that could not be read
);

-- The nodes of Proxmox remotes, each of which is followed by itself.
CREATE TABLE remote_nodes (
    remote    INTEGER NOT NULL,
    node      TEXT NOT NULL,
    cutoff    INTEGER,             -- all that started before it has ended and is known; a time of its own clock
    wide      INTEGER,             -- when it was last asked for what came days late
    tried     INTEGER NOT NULL,    -- when it was last asked
    contact   INTEGER,             -- when it last answered
    failures  INTEGER NOT NULL DEFAULT 0, -- since then
    error     TEXT,                -- the last of them, or that it is offline
    PRIMARY KEY (remote, node)
) WITHOUT ROWID;

CREATE TABLE remote_hosts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT, -- in `remote_tasks`; never used twice
    remote    INTEGER NOT NULL,
    node      TEXT NOT NULL,
    boot      INTEGER NOT NULL     -- when it was booted, in hundredths of a second; a node has a row for each
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
    id,                            -- what it works on: a number, minus the number of a word, a text, or none
    process   INTEGER NOT NULL,    -- its pid, and how far its start is from what the boot lets expect: above 22 bits of pid
    duration  INTEGER NOT NULL,
    status,                        -- none: OK; 4 n + 1: n warnings; 4 word + 2: an error; 4 word + 3: unknown; text: an error
    more                           -- the counter of a ten-field UPID, or a JSON object of what else is known
);

-- How many of them each ten minutes have (start / 600), to find any offset.
CREATE TABLE remote_counts (
    slot      INTEGER PRIMARY KEY,
    count     INTEGER NOT NULL
);

CREATE TABLE remote_active (
    remote    INTEGER NOT NULL,
    upid      TEXT NOT NULL,
    start     INTEGER NOT NULL,
    seen      INTEGER NOT NULL,    -- when its host last said that it runs
    detail    TEXT NOT NULL,       -- a JSON object: what its host says of it
    PRIMARY KEY (remote, upid)
) WITHOUT ROWID;

CREATE INDEX remote_failed ON remote_tasks (user) WHERE status IS NOT NULL;
-- Local tasks in the order of their starts, as those of other hosts are listed: those that took long apart, and the
-- others within ten minutes of their ends.
CREATE INDEX history_long ON history (coalesce(starttime, endtime)) WHERE endtime - coalesce(starttime, endtime) >= 600;
