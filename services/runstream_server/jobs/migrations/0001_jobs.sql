-- Identifiers and names sort by their bytes: fast, and the same on every machine.

CREATE SCHEMA IF NOT EXISTS jobs;

-- Where jobs execute, besides `local`, which is everywhere.
CREATE TABLE jobs.compute_target (
    workspace      text        COLLATE "C" NOT NULL,
    compute_target text        COLLATE "C" NOT NULL CHECK (compute_target <> 'local'),
    kind           text        COLLATE "C" NOT NULL CHECK (kind IN ('agent_pool', 'kubernetes')),
    description    text        NOT NULL,
    configuration  jsonb       NOT NULL CHECK (jsonb_typeof(configuration) = 'object'),
    create_time    timestamptz NOT NULL,
    PRIMARY KEY (workspace, compute_target)
);

-- Versions of environments, which count from 1 and never change.
CREATE TABLE jobs.environment (
    workspace   text        COLLATE "C" NOT NULL,
    environment text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    definition  bytea       NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, environment, version)
);

-- The execution of a run. `lease` only grows: with each change of who may speak for the job.
CREATE TABLE jobs.job (
    workspace      text        COLLATE "C" NOT NULL,
    run            text        COLLATE "C" NOT NULL,
    compute_target text        COLLATE "C" NOT NULL,
    kind           text        COLLATE "C" NOT NULL CHECK (kind IN ('local', 'agent_pool', 'kubernetes')),
    request_id     uuid        NOT NULL,
    sequence       bigint      GENERATED ALWAYS AS IDENTITY,
    definition     bytea       NOT NULL,
    submission     bytea,
    verdict        jsonb,
    state          text        COLLATE "C" NOT NULL CHECK (
        state IN ('submitting', 'queued', 'offered', 'held', 'requeueing', 'ending', 'ended')),
    priority       integer     NOT NULL,
    slots          integer     NOT NULL CHECK (slots > 0),
    gpus           integer     NOT NULL CHECK (gpus >= 0),
    labels         jsonb       NOT NULL CHECK (jsonb_typeof(labels) = 'object'),
    max_attempts   integer     NOT NULL,
    attempt        integer     NOT NULL DEFAULT 1 CHECK (attempt BETWEEN 1 AND max_attempts),
    lease          bigint      NOT NULL DEFAULT 0 CHECK (lease >= 0),
    agent          text        COLLATE "C" NOT NULL DEFAULT '' CHECK (agent <> '' OR state <> 'offered'),
    holder         text        COLLATE "C" NOT NULL DEFAULT '' CHECK (holder <> '' OR state <> 'held'),
    declined_by    text[]      COLLATE "C" NOT NULL DEFAULT '{}',
    declined_time  timestamptz,
    decline_reason text        NOT NULL DEFAULT '',
    create_time    timestamptz NOT NULL,
    state_time     timestamptz NOT NULL,
    PRIMARY KEY (workspace, run),
    CHECK ((submission IS NOT NULL) = (state = 'submitting')),
    CHECK ((verdict IS NOT NULL) = (state = 'ending'))
);
COMMENT ON COLUMN jobs.job.sequence IS 'the order of submission';
COMMENT ON COLUMN jobs.job.submission IS 'the run to create';
COMMENT ON COLUMN jobs.job.verdict IS 'how the run is to end';
COMMENT ON COLUMN jobs.job.agent IS 'who the job was offered to last';
COMMENT ON COLUMN jobs.job.state_time IS 'when the state was entered, or somebody last tried to leave it';

-- What each index serves: a repeated request; the queue; what an agent has; the reaper.
CREATE UNIQUE INDEX job_request ON jobs.job (workspace, request_id);
CREATE INDEX job_queue ON jobs.job (workspace, compute_target, priority DESC, sequence) WHERE state = 'queued';
CREATE INDEX job_agent ON jobs.job (workspace, compute_target, agent) WHERE state IN ('offered', 'held');
CREATE INDEX job_open ON jobs.job (workspace, compute_target, state) WHERE state <> 'ended';
CREATE INDEX job_unsettled ON jobs.job (state_time) WHERE state IN ('submitting', 'requeueing', 'ending');

-- Until when somebody has to say that he has the job. Apart from the job because it changes all the time; a row is there
-- only while it counts.
CREATE TABLE jobs.hold (
    workspace   text COLLATE "C" NOT NULL,
    run         text COLLATE "C" NOT NULL,
    lease       bigint           NOT NULL,
    expire_time timestamptz      NOT NULL,
    PRIMARY KEY (workspace, run)
) WITH (fillfactor = 80);

-- Machines that offer to execute jobs. `epoch` grows with each connection.
CREATE TABLE jobs.agent (
    workspace      text        COLLATE "C" NOT NULL,
    compute_target text        COLLATE "C" NOT NULL,
    agent          text        COLLATE "C" NOT NULL,
    host           text        NOT NULL,
    labels         jsonb       NOT NULL CHECK (jsonb_typeof(labels) = 'object'),
    slots          integer     NOT NULL CHECK (slots > 0),
    gpus           integer     NOT NULL CHECK (gpus >= 0),
    draining       boolean     NOT NULL,
    connected      boolean     NOT NULL,
    epoch          bigint      NOT NULL,
    last_seen_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, compute_target, agent)
) WITH (fillfactor = 80);

-- When any process last looked after the jobs: time in which none did is not counted against runners.
CREATE TABLE jobs.presence (
    is_only   boolean     PRIMARY KEY DEFAULT true,
    look_time timestamptz NOT NULL,
    CHECK (is_only)
);
