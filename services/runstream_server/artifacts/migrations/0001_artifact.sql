CREATE SCHEMA IF NOT EXISTS artifacts;

-- Content that a workspace has: its bytes are in the bucket, and their SHA-256 was verified.
CREATE TABLE artifacts.blob (
    workspace   text        COLLATE "C" NOT NULL,
    digest      bytea       NOT NULL,
    size_bytes  bigint      NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, digest),
    CHECK (octet_length(digest) = 32),
    CHECK (size_bytes >= 0)
);

-- Permission to send the bytes of a blob. Kept for a day, so that a repeated completion finds what it did.
CREATE TABLE artifacts.upload (
    workspace   text        COLLATE "C" NOT NULL,
    upload      text        COLLATE "C" NOT NULL,
    digest      bytea       NOT NULL,
    size_bytes  bigint      NOT NULL,
    begin_time  timestamptz NOT NULL,
    completed   boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (workspace, upload),
    CHECK (octet_length(digest) = 32),
    CHECK (size_bytes >= 0)
);
CREATE INDEX upload_begin_time ON artifacts.upload (begin_time);

-- A path of a run, bound to a blob. Bindings are never changed.
CREATE TABLE artifacts.artifact (
    workspace   text        COLLATE "C" NOT NULL,
    run         text        COLLATE "C" NOT NULL,
    path        text        COLLATE "C" NOT NULL,
    digest      bytea       NOT NULL,
    size_bytes  bigint      NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, run, path),
    CHECK (octet_length(digest) = 32)
);
