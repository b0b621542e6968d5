-- How the large tables are kept when each month adds to them: measured with 33 million rows and a million runs,
-- see docs/performance.md. Each statement takes milliseconds whatever the size, and neither reads nor writes wait for
-- it: the parameters count from the next page that is written and the next look of autovacuum. It waits itself for a
-- VACUUM, CREATE INDEX or REINDEX of these tables that somebody has begun.

SET LOCAL statement_timeout = 0;

-- A reload that changes some balances of a slice finds room for them beside the old rows, so that the key is left
-- alone. By the defaults autovacuum would come to a ledger of a billion rows once 200 million of them have changed;
-- by these after half a million, and to one of 50,000 rows after 20,000.
ALTER TABLE gl_accounts SET (
    fillfactor = 95,
    autovacuum_vacuum_scale_factor = 0.0005, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.001, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0.00025, autovacuum_analyze_threshold = 10000);

-- Rows are only added.
ALTER TABLE gl_balance_changes SET (
    autovacuum_vacuum_insert_scale_factor = 0.001, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0.001, autovacuum_analyze_threshold = 20000);

-- A run is written several times until it ends, and the indexes of those that have not must stay small.
ALTER TABLE ingestion_runs SET (
    autovacuum_vacuum_scale_factor = 0.002, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.002, autovacuum_analyze_threshold = 1000);
