-- A statement of its own after the lock, so that it sees what the lock's last holder committed.
SELECT id, entity, period, event
FROM audit_outbox
WHERE seq IS NULL AND (entity, period) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY id
LIMIT $3
