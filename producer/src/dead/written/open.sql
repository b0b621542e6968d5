SELECT count(*) AS letters, coalesce(sum(copies), 0)::bigint AS messages
FROM dead_letters
WHERE state IN ('waiting', 'replaying', 'discarding')
