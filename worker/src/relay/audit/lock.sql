SELECT entity, period, seq, hash
FROM audit_chains
WHERE (entity, period) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND halted_at IS NULL
ORDER BY entity, period
FOR UPDATE SKIP LOCKED
