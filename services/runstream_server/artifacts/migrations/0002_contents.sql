-- Where bytes that were verified are in the bucket, once for all workspaces.
CREATE TABLE artifacts.content (
    digest      bytea       PRIMARY KEY,
    size_bytes  bigint      NOT NULL,
    object      text        COLLATE "C" NOT NULL,
    start_byte  bigint      NOT NULL DEFAULT 0,  -- where the bytes begin in the object
    checksums   bytea,                           -- CRC-32 of each 256 KiB, as little-endian integers; NULL: not known yet
    create_time timestamptz NOT NULL,
    check_time  timestamptz,                     -- when the bytes were last read and found well
    damage_time timestamptz,                     -- when other bytes, or none, were found
    CHECK (octet_length(digest) = 32),
    CHECK (size_bytes >= 0 AND start_byte >= 0)
);
CREATE INDEX content_object ON artifacts.content (object, digest);

INSERT INTO artifacts.content (digest, size_bytes, object, create_time)
SELECT DISTINCT ON (digest) digest, size_bytes,
       'blobs/sha256/' || left(encode(digest, 'hex'), 2) || '/' || encode(digest, 'hex'), create_time
  FROM artifacts.blob
 ORDER BY digest, create_time;

-- When a client was last told that the workspace has the blob: it may rely on that for a while.
ALTER TABLE artifacts.blob ADD COLUMN use_time timestamptz NOT NULL DEFAULT now();
CREATE INDEX blob_digest ON artifacts.blob (digest);

-- Many small blobs in one object. Contents refer to it by its key.
CREATE TABLE artifacts.pack (
    object      text        COLLATE "C" PRIMARY KEY,
    size_bytes  bigint      NOT NULL,  -- of the blobs in it
    create_time timestamptz NOT NULL
);

-- Parts of an upload are sent to `object`, where they become visible when it is completed. Rows of the previous release
-- have none of this.
ALTER TABLE artifacts.upload ALTER COLUMN digest DROP NOT NULL;
ALTER TABLE artifacts.upload ADD COLUMN object text COLLATE "C";
ALTER TABLE artifacts.upload ADD COLUMN parts text;  -- what the bucket calls them
ALTER TABLE artifacts.upload ADD COLUMN part_size_bytes bigint;

-- Objects that nothing refers to, or not yet: noted before they are written, and struck out by what then refers to them.
CREATE TABLE artifacts.garbage (
    object      text        COLLATE "C" PRIMARY KEY,
    parts       text,
    size_bytes  bigint      NOT NULL,
    delete_time timestamptz NOT NULL,
    doomed      boolean     NOT NULL DEFAULT false  -- being deleted: nothing may refer to it any more
);
CREATE INDEX garbage_delete_time ON artifacts.garbage (delete_time);

CREATE TABLE artifacts.snapshot (
    workspace   text        COLLATE "C" NOT NULL,
    snapshot    bytea       NOT NULL,
    file_count  integer     NOT NULL,
    size_bytes  bigint      NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, snapshot),
    CHECK (octet_length(snapshot) = 32)
);

-- A file of a snapshot, or with neither digest nor size an empty folder.
CREATE TABLE artifacts.snapshot_entry (
    workspace  text    COLLATE "C" NOT NULL,
    snapshot   bytea   NOT NULL,
    path       text    COLLATE "C" NOT NULL,
    digest     bytea,
    size_bytes bigint  NOT NULL,
    executable boolean NOT NULL,
    PRIMARY KEY (workspace, snapshot, path)
);
CREATE INDEX snapshot_entry_digest ON artifacts.snapshot_entry (workspace, digest) WHERE digest IS NOT NULL;

-- When garbage was last looked for, so that one of all processes does it.
CREATE TABLE artifacts.collection (
    is_only    boolean     PRIMARY KEY DEFAULT true,
    start_time timestamptz NOT NULL,
    CHECK (is_only)
);
