SELECT letter.place, letter.letter_id, letter.job_id, letter.batch_id, letter.entity, letter.period, letter.source, letter.file,
    letter.fingerprint, letter.group_id, letter.code, letter.stage, letter.message, letter.bad_rows_total, letter.attempts,
    letter.replays, letter.worker, letter.first_failed_at, letter.died_at, letter.withheld, letter.malformed, letter.copies,
    letter.state,
    CASE WHEN slice.newest_at > run.exported_at AND run.forced_at IS NULL THEN slice.newest_at END AS newer_export_at,
    letter.bad_rows, letter.tries, letter.properties, letter.headers, letter.body, letter.settled_at, letter.settled_by,
    letter.reason, letter.new_job_id
FROM dead_letters AS letter
LEFT JOIN ingestion_runs AS run ON run.job_id = letter.job_id
LEFT JOIN slices AS slice ON slice.entity = letter.entity AND slice.period = letter.period
WHERE letter.job_id = $1
ORDER BY letter.place
