-- What an agent says is not with it any more: who does not renew a lease either is not waited for.

ALTER TABLE jobs.hold ADD COLUMN disown_time timestamptz;
COMMENT ON COLUMN jobs.hold.disown_time IS 'when the agent said that it has no runner of the job; counts if after expire_time';
