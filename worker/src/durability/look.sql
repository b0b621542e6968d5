-- Each column is true if all is well. Aura's own session has raised its synchronous_commit, so the setting that others
-- begin with is asked for; what a backup receives is not a standby.
SELECT
    current_setting('fsync')::boolean AND current_setting('full_page_writes')::boolean AS writes_through,
    (SELECT reset_val IN ('on', 'remote_apply') FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit')
        AS commits_wait,
    current_setting('synchronous_standby_names') <> ''
        OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_stat_replication
            WHERE state IS DISTINCT FROM 'backup'
                AND coalesce(application_name, '') NOT IN ('pg_basebackup', 'pg_receivewal')
        ) AS standby_waits
