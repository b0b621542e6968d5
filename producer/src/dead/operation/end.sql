UPDATE dead_letter_operations
SET state = $2, total = $3, done = $4, held_back = $5, note = coalesce($6, note), beat_at = now(), ended_at = now()
WHERE operation_id = $1
