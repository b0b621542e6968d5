-- Schemas outside the search path that hold a ledger and its history of migrations.
SELECT namespace.nspname
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE class.relname IN ('gl_accounts', 'refinery_schema_history') AND class.relkind IN ('r', 'p')
GROUP BY namespace.nspname
HAVING count(*) = 2
ORDER BY namespace.nspname
