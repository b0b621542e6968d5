SELECT entity, period, reason, locked_by, locked_at
FROM period_locks
ORDER BY period DESC, entity <> '*', entity
