INSERT INTO period_locks (entity, period, reason, locked_by)
VALUES ($1, $2, $3, $4)
ON CONFLICT (entity, period) DO NOTHING
