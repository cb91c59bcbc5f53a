-- Of a series the number at its greatest step among its first `point_count` values, remembered by who reads or seals it: values
-- never change, so this stays true of them, and only those after them are looked at. No row: nothing is remembered.
CREATE TABLE metrics.latest_value (
    workspace   text   COLLATE "C" NOT NULL,
    run         text   COLLATE "C" NOT NULL,
    series      bigint NOT NULL,
    point_count bigint NOT NULL,
    step        bigint NOT NULL,
    time        bigint NOT NULL, -- in microseconds since the Unix epoch
    value       double precision NOT NULL,
    PRIMARY KEY (workspace, run, series),
    CHECK (point_count > 0)
) WITH (fillfactor = 80);
