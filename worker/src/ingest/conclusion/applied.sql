-- The export that the slice's rows come from, and the newest that it has seen, which never falls.
INSERT INTO slices (entity, period, job_id, fingerprint, source, mapping_hash, mode, newest_at, newest_fingerprint,
    newest_arrival_from, newest_arrival_intake)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9, $10)
ON CONFLICT (entity, period) DO UPDATE SET job_id = excluded.job_id, fingerprint = excluded.fingerprint,
    source = excluded.source, mapping_hash = excluded.mapping_hash, mode = excluded.mode,
    newest_at = greatest(slices.newest_at, excluded.newest_at),
    newest_fingerprint = CASE WHEN slices.newest_at < excluded.newest_at THEN excluded.newest_fingerprint
        ELSE slices.newest_fingerprint END,
    newest_arrival_from = CASE WHEN slices.newest_at < excluded.newest_at THEN excluded.newest_arrival_from
        ELSE slices.newest_arrival_from END,
    newest_arrival_intake = CASE WHEN slices.newest_at < excluded.newest_at THEN excluded.newest_arrival_intake
        ELSE slices.newest_arrival_intake END
