-- Dead letters that left the queue before a moment, by how they did; refusals and operations of before it.
SELECT 'letters ' || state AS what, count(*) AS rows
FROM dead_letters
WHERE state IN ('replayed', 'discarded', 'gone') AND settled_at < $1
GROUP BY state
UNION ALL
SELECT 'refusals', count(*)
FROM refused_messages AS refused
WHERE refused_at < $1 AND NOT EXISTS (
    SELECT FROM dead_letters AS letter
    WHERE letter.job_id = refused.job_id AND letter.state IN ('waiting', 'replaying', 'discarding'))
UNION ALL
SELECT 'operations', count(*) FROM dead_letter_operations WHERE ended_at < $1
ORDER BY what
