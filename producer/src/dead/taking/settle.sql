UPDATE dead_letters AS letter
SET state = $3, settled_at = now(), settled_by = $4, reason = $5, new_job_id = given.new_job_id
FROM unnest($1::uuid[], $2::uuid[]) AS given (letter_id, new_job_id)
WHERE letter.letter_id = given.letter_id
