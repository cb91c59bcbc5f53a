-- Times are milliseconds since the Unix epoch, as clients of MLflow have them.

CREATE TABLE gateway.logged_model (
    workspace         text    COLLATE "C" NOT NULL,
    model_id          text    COLLATE "C" NOT NULL,
    experiment_number bigint  NOT NULL,
    run               text    COLLATE "C" NOT NULL, -- has the files; who reaches it reaches the model
    has_source_run    boolean NOT NULL, -- whether that run logged it; else it is there for the model alone
    name              text    NOT NULL,
    model_type        text    NOT NULL,
    status            text    NOT NULL,
    create_ms         bigint  NOT NULL,
    update_ms         bigint  NOT NULL,
    delete_ms         bigint,
    PRIMARY KEY (workspace, model_id),
    CHECK (status IN ('LOGGED_MODEL_PENDING', 'LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED'))
);

CREATE INDEX logged_model_experiment ON gateway.logged_model (workspace, experiment_number, model_id)
    WHERE delete_ms IS NULL;

CREATE INDEX logged_model_run ON gateway.logged_model (workspace, run);

CREATE TABLE gateway.logged_model_tag (
    workspace text COLLATE "C" NOT NULL,
    model_id  text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    value     text NOT NULL,
    PRIMARY KEY (workspace, model_id, key)
);

CREATE TABLE gateway.logged_model_param (
    workspace text COLLATE "C" NOT NULL,
    model_id  text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    value     text NOT NULL,
    PRIMARY KEY (workspace, model_id, key)
);

CREATE TABLE gateway.logged_model_metric (
    workspace      text   COLLATE "C" NOT NULL,
    model_id       text   COLLATE "C" NOT NULL,
    key            text   COLLATE "C" NOT NULL,
    dataset_name   text   COLLATE "C" NOT NULL, -- empty: of no dataset
    dataset_digest text   COLLATE "C" NOT NULL,
    run            text   COLLATE "C" NOT NULL, -- that logged this value
    value          double precision NOT NULL,
    step           bigint NOT NULL,
    time_ms        bigint NOT NULL,
    PRIMARY KEY (workspace, model_id, key, dataset_name, dataset_digest)
) WITH (fillfactor = 80);
