-- The first schema. Field names are those of model.py; times are seconds since the epoch.
-- Checks say "a OR b", not "IN (a, b)": of a list of three or more SQLite makes a table for each row.

PRAGMA application_id = 0x4A54534B;

-- Who may write: the epoch of the server that took over last. Every write transaction checks it.
CREATE TABLE writer (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch    INTEGER NOT NULL
);
INSERT INTO writer VALUES (1, 0);

-- A job as it is now. Its spec lies beside it, so that a change of state need not write it again.
CREATE TABLE job (
    number              INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number > 0),
    id                  TEXT    NOT NULL UNIQUE,
    owner               TEXT    NOT NULL,
    kind                TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    folded              TEXT    NOT NULL,
    tags                TEXT    NOT NULL,
    queue               TEXT    NOT NULL,
    priority            INTEGER NOT NULL,
    timeout_s           REAL    CHECK (timeout_s > 0),
    memory_bytes        INTEGER CHECK (memory_bytes > 0),
    grace_s             REAL    NOT NULL CHECK (grace_s >= 0),
    max_output_bytes    INTEGER NOT NULL CHECK (max_output_bytes > 0),
    on_lost             TEXT    NOT NULL CHECK (on_lost IN ('fail', 'requeue')),
    state               TEXT    NOT NULL CHECK (
                            state = 'queued' OR state = 'starting' OR state = 'running'
                            OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled'
                            OR state = 'lost' OR state = 'scheduled' OR state = 'paused'),
    reason              TEXT    NOT NULL,
    message             TEXT    NOT NULL,
    attempt             INTEGER NOT NULL CHECK (attempt >= 0),
    version             INTEGER NOT NULL CHECK (version >= 1),
    resume_to           TEXT    CHECK (
                            resume_to = 'scheduled' OR resume_to = 'queued' OR resume_to = 'running'),
    cancel_requested_at REAL,
    cancel_reason       TEXT,
    pause_requested_at  REAL,
    created_at          REAL    NOT NULL,
    updated_at          REAL    NOT NULL,
    due_at              REAL,
    queued_at           REAL,
    started_at          REAL,
    ended_at            REAL,
    exit_code           INTEGER,
    signal              INTEGER,
    peak_rss_bytes      INTEGER,
    cpu_s               REAL,
    output_bytes        INTEGER NOT NULL CHECK (output_bytes >= 0),
    progress            TEXT,
    receipt             INTEGER,
    CHECK ((state = 'paused') = (resume_to IS NOT NULL)),
    CHECK ((state = 'succeeded' OR state = 'failed' OR state = 'cancelled' OR state = 'lost')
        = (ended_at IS NOT NULL)),
    CHECK (started_at IS NULL OR ended_at IS NULL OR started_at <= ended_at),
    CHECK (state <> 'scheduled' OR due_at IS NOT NULL),
    CHECK (attempt > 0 OR (state NOT IN ('starting', 'running') AND resume_to IS NOT 'running'))
);

CREATE TABLE spec (
    number INTEGER PRIMARY KEY,
    json   TEXT NOT NULL
);

-- Lists: the ranges that a filter names are merged, each in the order of its numbers.
CREATE INDEX job_by_state ON job (owner, state, number);
CREATE INDEX job_by_line ON job (owner, queue, kind, state, number);
-- The queue, in starting order; as small as the queue.
CREATE INDEX job_queued ON job (priority DESC, coalesce(queued_at, created_at), number)
    WHERE state = 'queued';
CREATE INDEX job_scheduled ON job (due_at, number) WHERE state = 'scheduled';
-- What holds a slot; as small as the machine.
CREATE INDEX job_live ON job (number)
    WHERE state IN ('starting', 'running') OR resume_to = 'running';

-- A job's tags, with its state, so that a tag and a state together are one range.
CREATE TABLE tag (
    owner  TEXT    NOT NULL,
    tag    TEXT    NOT NULL,
    state  TEXT    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (owner, tag, state, number)
) WITHOUT ROWID;

-- How many jobs there are of each sort: what is asked all the time is not counted each time.
CREATE TABLE tally (
    owner TEXT    NOT NULL,
    queue TEXT    NOT NULL,
    kind  TEXT    NOT NULL,
    state TEXT    NOT NULL,
    n     INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (owner, queue, kind, state)
) WITHOUT ROWID;

CREATE TABLE attempt (
    job            INTEGER NOT NULL,
    number         INTEGER NOT NULL CHECK (number > 0),
    state          TEXT    NOT NULL CHECK (
                       state = 'starting' OR state = 'running' OR state = 'succeeded'
                       OR state = 'failed' OR state = 'cancelled' OR state = 'lost'
                       OR state = 'paused'),
    reason         TEXT    NOT NULL,
    message        TEXT    NOT NULL,
    host           TEXT    NOT NULL,
    pid            INTEGER,
    started_at     REAL,
    ended_at       REAL,
    exit_code      INTEGER,
    signal         INTEGER,
    peak_rss_bytes INTEGER,
    cpu_s          REAL,
    output_bytes   INTEGER NOT NULL CHECK (output_bytes >= 0),
    PRIMARY KEY (job, number),
    CHECK ((state = 'starting' OR state = 'running' OR state = 'paused') = (ended_at IS NULL))
) WITHOUT ROWID;
-- No job ever has two attempts at once.
CREATE UNIQUE INDEX attempt_live ON attempt (job) WHERE ended_at IS NULL;

-- What happened. `was` holds the former values of what a filter looks at; NULL for a new job.
CREATE TABLE event (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    event  TEXT    NOT NULL,
    at     REAL    NOT NULL,
    was    TEXT
);

-- Idempotency keys. `remaining` is how many of its jobs are still there; the last one takes it along.
CREATE TABLE receipt (
    receipt    INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    body_hash  TEXT    NOT NULL,
    job_ids    TEXT    NOT NULL,
    created_at REAL    NOT NULL,
    remaining  INTEGER NOT NULL,
    UNIQUE (owner, key)
);
CREATE INDEX receipt_by_age ON receipt (created_at);

-- Whether every name is in the index of text.sql; a server whose SQLite has no trigrams says no.
CREATE TABLE text_index (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    is_whole INTEGER NOT NULL
);
INSERT INTO text_index VALUES (1, 0);

CREATE TRIGGER job_moved AFTER UPDATE OF state, queue, kind ON job
WHEN new.state <> old.state OR new.queue <> old.queue OR new.kind <> old.kind BEGIN
    UPDATE tally SET n = n - 1
        WHERE owner = old.owner AND queue = old.queue AND kind = old.kind AND state = old.state;
    INSERT INTO tally VALUES (new.owner, new.queue, new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER job_moved_with_tags AFTER UPDATE OF state ON job
WHEN new.state <> old.state AND old.tags <> '[]' AND new.tags = old.tags BEGIN
    UPDATE tag SET state = new.state
        WHERE owner = old.owner AND tag IN (SELECT value FROM json_each(old.tags))
          AND state = old.state AND number = old.number;
END;

CREATE TRIGGER job_tagged_anew AFTER UPDATE OF tags ON job WHEN new.tags <> old.tags BEGIN
    DELETE FROM tag
        WHERE owner = old.owner AND tag IN (SELECT value FROM json_each(old.tags))
          AND state = old.state AND number = old.number;
    INSERT OR IGNORE INTO tag
        SELECT new.owner, value, new.state, new.number FROM json_each(new.tags);
END;

CREATE TRIGGER job_deleted AFTER DELETE ON job BEGIN
    UPDATE tally SET n = n - 1
        WHERE owner = old.owner AND queue = old.queue AND kind = old.kind AND state = old.state;
    DELETE FROM tag
        WHERE owner = old.owner AND tag IN (SELECT value FROM json_each(old.tags))
          AND state = old.state AND number = old.number;
    DELETE FROM spec WHERE number = old.number;
    DELETE FROM attempt WHERE job = old.number;
    UPDATE receipt SET remaining = remaining - 1 WHERE receipt = old.receipt;
    DELETE FROM receipt WHERE receipt = old.receipt AND remaining <= 0;
END;
