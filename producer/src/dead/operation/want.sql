-- Whoever cancels an operation has the last word.
UPDATE dead_letter_operations
SET wanted = $2, wanted_by = $3
WHERE operation_id = $1 AND ended_at IS NULL AND wanted <> 'cancel'
