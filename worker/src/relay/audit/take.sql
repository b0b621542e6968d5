-- Chain by chain, each in the order of its places. A chain can have been halted since it was found.
SELECT event.id, event.entity, event.period, event.event, event.seq, event.prev_hash, event.hash
FROM unnest($1::text[], $2::text[]) AS given (entity, period)
CROSS JOIN LATERAL (
    SELECT id, entity, period, event, seq, prev_hash, hash
    FROM audit_outbox AS placed
    WHERE placed.seq IS NOT NULL AND placed.entity = given.entity AND placed.period = given.period
    ORDER BY seq
    LIMIT $3
    FOR UPDATE SKIP LOCKED
) AS event
WHERE NOT EXISTS (
    SELECT FROM audit_chains AS head
    WHERE head.entity = given.entity AND head.period = given.period AND head.halted_at IS NOT NULL)
LIMIT $3
