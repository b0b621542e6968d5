# A stack whose servers take nothing but TLS and ask each client for a certificate: `deploy/local up --tls`. MongoDB
# asks for users and passwords, too.
# shellcheck shell=bash

# shellcheck disable=SC2034 # create_stack reads it
want_tls() { WANT_TLS=yes; }
is_tls() { [ "${TLS:-no}" = yes ]; }

# Makes the certificates of the stack, once: a CA, the servers', and one for each of those that log in, of whose names
# PostgreSQL makes sure. Those of another CA are for trying what is refused.
tls_create() {
    local directory=$STATE/tls name
    [ ! -f "$directory/done" ] || return 0
    command -v openssl >/dev/null || install_packages openssl
    rm -rf -- "$directory"
    mkdir -p "$directory"
    chmod 755 "$directory"
    tls_authority ca
    tls_authority other-ca
    # The name localhost is left out on purpose: it is another name of the same server.
    tls_certificate ca server '/CN=aura local' 'subjectAltName=IP:127.0.0.1,DNS:aura.test'
    for name in aura aura_owner aura_worker aura_console aura_reader aura_export; do
        tls_certificate ca "$name" "/CN=$name" extendedKeyUsage=clientAuth
    done
    tls_certificate other-ca stranger /CN=aura_worker extendedKeyUsage=clientAuth
    tls_certificate ca expired '/CN=aura local' 'subjectAltName=IP:127.0.0.1' -1
    : >"$directory/done"
}

# tls_authority NAME: a private CA.
tls_authority() {
    tls_openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$1" \
        -keyout "$STATE/tls/$1.key" -out "$STATE/tls/$1.crt"
}

# tls_certificate CA NAME SUBJECT EXTENSION [DAYS]: a key, and its certificate of that CA.
tls_certificate() {
    local base=$STATE/tls/$2 authority=$STATE/tls/$1
    tls_openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$3" -keyout "$base.key" -out "$base.csr"
    tls_openssl x509 -req -in "$base.csr" -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial -days "${5:-3650}" \
        -extfile <(echo "$4") -out "$base.crt"
    rm -f "$base.csr"
}

tls_openssl() {
    openssl "$@" >>"$STATE/tls/openssl.log" 2>&1 || die "openssl failed; see $STATE/tls/openssl.log"
}

# tls_server SERVICE USER: the server's certificate, key and CA, where only that server may read the key.
tls_server() {
    local directory=$STATE/$1/tls
    mkdir -p "$directory"
    cp "$STATE/tls/server.crt" "$STATE/tls/server.key" "$STATE/tls/ca.crt" "$directory/"
    cat "$directory/server.crt" "$directory/server.key" >"$directory/server.pem"
    chmod 600 "$directory"/*.key "$directory"/*.pem
    [ "$(id -u)" != 0 ] || chown -R "$2:" "$directory"
}

# What PostgreSQL's settings have more, and who may come in how.
tls_postgres() {
    local data=$1
    is_tls || return 0
    tls_server postgres "$(postgres_user)"
    cat >>"$data/postgresql.conf" <<END
ssl = on
ssl_cert_file = '$STATE/postgres/tls/server.crt'
ssl_key_file = '$STATE/postgres/tls/server.key'
ssl_ca_file = '$STATE/postgres/tls/ca.crt'
END
    cat >"$data/pg_hba.conf" <<END
# From deploy/local: a password, and a certificate of the role's name.
hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full
END
}

# Where RabbitMQ listens.
tls_rabbitmq() {
    if ! is_tls; then
        echo "listeners.tcp.1 = 127.0.0.1:$RABBITMQ_PORT"
        return
    fi
    tls_server rabbitmq "$(rabbitmq_user)"
    cat <<END
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:$RABBITMQ_PORT
ssl_options.cacertfile = $STATE/rabbitmq/tls/ca.crt
ssl_options.certfile = $STATE/rabbitmq/tls/server.crt
ssl_options.keyfile = $STATE/rabbitmq/tls/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
END
}

# What mongod's settings have more; `open` leaves out that users must log in, so that they can be made.
tls_mongodb() {
    is_tls || return 0
    cat <<END
  tls:
    mode: requireTLS
    certificateKeyFile: $(json "$STATE/mongodb/tls/server.pem")
    CAFile: $(json "$STATE/mongodb/tls/ca.crt")
END
}

tls_mongodb_security() {
    if ! is_tls || [ "$1" = open ]; then return 0; fi
    cat <<END
security:
  authorization: enabled
  keyFile: $(json "$STATE/mongodb/tls/members.key")
END
}

# Makes MongoDB's users and roles, on a mongod that lets anybody in for as long as that takes.
tls_mongodb_create() {
    local directory=$STATE/mongodb pid
    if ! is_tls || [ -f "$directory/users" ]; then return 0; fi
    tls_server mongodb "$(id -un)"
    openssl rand -base64 96 >"$directory/tls/members.key"
    chmod 400 "$directory/tls/members.key"
    mongodb_configure open
    launch mongodb "$(mongodb_bin)/mongod" --config "$directory/mongod.conf"
    pid=${LAUNCHED[mongodb]}
    probe mongodb-users "$MONGODB_PORT" "$STATE/tls" "$HERE/roles/mongodb.json" ||
        failed mongodb "MongoDB's users could not be made."
    kill -TERM "$pid"
    await_exit "$pid" 30 || end_processes "$pid"
    : >"$directory/users"
}

# The settings to reach the stack.
tls_settings() {
    cat <<END
AURA_AMQP_URL=amqps://aura:aura@127.0.0.1:$RABBITMQ_PORT/%2f
AURA_POSTGRES_URL=postgres://aura:aura@127.0.0.1:$POSTGRES_PORT/aura?sslmode=verify-full
AURA_MONGODB_URL=mongodb://aura:aura@127.0.0.1:$MONGODB_PORT/aura?replicaSet=rs0&tls=true&authSource=admin
AURA_TLS_CA_PATH=$STATE/tls/ca.crt
AURA_TLS_CERT_PATH=$STATE/tls/aura.crt
AURA_TLS_KEY_PATH=$STATE/tls/aura.key
AURA_LOCAL_RABBITMQ_MANAGEMENT_URL=http://aura:aura@127.0.0.1:$RABBITMQ_MANAGEMENT_PORT
END
}

# What psql takes its certificates from.
tls_psql() {
    if is_tls; then
        export PGSSLMODE=verify-full "PGSSLROOTCERT=$STATE/tls/ca.crt" "PGSSLCERT=$STATE/tls/aura.crt" \
            "PGSSLKEY=$STATE/tls/aura.key"
    fi
}

# What a question of probe.py has more: where the certificates are.
tls_query() { if is_tls; then echo ":$STATE/tls"; fi; }
