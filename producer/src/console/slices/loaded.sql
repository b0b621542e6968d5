-- The newest periods of these entities, and how many of them have loaded each.
SELECT slice.period, count(slice.job_id) AS loaded
FROM unnest($1::text[]) AS entity (name)
CROSS JOIN LATERAL (
    SELECT period, job_id FROM slices WHERE slices.entity = entity.name AND period <= $2 ORDER BY period DESC LIMIT $3
) AS slice
GROUP BY slice.period
ORDER BY slice.period DESC
LIMIT $3
