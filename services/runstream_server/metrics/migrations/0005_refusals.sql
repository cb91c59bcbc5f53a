-- How many values sent to a run were refused, by reason. Counted in the transaction that moves the position of their writer.
CREATE TABLE metrics.refusal (
    workspace   text   COLLATE "C" NOT NULL,
    run         text   COLLATE "C" NOT NULL,
    reason      text   COLLATE "C" NOT NULL,
    message     text   NOT NULL, -- of the last time
    value_count bigint NOT NULL,
    PRIMARY KEY (workspace, run, reason),
    CHECK (value_count >= 0)
) WITH (fillfactor = 80);

-- The same by metric, of the first 100 metrics of each reason. Changed under the lock of the row of the reason.
CREATE TABLE metrics.refused_metric (
    workspace   text   COLLATE "C" NOT NULL,
    run         text   COLLATE "C" NOT NULL,
    reason      text   COLLATE "C" NOT NULL,
    metric      text   COLLATE "C" NOT NULL,
    value_count bigint NOT NULL,
    PRIMARY KEY (workspace, run, reason, metric),
    CHECK (value_count >= 0)
) WITH (fillfactor = 80);
