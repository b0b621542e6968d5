WITH letter AS (
    DELETE FROM dead_letters
    WHERE state IN ('replayed', 'discarded', 'gone') AND settled_at < $1
    RETURNING state
), refusal AS (
    DELETE FROM refused_messages AS refused
    WHERE refused_at < $1 AND NOT EXISTS (
        SELECT FROM dead_letters AS letter
        WHERE letter.job_id = refused.job_id AND letter.state IN ('waiting', 'replaying', 'discarding'))
    RETURNING 1
), operation AS (
    DELETE FROM dead_letter_operations WHERE ended_at < $1 RETURNING 1
)
SELECT 'letters ' || state AS what, count(*) AS rows FROM letter GROUP BY state
UNION ALL
SELECT 'refusals', count(*) FROM refusal
UNION ALL
SELECT 'operations', count(*) FROM operation
ORDER BY what
