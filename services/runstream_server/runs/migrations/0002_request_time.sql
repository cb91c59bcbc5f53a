-- Ranges of a BRIN index never narrow again once their pages are reused: each pruning would read the whole table.
DROP INDEX runs.request_time;
CREATE INDEX request_time ON runs.request (create_time);
COMMENT ON TABLE runs.request IS 'kept for two days';
