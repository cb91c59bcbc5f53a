-- For how many seconds log files are kept. NULL: for ever.
ALTER TABLE runs.workspace ADD COLUMN log_retention bigint CHECK (log_retention > 0);
