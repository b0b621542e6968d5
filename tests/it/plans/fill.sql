-- Fills a database as years of closings leave it. Sizes are settings: fill.slices, fill.accounts (of a
-- slice), fill.runs, fill.events, fill.changes. By hand:
--   psql -c "SET fill.slices = 12000; SET fill.accounts = 2736; …" -f tests/it/plans/fill.sql
-- The first slice is loaded all the time, and its chain is halted with the oldest events behind it. There
-- are more chains than slices: that of a slice whose jobs all failed is one, too.
CREATE FUNCTION pg_temp.size(name text) RETURNS integer LANGUAGE sql STABLE
    RETURN current_setting('fill.' || name)::integer;
CREATE FUNCTION pg_temp.entity(slice bigint) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'E' || lpad((slice / 12)::text, 5, '0');
CREATE FUNCTION pg_temp.period(slice bigint) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN '2022-' || lpad((slice % 12 + 1)::text, 2, '0');
CREATE FUNCTION pg_temp.job(run bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN md5('job ' || run)::uuid;
-- Batches have a thousand jobs.
CREATE FUNCTION pg_temp.batch(run bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN md5('batch ' || run / 1000)::uuid;

INSERT INTO gl_accounts (entity, period, company_code, account_code, account_name, balance, bs_pl, status, job_id, source_line)
SELECT entity, period, entity, lpad(account::text, 6, '0'), 'Account ' || account, (account * 7 % 1000)::numeric / 100, 'BS',
       'Assets', job_id, account + 1
FROM (
    SELECT pg_temp.entity(slice) AS entity, pg_temp.period(slice) AS period, pg_temp.job(slice) AS job_id
    FROM generate_series(0, pg_temp.size('slices') - 1) AS slice
    OFFSET 0
) AS slices
CROSS JOIN generate_series(1, pg_temp.size('accounts')) AS account;

INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, old_balance, new_balance, change)
SELECT pg_temp.entity(slice), pg_temp.period(slice), pg_temp.entity(slice), lpad((change % 1000)::text, 6, '0'),
       pg_temp.job(change), 1, 2, 'updated'
FROM generate_series(1, pg_temp.size('changes')) AS change, LATERAL (SELECT change % pg_temp.size('slices') AS slice) AS of;

INSERT INTO gl_rejected_rows (entity, period, job_id, source_line, reason, line_text)
SELECT pg_temp.entity(slice), pg_temp.period(slice), pg_temp.job(row), row, 'is not an amount', 'x;y;z'
FROM generate_series(1, pg_temp.size('changes') / 4) AS row, LATERAL (SELECT row % pg_temp.size('slices') AS slice) AS of;

INSERT INTO gl_absent_accounts (entity, period, company_code, account_code, job_id)
SELECT pg_temp.entity(slice), pg_temp.period(slice), pg_temp.entity(slice), lpad(account::text, 6, '0'), pg_temp.job(slice)
FROM generate_series(1, pg_temp.size('slices') - 1) AS slice, generate_series(1, 5) AS account;

INSERT INTO slices (entity, period, job_id, fingerprint, source, mapping_hash, mode, newest_at, newest_fingerprint)
SELECT pg_temp.entity(slice), pg_temp.period(slice), pg_temp.job(slice), repeat('a', 64), 'default', repeat('b', 64), 'upsert',
       '2022-01-01', repeat('a', 64)
FROM generate_series(0, pg_temp.size('slices') - 1) AS slice;

-- A tenth of the runs are of the first slice; every second stretch of them has no batch. The newest are under way.
INSERT INTO ingestion_runs (job_id, batch_id, file, fingerprint, entity, period, source, mapping_hash, mode, exported_at, status,
    inserted, rows, balance_sum, attempts, started_at, finished_at, duration_seconds, result, body_hash, claim, claimed_by)
SELECT pg_temp.job(run), CASE WHEN run / 1000 % 2 = 0 THEN pg_temp.batch(run) END, '/in/' || run || '.csv', repeat('a', 64),
       pg_temp.entity(slice), pg_temp.period(slice), 'default', repeat('b', 64), 'upsert', started_at, status, 100, 100, 0, 1,
       started_at, CASE WHEN NOT is_under_way THEN started_at + interval '1 s' END, 1,
       CASE WHEN NOT is_under_way THEN jsonb_build_object('status', status, 'file', repeat('f', 300)) END, repeat('c', 64),
       CASE WHEN status = 'running' THEN pg_temp.job(run) END, 'worker'
FROM generate_series(1, pg_temp.size('runs')) AS run,
LATERAL (
    SELECT CASE WHEN run % 10 = 0 THEN 0 ELSE run % pg_temp.size('slices') END AS slice,
           now() - make_interval(secs => pg_temp.size('runs') - run) AS started_at,
           run > pg_temp.size('runs') - 40 AS is_under_way,
           CASE WHEN run > pg_temp.size('runs') - 20 THEN 'running'
                WHEN run > pg_temp.size('runs') - 40 THEN 'retrying'
                ELSE coalesce((ARRAY['failed', 'skipped', 'superseded', 'cancelled'])[run % 50], 'success') END AS status
) AS of;

INSERT INTO batches (batch_id, cancelled_at)
SELECT pg_temp.batch(batch::bigint * 1000), now() FROM generate_series(1, pg_temp.size('events') / 10) AS batch;

INSERT INTO refused_messages (job_id, body_hash, replays)
SELECT pg_temp.job(-message), repeat('d', 64), 0 FROM generate_series(1, pg_temp.size('events') / 4) AS message;

INSERT INTO audit_chains (entity, period, seq, halted_at, halted_by)
SELECT pg_temp.entity(slice), pg_temp.period(slice), pg_temp.size('events'), CASE WHEN slice < 3 THEN now() END,
       CASE WHEN slice < 3 THEN 'MongoDB holds another event' END
FROM generate_series(0, greatest(pg_temp.size('slices'), pg_temp.size('events') / 5)) AS slice;

-- The oldest 30 % are the first slice's; half of all have their place.
INSERT INTO audit_outbox (entity, period, event, seq, prev_hash, hash)
SELECT pg_temp.entity(slice), pg_temp.period(slice), jsonb_build_object('event_type', 'db_insert', 'metadata', repeat('m', 300)),
       CASE WHEN has_place THEN event END, CASE WHEN has_place THEN repeat('e', 64) END, CASE WHEN has_place THEN repeat('f', 64) END
FROM generate_series(1, pg_temp.size('events')) AS event,
LATERAL (
    SELECT CASE WHEN event <= pg_temp.size('events') * 0.3 THEN 0 ELSE event % pg_temp.size('slices') END AS slice,
           event <= pg_temp.size('events') * 0.15
               OR event BETWEEN pg_temp.size('events') * 0.3 AND pg_temp.size('events') * 0.65 AS has_place
) AS of;

INSERT INTO metadata_outbox (job_id, document)
SELECT pg_temp.job(pg_temp.size('runs') - document), jsonb_build_object('entity', pg_temp.entity(slice), 'period', pg_temp.period(slice),
       'data_profile', repeat('p', 300))
FROM generate_series(1, pg_temp.size('events') / 8) AS document, LATERAL (SELECT document % pg_temp.size('slices') AS slice) AS of;

INSERT INTO cache_tasks (entity, period, job_id, recorded_at)
SELECT pg_temp.entity(slice), pg_temp.period(slice), pg_temp.job(pg_temp.size('runs') - task), now() - interval '1 hour'
FROM generate_series(1, pg_temp.size('events') / 8) AS task, LATERAL (SELECT task % pg_temp.size('slices') AS slice) AS of;

-- Half of the letters are still there.
INSERT INTO dead_letters (letter_id, job_id, batch_id, entity, period, source, file, group_id, code, stage, message, attempts,
    replays, worker, died_at, body_hash, body, properties, headers, state)
SELECT md5('letter ' || letter)::uuid, pg_temp.job(letter), pg_temp.batch(letter), pg_temp.entity(slice), pg_temp.period(slice),
       'default', '/in/' || letter || '.csv', 'g' || letter % 50, 'row_invalid', 'map', repeat('m', 100), 1, 0, 'worker',
       now() - make_interval(secs => letter), repeat('c', 64), '{}', '{}', '{}',
       CASE WHEN letter % 2 = 0 THEN 'waiting' ELSE 'replayed' END
FROM generate_series(1, greatest(pg_temp.size('events') / 10, 1)) AS letter,
LATERAL (SELECT letter % pg_temp.size('slices') AS slice) AS of;

INSERT INTO dead_letter_groups (group_id, code, stage, source, cause)
SELECT 'g' || cause, 'row_invalid', 'map', 'default', 'cause ' || cause FROM generate_series(0, 2999) AS cause;

INSERT INTO dead_letter_operations (operation_id, act, actor, selected, state, started_at)
SELECT md5('operation ' || operation)::uuid, 'replay', 'somebody', 'all', 'done', now() - make_interval(hours => operation)
FROM generate_series(1, 3000) AS operation;

INSERT INTO pruned_slices (entity, period, before, pruned_by)
SELECT pg_temp.entity(slice), pg_temp.period(slice), now() - interval '10 years', 'somebody'
FROM generate_series(0, pg_temp.size('slices') - 1) AS slice;
