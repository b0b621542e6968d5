-- What waits, counted up to a bound, and since when: the oldest is found along an index.
SELECT
    (SELECT count(*) FROM (SELECT FROM audit_outbox ORDER BY id LIMIT $1) AS counted) AS events,
    (SELECT recorded_at FROM audit_outbox ORDER BY id LIMIT 1) AS oldest_event,
    (SELECT count(*) FROM (SELECT FROM metadata_outbox ORDER BY recorded_at LIMIT $1) AS counted) AS documents,
    (SELECT recorded_at FROM metadata_outbox ORDER BY recorded_at LIMIT 1) AS oldest_document,
    (SELECT count(*) FROM (SELECT FROM cache_tasks ORDER BY recorded_at LIMIT $1) AS counted) AS files,
    (SELECT recorded_at FROM cache_tasks ORDER BY recorded_at LIMIT 1) AS oldest_file,
    (SELECT count(*) FROM (SELECT FROM audit_chains WHERE halted_at IS NOT NULL LIMIT $1) AS counted) AS halted_chains
