SELECT id, event, seq, prev_hash, hash
FROM audit_outbox
WHERE entity = $1 AND period = $2
ORDER BY id
