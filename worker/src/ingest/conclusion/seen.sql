INSERT INTO slices (entity, period, newest_at, newest_fingerprint, newest_arrival_from, newest_arrival_intake)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (entity, period) DO UPDATE SET newest_at = excluded.newest_at, newest_fingerprint = excluded.newest_fingerprint,
    newest_arrival_from = excluded.newest_arrival_from, newest_arrival_intake = excluded.newest_arrival_intake
WHERE slices.newest_at < excluded.newest_at
