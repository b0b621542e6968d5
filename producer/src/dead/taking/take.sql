UPDATE dead_letters
SET state = $2, operation_id = $3
WHERE letter_id = ANY($1)
