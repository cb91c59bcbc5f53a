-- What callers show to be let in. Of a secret only its SHA-256 is kept: 256 random bits need no slower hash.

CREATE SCHEMA IF NOT EXISTS auth;

CREATE TABLE auth.token (
    token         text COLLATE "C" PRIMARY KEY,
    digest        bytea            NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    role          text             NOT NULL CHECK (role IN ('reader', 'writer', 'admin', 'run', 'operator')),
    workspace     text COLLATE "C" NOT NULL CHECK ((workspace = '') = (role = 'operator')),
    run           text COLLATE "C" NOT NULL CHECK ((run = '') = (role <> 'run')),
    display_name  text             NOT NULL,
    request_id    uuid,
    create_time   timestamptz      NOT NULL,
    expire_time   timestamptz      CHECK (expire_time IS NOT NULL OR role <> 'run'),
    last_use_time timestamptz,
    revoke_time   timestamptz,
    UNIQUE (workspace, request_id)
) WITH (fillfactor = 80);
CREATE INDEX token_time ON auth.token (workspace, create_time, token);
CREATE INDEX token_run ON auth.token (workspace, run) WHERE run <> '';
CREATE INDEX token_expiry ON auth.token (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX token_revocation ON auth.token (revoke_time) WHERE revoke_time IS NOT NULL;
