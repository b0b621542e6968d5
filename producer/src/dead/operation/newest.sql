SELECT operation.*,
    CASE WHEN ended_at IS NULL AND beat_at < now() - make_interval(secs => $1::bigint) THEN 'silent' ELSE state END AS seen_state
FROM dead_letter_operations AS operation
ORDER BY started_at DESC
LIMIT $2
