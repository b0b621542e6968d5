-- What has been committed and not yet delivered. Halted chains are findings.
SELECT audit.waiting AS audit_events, metadata.waiting AS metadata, cache.waiting AS parquet_files,
       extract(epoch FROM now() - least(audit.oldest, metadata.oldest, cache.oldest))::bigint AS oldest_seconds
FROM (
    SELECT count(*) AS waiting, min(recorded_at) AS oldest
    FROM audit_outbox AS event
    WHERE ($1::text IS NULL OR period = $1)
      AND NOT EXISTS (
          SELECT FROM audit_chains AS chain
          WHERE (chain.entity, chain.period) = (event.entity, event.period) AND chain.halted_at IS NOT NULL)
) AS audit, (
    SELECT count(*) AS waiting, min(recorded_at) AS oldest
    FROM metadata_outbox
    WHERE ($1::text IS NULL OR document->>'period' = $1)
) AS metadata, (
    SELECT count(DISTINCT (entity, period)) AS waiting, min(recorded_at) AS oldest
    FROM cache_tasks
    WHERE ($1::text IS NULL OR period = $1)
) AS cache
