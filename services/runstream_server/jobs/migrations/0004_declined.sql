-- How often a job was declined since it was last claimed: agents that declined it are asked again later each time.

ALTER TABLE jobs.job ADD COLUMN declines integer NOT NULL DEFAULT 0;
