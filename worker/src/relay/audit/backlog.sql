-- Counted up to a bound, along an index. Past it PostgreSQL's own estimate of the table stands for the
-- count, so that a long outage does not make every worker read a long queue again and again.
SELECT CASE WHEN counted < $1 THEN counted ELSE greatest(counted, estimated) END AS waiting,
       coalesce(extract(epoch FROM now() - oldest), 0)::bigint AS oldest_seconds
FROM (
    SELECT (SELECT count(*) FROM (SELECT FROM audit_outbox ORDER BY id LIMIT $1) AS row) AS counted,
           (SELECT reltuples::bigint FROM pg_class WHERE oid = 'audit_outbox'::regclass) AS estimated,
           -- Events are numbered as they are written, so the first is the oldest, or began within moments of it.
           (SELECT recorded_at FROM audit_outbox ORDER BY id LIMIT 1) AS oldest
    OFFSET 0
) AS backlog
