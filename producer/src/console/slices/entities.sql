-- Entities that have been seen, from one on, each found along the keys from the one before.
WITH RECURSIVE entity (name) AS (
    SELECT least(
        (SELECT entity FROM slices WHERE entity >= $1 AND entity > $2 ORDER BY entity LIMIT 1),
        (SELECT entity FROM ingestion_runs WHERE entity >= $1 AND entity > $2 ORDER BY entity LIMIT 1))
    UNION ALL
    SELECT least(
        (SELECT slice.entity FROM slices AS slice WHERE slice.entity > entity.name ORDER BY slice.entity LIMIT 1),
        (SELECT run.entity FROM ingestion_runs AS run WHERE run.entity > entity.name ORDER BY run.entity LIMIT 1))
    FROM entity
    WHERE entity.name IS NOT NULL
)
SELECT name FROM entity WHERE starts_with(name, $1) LIMIT $3
