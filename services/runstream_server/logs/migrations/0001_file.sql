CREATE SCHEMA IF NOT EXISTS logs;

-- A log file of a run. Its size moves in the transaction that stores the bytes, under the row's lock.
-- Updated with every chunk: no index on what changes, and room for new versions of a row on its page.
CREATE TABLE logs.file (
    workspace   text        COLLATE "C" NOT NULL,
    run         text        COLLATE "C" NOT NULL,
    path        text        COLLATE "C" NOT NULL,
    file        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    writer      text        COLLATE "C" NOT NULL,
    epoch       bigint      NOT NULL DEFAULT 1,
    size_bytes  bigint      NOT NULL DEFAULT 0,
    finished    boolean     NOT NULL DEFAULT false,
    create_time timestamptz,
    update_time timestamptz,
    PRIMARY KEY (workspace, run, path),
    CHECK (size_bytes >= 0),
    CHECK ((size_bytes = 0) = (create_time IS NULL)),
    CHECK ((size_bytes = 0) = (update_time IS NULL))
) WITH (fillfactor = 80);

-- Consecutive bytes of a file, encoded by logs/chunks.py. The chunks of a file join on without gap.
CREATE TABLE logs.chunk (
    workspace    text        COLLATE "C" NOT NULL,
    run          text        COLLATE "C" NOT NULL,
    file         bigint      NOT NULL,
    start_offset bigint      NOT NULL,
    size_bytes   integer     NOT NULL,
    write_time   timestamptz NOT NULL, -- of the last byte, by the clock of the writer
    content      bytea       NOT NULL,
    PRIMARY KEY (workspace, run, file, start_offset),
    CHECK (start_offset >= 0),
    CHECK (size_bytes > 0)
);
ALTER TABLE logs.chunk ALTER COLUMN content SET STORAGE EXTERNAL; -- compressed already
