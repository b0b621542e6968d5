SELECT event.entity, event.period, event.hash
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS given (entity, period, seq)
JOIN audit_outbox AS event ON event.entity = given.entity AND event.period = given.period AND event.seq = given.seq
WHERE event.hash IS NOT NULL
