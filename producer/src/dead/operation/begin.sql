INSERT INTO dead_letter_operations (operation_id, act, actor, selected, reason, state)
VALUES ($1, $2, $3, $4, $5, 'running')
