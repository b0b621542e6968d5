# Aura's roles of deploy/roles in the local servers. Their password is `aura`, as the administrators' is.
# shellcheck shell=bash

# Gives the services that have just been started the roles; what is there already stays.
roles_create() {
    local service
    for service in "$@"; do
        case $service in
        postgres) postgres_roles ;;
        rabbitmq) rabbitmq_roles ;;
        esac
    done
}

postgres_roles() {
    local role logins=
    for role in owner worker console reader; do logins+="ALTER ROLE aura_$role PASSWORD 'aura';"; done
    tls_psql
    # One that recovers, as after deploy/restore, answers before anything can be written.
    # shellcheck disable=SC2016 # PostgreSQL's
    local recovered='DO $$ BEGIN FOR tries IN 1..600 LOOP EXIT WHEN NOT pg_is_in_recovery(); PERFORM pg_sleep(0.1); END LOOP; END $$'
    env -u PGOPTIONS -u PGSERVICE PGOPTIONS='-c client_min_messages=warning' "$(postgres_bin)/psql" -XAtq \
        -v ON_ERROR_STOP=1 -c "$recovered" -f "$HERE/roles/postgres.sql" -c "$logins" "$(postgres_url)" </dev/null ||
        die "the roles of deploy/roles/postgres.sql could not be made."
}

rabbitmq_roles() {
    local role
    for role in owner worker console export; do
        "$HERE/roles/rabbitmq" --print "$role" "aura_$role" | probe rabbitmq-user \
            "$RABBITMQ_MANAGEMENT_PORT" "aura_$role" || die "RabbitMQ's user aura_$role could not be made."
    done
}
