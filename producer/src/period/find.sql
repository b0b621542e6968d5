SELECT entity, period, reason, locked_by, locked_at
FROM period_locks
WHERE period = $1 AND entity IN ($2, '*')
ORDER BY entity <> '*', entity
