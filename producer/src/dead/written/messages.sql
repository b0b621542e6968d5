-- What is not asked for is null.
SELECT letter.place, letter.letter_id, letter.job_id, letter.batch_id, letter.entity, letter.period, letter.source, letter.file,
    letter.fingerprint, letter.group_id, letter.code, letter.stage, letter.message, letter.bad_rows_total, letter.attempts,
    letter.replays, letter.worker, letter.first_failed_at, letter.died_at, letter.withheld, letter.malformed, letter.copies,
    letter.state,
    CASE WHEN slice.newest_at > run.exported_at AND run.forced_at IS NULL THEN slice.newest_at END AS newer_export_at,
    letter.body, letter.properties, letter.headers
FROM (
    SELECT *
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
) AS letter
LEFT JOIN ingestion_runs AS run ON run.job_id = letter.job_id
LEFT JOIN slices AS slice ON slice.entity = letter.entity AND slice.period = letter.period
ORDER BY letter.place
