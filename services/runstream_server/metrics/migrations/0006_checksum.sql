-- The checksum that `columns` end with, once more: so the columns of one chunk are never taken for those of another. Null: stored
-- by an earlier version.
ALTER TABLE metrics.chunk ADD COLUMN checksum bytea;
