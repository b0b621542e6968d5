# What is known of the services: where they are and how they are.
# shellcheck shell=bash

declare -A PID_OF STATE_OF REASON_OF

data_of() { if [ "$BACKEND" = compose ]; then compose_data "$1"; else echo "$STATE/$1/data"; fi; }
log_of() { if is_cluster; then cluster_log "$1"; elif [ "$BACKEND" = compose ]; then compose_log "$1"; else echo "$STATE/$1/$1.log"; fi; }

port_of() {
    local name=${1^^}_PORT
    echo "${!name}"
}

addresses() {
    local service list=
    for service in "$@"; do list+=", $service on 127.0.0.1:$(port_of "$service")"; done
    echo "${list#, }"
}

json() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# Fills PID_OF, STATE_OF (up, unready, down) and REASON_OF for the services.
survey() {
    local service name verdict queries=()
    if [ "$BACKEND" = compose ]; then
        compose_survey "$@"
        return
    fi
    for service in "$@"; do
        PID_OF[$service]=$("${service}_pid")
        STATE_OF[$service]=down
        REASON_OF[$service]='no process'
        [ -n "${PID_OF[$service]}" ] || continue
        STATE_OF[$service]=unready
        case $service in
        rabbitmq) queries+=("rabbitmq:$RABBITMQ_PORT:$RABBITMQ_MANAGEMENT_PORT$(tls_query)") ;;
        mongodb) queries+=("mongodb:$MONGODB_PORT$(tls_query)") ;;
        postgres)
            if verdict=$(postgres_answers 2>&1); then STATE_OF[postgres]=up; fi
            REASON_OF[postgres]=${verdict%%$'\n'*} ;;
        esac
    done
    [ ${#queries[@]} -gt 0 ] || return 0
    while IFS=$'\t' read -r name verdict; do
        REASON_OF[$name]=$verdict
        if [ "$verdict" = ready ]; then STATE_OF[$name]=up; fi
    done < <(probe ready "${queries[@]}")
}

# Prints the state of all services; fails unless all are up.
status() {
    local format=$1 service data log code=0
    if is_cluster; then
        cluster_status "$format"
        return
    fi
    survey "${SERVICES[@]}"
    for service in "${SERVICES[@]}"; do
        [ "${STATE_OF[$service]}" = up ] || code=1
    done
    if [ "$format" = json ]; then
        status_json
        return $code
    fi
    printf '%-9s %-7s %8s %6s  %s\n' SERVICE STATE PID PORT 'DATA DIRECTORY, LOG'
    for service in "${SERVICES[@]}"; do
        data=$(data_of "$service")
        log=$(log_of "$service")
        printf '%-9s %-7s %8s %6s  %s\n' "$service" "${STATE_OF[$service]}" \
            "${PID_OF[$service]:--}" "$(port_of "$service")" "$data"
        printf '%-34s %s\n' '' "$log"
        [ "${STATE_OF[$service]}" = up ] || printf '%-34s %s\n' '' "${REASON_OF[$service]}"
    done
    return $code
}

status_json() {
    local service separator='' details data log
    data=$(json "$STACK")
    printf '{"backend":"%s","directory":%s,"services":[' "$BACKEND" "$data"
    for service in "${SERVICES[@]}"; do
        data=$(json "$(data_of "$service")")
        log=$(json "$(log_of "$service")")
        details=
        if [ "$BACKEND" = native ]; then details=$("${service}_details"); fi
        printf '%s{"name":"%s","state":"%s","pid":%s,"port":%s,"data_dir":%s,"log":%s%s}' \
            "$separator" "$service" "${STATE_OF[$service]}" "${PID_OF[$service]:-null}" \
            "$(port_of "$service")" "$data" "$log" "$details"
        separator=,
    done
    printf ']}\n'
}
