-- All of them, as one statement sees them: an anchor without some would let those be rewritten.
SELECT entity, period, seq, hash, statement_timestamp() AS now
FROM audit_chains
WHERE seq > 0
ORDER BY entity COLLATE "C", period COLLATE "C"
