-- Only new columns without a default: each statement locks its table for a moment, whatever its size.

-- Which claim wrote the end, so that a worker can tell its own commit from another's.
ALTER TABLE ingestion_runs ADD COLUMN ended_claim uuid;

-- A job whose message has no time stands at its first delivery. That was between arrival_from and
-- exported_at by PostgreSQL's clock; deliveries of one intake are in their order.
ALTER TABLE ingestion_runs ADD COLUMN arrival_from timestamptz, ADD COLUMN arrival_intake uuid;
ALTER TABLE slices ADD COLUMN newest_arrival_from timestamptz, ADD COLUMN newest_arrival_intake uuid;
COMMENT ON COLUMN ingestion_runs.arrival_from IS 'null where the message says when it was exported';
