-- What is not asked for is null. First by entity, so that these need not be told apart group by group.
WITH by_entity AS (
    SELECT group_id, entity, count(*) AS letters, min(died_at) AS oldest, max(died_at) AS newest,
        count(*) FILTER (WHERE died_at > now() - interval '10 min') AS last_10_minutes,
        count(*) FILTER (WHERE died_at > now() - interval '1 h') AS last_hour
    FROM dead_letters AS letter
    WHERE letter.state IN ('waiting', 'replaying', 'discarding')
      AND ($1::uuid[] IS NULL OR letter.job_id = ANY($1))
      AND ($2::text IS NULL OR letter.entity = $2)
      AND ($3::text IS NULL OR letter.period = $3)
      AND ($4::uuid IS NULL OR letter.batch_id = $4)
      AND ($5::text IS NULL OR letter.code = $5)
      AND ($6::text IS NULL OR letter.source = $6)
      AND ($7::text IS NULL OR letter.group_id = $7)
      AND ($8::timestamptz IS NULL OR letter.died_at < $8)
      AND ($9::timestamptz IS NULL OR letter.died_at > $9)
    GROUP BY group_id, entity
), grouped AS (
    SELECT group_id, sum(letters)::bigint AS letters, count(entity) AS entities,
        coalesce((array_agg(entity ORDER BY letters DESC, entity) FILTER (WHERE entity IS NOT NULL))[:5], '{}') AS some_entities,
        min(oldest) AS oldest, max(newest) AS newest, sum(last_10_minutes)::bigint AS last_10_minutes,
        sum(last_hour)::bigint AS last_hour
    FROM by_entity
    GROUP BY group_id
)
SELECT grouped.*, cause.code, cause.stage, cause.source, cause.cause
FROM grouped
JOIN dead_letter_groups AS cause USING (group_id)
ORDER BY letters DESC, group_id
