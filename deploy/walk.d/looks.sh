# What is looked at after each step of the walk. A look prints its figure as its last line, and fails if it is not as it
# should be.
# shellcheck shell=bash

# ---- Asking ----------------------------------------------------------------

inside() { in_booted bash -c "cd /tmp; $1"; }

sql() { inside "sudo -u postgres psql -qXAt -d aura -c \"$1\""; }

# refuses TEXT COMMAND...: the command must fail, and say TEXT.
refuses() {
    local text=$1 said
    shift
    if said=$("$@" 2>&1); then
        printf 'this should have been refused:\n%s\n' "$said"
        return 1
    fi
    grep -oiE -m1 "$text" <<<"$said" || { printf '%s\n' "$said" && return 1; }
}

# equals WANTED GOT UNIT
equals() {
    echo "${2:-none} $3"
    [ "$1" = "$2" ] || { echo "that should have been $1" && return 1; }
}

# What Prometheus answers: the value of the first series.
prometheus() {
    in_booted curl -fsS --get --data-urlencode "query=$1" http://127.0.0.1:9090/api/v1/query | python3 -I -c '
import json, sys
found = json.load(sys.stdin)["data"]["result"]
print(found[0]["value"][1] if found else "none")'
}

# The alerts that Alertmanager has, by name.
alerts() {
    in_booted curl -fsS 'http://127.0.0.1:9093/api/v2/alerts?active=true&inhibited=true' | python3 -I -c '
import json, sys
print(*sorted({alert["labels"]["alertname"] for alert in json.load(sys.stdin)}))'
}

# psql as a role, by its password, with more of the connection's words: as ROLE WORDS SQL
as() {
    inside "PGPASSWORD=\$(cat /root/aura/${1#aura_}) psql -qXAt -v ON_ERROR_STOP=1 'host=127.0.0.1 dbname=aura user=$1 $2' -c \"$3\""
}

# MongoDB by its own driver: mongo URL-BEFORE-THE-HOST OPTIONS STATEMENT, where `db` is Aura's database.
mongo() {
    inside "python3 -c \"
import pymongo
db = pymongo.MongoClient('mongodb://${1}127.0.0.1:27017/aura?$2', serverSelectionTimeoutMS=4000, connectTimeoutMS=3000, socketTimeoutMS=9000).aura
print($3)\""
}

password() { cat "$ROOT/root/aura/$1"; }

# ---- 1. Install ------------------------------------------------------------

looks_1() {
    look 'gl_accounts' rows 3
    look '/readyz of both workers' both_ready
    look 'aura verify: exit code 0' verified
    look 'units' units_active
}

rows() { equals "$1" "$(sql 'SELECT count(*) FROM gl_accounts')" rows; }

both_ready() {
    in_booted curl -fsS -o /dev/null http://127.0.0.1:1941/readyz
    equals 200 "$(in_booted curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:1942/readyz)" 'of worker 2'
}

verified() {
    local status=0 said
    said=$(in_booted aura verify 2>&1) || status=$?
    printf '%s\n' "$said"
    [ $status = 0 ] && grep -o 'checked [0-9].*' <<<"$said"
}

units_active() {
    equals 'active active active' "$(in_booted systemctl is-active aura-worker@1 aura-worker@2 aura-console | xargs)" ''
}

# ---- 2. Roles --------------------------------------------------------------

looks_2() {
    look 'aura_worker makes a table' refuses 'permission denied for schema public' as aura_worker '' 'CREATE TABLE public.t ()'
    look 'aura_worker deletes a run' refuses 'permission denied for table ingestion_runs' as aura_worker '' 'DELETE FROM ingestion_runs'
    look 'aura_console writes an account' refuses 'permission denied for table gl_accounts' as aura_console '' 'UPDATE gl_accounts SET balance = 0'
    look 'ann writes' refuses 'permission denied for table gl_accounts|read-only' as ann '' 'DELETE FROM gl_accounts'
    look 'ann reads' ann_reads
    look 'erp-nightly declares a queue' refuses 'access[ _]refused|ACCESS_REFUSED[^.]*' erp_declares
}

ann_reads() { equals 3 "$(as ann '' 'SELECT count(*) FROM gl_accounts')" rows; }

# shellcheck disable=SC2016 # the shell within reads it
erp_declares() { inside 'AURA_LOG_DIR=- AURA_AMQP_URL=amqp://erp-nightly:$(cat /root/aura/erp)@127.0.0.1:5672/aura AURA_NAMESPACE=other aura-producer topology'; }

# ---- 3. TLS ----------------------------------------------------------------

looks_3() {
    local ours='sslmode=verify-full sslrootcert=/etc/ssl/aura-ca.crt'
    local trusts='tls=true&tlsCAFile=/etc/ssl/aura-ca.crt' shows='tlsCertificateKeyFile=/root/aura/ca/look.pem'
    look 'a certificate of another CA' another_ca
    look 'PostgreSQL without TLS' refuses 'no pg_hba.conf entry.*no encryption' as aura_worker sslmode=disable 'SELECT 1'
    look 'PostgreSQL without a certificate' refuses 'requires a valid client certificate' as aura_worker "$ours" 'SELECT 1'
    look 'PostgreSQL with its own' equals 3 "$(as aura_worker "$ours sslcert=/root/aura/ca/worker.crt sslkey=/root/aura/ca/worker.key" 'SELECT count(*) FROM gl_accounts')" rows
    look "PostgreSQL with another role's" refuses_others_certificate \
        as aura_worker "$ours sslcert=/root/aura/ca/console.crt sslkey=/root/aura/ca/console.key" 'SELECT 1'
    look "PostgreSQL with another CA's" refuses 'unknown ca|certificate verify failed|requires a valid client certificate' \
        as aura_worker "$ours sslcert=/tmp/other.crt sslkey=/tmp/other.key" 'SELECT 1'
    look 'PostgreSQL: sessions of Aura' sessions_have_certificates
    look 'RabbitMQ at port 5672' refuses 'refused' inside 'exec 3<>/dev/tcp/127.0.0.1/5672'
    look 'RabbitMQ without a certificate' refuses 'alert (certificate required|handshake failure|bad certificate)' handshake 5671
    look "RabbitMQ with another CA's" refuses 'alert (unknown ca|bad certificate)' handshake 5671 -cert /tmp/other.crt -key /tmp/other.key
    look 'RabbitMQ: connections' connections_have_certificates
    look 'MongoDB without TLS' refuses 'connection closed|connection reset|AutoReconnect|No replica set members' mongo '' 'serverSelectionTimeoutMS=4000' 'db.audit_trail.find_one()'
    look 'MongoDB without a certificate' refuses 'certificate required|handshake failure|EOF|connection closed|reset' mongo '' "$trusts" 'db.audit_trail.find_one()'
    look 'MongoDB without a user' refuses 'requires authentication' mongo '' "$trusts&$shows" 'db.audit_trail.find_one()'
    look 'MongoDB: aura_worker removes' refuses 'not authorized on aura to execute command' \
        mongo "aura_worker:$(password worker)@" "$trusts&$shows" 'db.audit_trail.delete_many({})'
    look 'the console without trust' refuses 'unable to get local issuer certificate|self.signed' in_booted curl -sS https://localhost/
    look 'the console without a token' console_asks
    look 'the console with it' console_answers
    look 'the console: its cookie' signs_in
    look '/readyz of both workers' both_ready
    look 'aura verify: exit code 0' verified
}

# A stranger's certificate, and one for the looks themselves.
another_ca() {
    inside 'set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj "/CN=aura_worker" -keyout other.key -out other.crt 2>/dev/null
        cat /root/aura/ca/worker.crt /root/aura/ca/worker.key >/root/aura/ca/look.pem
        openssl x509 -in other.crt -noout -issuer'
}

# PostgreSQL tells the client only that it is refused, and its log why.
refuses_others_certificate() {
    refuses 'authentication failed' "$@" || return 1
    grep -o 'certificate validation (clientcert=verify-full) failed for user "aura_worker": CN mismatch' \
        "$ROOT"/var/log/postgresql/*.log
}

handshake() {
    local port=$1
    shift
    inside "openssl s_client -tls1_2 -connect 127.0.0.1:$port -CAfile /etc/ssl/aura-ca.crt $* </dev/null"
}

sessions_have_certificates() {
    local without
    without=$(sql "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename ~ '^aura_' AND (NOT ssl OR client_dn <> '/CN=' || usename)")
    [ "$without" = 0 ] || { echo "$without sessions without" && return 1; }
    sql "SELECT count(*) || ' sessions, ' || string_agg(DISTINCT version || ' ' || client_dn, ', ') FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename ~ '^aura_'"
}

connections_have_certificates() {
    in_booted rabbitmqctl -q list_connections user ssl peer_cert_subject
    # Each line but the heading.
    equals 0 "$(in_booted rabbitmqctl -q list_connections ssl peer_cert_subject | tail -n +2 | grep -vc '^true.*CN=aura_')" 'connections without'
}

console_asks() {
    equals 401 "$(in_booted curl -sS -o /dev/null -w '%{http_code}' --cacert /etc/ssl/aura-ca.crt -H 'Accept: application/json' https://localhost/)" '(status)'
}

console_answers() {
    equals 200 "$(in_booted curl -sS -o /dev/null -w '%{http_code}' --cacert /etc/ssl/aura-ca.crt -H 'Accept: application/json' \
        -H "Authorization: Bearer $(sed -n 's/^token *//p' "$ROOT/root/aura/ann.token")" https://localhost/)" '(status)'
}

# As a browser does: the form, and what comes back.
signs_in() {
    in_booted curl -sS -o /dev/null -D - --cacert /etc/ssl/aura-ca.crt -H 'Origin: https://localhost' \
        --data-urlencode "token=$(sed -n 's/^token *//p' "$ROOT/root/aura/ann.token")" https://localhost/sign-in |
        grep -oi '^set-cookie: aura_console=.*' | grep -o '; Secure.*\|HttpOnly.*Secure.*'
}

# ---- 4. Publish ------------------------------------------------------------

looks_4() {
    look 'gl_accounts' rows 6003
    look 'gl_accounts: the sum of all balances' equals 0 "$(sql 'SELECT trim_scale(sum(balance)) FROM gl_accounts')" ''
    look 'ingestion_runs' equals 121 "$(sql "SELECT count(*) FROM ingestion_runs WHERE status = 'success'")" successes
    look 'Parquet cache' cached 121
    look 'audit trail: files ingested' ingested 121
    look 'audit trail: who published' published_by
    look 'aura verify: exit code 0' verified
}

cached() { equals "$1" "$(find "$ROOT/var/lib/aura/cache" -name '*_ingested.parquet' | wc -l)" files; }

trail() {
    mongo "aura_console:$(password console)@" 'tls=true&tlsCAFile=/etc/ssl/aura-ca.crt&tlsCertificateKeyFile=/root/aura/ca/look.pem' "$1"
}

ingested() { equals "$1" "$(trail "db.audit_trail.count_documents({'event_type': 'file_ingested'})")" events; }

published_by() {
    equals 120 "$(trail "db.audit_trail.count_documents({'event_type': 'ingestion_started', 'metadata.user_id': 'erp-nightly'})")" 'by erp-nightly'
}

# ---- 5. Prometheus and Alertmanager ----------------------------------------

looks_5() {
    look 'Prometheus: workers that answer' equals 2 "$(prometheus 'sum(up{job="aura-worker"})')" up
    look 'Prometheus: RabbitMQ' equals 1 "$(prometheus 'sum(up{job="rabbitmq"})')" up
    look 'Prometheus: rules of alerts.yml' rules_loaded
    look "the dashboard's queries" dashboard_answered
    look 'Prometheus: Alertmanagers' alertmanagers
    look 'nothing fires' equals '' "$(alerts | sed 's/AuraTrial//')" ''
    look 'the trial was paged, with its token' paged /page firing AuraTrial
}

rules_loaded() {
    local wanted
    wanted=$(grep -c -- '- alert:' deploy/monitoring/alerts.yml)
    equals "$wanted" "$(in_booted curl -fsS http://127.0.0.1:9090/api/v1/rules | python3 -I -c '
import json, sys
groups = json.load(sys.stdin)["data"]["groups"]
print(sum(rule["health"] == "ok" for group in groups for rule in group["rules"]))')" rules
}

# As the step itself asked them, when jobs had just run.
dashboard_answered() {
    grep -E '^( *[0-9]+|NONE)  ' "$WORK/step-5.log" | grep NONE && return 1
    grep '^[0-9]* queries, 0 without an answer' "$WORK/step-5.log"
}

alertmanagers() {
    equals 1 "$(in_booted curl -fsS http://127.0.0.1:9090/api/v1/alertmanagers | python3 -I -c '
import json, sys
print(len(json.load(sys.stdin)["data"]["activeAlertmanagers"]))')" active
}

# Waits for what the pager wrote down; what joins an outage is told five minutes after what came before.
paged() {
    local tries
    for ((tries = 0; tries < 330; tries++)); do
        ! grep -xF -m1 "$*" "$ROOT/var/log/pager.log" 2>/dev/null || return 0
        sleep 1
    done
    cat "$ROOT/var/log/pager.log"
    return 1
}

# ---- 6. An alert comes -----------------------------------------------------

looks_6() {
    look 'dead letters' dead_letters 120
    look 'gl_accounts of 2026-09' of_period 2026-09 0
    look 'Alertmanager has' has_alerts
    look 'AuraManyJobsFail was paged' paged /page firing AuraManyJobsFail
    look 'AuraDeadLettersMany was paged' paged /page firing AuraDeadLettersMany
    look 'the console: dead letters' console_answers
}

dead_letters() { equals "$1" "$(sql "SELECT count(*) FROM dead_letters WHERE state IN ('waiting', 'replaying', 'discarding')")" waiting; }

of_period() { equals "$2" "$(sql "SELECT count(*) FROM gl_accounts WHERE period = '$1'")" rows; }

has_alerts() {
    local found
    found=$(alerts)
    echo "$found"
    [[ " $found " = *' AuraManyJobsFail '* ]] && [[ " $found " = *' AuraDeadLettersMany '* ]]
}

# ---- 7. What the runbook says ----------------------------------------------

looks_7() {
    look 'dead letters' dead_letters 0
    look 'gl_accounts of 2026-09' of_period 2026-09 6000
    look 'AuraDeadLettersMany has ended' ended AuraDeadLettersMany 60
    look 'aura.dead in RabbitMQ' equals 0 "$(in_booted rabbitmqctl -q list_queues -p aura name messages | awk '$1 == "aura.dead" {print $2}')" messages
    look 'audit trail: replays, and by whom' replayed
}

# ended ALERT SECONDS: waits until Alertmanager has it no more.
ended() {
    local start=$SECONDS
    while [[ " $(alerts) " = *" $1 "* ]]; do
        [ $((SECONDS - start)) -lt "$2" ] || { alerts && return 1; }
        sleep 5
    done
    echo "after $((SECONDS - start)) s"
}

replayed() {
    equals '120 of root' "$(trail "db.audit_trail.count_documents({'event_type': 'replayed', 'metadata.actor': 'root'})") of root" ''
}

# ---- 8. Backup -------------------------------------------------------------

looks_8() {
    look 'the base backup' verifies_backup
    look 'documents of the trail' copied_documents
    look 'WAL: archived, failed' archived
    look 'timers' equals 'active active' "$(in_booted systemctl is-active aura-backup.timer aura-backup-trail.timer | xargs)" ''
    look 'aura_backup writes' refuses 'permission denied for table gl_accounts' as aura_backup \
        'sslmode=verify-full sslrootcert=/etc/ssl/aura-ca.crt sslcert=/root/aura/ca/backup.crt sslkey=/root/aura/ca/backup.key' 'DELETE FROM gl_accounts'
    look 'who may read the copies' equals '700 700 700' "$(in_booted sh -c 'stat --format=%a /var/backups/aura/1/postgres /var/backups/aura/1/trail /var/backups/aura/1/wal' | xargs)" ''
}

verifies_backup() { inside '/usr/lib/postgresql/15/bin/pg_verifybackup --no-parse-wal /var/backups/aura/1/postgres/*'; }

copied_documents() {
    in_booted journalctl --no-pager -o cat -u aura-backup | grep -E '^audit_trail: [1-9][0-9]* documents'
}

archived() {
    sql "SELECT archived_count || ' archived, ' || failed_count || ' failed' FROM pg_stat_archiver" | grep -E '^[1-9][0-9]* archived, 0 failed'
}

# ---- 9. Upgrade ------------------------------------------------------------

looks_9() {
    look 'the package' equals 99 "$(in_booted dpkg-query -W -f "\${Version}" aura)" ''
    look 'jobs ended before and after' jobs_around_the_upgrade
    look 'jobs published, and lost' all_loaded
    look 'dead letters' dead_letters 0
    look "root's settings" equals 'mongodb_url' "$(grep -o '^mongodb_url' "$ROOT/etc/aura/aura.toml")" 'is kept'
    look '/readyz of both workers' both_ready
    look 'aura verify: exit code 0' verified
    figures >"$WORK/figures"
}

# Workers began anew when the package was installed; jobs ended on both sides of that.
jobs_around_the_upgrade() {
    local since counts
    since=$(property aura-worker@1 ActiveEnterTimestamp)
    since=${since#* } # without the day of the week
    counts=$(sql "SELECT count(*) FILTER (WHERE finished_at < '$since') || ' before, ' || count(*) FILTER (WHERE finished_at >= '$since') || ' after' FROM ingestion_runs WHERE period > '2026-09'")
    echo "$counts"
    [[ $counts =~ ^[1-9].*' '[1-9][0-9]*' after'$ ]]
}

all_loaded() {
    local published loaded
    published=$(grep -c '^+ sudo -u erp erp-export' "$ROOT/root/loading.log")
    loaded=$(sql "SELECT count(*) FROM ingestion_runs WHERE period > '2026-09' AND status = 'success'")
    echo "$((published * 120)) published, $((published * 120 - loaded)) lost"
    [ "$published" -gt 0 ] && [ $((published * 120)) = "$loaded" ]
}

figures() { sql "SELECT count(*) || ' rows, ' || md5(string_agg(entity || period || account_code || balance, '' ORDER BY entity, period, account_code)) FROM gl_accounts WHERE period < '2027-07'"; }

# ---- 10. Restore -----------------------------------------------------------

looks_10() {
    look 'jobs that align has named' aligned
    look 'published again' published_again
    look 'gl_accounts, before 2027-07, row by row' equals "$(cat "$WORK/figures")" "$(figures)" ''
    look 'gl_accounts of 2027-07' of_period 2027-07 6000
    look 'aura verify: exit code 0' verified
    look 'the timeline of PostgreSQL' equals 2 "$(sql 'SELECT timeline_id FROM pg_control_checkpoint()')" ''
    look 'a new backup, in a new folder' new_backup
    look 'AuraManyJobsFail has ended' ended AuraManyJobsFail 1000
    look 'alerts that fire' equals '' "$(alerts)" ''
}

aligned() { grep -c '^to be published again: .* 2027-07$' "$WORK/step-10.log" | grep -x '[1-9][0-9]*'; }

# Each that align has named succeeds, and what PostgreSQL had of the others is known as a duplicate.
published_again() {
    local named
    named=$(aligned)
    grep -o '[0-9]* successful.* of 120 jobs' "$WORK/step-10.log" | tail -n 1
    grep -o '[0-9]* successful.* of 120 jobs' "$WORK/step-10.log" | tail -n 1 | grep -q "^$named successful"
}

new_backup() {
    in_booted ls /var/backups/aura/2/postgres
    equals success "$(property aura-backup Result)" ''
}
