INSERT INTO audit_chains (entity, period)
SELECT entity, period
FROM unnest($1::text[], $2::text[]) AS given (entity, period)
ORDER BY entity, period
ON CONFLICT (entity, period) DO NOTHING
