-- The chains of the oldest events that have no place yet.
SELECT DISTINCT entity, period
FROM (
    SELECT entity, period
    FROM audit_outbox AS event
    WHERE seq IS NULL
      AND NOT EXISTS (
          SELECT FROM audit_chains AS chain
          WHERE (chain.entity, chain.period) = (event.entity, event.period) AND chain.halted_at IS NOT NULL)
    ORDER BY id
    LIMIT $1
) AS oldest
