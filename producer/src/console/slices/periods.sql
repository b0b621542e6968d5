-- The newest periods for which these entities have had jobs, loaded or not, each found along the key from the one
-- before.
WITH RECURSIVE known (entity, period, place) AS (
    SELECT entity.name, (
        SELECT period FROM ingestion_runs AS run
        WHERE run.entity = entity.name AND run.period <= $2
        ORDER BY run.entity DESC, run.period DESC LIMIT 1), 1::bigint
    FROM unnest($1::text[]) AS entity (name)
    UNION ALL
    SELECT known.entity, (
        SELECT period FROM ingestion_runs AS run
        WHERE run.entity = known.entity AND run.period < known.period
        ORDER BY run.entity DESC, run.period DESC LIMIT 1), known.place + 1
    FROM known
    WHERE known.period IS NOT NULL AND known.place < $3::bigint
)
SELECT DISTINCT period FROM known WHERE period IS NOT NULL ORDER BY period DESC LIMIT $3::bigint
