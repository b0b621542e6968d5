INSERT INTO audit_outbox (entity, period, event, once)
SELECT entity, period, event, once
FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[]) WITH ORDINALITY AS given (entity, period, event, once, place)
ORDER BY place
ON CONFLICT (once) DO NOTHING
