-- Whose registry is kept here: that of the workspace which was made then. Another one of the same name, made once that
-- one was deleted, begins with an empty registry.
CREATE TABLE gateway.registry (
    workspace   text        COLLATE "C" PRIMARY KEY,
    create_time timestamptz NOT NULL
);
