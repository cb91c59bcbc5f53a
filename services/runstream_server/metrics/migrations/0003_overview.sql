-- What is known of a long chunk without decoding its columns, encoded by metrics/overview_format.py. Null: a short chunk, or one
-- from before there were overviews.
ALTER TABLE metrics.chunk ADD COLUMN overview bytea;
ALTER TABLE metrics.chunk ALTER COLUMN overview SET STORAGE EXTERNAL; -- compressed already

-- When the earliest value of a series was logged, in microseconds since the Unix epoch. Null: there is none, or the first
-- values are from before there was this column.
ALTER TABLE metrics.series ADD COLUMN first_time bigint;
