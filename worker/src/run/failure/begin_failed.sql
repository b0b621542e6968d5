-- $1 to $14: see row.rs.
INSERT INTO ingestion_runs (job_id, batch_id, file, entity, period, source, exported_at, forced_at, body_hash, replays,
    arrival_from, arrival_intake, published_by, broker_user, status, claim)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'running', $15)
ON CONFLICT (job_id) DO NOTHING
