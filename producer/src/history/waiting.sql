-- The event on its way: what it says is what MongoDB will hold.
SELECT event -> 'metadata' AS metadata
FROM audit_outbox
WHERE entity = $1 AND period = $2 AND event ->> 'job_id' = $3::uuid::text AND event ->> 'event_type' = 'file_ingested'
LIMIT 1
