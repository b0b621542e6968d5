-- A statement of its own after the lock, so that it sees what the lock's last holder committed. Chain by
-- chain, each from its oldest event on, whatever is left out.
SELECT event.id, event.entity, event.period, event.event
FROM unnest($1::text[], $2::text[]) AS given (entity, period)
CROSS JOIN LATERAL (
    SELECT id, entity, period, event
    FROM audit_outbox AS waiting
    WHERE waiting.seq IS NULL AND waiting.entity = given.entity AND waiting.period = given.period
    ORDER BY waiting.entity, waiting.period, id
    LIMIT $3
) AS event
LIMIT $3
