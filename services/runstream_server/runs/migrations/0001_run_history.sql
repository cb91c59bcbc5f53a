-- Identifiers and names sort by their bytes: fast, and the same on every machine.

CREATE SCHEMA IF NOT EXISTS runs;

CREATE TABLE runs.workspace (
    workspace    text COLLATE "C" PRIMARY KEY,
    display_name text COLLATE "C" NOT NULL,
    description  text             NOT NULL,
    tags         jsonb            NOT NULL CHECK (jsonb_typeof(tags) = 'object'),
    create_time  timestamptz      NOT NULL,
    update_time  timestamptz      NOT NULL
);

CREATE TABLE runs.experiment (
    workspace    text COLLATE "C" NOT NULL,
    experiment   text COLLATE "C" NOT NULL,
    display_name text COLLATE "C" NOT NULL,
    description  text             NOT NULL,
    tags         jsonb            NOT NULL CHECK (jsonb_typeof(tags) = 'object'),
    create_time  timestamptz      NOT NULL,
    update_time  timestamptz      NOT NULL,
    archive_time timestamptz,
    PRIMARY KEY (workspace, experiment)
);
CREATE UNIQUE INDEX experiment_active_name ON runs.experiment (workspace, display_name) WHERE archive_time IS NULL;
CREATE INDEX experiment_name ON runs.experiment (workspace, display_name);
CREATE INDEX experiment_time ON runs.experiment (workspace, create_time, experiment);

-- How many top-level runs an experiment has had. Apart from the experiment because it changes all the time. Its row lock
-- hands out numbers without gaps, and keeps an experiment from being deleted under a run that is being created.
CREATE TABLE runs.run_counter (
    workspace  text COLLATE "C" NOT NULL,
    experiment text COLLATE "C" NOT NULL,
    last       bigint           NOT NULL,
    PRIMARY KEY (workspace, experiment)
) WITH (fillfactor = 50);

CREATE TABLE runs.run (
    workspace           text COLLATE "C" NOT NULL,
    run                 text COLLATE "C" NOT NULL,
    experiment          text COLLATE "C" NOT NULL,
    parent              text COLLATE "C",
    root                text COLLATE "C" NOT NULL,
    number              bigint           NOT NULL CHECK ((parent IS NULL) = (number > 0)),
    run_type            text COLLATE "C" NOT NULL,
    display_name        text COLLATE "C" NOT NULL,
    description         text COLLATE "C" NOT NULL,
    status              text COLLATE "C" NOT NULL CHECK (status IN (
        'NotStarted', 'Unapproved', 'Pausing', 'Paused', 'Starting', 'Preparing', 'Provisioning', 'Queued', 'Running',
        'Finalizing', 'CancelRequested', 'Completed', 'Failed', 'Canceled', 'NotResponding')),
    tags                jsonb            NOT NULL CHECK (jsonb_typeof(tags) = 'object'),
    properties          jsonb            NOT NULL CHECK (jsonb_typeof(properties) = 'object'),
    create_time         timestamptz      NOT NULL,
    start_time          timestamptz      CHECK (status <> 'Running' OR start_time IS NOT NULL),
    end_time            timestamptz      CHECK ((end_time IS NOT NULL) = (status IN ('Completed', 'Failed', 'Canceled'))),
    update_time         timestamptz      NOT NULL,
    heartbeat_enabled   boolean          NOT NULL,
    error               jsonb,
    warnings            jsonb            NOT NULL DEFAULT '[]',
    creator             text COLLATE "C" NOT NULL,
    target              text COLLATE "C" NOT NULL,
    service_managed     boolean          NOT NULL,
    max_run_duration    interval,
    deadline            timestamptz,
    cancel_request_time timestamptz,
    hidden              boolean          NOT NULL,
    delete_time         timestamptz,
    script_name         text COLLATE "C" NOT NULL,
    label               text COLLATE "C" NOT NULL,
    status_history      jsonb            NOT NULL,
    change_xid          xid8             NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (workspace, run)
);
COMMENT ON COLUMN runs.run.deadline IS 'when max_run_duration has passed; absent before the start and once the run stops';
COMMENT ON COLUMN runs.run.change_xid IS 'the transaction that last changed the row; what watches read by';

-- What each index serves: newest first in a workspace, in an experiment, of a status, among the children of a run; tags;
-- watches; the reaper. `parent` at the end lets a walk pass over children without reading their rows.
CREATE INDEX run_time ON runs.run (workspace, create_time, run, parent);
CREATE INDEX run_experiment ON runs.run (workspace, experiment, create_time, run, parent);
CREATE INDEX run_status ON runs.run (workspace, status, create_time, run);
CREATE INDEX run_parent ON runs.run (workspace, parent, create_time, run) WHERE parent IS NOT NULL;
CREATE INDEX run_tags ON runs.run USING gin (tags) WITH (gin_pending_list_limit = 512) WHERE tags <> '{}';
CREATE INDEX run_change ON runs.run (workspace, change_xid, run);
CREATE INDEX run_deadline ON runs.run (deadline) WHERE deadline IS NOT NULL;

-- When a running run with heartbeats gave its last one. A row is there only while it counts: while the run is Running.
CREATE TABLE runs.heartbeat (
    workspace text COLLATE "C" NOT NULL,
    run       text COLLATE "C" NOT NULL,
    time      timestamptz      NOT NULL,
    PRIMARY KEY (workspace, run)
) WITH (fillfactor = 80);

-- What is known of each metric. `experiment` and `create_time` are those of the run, which never change.
CREATE TABLE runs.metric_summary (
    workspace   text COLLATE "C" NOT NULL,
    run         text COLLATE "C" NOT NULL,
    metric      text COLLATE "C" NOT NULL,
    experiment  text COLLATE "C" NOT NULL,
    create_time timestamptz      NOT NULL,
    last        float8,
    min         float8           CHECK (min <> 'NaN'),
    max         float8           CHECK (max <> 'NaN'),
    count       bigint           NOT NULL,
    revision    bigint           NOT NULL,
    PRIMARY KEY (workspace, run, metric)
);

-- One per statistic that listings order by. `experiment` at the end lets a walk pass over other experiments.
CREATE INDEX metric_summary_last
    ON runs.metric_summary (workspace, metric, (nullif(last, 'NaN')), create_time, run, experiment);
CREATE INDEX metric_summary_min ON runs.metric_summary (workspace, metric, min, create_time, run, experiment);
CREATE INDEX metric_summary_max ON runs.metric_summary (workspace, metric, max, create_time, run, experiment);

-- What a request with a request id has made, so that a repeated one makes nothing. Pruned after a day.
CREATE TABLE runs.request (
    workspace   text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('workspace', 'experiment', 'run', 'batch')),
    request_id  uuid             NOT NULL,
    made        text[]           NOT NULL,
    create_time timestamptz      NOT NULL,
    PRIMARY KEY (workspace, kind, request_id)
);
CREATE INDEX request_time ON runs.request USING brin (create_time);
COMMENT ON COLUMN runs.request.made IS 'identifiers of what was made, in the order of the request';

-- Signs page tokens and resume tokens, for all replicas and across restarts.
CREATE TABLE runs.signing_key (
    key bytea NOT NULL
);
INSERT INTO runs.signing_key (key) SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
