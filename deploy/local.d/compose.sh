# The same services as containers, for where only a Docker engine is at hand.
# shellcheck shell=bash disable=SC2034,SC2004 # the tables are survey.sh's

compose_is_possible() { docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

compose() {
    AURA_LOCAL_POSTGRES_PORT=$POSTGRES_PORT \
        AURA_LOCAL_RABBITMQ_PORT=$RABBITMQ_PORT \
        AURA_LOCAL_RABBITMQ_MANAGEMENT_PORT=$RABBITMQ_MANAGEMENT_PORT \
        AURA_LOCAL_MONGODB_PORT=$MONGODB_PORT \
        docker compose --project-name "aura-$STACK_ID" --file "$HERE/compose.yaml" "$@" </dev/null >&2
}

compose_container() { echo "aura-$STACK_ID-$1-1"; }
compose_data() { echo "docker volume aura-${STACK_ID}_$1"; }
compose_log() { echo "docker logs $(compose_container "$1")"; }

compose_up() {
    local service
    compose up --detach --wait --wait-timeout 300 "$@" || {
        survey "$@"
        for service in "$@"; do
            [ "${STATE_OF[$service]}" = up ] || say "$service: ${REASON_OF[$service]}; see: $(compose_log "$service")"
        done
        die "the containers are not all up." "Run 'deploy/local up' again after looking at the logs above."
    }
}

compose_down() {
    compose stop --timeout 60 "$@"
    say "down: $*"
}

# Removes the containers and their data, and keeps the images.
compose_remove() { compose down --volumes --remove-orphans; }

compose_survey() {
    local service line status health pid
    for service in "$@"; do
        line=$(docker inspect --format \
            '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}unknown{{end}} {{.State.Pid}}' \
            "$(compose_container "$service")" 2>/dev/null) || line='absent unknown 0'
        read -r status health pid <<<"$line"
        PID_OF[$service]=${pid#0}
        REASON_OF[$service]="container $status, health $health"
        case $status/$health in
        running/healthy) STATE_OF[$service]=up ;;
        running/*) STATE_OF[$service]=unready ;;
        *) STATE_OF[$service]=down ;;
        esac
    done
}
