-- Walks from chain to chain, after the given one, along those with events that have their place: each
-- is one look-up, however many events it has, and however many of a halted one stand still.
WITH RECURSIVE chain AS (
    (SELECT entity, period, 1::bigint AS step
     FROM audit_outbox
     WHERE seq IS NOT NULL AND (entity, period) > ($1, $2)
     ORDER BY entity, period
     LIMIT 1)
    UNION ALL
    SELECT next.entity, next.period, chain.step + 1
    FROM chain
    CROSS JOIN LATERAL (
        SELECT entity, period
        FROM audit_outbox AS event
        WHERE event.seq IS NOT NULL AND (event.entity, event.period) > (chain.entity, chain.period)
        ORDER BY entity, period
        LIMIT 1
    ) AS next
    WHERE chain.step < $3
)
SELECT entity, period,
       EXISTS (
           SELECT FROM audit_chains AS head
           WHERE head.entity = chain.entity AND head.period = chain.period AND head.halted_at IS NOT NULL) AS is_halted
FROM chain
