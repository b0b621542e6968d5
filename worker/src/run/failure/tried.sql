-- The attempts of earlier rounds go: their letters have them.
UPDATE ingestion_runs
SET tries = coalesce((SELECT jsonb_agg(tried) FROM jsonb_array_elements(tries) AS tried
                      WHERE tried -> 'round' = to_jsonb($3::integer)), '[]') || $4::jsonb
WHERE job_id = $1 AND body_hash = $2
