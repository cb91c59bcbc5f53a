-- Whether a writer may have stored values since its run was sealed. What seals a run says no, under the row's lock.
ALTER TABLE metrics.writer ADD COLUMN hot boolean NOT NULL DEFAULT true;
CREATE INDEX writer_hot ON metrics.writer (workspace, run) WHERE hot;

-- Chunks come and go.
ALTER TABLE metrics.chunk SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Which runs were looked at last, of those with hot writers. One row; who moves `due_time` on looks at the next ones.
CREATE TABLE metrics.seal_scan (
    one             boolean     PRIMARY KEY DEFAULT true CHECK (one),
    due_time        timestamptz NOT NULL DEFAULT '-infinity',
    after_workspace text        COLLATE "C" NOT NULL DEFAULT '',
    after_run       text        COLLATE "C" NOT NULL DEFAULT ''
);
INSERT INTO metrics.seal_scan DEFAULT VALUES;

-- Runs that have ended and are to be sealed.
CREATE TABLE metrics.seal_task (
    workspace     text        COLLATE "C" NOT NULL,
    run           text        COLLATE "C" NOT NULL,
    due_time      timestamptz NOT NULL DEFAULT now(), -- who works on it moves this on, again and again
    claim         bigint      NOT NULL DEFAULT 0,     -- counts who took it: only the last one may finish
    failures      integer     NOT NULL DEFAULT 0,     -- one after the other
    seen_position bigint      NOT NULL DEFAULT -1,    -- of all writers together
    seen_time     timestamptz NOT NULL DEFAULT now(), -- since when it did not change
    PRIMARY KEY (workspace, run)
);
CREATE INDEX seal_task_due ON metrics.seal_task (due_time);

-- One Parquet object in the bucket: metrics/{workspace}/{run}/{generation}.parquet.
CREATE TABLE metrics.sealed_object (
    workspace    text        COLLATE "C" NOT NULL,
    run          text        COLLATE "C" NOT NULL,
    generation   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY, -- never used twice, for any run
    state        text        NOT NULL DEFAULT 'written',
    expire_time  timestamptz NOT NULL, -- when it may be removed
    size_bytes   bigint      NOT NULL DEFAULT 0,
    footer_bytes integer     NOT NULL DEFAULT 0,
    footer_crc   bigint      NOT NULL DEFAULT 0,
    group_starts bigint[]    NOT NULL DEFAULT '{}', -- of each row group: its first byte, its length, its CRC-32
    group_bytes  bigint[]    NOT NULL DEFAULT '{}',
    group_crcs   bigint[]    NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace, run, generation),
    CHECK (state IN ('written', 'current', 'replaced', 'removed')),
    CHECK (cardinality(group_starts) = cardinality(group_bytes) AND cardinality(group_starts) = cardinality(group_crcs))
);
CREATE UNIQUE INDEX sealed_object_current ON metrics.sealed_object (workspace, run) WHERE state = 'current';
CREATE INDEX sealed_object_expired ON metrics.sealed_object (expire_time) WHERE state <> 'current';

-- Consecutive values of one series in one row group of an object: what `chunk` says of values that are not sealed.
CREATE TABLE metrics.sealed_chunk (
    workspace   text     COLLATE "C" NOT NULL,
    run         text     COLLATE "C" NOT NULL,
    generation  bigint   NOT NULL,
    series      bigint   NOT NULL,
    start_index bigint   NOT NULL,
    point_count integer  NOT NULL,
    size_bytes  integer  NOT NULL, -- in the memory of who decodes it
    row_group   integer  NOT NULL,
    first_row   integer  NOT NULL, -- within the row group
    overview    bytea,
    PRIMARY KEY (workspace, run, generation, series, start_index),
    CHECK (start_index >= 0),
    CHECK (point_count > 0)
);
ALTER TABLE metrics.sealed_chunk ALTER COLUMN overview SET STORAGE EXTERNAL; -- compressed already
