INSERT INTO slices (entity, period, newest_at, newest_fingerprint)
VALUES ($1, $2, $3, $4)
ON CONFLICT (entity, period) DO UPDATE SET newest_at = excluded.newest_at, newest_fingerprint = excluded.newest_fingerprint
WHERE slices.newest_at < excluded.newest_at
