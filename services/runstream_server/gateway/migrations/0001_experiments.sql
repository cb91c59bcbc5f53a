CREATE SCHEMA IF NOT EXISTS gateway;

CREATE TABLE gateway.experiment (
    workspace         text   COLLATE "C" NOT NULL,
    experiment        text   COLLATE "C" NOT NULL,
    number            bigint NOT NULL, -- what clients of MLflow call it; never used twice
    name              text   COLLATE "C", -- what they know it as, where the run history has to call it otherwise
    artifact_location text   NOT NULL DEFAULT '',
    PRIMARY KEY (workspace, experiment),
    UNIQUE (workspace, number),
    UNIQUE (workspace, name),
    CHECK (number >= 0)
);

CREATE TABLE gateway.experiment_count (
    workspace   text   COLLATE "C" PRIMARY KEY,
    last_number bigint NOT NULL,
    CHECK (last_number > 0)
) WITH (fillfactor = 80);
