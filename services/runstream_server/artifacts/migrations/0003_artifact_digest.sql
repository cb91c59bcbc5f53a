-- no-transaction
-- Tells whether a blob is still referred to.
CREATE INDEX CONCURRENTLY IF NOT EXISTS artifact_digest ON artifacts.artifact (workspace, digest);
