-- Which Jobs of a cluster are ours: those that bear the name of this installation.
CREATE TABLE jobs.installation (
    is_only      boolean PRIMARY KEY DEFAULT true,
    installation uuid    NOT NULL DEFAULT gen_random_uuid(),
    CHECK (is_only)
);
INSERT INTO jobs.installation DEFAULT VALUES;

-- Attempts of runs that were given to a cluster, from before their Job is made until it needs no looking after.
CREATE TABLE jobs.assignment (
    workspace   text        COLLATE "C" NOT NULL,
    run         text        COLLATE "C" NOT NULL,
    attempt     integer     NOT NULL CHECK (attempt > 0),
    lease       bigint      NOT NULL,
    cluster     text        COLLATE "C" NOT NULL,
    namespace   text        COLLATE "C" NOT NULL CHECK (namespace <> ''),
    name        text        COLLATE "C" NOT NULL,
    uid         text        COLLATE "C" NOT NULL DEFAULT '',
    message     text        NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, run, attempt)
);
COMMENT ON COLUMN jobs.assignment.lease IS 'with which the runner claims the job';
COMMENT ON COLUMN jobs.assignment.uid IS 'of the Job; empty: something of it has yet to be made';
CREATE INDEX assignment_place ON jobs.assignment (cluster, namespace);

-- Who looks after the Jobs of a place. `epoch` grows with each change of hands.
CREATE TABLE jobs.lead (
    cluster     text        COLLATE "C" NOT NULL,
    namespace   text        COLLATE "C" NOT NULL,
    holder      uuid        NOT NULL,
    epoch       bigint      NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (cluster, namespace)
) WITH (fillfactor = 80);
