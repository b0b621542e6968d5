SELECT letter_id, job_id, entity, period, code, state, recorded_at
FROM dead_letters
WHERE state IN ('waiting', 'replaying', 'discarding')
ORDER BY place
