# The stack: its directory, its lock, and what is chosen once for its lifetime.
# shellcheck shell=bash

locate_stack() {
    STACK=${AURA_LOCAL_DIR:-$TOOLS}
    case $STACK in /*) ;; *) STACK=$PWD/$STACK ;; esac
    STACK=$(realpath -m -- "$STACK")
    if [ -n "${AURA_LOCAL_DIR:-}" ]; then
        # `env` prints it, unquoted.
        case $STACK in *[!A-Za-z0-9_./+@:,=-]*)
            die "AURA_LOCAL_DIR=$STACK has characters that a shell would take apart." \
                "Use letters, digits and _./+@:,=- only." ;;
        esac
    fi
    STATE=$STACK/services
    if [ -e "$STATE" ] && [ ! -O "$STATE" ]; then
        die "$STATE belongs to another user ($(stat -c %U "$STATE"))." \
            "Run this as that user, or set AURA_LOCAL_DIR to a directory of your own."
    fi
}

# Every change to a stack is made by one process at a time. The servers do not
# inherit the lock: launch() closes all descriptors.
lock_stack() {
    local lock=$STACK/lock
    { mkdir -p "$STACK" && : >>"$lock"; } 2>/dev/null ||
        die "$STACK cannot be written by $(id -un)." \
            "Run this as its owner, or set AURA_LOCAL_DIR to a directory of your own."
    exec {LOCK_FD}>>"$lock"
    flock -n "$LOCK_FD" || {
        say "waiting for another deploy/local that is busy with $STACK ..."
        flock -w 900 "$LOCK_FD" || die "it has been busy for 15 minutes; 'fuser -v $lock' shows it."
    }
}

load_stack() {
    [ -f "$STATE/stack" ] || return 1
    # shellcheck source=/dev/null
    . "$STATE/stack"
}

require_stack() {
    load_stack || die "there are no local services in $STACK yet." "Start them with: deploy/local up"
}

# Chooses backend, names and ports, once, so that a restart keeps every URL.
create_stack() {
    local ports id peer=${AURA_LOCAL_PEER:-} node=
    if load_stack; then
        if [ -n "${AURA_LOCAL_CLUSTER:-}" ] && ! is_cluster; then
            die "this stack is not a cluster." "Set AURA_LOCAL_DIR for another, or run 'deploy/local reset' first (it deletes the local data)."
        fi
        if [ "$WANT_TLS" = yes ] && ! is_tls; then
            die "this stack runs without TLS already." \
                "Set AURA_LOCAL_DIR to another directory, or run 'deploy/local reset' first (it deletes the local data)."
        fi
        case ${AURA_LOCAL_BACKEND:-auto} in auto | "$BACKEND") return ;; esac
        die "this stack runs with AURA_LOCAL_BACKEND=$BACKEND already." \
            "To change that, run 'deploy/local reset' first (it deletes the local data)."
    fi
    if [ -e "$STATE" ] && [ -n "$(ls -A "$STATE")" ]; then
        die "$STATE exists but was not made by deploy/local." "Move it away, or set AURA_LOCAL_DIR."
    fi
    if [ -n "${AURA_LOCAL_CLUSTER:-}" ]; then
        cluster_create
        return
    fi
    choose_backend
    [ "$WANT_TLS" = no ] || [ "$BACKEND" = native ] || die "--tls is for servers that run on this machine, not for containers."
    ports=$(probe free-ports 6) || die "no free ports could be found."
    read -ra ports <<<"$ports"
    id=$(printf %s "$STACK" | sha256sum | cut -c1-10)
    if [ -n "$peer" ]; then
        # Nodes of a cluster ask one port mapper for each other.
        node=$(peer_node "$peer")
        read -r node "ports[4]" <<<"$node"
    fi
    cat >"$STACK/stack.new" <<END
BACKEND=$BACKEND
STACK_ID=$id
POSTGRES_PORT=${ports[0]}
RABBITMQ_PORT=${ports[1]}
RABBITMQ_MANAGEMENT_PORT=${ports[2]}
RABBITMQ_DIST_PORT=${ports[3]}
RABBITMQ_EPMD_PORT=${ports[4]}
RABBITMQ_PEER=$node
MONGODB_PORT=${ports[5]}
TLS=$WANT_TLS
END
    mkdir -p "$STATE"
    chmod 755 "$STATE"
    [ -z "$peer" ] || rabbitmq_share_cookie "$peer/services/rabbitmq"
    mv "$STACK/stack.new" "$STATE/stack"
    load_stack
}

# The RabbitMQ node of another stack, and its port mapper.
peer_node() {
    [ "$BACKEND" = native ] || die "AURA_LOCAL_PEER is for servers that run on this machine, not for containers."
    (
        STATE=$1/services
        load_stack || die "AURA_LOCAL_PEER=$1 is not a stack." "Start it: AURA_LOCAL_DIR=$1 deploy/local up rabbitmq"
        echo "$(rabbitmq_node) $RABBITMQ_EPMD_PORT"
    )
}

choose_backend() {
    local docker=no
    BACKEND=${AURA_LOCAL_BACKEND:-auto}
    case $BACKEND in
    native) return ;;
    compose)
        compose_is_possible || die "AURA_LOCAL_BACKEND=compose, but no Docker engine with Compose answers." \
            "'docker info' and 'docker compose version' must both work."
        return ;;
    auto) ;;
    *) die "AURA_LOCAL_BACKEND=$BACKEND is unknown; it is native, compose or auto." ;;
    esac
    if native_is_complete || can_install; then
        BACKEND=native
        return
    fi
    if compose_is_possible; then
        BACKEND=compose
        return
    fi
    if command -v docker >/dev/null; then docker="yes, but no engine with Compose answers it"; fi
    die "the servers are not installed here, and nothing can provide them." \
        "missing: $(native_missing | paste -sd' ')" \
        "root on a Debian-like system (apt-get): no" \
        "docker: $docker" \
        "Run 'deploy/local up' once as root, or install the missing ones, or start a Docker engine."
}
