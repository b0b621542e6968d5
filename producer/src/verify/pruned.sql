-- The event, on its way, of the pruning that took a job.
SELECT id
FROM audit_outbox
WHERE entity = $1 AND period = $2 AND event ->> 'event_type' = 'pruned' AND event -> 'metadata' -> 'jobs' ? $3
LIMIT 1
