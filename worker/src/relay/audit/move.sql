UPDATE audit_chains AS chain
SET seq = given.seq, hash = given.hash
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS given (entity, period, seq, hash)
WHERE (chain.entity, chain.period) = (given.entity, given.period) AND chain.seq <> given.seq
