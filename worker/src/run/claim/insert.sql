INSERT INTO ingestion_runs (job_id, batch_id, file, entity, period, source, exported_at, forced_at, status, body_hash, replays, claim, claimed_by, alone,
    arrival_from, arrival_intake, published_by, broker_user)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (job_id) DO NOTHING
