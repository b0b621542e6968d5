SELECT audit.waiting + metadata.waiting AS outbox_depth,
       coalesce(extract(epoch FROM now() - least(audit.oldest, metadata.oldest)), 0)::bigint AS outbox_oldest_seconds,
       cache.waiting AS cache_tasks,
       coalesce(extract(epoch FROM now() - cache.oldest), 0)::bigint AS cache_oldest_seconds,
       (SELECT count(*) FROM audit_chains WHERE halted_at IS NOT NULL) AS halted_chains
FROM (SELECT count(*) AS waiting, min(recorded_at) AS oldest FROM audit_outbox) AS audit,
     (SELECT count(*) AS waiting, min(recorded_at) AS oldest FROM metadata_outbox) AS metadata,
     (SELECT count(*) AS waiting, min(recorded_at) AS oldest FROM cache_tasks) AS cache
