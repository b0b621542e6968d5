-- Whether anything has been seen of an entity, looked up in the order of the keys.
SELECT (SELECT true FROM ingestion_runs WHERE entity = $1 ORDER BY entity, period, exported_at DESC LIMIT 1) IS NOT NULL
    OR (SELECT true FROM slices WHERE entity = $1 ORDER BY entity, period LIMIT 1) IS NOT NULL AS known
