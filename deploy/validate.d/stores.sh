# Databases and queues of its own, on the services of deploy/local, and a file to load into them.
# shellcheck shell=bash disable=SC2034 # the parts read what is set here

# Whether they run; the others are told to start them.
stores_are_up() { "$HERE/local" status >/dev/null 2>&1; }

# Makes them anew and sets STORES to the settings that name them.
fresh_stores() {
    local name=$1 line amqp='' postgres='' mongodb=''
    while IFS= read -r line; do
        case $line in
            AURA_AMQP_URL=*) amqp=${line#*=} ;;
            AURA_POSTGRES_URL=*) postgres=${line#*=} ;;
            AURA_MONGODB_URL=*) mongodb=${line#*=} ;;
        esac
    done < <("$HERE/local" env)
    "$HERE/local" psql -qX -v ON_ERROR_STOP=1 -c "SET client_min_messages = warning" \
        -c "DROP DATABASE IF EXISTS $name WITH (FORCE)" -c "CREATE DATABASE $name" >/dev/null
    "$HERE/local" rabbitmqctl -q delete_vhost "$name" >/dev/null 2>&1 || true
    "$HERE/local" rabbitmqctl -q add_vhost "$name"
    "$HERE/local" rabbitmqctl -q set_permissions -p "$name" aura '.*' '.*' '.*'
    # A MongoDB database for each run: what an audit trail holds is never removed.
    mongodb="${mongodb%/*}/${name}_$(date +%Y%m%d_%H%M%S)?${mongodb#*\?}"
    STORES=("AURA_AMQP_URL=${amqp%/*}/$name" "AURA_POSTGRES_URL=${postgres%/*}/$name" "AURA_MONGODB_URL=$mongodb")
}

rows_of() { PGDATABASE=$1 "$HERE/local" psql -qXAt -c 'SELECT count(*) FROM gl_accounts'; }

write_ledger() {
    cat >"$1" <<'TEXT'
account_code,account_name,balance,entity,period,bs_pl,status
100000,Cash,1250.75,DE01,2026-06,BS,Assets
200000,Payables,-1000.50,DE01,2026-06,BS,Liabilities
300000,Revenue,-250.25,DE01,2026-06,PL,Income
TEXT
}

# Asks an address until it answers as wanted, for up to 30 s: answers URL STATUS.
answers() {
    local tries status
    for ((tries = 0; tries < 150; tries++)); do
        status=$(curl -s -o /dev/null -w '%{http_code}' --max-time 2 "$1" || true)
        [ "$status" != "$2" ] || return 0
        sleep 0.2
    done
    echo "$1 answers $status, not $2"
    return 1
}
