-- The events of a job that are on their way to MongoDB, in their order; by the plain id PostgreSQL might walk
-- through those of all slices.
SELECT event, seq
FROM audit_outbox
WHERE entity = $1 AND period = $2 AND event ->> 'job_id' = $3::uuid::text
ORDER BY id + 0
LIMIT $4
