-- Slices after the given one whose tasks have been left standing.
SELECT DISTINCT entity, period
FROM cache_tasks
WHERE recorded_at < now() - interval '5 seconds' AND (entity, period) > ($1, $2)
ORDER BY entity, period
LIMIT $3
