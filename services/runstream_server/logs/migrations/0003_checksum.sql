-- The checksum that `content` ends with, once more: so the text of one chunk is never taken for that of another. Null: stored by an
-- earlier version.
ALTER TABLE logs.chunk ADD COLUMN checksum bytea;
