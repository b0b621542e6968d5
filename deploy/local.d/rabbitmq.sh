# The private RabbitMQ node, with a port mapper (epmd) of its own: another
# node's is neither used nor stopped.
# shellcheck shell=bash

rabbitmq_bin() {
    local server=/usr/lib/rabbitmq/bin/rabbitmq-server
    if [ ! -x "$server" ]; then
        server=$(command -v rabbitmq-server) || return 1
        server=$(readlink -f "$server")
    fi
    dirname "$server"
}

rabbitmq_user() { if [ "$(id -u)" = 0 ]; then echo rabbitmq; else id -un; fi; }
rabbitmq_node() { echo "aura-$STACK_ID@localhost"; }
# The node stops cleanly on TERM by itself.
rabbitmq_stop_signal() { echo TERM; }

rabbitmq_ports() {
    echo "$RABBITMQ_PORT $RABBITMQ_MANAGEMENT_PORT $RABBITMQ_DIST_PORT"
    # A port mapper that is there already, as other nodes use it, does as well.
    probe is-epmd "$RABBITMQ_EPMD_PORT" || echo "$RABBITMQ_EPMD_PORT"
}

rabbitmq_pid() {
    local pid
    { read -r pid <"$STATE/rabbitmq/pid"; } 2>/dev/null || return 0
    if has_argument "$pid" "$STATE/rabbitmq"; then echo "$pid"; fi
}

# Asks the port mapper to go, which a node or rabbitmqctl starts and leaves
# behind. It stays if other nodes are registered with it.
rabbitmq_sweep() { [ -n "$(rabbitmq_pid)" ] || probe stop-epmd "$RABBITMQ_EPMD_PORT"; }

# Takes over the cookie of another node, without which neither lets the other in.
rabbitmq_share_cookie() {
    local user
    [ -s "$1/.erlang.cookie" ] || die "there is no $1/.erlang.cookie: that node has never run."
    user=$(rabbitmq_user)
    own_directory "$user" "$STATE/rabbitmq"
    cp "$1/.erlang.cookie" "$STATE/rabbitmq/.erlang.cookie"
    chmod 400 "$STATE/rabbitmq/.erlang.cookie"
    [ "$(id -u)" != 0 ] || chown "$user:" "$STATE/rabbitmq/.erlang.cookie"
}

rabbitmq_environment() {
    local directory=$STATE/rabbitmq
    ENVIRONMENT=(
        "HOME=$directory" # holds the node's cookie
        "RABBITMQ_NODENAME=$(rabbitmq_node)"
        "RABBITMQ_MNESIA_BASE=$directory/data"
        "RABBITMQ_LOG_BASE=$directory"
        "RABBITMQ_LOGS=-"
        "RABBITMQ_CONFIG_FILE=$directory/rabbitmq.conf"
        "RABBITMQ_ADVANCED_CONFIG_FILE=$directory/advanced.config"
        "RABBITMQ_CONF_ENV_FILE=$directory/rabbitmq-env.conf"
        "RABBITMQ_ENABLED_PLUGINS_FILE=$directory/enabled_plugins"
        "RABBITMQ_DIST_PORT=$RABBITMQ_DIST_PORT"
        "ERL_EPMD_PORT=$RABBITMQ_EPMD_PORT"
        "ERL_EPMD_ADDRESS=127.0.0.1"
        "ERL_CRASH_DUMP=$directory/erl_crash.dump"
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
        "RABBITMQ_CTL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
    )
}

rabbitmq_start() {
    local directory=$STATE/rabbitmq user
    user=$(rabbitmq_user)
    own_directory "$user" "$directory"
    own_directory "$user" "$directory/data"
    run_as "$user" "$directory"
    echo '[rabbitmq_management].' >"$directory/enabled_plugins"
    # Empty, so that the system's is not read in its stead.
    : >"$directory/rabbitmq-env.conf"
    # In a cluster, a retry that was on its way back to a leader that died is sent again after this
    # time; RabbitMQ's default is three minutes.
    echo '[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000}]}].' >"$directory/advanced.config"
    cat >"$directory/rabbitmq.conf" <<END
# From deploy/local, written anew at each start.
$(tls_rabbitmq)
management.tcp.ip = 127.0.0.1
management.tcp.port = $RABBITMQ_MANAGEMENT_PORT
default_user = aura
default_pass = aura
default_user_tags.administrator = true
vm_memory_high_watermark.absolute = 2GB
max_message_size = 8388608
disk_free_limit.absolute = 64MB
END
    if [ -n "${RABBITMQ_PEER:-}" ]; then
        # At its first start, and only then, the node joins these.
        cat >>"$directory/rabbitmq.conf" <<END
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = $RABBITMQ_PEER
cluster_formation.classic_config.nodes.2 = $(rabbitmq_node)
END
    fi
    rabbitmq_environment
    launch rabbitmq "${AS[@]}" env "${ENVIRONMENT[@]}" RABBITMQ_ALLOW_INPUT=1 \
        "$(rabbitmq_bin)/rabbitmq-server" -noinput -aura_stack "$directory"
    # The shell that starts the Erlang VM becomes it, and keeps the last argument,
    # which tells rabbitmq_pid() whose node it is.
    echo "${LAUNCHED[rabbitmq]}" >"$directory/pid"
}

rabbitmq_details() {
    local bin
    bin=$(rabbitmq_bin) || return 0
    printf ',"bin_dir":%s,"user":%s,"node_name":"%s","management_port":%s,"dist_port":%s,"epmd_port":%s' \
        "$(json "$bin")" "$(json "$(rabbitmq_user)")" "$(rabbitmq_node)" \
        "$RABBITMQ_MANAGEMENT_PORT" "$RABBITMQ_DIST_PORT" "$RABBITMQ_EPMD_PORT"
}

exec_rabbitmqctl() {
    if is_cluster; then cluster_rabbitmqctl "$@"; fi
    if [ "$BACKEND" = compose ]; then exec docker exec -i "$(compose_container rabbitmq)" rabbitmqctl "$@"; fi
    [ -d "$STATE/rabbitmq" ] || die "RabbitMQ has not been started yet." "Start it with: deploy/local up rabbitmq"
    run_as "$(rabbitmq_user)" "$STATE/rabbitmq"
    rabbitmq_environment
    cd /
    exec "${AS[@]}" env -u RABBITMQ_NODENAME "${ENVIRONMENT[@]}" LANG=C.UTF-8 "$(rabbitmq_bin)/rabbitmqctl" "$@"
}
