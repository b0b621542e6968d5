-- What of a slice or chain has waited for longer than so many seconds for the cache, for the audit trail and for
-- gl_metadata.
SELECT cache.waiting AS files, cache.seconds AS files_seconds,
       audit.waiting AS events, audit.seconds AS events_seconds,
       metadata.waiting AS documents, metadata.seconds AS documents_seconds
FROM (
    SELECT count(*) AS waiting, extract(epoch FROM now() - min(recorded_at))::bigint AS seconds
    FROM cache_tasks
    WHERE entity = $1 AND period = $2 AND recorded_at < now() - make_interval(secs => $3::bigint)
) AS cache, (
    SELECT count(*) AS waiting, extract(epoch FROM now() - min(recorded_at))::bigint AS seconds
    FROM audit_outbox
    WHERE entity = $1 AND period = $2 AND recorded_at < now() - make_interval(secs => $3::bigint)
) AS audit, (
    SELECT count(*) AS waiting, extract(epoch FROM now() - min(recorded_at))::bigint AS seconds
    FROM metadata_outbox
    WHERE document->>'entity' = $1 AND document->>'period' = $2
      AND recorded_at < now() - make_interval(secs => $3::bigint)
) AS metadata
