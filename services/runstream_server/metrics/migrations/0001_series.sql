CREATE SCHEMA IF NOT EXISTS metrics;

-- The values logged under one metric name of one run: a summary, and the number under which its chunks are kept.
-- Updated with every batch: no index on what changes, and room for new versions of a row on its page.
CREATE TABLE metrics.series (
    workspace   text     COLLATE "C" NOT NULL,
    run         text     COLLATE "C" NOT NULL,
    metric      text     COLLATE "C" NOT NULL,
    series      bigint   NOT NULL GENERATED ALWAYS AS IDENTITY,
    point_count bigint   NOT NULL,
    last        double precision,
    min         double precision,
    max         double precision,
    kinds       integer  NOT NULL,
    description text     NOT NULL,
    revision    bigint   NOT NULL,
    PRIMARY KEY (workspace, run, metric),
    CHECK (point_count >= 0),
    CHECK ((min IS NULL) = (max IS NULL)),
    CHECK (min <> 'NaN' AND max <> 'NaN')
) WITH (fillfactor = 80);

-- Consecutive values of one series, encoded by metrics/chunks.py. The chunks of a series join on without gap.
CREATE TABLE metrics.chunk (
    workspace   text     COLLATE "C" NOT NULL,
    run         text     COLLATE "C" NOT NULL,
    series      bigint   NOT NULL,
    start_index bigint   NOT NULL,
    point_count integer  NOT NULL,
    size_bytes  integer  NOT NULL, -- in the memory of who decodes it
    columns     bytea    NOT NULL,
    PRIMARY KEY (workspace, run, series, start_index),
    CHECK (start_index >= 0),
    CHECK (point_count > 0),
    CHECK (size_bytes > 0)
);
ALTER TABLE metrics.chunk ALTER COLUMN columns SET STORAGE EXTERNAL; -- compressed already

-- How far each writer of a run got. The position moves in the transaction that stores the data, under the row's lock.
CREATE TABLE metrics.writer (
    workspace   text     COLLATE "C" NOT NULL,
    run         text     COLLATE "C" NOT NULL,
    writer      text     COLLATE "C" NOT NULL,
    position    bigint   NOT NULL DEFAULT 0,
    digest      bytea    NOT NULL DEFAULT '',
    epoch       bigint   NOT NULL DEFAULT 1,
    finished    boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (workspace, run, writer),
    CHECK (position >= 0)
) WITH (fillfactor = 80);

-- Series whose summary changed and is to be told to the run history; one row per transaction, as parallel arrays.
CREATE TABLE metrics.summary_outbox (
    mark          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    workspaces    text[]      NOT NULL,
    runs          text[]      NOT NULL,
    metrics       text[]      NOT NULL,
    series_count  integer     NOT NULL,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
