-- Only new columns without a default, whatever the size of the tables. They are locked in the order in which a
-- job uses them, for as long as the longest job that is at work takes to end.

-- The same for the newest export that a slice has seen: see below.
ALTER TABLE slices ADD COLUMN newest_arrival_from timestamptz, ADD COLUMN newest_arrival_intake uuid;

-- Which claim wrote the end, so that a worker can tell its own commit from another's.
ALTER TABLE ingestion_runs ADD COLUMN ended_claim uuid;

-- A job whose message has no time stands at its first delivery. That was between arrival_from and
-- exported_at by PostgreSQL's clock; deliveries of one intake are in their order.
ALTER TABLE ingestion_runs ADD COLUMN arrival_from timestamptz, ADD COLUMN arrival_intake uuid;
COMMENT ON COLUMN ingestion_runs.arrival_from IS 'null where the message says when it was exported';
