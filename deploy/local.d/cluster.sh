# Three machines on this one, each a network namespace with an address of its own on a bridge of
# their own: RabbitMQ, MongoDB, etcd and PostgreSQL under Patroni on each, and HAProxy before them.
# shellcheck shell=bash disable=SC2034,SC2153,SC2004 # the tables are survey.sh's; ports are the stack's

MACHINES=(1 2 3)
ON_EACH=(etcd patroni rabbitmq mongodb)

is_cluster() { [ -n "${CLUSTER:-}" ]; }

require_cluster() {
    require_stack
    is_cluster || die "this stack is not a cluster." "Start one: AURA_LOCAL_DIR=/var/tmp/aura-cluster deploy/local up --cluster"
}

cluster_probe() { python -I "$HERE/local.d/cluster.py" "$@"; }

address_of() { echo "$CLUSTER_NET.$1"; }
space_of() { echo "aura-$STACK_ID-$1"; }
addresses_of_all() { printf "$CLUSTER_NET.%s${1:-}," "${MACHINES[@]}" | sed 's/,$//'; }

# "1/rabbitmq" is RabbitMQ on the first machine.
cluster_folder() { echo "$STATE/$1"; }
cluster_log() { echo "$STATE/$1/${1#*/}.log"; }

cluster_install() {
    local packages=() program
    for program in iptables:iptables ip:iproute2 haproxy:haproxy patroni:patroni etcd:etcd-server; do
        command -v "${program%:*}" >/dev/null || packages+=("${program#*:}")
    done
    [ -e /usr/lib/python3/dist-packages/etcd ] || packages+=(python3-etcd)
    [ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
    install_missing postgres rabbitmq mongodb
}

# ---- What is chosen once ----------------------------------------------------

cluster_create() {
    local ports number id
    [ "$(id -u)" = 0 ] || die "--cluster gives each server a network namespace, for which it needs root."
    case ${AURA_LOCAL_BACKEND:-native} in native | auto) ;; *) die "--cluster runs servers of this machine, not containers." ;; esac
    ports=$(probe free-ports 5) || die "no free ports could be found."
    read -ra ports <<<"$ports"
    id=$(printf %s "$STACK" | sha256sum | cut -c1-10)
    # The network for tests of network devices, which nobody routes.
    number=$((16#${id:0:2}))
    while ip -4 -oneline address show | grep -qF " 198.18.$number."; do number=$(((number + 1) % 256)); done
    cat >"$STACK/stack.new" <<STACK_FILE
BACKEND=native
CLUSTER=yes
STACK_ID=$id
CLUSTER_NET=198.18.$number
RABBITMQ_PORT=${ports[0]}
RABBITMQ_MANAGEMENT_PORT=${ports[1]}
POSTGRES_PORT=${ports[2]}
POSTGRES_READ_PORT=${ports[3]}
HAPROXY_PORT=${ports[4]}
STACK_FILE
    mkdir -p "$STATE"
    chmod 755 "$STATE"
    mv "$STACK/stack.new" "$STATE/stack"
    load_stack
}

# ---- The network ------------------------------------------------------------

# A bridge in a namespace of its own, a pair of interfaces from it to each machine, and one to here.
cluster_network() {
    local hub machine space near
    hub=$(space_of hub)
    near=au-${STACK_ID:0:8}
    [ ! -e "/run/netns/$hub" ] || ! ip link show "$near" >/dev/null 2>&1 || return 0
    cluster_network_remove
    ip netns add "$hub" || die "this system has no network namespaces ('ip netns add' failed)."
    ip -netns "$hub" link add bridge type bridge
    ip -netns "$hub" link set bridge up
    ip -netns "$hub" link set lo up
    ip link add "$near" type veth peer name here netns "$hub"
    ip -netns "$hub" link set here master bridge up
    ip address add "$(address_of 254)/24" dev "$near"
    ip link set "$near" up
    for machine in "${MACHINES[@]}"; do
        space=$(space_of "$machine")
        ip netns add "$space"
        ip -netns "$space" link set lo up
        ip -netns "$space" link add eth0 type veth peer name "machine$machine" netns "$hub"
        ip -netns "$hub" link set "machine$machine" master bridge up
        ip -netns "$space" address add "$(address_of "$machine")/24" dev eth0
        ip -netns "$space" link set eth0 up
    done
}

cluster_network_remove() {
    local name
    ip link delete "au-${STACK_ID:0:8}" 2>/dev/null || true
    for name in "${MACHINES[@]}" hub; do
        ip netns delete "$(space_of "$name")" 2>/dev/null || true
    done
}

# within MACHINE: sets IN to what runs a command in its namespace, as a user that AS names.
within() { IN=(nsenter "--net=/run/netns/$(space_of "$1")"); }

# Who is in a machine's namespace, the children of its servers, too.
cluster_pids() { ip netns pids "$(space_of "$1")" 2>/dev/null || true; }

# ---- The servers of a machine -----------------------------------------------

cluster_pid() {
    local folder pid file word
    folder=$(cluster_folder "$1")
    file=$folder/pid
    case $1 in
    */rabbitmq) word=$folder ;;
    */mongodb) word=$folder/mongod.conf ;;
    */etcd) word=$folder/etcd.yaml ;;
    */patroni) word=$folder/patroni.yaml ;;
    haproxy) word=$folder/haproxy.cfg ;;
    esac
    { read -r pid <"$file"; } 2>/dev/null || return 0
    if has_argument "$pid" "$word"; then echo "$pid"; fi
}

cluster_start() {
    local server=$1 folder user=root
    folder=$(cluster_folder "$server")
    say "starting $server ..."
    case $server in
    */rabbitmq) user=$(rabbitmq_user) ;;
    */patroni) user=$(postgres_user) ;;
    esac
    own_directory "$user" "$folder"
    [ "$user" = root ] || run_as "$user" "$folder"
    [ "$server" = haproxy ] || within "${server%/*}"
    "cluster_start_${server#*/}" "${server%/*}" "$folder"
    echo "${LAUNCHED[$server]}" >"$folder/pid"
}

cluster_start_etcd() {
    local address initial
    address=$(address_of "$1")
    initial=$(printf "%s=http://$CLUSTER_NET.%s:2380," 1 1 2 2 3 3)
    cat >"$2/etcd.yaml" <<CONFIG
# From deploy/local, written anew at each start.
name: "$1"
data-dir: $(json "$2/data")
listen-client-urls: http://$address:2379
advertise-client-urls: http://$address:2379
listen-peer-urls: http://$address:2380
initial-advertise-peer-urls: http://$address:2380
initial-cluster: ${initial%,}
initial-cluster-token: aura-$STACK_ID
heartbeat-interval: 200
election-timeout: 2000
logger: zap
log-level: warn
# Patroni speaks JSON to it; a configuration file leaves that off unless it says so.
enable-grpc-gateway: true
CONFIG
    launch "$1/etcd" "${IN[@]}" etcd --config-file "$2/etcd.yaml"
}

cluster_start_patroni() {
    local address bin
    address=$(address_of "$1")
    bin=$(postgres_bin)
    cat >"$2/patroni.yaml" <<CONFIG
# From deploy/local, written anew at each start. docs/high-availability.md says why.
scope: aura
name: pg$1
restapi:
  listen: $address:8008
  connect_address: $address:8008
etcd3:
  hosts: [$(addresses_of_all :2379)]
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 5
    retry_timeout: 5
    primary_start_timeout: 10
    primary_stop_timeout: 10
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        max_connections: 300
        synchronous_commit: "on"
        wal_log_hints: "on"
        wal_keep_size: 1GB
        max_slot_wal_keep_size: 8GB
        wal_sender_timeout: 10s
        wal_receiver_timeout: 10s
  initdb:
  - encoding: UTF8
  - locale: C.UTF-8
  - lc-collate: C
  - data-checksums
  pg_hba:
  - host replication replicator $CLUSTER_NET.0/24 scram-sha-256
  - host all all 0.0.0.0/0 scram-sha-256
postgresql:
  listen: $address:5432
  connect_address: $address:5432
  data_dir: $(json "$2/data")
  bin_dir: $bin
  pgpass: $(json "$2/pgpass")
  authentication:
    superuser: {username: aura, password: aura}
    replication: {username: replicator, password: replicator}
    rewind: {username: aura, password: aura}
  parameters:
    unix_socket_directories: ''
    shared_buffers: 256MB
    max_wal_size: 4GB
    timezone: UTC
    log_timezone: UTC
    log_line_prefix: '%m [%p] %q%u@%d '
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
CONFIG
    launch "$1/patroni" "${IN[@]}" "${AS[@]}" env "HOME=$2" patroni "$2/patroni.yaml"
}

cluster_start_mongodb() {
    mkdir -p "$2/data"
    cat >"$2/mongod.conf" <<CONFIG
# From deploy/local, written anew at each start. The journal is always on.
systemLog:
  quiet: true
net:
  bindIp: $(address_of "$1")
  port: 27017
  unixDomainSocket:
    enabled: false
storage:
  dbPath: $(json "$2/data")
  wiredTiger:
    engineConfig:
      cacheSizeGB: 0.25
replication:
  replSetName: rs0
  oplogSizeMB: 512
CONFIG
    launch "$1/mongodb" "${IN[@]}" "$(mongodb_bin)/mongod" --config "$2/mongod.conf"
}

cluster_rabbitmq_node() { echo "aura@$CLUSTER_NET.$1"; }

cluster_rabbitmq_environment() {
    local folder=$2
    ENVIRONMENT=(
        "HOME=$folder"
        RABBITMQ_USE_LONGNAME=true
        "RABBITMQ_NODENAME=$(cluster_rabbitmq_node "$1")"
        "RABBITMQ_MNESIA_BASE=$folder/data"
        "RABBITMQ_LOG_BASE=$folder"
        "RABBITMQ_LOGS=-"
        "RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf"
        "RABBITMQ_ADVANCED_CONFIG_FILE=$folder/advanced.config"
        "RABBITMQ_CONF_ENV_FILE=$folder/rabbitmq-env.conf"
        "RABBITMQ_ENABLED_PLUGINS_FILE=$folder/enabled_plugins"
        RABBITMQ_DIST_PORT=25672
        "ERL_EPMD_ADDRESS=$(address_of "$1")"
        "ERL_CRASH_DUMP=$folder/erl_crash.dump"
        # Two cores for three nodes: a scheduler that spins while it waits takes them from the others.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none"
    )
}

cluster_start_rabbitmq() {
    local folder=$2 machine cookie=$STATE/cookie
    own_directory "$(rabbitmq_user)" "$folder/data"
    [ -s "$cookie" ] || (umask 077 && head -c 32 /dev/urandom | sha256sum | cut -c1-40 >"$cookie")
    install -m 400 -o "$(rabbitmq_user)" "$cookie" "$folder/.erlang.cookie"
    echo '[rabbitmq_management].' >"$folder/enabled_plugins"
    : >"$folder/rabbitmq-env.conf"
    cat >"$folder/advanced.config" <<CONFIG
[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000}]},
 {kernel, [{net_ticktime, 10}]}].
CONFIG
    cat >"$folder/rabbitmq.conf" <<CONFIG
# From deploy/local, written anew at each start. docs/high-availability.md says why.
listeners.tcp.1 = $(address_of "$1"):5672
management.tcp.ip = $(address_of "$1")
management.tcp.port = 15672
default_user = aura
default_pass = aura
default_user_tags.administrator = true
vm_memory_high_watermark.absolute = 1GB
max_message_size = 8388608
disk_free_limit.absolute = 64MB
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
CONFIG
    for machine in "${MACHINES[@]}"; do
        echo "cluster_formation.classic_config.nodes.$machine = $(cluster_rabbitmq_node "$machine")"
    done >>"$folder/rabbitmq.conf"
    cluster_rabbitmq_environment "$1" "$folder"
    launch "$1/rabbitmq" "${IN[@]}" "${AS[@]}" env "${ENVIRONMENT[@]}" RABBITMQ_ALLOW_INPUT=1 \
        "$(rabbitmq_bin)/rabbitmq-server" -noinput -aura_stack "$folder"
}

# HAProxy stands on this side of the network, as it would beside each worker.
cluster_start_haproxy() {
    local folder=$2 machine
    {
        cat <<CONFIG
# From deploy/local, written anew at each start. docs/high-availability.md says why.
global
    maxconn 4096
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
    option clitcpka
    option srvtcpka
    option redispatch
    retries 3
    default-server inter 1s fastinter 500ms downinter 1s fall 2 rise 1 on-marked-down shutdown-sessions
frontend status
    mode http
    bind 127.0.0.1:$HAPROXY_PORT
    stats enable
    stats uri /
listen postgres
    bind 127.0.0.1:$POSTGRES_PORT
    option httpchk GET /primary
    http-check expect status 200
CONFIG
        for machine in "${MACHINES[@]}"; do
            echo "    server pg$machine $(address_of "$machine"):5432 check port 8008"
        done
        cat <<CONFIG
listen postgres_read
    bind 127.0.0.1:$POSTGRES_READ_PORT
    option httpchk GET /replica
    http-check expect status 200
CONFIG
        for machine in "${MACHINES[@]}"; do
            echo "    server pg$machine $(address_of "$machine"):5432 check port 8008"
        done
        cat <<CONFIG
listen rabbitmq
    bind 127.0.0.1:$RABBITMQ_PORT
    balance leastconn
CONFIG
        for machine in "${MACHINES[@]}"; do
            echo "    server rabbit$machine $(address_of "$machine"):5672 check"
        done
        cat <<CONFIG
listen management
    bind 127.0.0.1:$RABBITMQ_MANAGEMENT_PORT
    balance roundrobin
CONFIG
        for machine in "${MACHINES[@]}"; do
            echo "    server rabbit$machine $(address_of "$machine"):15672 check"
        done
    } >"$folder/haproxy.cfg"
    launch haproxy haproxy -db -f "$folder/haproxy.cfg"
}

# ---- Commands ---------------------------------------------------------------

cluster_servers() {
    local machine server
    for server in "${ON_EACH[@]}"; do
        for machine in "${MACHINES[@]}"; do echo "$machine/$server"; done
    done
    echo haproxy
}

cluster_survey() {
    local server verdict
    local queries=()
    for server in $(cluster_servers); do
        PID_OF[$server]=$(cluster_pid "$server")
        STATE_OF[$server]=down
        REASON_OF[$server]='no process'
        [ -n "${PID_OF[$server]}" ] || continue
        STATE_OF[$server]=unready
        queries+=("$server")
    done
    [ ${#queries[@]} -gt 0 ] || return 0
    while IFS=$'\t' read -r server verdict; do
        REASON_OF[$server]=$verdict
        case $verdict in ready*) STATE_OF[$server]=up ;; esac
    done < <(cluster_probe ready "$CLUSTER_NET" "$HAPROXY_PORT" "${queries[@]}")
}

cluster_up() {
    local began=$SECONDS server machine waiting asked=no
    cluster_install
    cluster_network
    for machine in "${MACHINES[@]}"; do
        # Something may have been broken on purpose.
        cluster_machine "$machine" resume
        cluster_machine "$machine" mend
    done
    cluster_survey
    for server in $(cluster_servers); do
        [ -n "${PID_OF[$server]}" ] || cluster_start "$server"
    done
    while :; do
        cluster_survey
        waiting=()
        for server in $(cluster_servers); do
            [ "${STATE_OF[$server]}" = up ] || waiting+=("$server")
            # One of the three may not listen yet: then it is asked again.
            if [ "${REASON_OF[$server]}" = 'not initiated' ] && [ $asked = no ]; then
                if cluster_probe initiate "$CLUSTER_NET" 2>"$STATE/initiate"; then
                    asked=yes
                elif [ $((SECONDS - began)) -ge 60 ]; then
                    failed "$server" "the replica set could not be initiated: $(<"$STATE/initiate")"
                fi
            fi
        done
        [ ${#waiting[@]} -gt 0 ] || break
        cluster_heal $((SECONDS - began))
        for server in "${waiting[@]}"; do
            if [ -z "${PID_OF[$server]}" ] && ! is_alive "${LAUNCHED[$server]:-}"; then
                failed "$server" "$server stopped while it was starting."
            fi
            [ $((SECONDS - began)) -lt 150 ] ||
                failed "$server" "$server is not ready after 150 s: ${REASON_OF[$server]}."
        done
        sleep 0.3
    done
    cluster_database
    say "up after $((SECONDS - began)) s: three machines $(address_of 1) to $(address_of 3), HAProxy on 127.0.0.1: \
postgres $POSTGRES_PORT, rabbitmq $RABBITMQ_PORT"
}

# A RabbitMQ node that stood still and goes on is taken for dead by the others, and finds them there: neither pauses, and
# Mnesia stays partitioned until a node starts anew. That is done to the one that is apart from most others.
HEALED=-15
cluster_heal() {
    local seconds=$1 machine apart='' most=0
    # They may come together by themselves, and one that was healed takes its time.
    [ "$seconds" -ge $((HEALED + 25)) ] || return 0
    for machine in "${MACHINES[@]}"; do
        if [[ ${REASON_OF[$machine/rabbitmq]} =~ ^partitioned\ from\ ([0-9]) ]] && [ "${BASH_REMATCH[1]}" -gt "$most" ]; then
            apart=$machine most=${BASH_REMATCH[1]}
        fi
    done
    if [ -z "$apart" ] && [ "$seconds" -ge $((HEALED + 75)) ]; then
        # One that starts while others come and go may wait for them for ever (global:sync/0).
        for machine in "${MACHINES[@]}"; do
            case ${REASON_OF[$machine/rabbitmq]} in 'does not answer'*) apart=$machine ;; esac
        done
    fi
    if [ -z "$apart" ] || [ -z "${PID_OF[$apart/rabbitmq]}" ]; then return 0; fi
    HEALED=$seconds
    say "$apart/rabbitmq: ${REASON_OF[$apart/rabbitmq]}; starting it anew ..."
    kill -TERM "${PID_OF[$apart/rabbitmq]}" 2>/dev/null || true
    await_exit "${PID_OF[$apart/rabbitmq]}" 20 || end_processes "${PID_OF[$apart/rabbitmq]}"
    cluster_start "$apart/rabbitmq"
}

# Makes the database, if there is none. The server that has just been ready may be about to give way to another.
cluster_database() {
    local tries TOLD
    for ((tries = 0; tries < 30; tries++)); do
        if [ "$(cluster_psql -d postgres -XAtqc "SELECT 1 FROM pg_database WHERE datname = 'aura'" 2>&1)" = 1 ] ||
            TOLD=$(cluster_psql -d postgres -XAtqc 'CREATE DATABASE aura' 2>&1); then
            return 0
        fi
        sleep 1
    done
    die "the database aura could not be made: $TOLD"
}

cluster_psql() {
    env PGHOST=127.0.0.1 "PGPORT=$POSTGRES_PORT" PGUSER=aura PGPASSWORD=aura PGDATABASE=aura PGCONNECT_TIMEOUT=5 \
        "$(postgres_bin)/psql" "$@"
}

# Stops all servers of a machine, or of all, in an order in which none misses another.
cluster_down() {
    local server pid pids
    for server in haproxy {1,2,3}/{patroni,rabbitmq,mongodb} {1,2,3}/etcd; do
        pid=$(cluster_pid "$server")
        [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
        case $server in
        haproxy) ;;
        *) # It may be halted.
            mapfile -t pids < <(cluster_pids "${server%/*}")
            [ ${#pids[@]} -eq 0 ] || kill -CONT "${pids[@]}" 2>/dev/null || true ;;
        esac
        case $server in 3/mongodb) cluster_await_down 60 haproxy {1,2,3}/{patroni,rabbitmq,mongodb} ;; esac
    done
    cluster_await_down 20 {1,2,3}/etcd
    for server in "${MACHINES[@]}"; do
        # What a server that was killed has left, and RabbitMQ's port mapper.
        mapfile -t pids < <(cluster_pids "$server")
        [ ${#pids[@]} -eq 0 ] || end_processes "${pids[@]}"
    done
    cluster_network_remove
    say "down: ${MACHINES[*]}, haproxy"
}

cluster_await_down() {
    local seconds=$1 server pid
    shift
    for server; do
        pid=$(cluster_pid "$server")
        [ -n "$pid" ] || continue
        await_exit "$pid" "$seconds" || {
            say "$server (pid $pid) has not stopped within $seconds s; killing it."
            end_processes "$pid"
        }
    done
}

cluster_status() {
    local format=$1 server code=0 separator='' data log
    cluster_survey
    for server in $(cluster_servers); do [ "${STATE_OF[$server]}" = up ] || code=1; done
    if [ "$format" = json ]; then
        data=$(json "$STACK")
        printf '{"backend":"cluster","directory":%s,"network":"%s","services":[' "$data" "$CLUSTER_NET"
        for server in $(cluster_servers); do
            log=$(json "$(cluster_log "$server")")
            printf '%s{"name":"%s","state":"%s","pid":%s,"told":%s,"log":%s}' "$separator" "$server" \
                "${STATE_OF[$server]}" "${PID_OF[$server]:-null}" "$(json "${REASON_OF[$server]}")" "$log"
            separator=,
        done
        printf ']}\n'
        return $code
    fi
    printf '%-11s %-7s %8s  %s\n' SERVER STATE PID 'WHAT IT SAYS'
    for server in $(cluster_servers); do
        printf '%-11s %-7s %8s  %s\n' "$server" "${STATE_OF[$server]}" "${PID_OF[$server]:--}" "${REASON_OF[$server]}"
    done
    echo "logs: $STATE/MACHINE/SERVER/SERVER.log; HAProxy's page: http://127.0.0.1:$HAPROXY_PORT/"
    return $code
}

cluster_settings() {
    cat <<SETTINGS
AURA_AMQP_URL=amqp://aura:aura@127.0.0.1:$RABBITMQ_PORT/%2f
AURA_POSTGRES_URL=postgres://aura:aura@127.0.0.1:$POSTGRES_PORT/aura
AURA_MONGODB_URL=mongodb://$(addresses_of_all)/aura?replicaSet=rs0
AURA_LOCAL_RABBITMQ_MANAGEMENT_URL=http://aura:aura@127.0.0.1:$RABBITMQ_MANAGEMENT_PORT
AURA_LOCAL_POSTGRES_HOSTS_URL=postgres://aura:aura@$(addresses_of_all :5432)/aura?target_session_attrs=read-write
SETTINGS
    [ -z "${AURA_LOCAL_DIR:-}" ] || echo "AURA_LOCAL_DIR=$STACK"
}

cluster_reset() {
    cluster_down
    rm -rf -- "$STATE"
    say "removed $STATE"
}

cluster_rabbitmqctl() {
    local folder
    folder=$(cluster_folder 1/rabbitmq)
    [ -d "$folder" ] || die "RabbitMQ has not been started yet." "Start it with: deploy/local up --cluster"
    run_as "$(rabbitmq_user)" "$folder"
    within "${AURA_LOCAL_MACHINE:-1}"
    folder=$(cluster_folder "${AURA_LOCAL_MACHINE:-1}/rabbitmq")
    cluster_rabbitmq_environment "${AURA_LOCAL_MACHINE:-1}" "$folder"
    cd /
    exec "${IN[@]}" "${AS[@]}" env "${ENVIRONMENT[@]}" LANG=C.UTF-8 "$(rabbitmq_bin)/rabbitmqctl" "$@"
}

cluster_patronictl() {
    local folder
    folder=$(cluster_folder 1/patroni)
    within "${AURA_LOCAL_MACHINE:-1}"
    exec "${IN[@]}" env LANG=C.UTF-8 patronictl -c "$folder/patroni.yaml" "$@"
}

# machine NUMBER up|kill|halt|resume [SERVER] | machine NUMBER cut [NUMBER...] | machine NUMBER mend
cluster_machine() {
    local machine=${1:-} verb=${2:-} server pid pids other
    case $machine in 1 | 2 | 3) ;; *) die "there are machines 1, 2 and 3." ;; esac
    shift 2 || die "machine NUMBER up|kill|halt|resume|cut|mend"
    within "$machine"
    case $verb in
    up)
        cluster_survey
        for server in "${@:-${ON_EACH[@]}}"; do
            [ -n "$(cluster_pid "$machine/$server")" ] || cluster_start "$machine/$server"
        done
        ;;
    kill | halt | resume)
        case $verb in kill) verb=KILL ;; halt) verb=STOP ;; resume) verb=CONT ;; esac
        if [ $# -eq 0 ]; then
            mapfile -t pids < <(cluster_pids "$machine")
            [ ${#pids[@]} -eq 0 ] || kill -s "$verb" "${pids[@]}" 2>/dev/null || true
        elif [ "$1" = postgres ]; then
            { read -r pid <"$STATE/$machine/patroni/data/postmaster.pid"; } 2>/dev/null || die "it does not run."
            mapfile -t pids < <(pgrep -P "$pid" || true)
            kill -s "$verb" "$pid" "${pids[@]}" 2>/dev/null || true
        else
            pid=$(cluster_pid "$machine/$1")
            [ -n "$pid" ] || die "$machine/$1 does not run."
            kill -s "$verb" "$pid"
        fi
        ;;
    cut)
        # Nothing passes between it and these, and nobody is told; without any, between it and everybody.
        if [ $# -eq 0 ]; then
            "${IN[@]}" iptables -A INPUT -i eth0 -j DROP
            "${IN[@]}" iptables -A OUTPUT -o eth0 -j DROP
        fi
        for other; do
            "${IN[@]}" iptables -A INPUT -s "$(address_of "$other")" -j DROP
            "${IN[@]}" iptables -A OUTPUT -d "$(address_of "$other")" -j DROP
        done
        ;;
    mend)
        "${IN[@]}" iptables -F INPUT
        "${IN[@]}" iptables -F OUTPUT
        ;;
    *) die "machine NUMBER knows up, kill, halt, resume, cut and mend." ;;
    esac
}
