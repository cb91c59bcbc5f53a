CREATE TABLE gateway.dataset (
    dataset     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace   text COLLATE "C" NOT NULL,
    experiment  text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    digest      text COLLATE "C" NOT NULL,
    source_type text NOT NULL,
    source      text NOT NULL,
    schema      text,
    profile     text,
    UNIQUE (workspace, experiment, name, digest) -- what is told of it first stays
);

CREATE TABLE gateway.dataset_input (
    workspace text   COLLATE "C" NOT NULL,
    run       text   COLLATE "C" NOT NULL,
    dataset   bigint NOT NULL REFERENCES gateway.dataset,
    position  bigint GENERATED ALWAYS AS IDENTITY, -- in the order in which they were told
    tags      jsonb  NOT NULL, -- texts by key
    PRIMARY KEY (workspace, run, dataset)
);

CREATE TABLE gateway.model_input (
    workspace text   COLLATE "C" NOT NULL,
    run       text   COLLATE "C" NOT NULL,
    model     text   COLLATE "C" NOT NULL,
    position  bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (workspace, run, model)
);

CREATE TABLE gateway.model_output (
    workspace text   COLLATE "C" NOT NULL,
    run       text   COLLATE "C" NOT NULL,
    model     text   COLLATE "C" NOT NULL,
    step      bigint NOT NULL,
    position  bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (workspace, run, model)
);
