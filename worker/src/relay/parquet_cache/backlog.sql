-- Counted up to a bound, along an index. Past it PostgreSQL's own estimate of the table stands for the
-- count, so that a long outage does not make every worker read a long queue again and again.
SELECT CASE WHEN counted < $1 THEN counted ELSE greatest(counted, estimated) END AS waiting,
       coalesce(extract(epoch FROM now() - oldest), 0)::bigint AS oldest_seconds
FROM (
    SELECT (SELECT count(*) FROM (SELECT FROM cache_tasks ORDER BY entity, period, job_id LIMIT $1) AS row) AS counted,
           (SELECT reltuples::bigint FROM pg_class WHERE oid = 'cache_tasks'::regclass) AS estimated,
           (SELECT recorded_at FROM cache_tasks ORDER BY recorded_at LIMIT 1) AS oldest
    OFFSET 0
) AS backlog
