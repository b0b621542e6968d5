# The private PostgreSQL server.
# shellcheck shell=bash

postgres_major() { if [[ $("$1" --version) =~ \ ([0-9]+) ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi; }

postgres_bin() {
    local candidate version
    # The newest of the system's, but the one that made the data if there is data.
    if [ -n "${STATE:-}" ] && [ -f "$STATE/postgres/major" ]; then
        read -r version <"$STATE/postgres/major"
        candidate=/usr/lib/postgresql/$version/bin
        if [ -x "$candidate/postgres" ]; then echo "$candidate"; return; fi
    fi
    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -Vr) \
        "$(command -v postgres || true)"; do
        candidate=$(readlink -f -- "$candidate") || continue
        if [ -x "${candidate%/*}/initdb" ] && [ "$(postgres_major "$candidate")" -ge 15 ]; then
            echo "${candidate%/*}"
            return
        fi
    done
    return 1
}

postgres_user() { if [ "$(id -u)" = 0 ]; then echo postgres; else id -un; fi; }
postgres_ports() { echo "$POSTGRES_PORT"; }
# INT is a fast shutdown: it ends the sessions instead of waiting for them.
postgres_stop_signal() { echo INT; }

postgres_pid() {
    local pid
    { read -r pid <"$STATE/postgres/data/postmaster.pid"; } 2>/dev/null || return 0
    if has_argument "$pid" "$STATE/postgres/data"; then echo "$pid"; fi
}

# Ends server processes that outlived their postmaster, which a new one would
# refuse to start beside, and removes the pid file that it left.
postgres_sweep() {
    local pids=()
    if [ -n "$(postgres_pid)" ] || [ ! -d "$STATE/postgres/data" ]; then return; fi
    run_as "$(postgres_user)" "$STATE/postgres"
    # shellcheck disable=SC2016,SC2046 # the inner shell expands it; a list of pids
    mapfile -t pids < <("${AS[@]}" sh -c 'data=$1; shift
        for pid; do [ "$(readlink "/proc/$pid/cwd")" != "$data" ] || echo "$pid"; done
        ' sh "$STATE/postgres/data" $(pids_named postgres))
    end_processes "${pids[@]}"
    rm -f "$STATE/postgres/data/postmaster.pid"
}

postgres_start() {
    local directory=$STATE/postgres bin user
    bin=$(postgres_bin)
    user=$(postgres_user)
    own_directory "$user" "$directory"
    run_as "$user" "$directory"
    [ -d "$directory/data" ] || postgres_create "$bin" "$directory"
    launch postgres "${AS[@]}" "$bin/postgres" -D "$directory/data"
}

# Makes the database cluster: all of it or nothing.
postgres_create() {
    local bin=$1 directory=$2 log=$2/postgres.log
    say "creating the PostgreSQL data ..."
    rm -rf -- "$directory/data.new"
    echo aura >"$directory/password"
    chmod 644 "$directory/password"
    (
        cd / && "${AS[@]}" env -i PATH=/usr/bin:/bin LANG=C.UTF-8 "$bin/initdb" -D "$directory/data.new" \
            --username=aura --pwfile="$directory/password" --auth=scram-sha-256 \
            --encoding=UTF8 --locale=C.UTF-8 --lc-collate=C
    ) >>"$log" 2>&1 || failed postgres "initdb failed."
    cat >>"$directory/data.new/postgresql.conf" <<END

# From deploy/local.
listen_addresses = '127.0.0.1'
port = $POSTGRES_PORT
unix_socket_directories = ''
max_connections = 300
shared_buffers = 512MB
effective_cache_size = 4GB
work_mem = 16MB
maintenance_work_mem = 256MB
max_wal_size = 4GB
min_wal_size = 512MB
checkpoint_timeout = 15min
fsync = on
synchronous_commit = on
full_page_writes = on
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
END
    tls_postgres "$directory/data.new"
    (
        cd / && echo 'CREATE DATABASE aura;' | "${AS[@]}" env -i PATH=/usr/bin:/bin LANG=C.UTF-8 \
            "$bin/postgres" --single -D "$directory/data.new" postgres
    ) >>"$log" 2>&1 || failed postgres "the database aura could not be created."
    postgres_major "$bin/postgres" >"$directory/major"
    rm -f "$directory/password"
    mv "$directory/data.new" "$directory/data"
}

postgres_url() { echo "postgres://aura:aura@127.0.0.1:$POSTGRES_PORT/aura?connect_timeout=3"; }

postgres_answers() {
    tls_psql
    env -u PGOPTIONS -u PGSERVICE "$(postgres_bin)/psql" -XAtq -c 'SELECT 1' "$(postgres_url)" </dev/null
}

postgres_details() {
    local bin
    bin=$(postgres_bin) || return 0
    printf ',"bin_dir":%s,"user":%s' "$(json "$bin")" "$(json "$(postgres_user)")"
}

exec_psql() {
    local bin
    if [ "$BACKEND" = compose ]; then
        exec docker exec -i "$(compose_container postgres)" psql -U aura -d "${PGDATABASE:-aura}" "$@"
    fi
    bin=$(postgres_bin) || die "PostgreSQL is not installed." "Install it with: deploy/local up postgres"
    tls_psql
    exec env PGHOST=127.0.0.1 "PGPORT=$POSTGRES_PORT" PGUSER=aura PGPASSWORD=aura \
        "PGDATABASE=${PGDATABASE:-aura}" "$bin/psql" "$@"
}
