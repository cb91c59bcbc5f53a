-- Everything before `sealed_bytes` is in segments, with so many line feeds. Both move in the transaction that makes a
-- segment the one that is read. `hot` says that there may be more to seal: a commit sets it, and who seals takes it back
-- under the row's lock. `expire_time` is when the retention of the workspace removed the text; the row stays.
ALTER TABLE logs.file
    ADD COLUMN sealed_bytes      bigint  NOT NULL DEFAULT 0,
    ADD COLUMN sealed_line_feeds bigint  NOT NULL DEFAULT 0,
    ADD COLUMN hot               boolean NOT NULL DEFAULT true,
    ADD COLUMN expire_time       timestamptz,
    ADD CHECK (sealed_bytes BETWEEN 0 AND size_bytes);
CREATE INDEX file_hot ON logs.file (workspace, run, path) WHERE hot;

-- NULL: stored by an earlier version, which did not note it. Such chunks count as without line feeds until they are sealed.
ALTER TABLE logs.chunk
    ADD COLUMN line_feeds   integer,
    ADD COLUMN receive_time timestamptz;

-- Chunks come and go.
ALTER TABLE logs.chunk SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_insert_scale_factor = 0.05
);

-- How far each round over all files is. Who moves `due_time` on looks at the next ones.
CREATE TABLE logs.round (
    round           text        COLLATE "C" PRIMARY KEY CHECK (round IN ('seal', 'retention')),
    due_time        timestamptz NOT NULL DEFAULT '-infinity',
    after_workspace text        COLLATE "C" NOT NULL DEFAULT '',
    after_run       text        COLLATE "C" NOT NULL DEFAULT '',
    after_path      text        COLLATE "C" NOT NULL DEFAULT ''
);
INSERT INTO logs.round (round) VALUES ('seal'), ('retention');

-- Files with text to seal.
CREATE TABLE logs.seal_task (
    workspace text        COLLATE "C" NOT NULL,
    run       text        COLLATE "C" NOT NULL,
    path      text        COLLATE "C" NOT NULL,
    whole     boolean     NOT NULL,               -- whether the run has ended: seal all, not only what fills a segment
    due_time  timestamptz NOT NULL DEFAULT now(), -- who works on it moves this on, again and again
    claim     bigint      NOT NULL DEFAULT 0,     -- counts who took it: only the last one may change anything
    failures  integer     NOT NULL DEFAULT 0,     -- one after the other
    PRIMARY KEY (workspace, run, path)
);
CREATE INDEX seal_task_due ON logs.seal_task (due_time);

-- One object in the bucket with consecutive bytes of one file: logs/{workspace}/{run}/{segment}.zst.
CREATE TABLE logs.segment (
    workspace        text        COLLATE "C" NOT NULL,
    run              text        COLLATE "C" NOT NULL,
    file             bigint      NOT NULL,
    segment          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY, -- never used twice, for any file
    state            text        NOT NULL DEFAULT 'written',
    expire_time      timestamptz NOT NULL, -- when it may be removed
    start_offset     bigint      NOT NULL DEFAULT 0,
    size_bytes       bigint      NOT NULL DEFAULT 0,
    start_line_feeds bigint      NOT NULL DEFAULT 0, -- how many there are before it in the file
    line_feeds       bigint      NOT NULL DEFAULT 0,
    frames           bytea       NOT NULL DEFAULT '', -- of each: how long it is, what it holds, its CRC-32
    times_start      bigint      NOT NULL DEFAULT 0,
    times_bytes      integer     NOT NULL DEFAULT 0,
    times_crc        bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, run, file, segment),
    CHECK (state IN ('written', 'current', 'removed'))
);
CREATE UNIQUE INDEX segment_offset ON logs.segment (workspace, run, file, start_offset) WHERE state = 'current';
CREATE INDEX segment_line ON logs.segment (workspace, run, file, start_line_feeds, start_offset) WHERE state = 'current';
CREATE INDEX segment_expired ON logs.segment (expire_time) WHERE state <> 'current';
