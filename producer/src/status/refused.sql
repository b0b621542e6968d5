-- Messages of a batch that never became jobs and wait among the dead letters, counted up to a bound.
SELECT count(*) AS refused
FROM (
    SELECT
    FROM dead_letters AS letter
    WHERE letter.batch_id = $1 AND letter.state IN ('waiting', 'replaying', 'discarding')
      AND NOT EXISTS (SELECT FROM ingestion_runs AS run WHERE run.job_id = letter.job_id)
    ORDER BY letter.place
    LIMIT $2
) AS counted
