# Processes: whose they are, and how they are started and stopped.
# shellcheck shell=bash disable=SC2034,SC2004 # AS and LAUNCHED are read by the services' parts

# The interpreter for probe.py. The system's own starts faster than the shims
# that version managers put first in PATH.
python() {
    if [ -x /usr/bin/python3 ]; then
        /usr/bin/python3 "$@"
    else
        python3 "$@"
    fi
}

probe() {
    if ! command -v python3 >/dev/null && [ ! -x /usr/bin/python3 ]; then install_packages python3; fi
    python -I "$HERE/local.d/probe.py" "$@"
}

# Sets AS to the command prefix that runs a server as USER (its own account if
# we are root, nobody else otherwise). A checkout may lie below a home that the
# account may not enter; then the server gets the one capability to do so,
# instead of the home getting other permissions.
declare -A PREFIX_OF
run_as() {
    local user=$1 directory=$2 capability
    AS=()
    [ "$(id -u)" = 0 ] || return 0
    id "$user" >/dev/null 2>&1 || die "there is no user '$user', as whom the server would run." \
        "Install the server from the system's packages, or run this as another user than root."
    if [ -z "${PREFIX_OF[$user]:-}" ]; then
        local plain=(setpriv "--reuid=$user" "--regid=$user" --init-groups)
        PREFIX_OF[$user]=impossible
        if "${plain[@]}" test -w "$directory/." 2>/dev/null; then
            PREFIX_OF[$user]="${plain[*]}"
        else
            # A container often lacks the first and has the second. The securebit
            # makes access(2) heed the capability; Erlang asks by that.
            for capability in dac_read_search dac_override; do
                local raised=("${plain[@]}" --securebits=+no_setuid_fixup "--inh-caps=-all,+$capability"
                    "--ambient-caps=-all,+$capability" "--bounding-set=-all,+$capability")
                if "${raised[@]}" test -w "$directory/." 2>/dev/null; then
                    PREFIX_OF[$user]="${raised[*]}"
                    break
                fi
            done
        fi
    fi
    [ "${PREFIX_OF[$user]}" != impossible ] ||
        die "user $user may not enter $directory, and this system does not let root grant it." \
            "Set AURA_LOCAL_DIR to a directory that $user may enter, such as /var/tmp/aura."
    read -ra AS <<<"${PREFIX_OF[$user]}"
}

# Makes DIRECTORY, belonging to USER if we are root.
own_directory() {
    mkdir -p "$2"
    [ "$(id -u)" != 0 ] || chown "$1:" "$2"
}

# launch SERVICE COMMAND...: starts a server that outlives this script, with
# nothing of its terminal, descriptors or environment. Sets LAUNCHED[SERVICE].
launch() {
    local service=$1 log hard
    shift
    log=$(log_of "$service")
    if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt 50000000 ]; then mv -f "$log" "$log.1"; fi
    hard=$(ulimit -Hn)
    # A limit of a billion, as some container engines set, makes Erlang slow.
    if [ "$hard" = unlimited ] || [ "$hard" -gt 65536 ]; then hard=65536; fi
    (
        cd /
        umask 022
        ulimit -Sn "$hard"
        exec </dev/null >>"$log" 2>&1
        for descriptor in /proc/self/fd/*; do
            descriptor=${descriptor##*/}
            [ "$descriptor" -le 2 ] || eval "exec $descriptor>&-"
        done
        exec setsid env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            LANG=C.UTF-8 TZ=UTC "$@"
    ) &
    LAUNCHED[$service]=$!
}

is_alive() {
    local line
    [ -n "$1" ] && { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    line=${line##*) }
    [ "${line%% *}" != Z ]
}

await_exit() {
    local pid=$1 tries=$(($2 * 20))
    while is_alive "$pid"; do
        [ $((tries--)) -gt 0 ] || return 1
        sleep 0.05
    done
}

# Whether PID's command line has ARGUMENT, whole. (The rest of /proc/PID is
# closed to root in a container, if the server runs as another user.)
has_argument() {
    local argument
    is_alive "$1" || return 1
    while IFS= read -r -d '' argument; do
        [ "$argument" != "$2" ] || return 0
    done 2>/dev/null <"/proc/$1/cmdline"
    return 1
}

# The processes whose name is NAME.
pids_named() {
    local file name
    for file in /proc/[0-9]*/comm; do
        { read -r name <"$file"; } 2>/dev/null || continue
        if [ "$name" = "$1" ]; then basename "${file%/comm}"; fi
    done
}

# Ends leftovers that have lost their server.
end_processes() {
    local pid
    for pid in "$@"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "$@"; do
        await_exit "$pid" 3 || kill -9 "$pid" 2>/dev/null || true
        await_exit "$pid" 10 || die "process $pid does not go away."
    done
}
