-- Times are milliseconds since the Unix epoch, as clients of MLflow have them.

CREATE TABLE gateway.registered_model (
    workspace   text   COLLATE "C" NOT NULL,
    name        text   COLLATE "C" NOT NULL,
    description text   NOT NULL,
    create_ms   bigint NOT NULL,
    update_ms   bigint NOT NULL,
    PRIMARY KEY (workspace, name)
);

-- Outlives the models: what a version of a name once meant it never means anything else.
CREATE TABLE gateway.registered_model_count (
    workspace    text    COLLATE "C" NOT NULL,
    name         text    COLLATE "C" NOT NULL,
    last_version integer NOT NULL,
    PRIMARY KEY (workspace, name),
    CHECK (last_version > 0)
) WITH (fillfactor = 80);

CREATE TABLE gateway.registered_model_tag (
    workspace text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    value     text NOT NULL,
    PRIMARY KEY (workspace, name, key),
    FOREIGN KEY (workspace, name) REFERENCES gateway.registered_model ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE gateway.model_version (
    workspace   text    COLLATE "C" NOT NULL,
    name        text    COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    description text    NOT NULL,
    create_ms   bigint  NOT NULL,
    update_ms   bigint  NOT NULL,
    stage       text    NOT NULL,
    source      text    NOT NULL, -- as it was said at creation
    storage     text    NOT NULL, -- where the files are: what the source meant at creation
    run         text    COLLATE "C" NOT NULL, -- empty: none was named
    run_link    text    NOT NULL,
    model       text    COLLATE "C" NOT NULL, -- the logged model; empty: none was named
    request     bytea, -- a digest of the request that made it, until it is certain that this one had no other outcome
    maker       text    NOT NULL, -- the process that handled the request
    PRIMARY KEY (workspace, name, version),
    FOREIGN KEY (workspace, name) REFERENCES gateway.registered_model ON UPDATE CASCADE ON DELETE CASCADE,
    CHECK (version > 0),
    CHECK (stage IN ('None', 'Staging', 'Production', 'Archived'))
);

CREATE INDEX model_version_run ON gateway.model_version (workspace, run) WHERE run <> '';

CREATE TABLE gateway.model_version_tag (
    workspace text    COLLATE "C" NOT NULL,
    name      text    COLLATE "C" NOT NULL,
    version   integer NOT NULL,
    key       text    COLLATE "C" NOT NULL,
    value     text    NOT NULL,
    PRIMARY KEY (workspace, name, version, key),
    FOREIGN KEY (workspace, name, version) REFERENCES gateway.model_version ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE gateway.model_alias (
    workspace text    COLLATE "C" NOT NULL,
    name      text    COLLATE "C" NOT NULL,
    alias     text    COLLATE "C" NOT NULL,
    version   integer NOT NULL,
    PRIMARY KEY (workspace, name, alias),
    FOREIGN KEY (workspace, name, version) REFERENCES gateway.model_version ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE INDEX model_alias_version ON gateway.model_alias (workspace, name, version);
