SELECT id, entity, period, event, seq, prev_hash, hash
FROM audit_outbox AS event
WHERE seq IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM audit_chains AS chain
      WHERE (chain.entity, chain.period) = (event.entity, event.period) AND chain.halted_at IS NOT NULL)
ORDER BY id
LIMIT $1
FOR UPDATE OF event SKIP LOCKED
