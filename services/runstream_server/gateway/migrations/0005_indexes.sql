-- The latest version in a stage, and requests without an answer, are found however many versions a name has.
CREATE INDEX model_version_stage ON gateway.model_version (workspace, name, stage, version);
CREATE INDEX model_version_request ON gateway.model_version (workspace, name, request) WHERE request IS NOT NULL;

-- Clients look for a model of a name whenever they download a folder.
CREATE INDEX logged_model_name ON gateway.logged_model (workspace, experiment_number, name) WHERE delete_ms IS NULL;
