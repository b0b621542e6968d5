-- From one cause to the next along the index, so that a hundred thousand letters of one cause are not read for its name.
WITH RECURSIVE causes AS (
    (SELECT letter.group_id
     FROM dead_letters AS letter
     WHERE letter.state IN ('waiting', 'replaying', 'discarding')
     ORDER BY letter.group_id
     LIMIT 1)
    UNION ALL
    SELECT (SELECT letter.group_id
            FROM dead_letters AS letter
            WHERE letter.state IN ('waiting', 'replaying', 'discarding') AND letter.group_id > causes.group_id
            ORDER BY letter.group_id
            LIMIT 1)
    FROM causes
    WHERE causes.group_id IS NOT NULL
), told AS (
    SELECT causes.group_id FROM causes WHERE causes.group_id IS NOT NULL LIMIT $2
)
SELECT cause.code, cause.group_id, counted.letters
FROM told
JOIN dead_letter_groups AS cause USING (group_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS letters
    FROM (SELECT FROM dead_letters AS letter
          WHERE letter.state IN ('waiting', 'replaying', 'discarding') AND letter.group_id = told.group_id
          LIMIT $1) AS open
) AS counted
