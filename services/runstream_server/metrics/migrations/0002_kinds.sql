-- What a series consists of, set by what is stored first: 0 nothing yet, 1 values, 2 rows of a table, 3 artifacts.
ALTER TABLE metrics.series
    ADD COLUMN kind smallint NOT NULL DEFAULT 0,
    ADD COLUMN columns text[] NOT NULL DEFAULT '{}', -- of a table, in the order in which they first appeared
    ADD CHECK (kind BETWEEN 0 AND 3),
    ADD CHECK (kind = 2 OR columns = '{}');
UPDATE metrics.series SET kind = 1 WHERE point_count > 0;

-- The columns of a table after more rows came: those it had, then the new ones.
CREATE FUNCTION metrics.joined_columns(known text[], added text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
           WHEN added <@ known THEN known
           ELSE known || ARRAY(SELECT name
                                 FROM unnest(added) WITH ORDINALITY AS each (name, place)
                                WHERE name <> ALL (known)
                                ORDER BY place)
           END
$$;

-- How many series a run has; moved in the transaction that makes them, and by no other.
CREATE TABLE metrics.name_count (
    workspace    text    COLLATE "C" NOT NULL,
    run          text    COLLATE "C" NOT NULL,
    series_count integer NOT NULL,
    PRIMARY KEY (workspace, run),
    CHECK (series_count > 0)
) WITH (fillfactor = 80);
INSERT INTO metrics.name_count (workspace, run, series_count)
SELECT workspace, run, count(*) FROM metrics.series GROUP BY workspace, run;
