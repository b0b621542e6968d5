UPDATE audit_outbox AS event
SET seq = given.seq, prev_hash = given.prev_hash, hash = given.hash
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS given (id, seq, prev_hash, hash)
WHERE event.id = given.id
