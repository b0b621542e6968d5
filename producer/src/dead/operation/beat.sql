UPDATE dead_letter_operations
SET total = $2, done = $3, held_back = $4, note = coalesce($5, note), beat_at = now(),
    state = CASE WHEN wanted = 'pause' THEN 'paused' ELSE 'running' END
WHERE operation_id = $1
RETURNING wanted
