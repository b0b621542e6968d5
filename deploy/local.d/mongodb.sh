# The private MongoDB server, a replica set of one.
# shellcheck shell=bash

mongodb_version_ok() { [[ $("$1" --version 2>/dev/null | head -n 1) =~ v([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -ge 6 ]; }

mongodb_bin() {
    local server
    for server in "$TOOLS/mongodb/bin/mongod" "$(command -v mongod || true)"; do
        if [ -x "$server" ] && mongodb_version_ok "$server"; then dirname "$server"; return; fi
    done
    return 1
}

mongodb_ports() { echo "$MONGODB_PORT"; }
mongodb_stop_signal() { echo TERM; }

mongodb_pid() {
    local pid
    { read -r pid <"$STATE/mongodb/data/mongod.lock"; } 2>/dev/null || return 0
    if has_argument "$pid" "$STATE/mongodb/mongod.conf"; then echo "$pid"; fi
}

# mongod takes over the lock of a dead one by itself.
mongodb_sweep() { :; }

mongodb_initiate() {
    say "making mongod a replica set ..."
    probe initiate "$MONGODB_PORT" || failed mongodb "the replica set could not be initiated."
}

mongodb_start() {
    local directory=$STATE/mongodb
    mkdir -p "$directory/data"
    chmod 700 "$directory"
    tls_mongodb_create
    mongodb_configure closed
    launch mongodb "$(mongodb_bin)/mongod" --config "$directory/mongod.conf"
}

# mongodb_configure open|closed: writes its settings; `open` ones let anybody in, whatever the stack.
mongodb_configure() {
    local directory=$STATE/mongodb
    cat >"$directory/mongod.conf" <<END
# From deploy/local, written anew at each start. The journal is always on.
systemLog:
  quiet: true # a line for every connection helps nobody
net:
  bindIp: 127.0.0.1
  port: $MONGODB_PORT
  unixDomainSocket:
    enabled: false
$(tls_mongodb)
$(tls_mongodb_security "$1")
storage:
  dbPath: $(json "$directory/data")
  wiredTiger:
    engineConfig:
      cacheSizeGB: 0.5
replication:
  replSetName: rs0
  oplogSizeMB: 1024
setParameter:
  # There is no other member to hand over to.
  shutdownTimeoutMillisForSignaledShutdown: 100
END
}

mongodb_details() {
    local bin
    bin=$(mongodb_bin) || return 0
    printf ',"bin_dir":%s,"user":%s,"replica_set":"rs0"' "$(json "$bin")" "$(json "$(id -un)")"
}
