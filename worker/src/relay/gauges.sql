-- Counted up to a bound, along an index. Past it PostgreSQL's own estimate of the table stands for the
-- count, so that a long outage does not make every worker read a long queue again and again.
SELECT CASE WHEN events < $1 THEN events ELSE greatest(events, events_estimated) END
           + CASE WHEN documents < $1 THEN documents ELSE greatest(documents, documents_estimated) END AS outbox_depth,
       coalesce(extract(epoch FROM now() - least(oldest_event, oldest_document)), 0)::bigint AS outbox_oldest_seconds,
       CASE WHEN tasks < $1 THEN tasks ELSE greatest(tasks, tasks_estimated) END AS cache_tasks,
       coalesce(extract(epoch FROM now() - oldest_task), 0)::bigint AS cache_oldest_seconds,
       halted_chains
FROM (
    SELECT (SELECT count(*) FROM (SELECT FROM audit_outbox ORDER BY id LIMIT $1) AS event) AS events,
           (SELECT reltuples::bigint FROM pg_class WHERE oid = 'audit_outbox'::regclass) AS events_estimated,
           -- Events are numbered as they are written, so the first is the oldest, or began within moments of it.
           (SELECT recorded_at FROM audit_outbox ORDER BY id LIMIT 1) AS oldest_event,
           (SELECT count(*) FROM (SELECT FROM metadata_outbox ORDER BY job_id LIMIT $1) AS document) AS documents,
           (SELECT reltuples::bigint FROM pg_class WHERE oid = 'metadata_outbox'::regclass) AS documents_estimated,
           (SELECT recorded_at FROM metadata_outbox ORDER BY recorded_at LIMIT 1) AS oldest_document,
           (SELECT count(*) FROM (SELECT FROM cache_tasks ORDER BY entity, period, job_id LIMIT $1) AS task) AS tasks,
           (SELECT reltuples::bigint FROM pg_class WHERE oid = 'cache_tasks'::regclass) AS tasks_estimated,
           (SELECT recorded_at FROM cache_tasks ORDER BY recorded_at LIMIT 1) AS oldest_task,
           (SELECT count(*)
            FROM (
                SELECT FROM audit_chains WHERE halted_at IS NOT NULL ORDER BY entity, period LIMIT $1
            ) AS chain) AS halted_chains
    OFFSET 0
) AS backlog
