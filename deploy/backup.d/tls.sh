# TLS as Aura's settings ask for it, in the words of PostgreSQL's own programs, which are called with what stands before
# the ? of AURA_POSTGRES_URL alone.
# shellcheck shell=bash

postgres_tls() {
    case ${AURA_POSTGRES_URL:-} in *[?\&]sslmode=require* | *[?\&]sslmode=verify-*) ;; *) return 0 ;; esac
    export PGSSLMODE=verify-full "PGSSLROOTCERT=${AURA_TLS_CA_PATH:-/etc/ssl/certs/ca-certificates.crt}"
    if [ -n "${AURA_TLS_CERT_PATH:-}" ]; then
        export "PGSSLCERT=$AURA_TLS_CERT_PATH" "PGSSLKEY=${AURA_TLS_KEY_PATH:-}"
    fi
}
