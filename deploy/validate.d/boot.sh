# docs/install.md, carried out: a Debian with the services' packages is booted by systemd in namespaces, with a network
# of its own, and the commands of its first chapter are run there. The units run with every restriction in force.
# shellcheck shell=bash

validate_boot() {
    local mongod
    if ! mongod=$(find_mongod); then
        skip docs/install.md 'systemd, booted' 'there is no mongod; deploy/local up brings one'
        return
    fi
    PACKAGE=$(echo "$WORK"/packages/aura_*.deb)
    if [ ! -e "$PACKAGE" ]; then
        "$HERE/package" --no-build --fast --profile "$PROFILE" "$WORK/packages" >/dev/null
        PACKAGE=$(echo "$WORK"/packages/aura_*.deb)
    fi
    ROOT=$WORK/server
    # docs/install.md installs these packages; there is no network to install them from.
    machine_root "$(machine_archive server-1 systemd,dbus,ca-certificates,curl,sudo,postgresql,rabbitmq-server,libcurl4,liblzma5)" "$mongod"
    trap end_booted EXIT
    if ! boot; then
        skip docs/install.md 'systemd, booted' "systemd cannot be booted here; its log is $ROOT.log"
        return
    fi
    look docs/install.md 'carried out, one server' carry_out
    if [ "$BROKEN" -gt 0 ]; then return; fi
    look 'aura.deb' 'what was loaded, and its modes' rows_and_modes
    look 'aura-worker@.service' 'systemctl stop: exit code 0' unit_stops
    look 'aura.deb: an upgrade' 'dpkg -i, workers run' units_restart_on_upgrade
    look 'aura.deb: removed' 'dpkg -r, workers run' units_stop_on_removal
    end_booted
}

# The commands of the first chapter: its blocks that are sh.
chapter() {
    awk '/^## / {inside = ($0 == "## One server")} /^```/ {block = (inside && $0 == "```sh"); next} block' docs/install.md
}

carry_out() {
    initiate_mongodb || return 1
    {
        echo 'set -euxo pipefail; export DEBIAN_FRONTEND=noninteractive; cd /root'
        chapter
    } >"$ROOT/root/install.sh"
    in_booted bash /root/install.sh && return 0
    in_booted journalctl --no-pager -n 30 -u 'aura-worker@*' -u aura-console -u 'system-aura*'
    return 1
}

rows_and_modes() {
    [ "$(in_booted sh -c 'cd /; sudo -u postgres psql -qXAt -d aura -c "SELECT count(*) FROM gl_accounts"')" = 3 ] || return 1
    diff <(in_booted stat --format='%U:%G %a %n' /var/lib/aura/cache/DE01_2026-06_ingested.parquet /var/log/aura \
        /var/spool/aura/DE01_2026-06.csv /etc/aura/worker.env) - <<'TEXT'
aura:aura 640 /var/lib/aura/cache/DE01_2026-06_ingested.parquet
aura:aura 750 /var/log/aura
root:aura-export 640 /var/spool/aura/DE01_2026-06.csv
root:aura 640 /etc/aura/worker.env
TEXT
}

unit_stops() {
    in_booted systemctl stop aura-worker@1
    echo "$(property aura-worker@1 Result), $(property aura-worker@1 ExecMainStatus)"
    [ "$(property aura-worker@1 Result) $(property aura-worker@1 ExecMainStatus)" = 'success 0' ]
}

# What runs begins again as the new program; what was stopped stays so.
units_restart_on_upgrade() {
    local next=$WORK/next before
    rm -rf -- "$next"
    dpkg-deb -R "$PACKAGE" "$next"
    sed -i 's/^Version: .*/Version: 99/' "$next/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$next" "$ROOT/root/next.deb" >/dev/null
    before=$(property aura-worker@2 MainPID)
    in_booted dpkg -i --force-confold /root/next.deb || return 1
    in_booted curl -fsS --retry 30 --retry-delay 1 --retry-all-errors http://127.0.0.1:1942/readyz || return 1
    echo "worker 2 was $before and is $(property aura-worker@2 MainPID)"
    [ "$before" != "$(property aura-worker@2 MainPID)" ] && [ "$(property aura-worker@1 ActiveState)" = inactive ]
}

units_stop_on_removal() {
    in_booted dpkg -r aura || return 1
    [ "$(property aura-worker@2 ActiveState) $(property aura-console ActiveState)" = 'inactive inactive' ]
}
