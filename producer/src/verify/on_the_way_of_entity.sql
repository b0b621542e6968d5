-- What has been committed and not yet delivered of one entity. Halted chains are findings.
SELECT audit.waiting AS audit_events, metadata.waiting AS metadata, cache.waiting AS parquet_files,
       extract(epoch FROM now() - least(audit.oldest, metadata.oldest, cache.oldest))::bigint AS oldest_seconds
FROM (
    SELECT count(*) AS waiting, min(recorded_at) AS oldest
    FROM audit_outbox AS event
    WHERE entity = $1 AND ($2::text IS NULL OR period = $2)
      AND NOT EXISTS (
          SELECT FROM audit_chains AS chain
          WHERE (chain.entity, chain.period) = (event.entity, event.period) AND chain.halted_at IS NOT NULL)
) AS audit, (
    SELECT count(*) AS waiting, min(recorded_at) AS oldest
    FROM metadata_outbox
    WHERE document->>'entity' = $1 AND ($2::text IS NULL OR document->>'period' = $2)
) AS metadata, (
    SELECT count(DISTINCT (entity, period)) AS waiting, min(recorded_at) AS oldest
    FROM cache_tasks
    WHERE entity = $1 AND ($2::text IS NULL OR period = $2)
) AS cache
