UPDATE dead_letters
SET state = CASE state WHEN 'replaying' THEN 'replayed' WHEN 'discarding' THEN 'discarded' ELSE 'gone' END,
    settled_at = now(), settled_by = $2
WHERE letter_id = $1 AND state IN ('waiting', 'replaying', 'discarding')
