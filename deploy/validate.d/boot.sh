# The installed package under a systemd that is booted in namespaces: its units run as they would on a server, with every
# restriction in force, and reach the services of deploy/local over loopback.
# shellcheck shell=bash

BOOTED=

validate_boot() {
    local tool
    for tool in curl nsenter; do command -v "$tool" >/dev/null || install_packages curl util-linux; done
    if ! stores_are_up; then
        skip 'aura-worker@.service' 'systemd, booted' 'deploy/local up has not run'
        return
    fi
    PACKAGE=$(echo "$WORK"/packages/aura_*.deb)
    if [ ! -e "$PACKAGE" ]; then
        "$HERE/package" --no-build --fast --profile "$PROFILE" "$WORK/packages" >/dev/null
        PACKAGE=$(echo "$WORK"/packages/aura_*.deb)
    fi
    install_package "$PACKAGE" >/dev/null
    settings_of_root
    trap end_booted EXIT
    if ! boot; then
        skip 'aura-worker@.service' 'systemd, booted' "systemd cannot be booted here; its log is $ROOT.log"
        return
    fi
    look 'aura-worker@.service, aura-console.service' 'systemctl enable --now' units_start
    look 'aura-worker@.service' 'aura publish --wait' units_load
    look 'aura-console.service' 'GET /' answers http://127.0.0.1:19465/ 200
    look 'aura-worker@.service' 'systemctl stop: exit code 0' unit_stops
    look 'aura.deb: an upgrade under load' 'dpkg -i' units_restart_on_upgrade
    look 'aura.deb: removed while running' 'dpkg -r' units_stop_on_removal
    end_booted
}

# What an operator writes: where the services are. The console gets another port, as one may run on this machine.
settings_of_root() {
    local setting
    fresh_stores aura_boot
    for setting in "${STORES[@]}"; do
        printf '%s = "%s"\n' "$(sed 's/^AURA_//; s/=.*//' <<<"$setting" | tr '[:upper:]' '[:lower:]')" "${setting#*=}"
    done >>"$ROOT/etc/aura/aura.toml"
    echo 'AURA_CONSOLE_ADDR=127.0.0.1:19465' >"$ROOT/etc/aura/console.env"
}

# Nothing that would touch this machine: no network settings, clock, kernel settings, devices.
mask_units() {
    local unit
    mkdir -p "$ROOT/etc/systemd/system"
    for unit in systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service \
        systemd-network-generator.service systemd-resolved.service systemd-timesyncd.service systemd-logind.service \
        systemd-sysctl.service systemd-binfmt.service systemd-modules-load.service systemd-udevd.service \
        systemd-udev-trigger.service systemd-random-seed.service systemd-remount-fs.service systemd-pstore.service \
        proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-fs-fuse-connections.mount getty.target console-getty.service; do
        ln -sf /dev/null "$ROOT/etc/systemd/system/$unit"
    done
}

# Boots it; BOOTED is systemd's process number as this machine counts.
boot() {
    local tries group=/sys/fs/cgroup
    mask_units
    # systemd counts its services in a tree of control groups of its own: version 1's, where there is one.
    [ ! -d $group/systemd ] || group=$group/systemd
    mkdir -p $group/aura-validate
    # shellcheck disable=SC2016 # for the shell within
    (
        echo "$BASHPID" >$group/aura-validate/cgroup.procs
        exec unshare --cgroup --mount --pid --uts --ipc --fork --kill-child -- bash -euc '
            root=$1
            mount --bind "$root" "$root"
            mount -t proc proc "$root/proc"
            mount --bind "$root/proc/sys" "$root/proc/sys"
            mount -o remount,bind,ro "$root/proc/sys"
            mount -t sysfs -o ro sysfs "$root/sys"
            if [ -d /sys/fs/cgroup/systemd ]; then
                mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
                mkdir "$root/sys/fs/cgroup/systemd"
                mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
            else
                mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
            fi
            mount -t tmpfs -o mode=755 tmpfs "$root/run"
            mount -t tmpfs -o mode=755 tmpfs "$root/dev"
            for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
                IFS=: read -r name major minor <<<"$device"
                mknod -m 666 "$root/dev/$name" c "$major" "$minor"
            done
            ln -s /proc/self/fd "$root/dev/fd"
            mkdir "$root/dev/shm" "$root/dev/pts"
            : >"$root/dev/console"
            hostname aura-validate
            exec env -i container=aura PATH=/usr/sbin:/usr/bin chroot "$root" /lib/systemd/systemd --log-target=console' \
            sh "$ROOT"
    ) >"$ROOT.log" 2>&1 </dev/null &
    UNSHARED=$!
    for ((tries = 0; tries < 150; tries++)); do
        sleep 0.2
        kill -0 "$UNSHARED" 2>/dev/null || return 1
        BOOTED=$(pgrep -P "$UNSHARED" | head -n 1)
        # 'degraded' is what it is without what was masked.
        case $(in_booted systemctl is-system-running 2>/dev/null || true) in running | degraded) return 0 ;; esac
    done
    return 1
}

in_booted() {
    nsenter --target "$BOOTED" --mount --pid --uts --ipc --cgroup --root --wd -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}

end_booted() {
    [ -n "$BOOTED" ] || return 0
    # Its end is that of everything in its namespace.
    kill -KILL "$BOOTED" 2>/dev/null || true
    wait "$UNSHARED" 2>/dev/null || true
    BOOTED=
    find /sys/fs/cgroup/aura-validate /sys/fs/cgroup/systemd/aura-validate -depth -type d -exec rmdir {} + 2>/dev/null || true
}

property() { in_booted systemctl show --value --property "$2" "$1"; }

units_start() {
    in_booted systemctl enable --now aura-worker@1 aura-worker@2 aura-console &&
        answers http://127.0.0.1:1941/readyz 200 && answers http://127.0.0.1:1942/readyz 200 && return 0
    in_booted journalctl --no-pager -n 30 -u 'aura-*'
    return 1
}

units_load() {
    write_ledger "$ROOT/var/spool/aura/DE01_2026-06.csv"
    # As somebody who hands files in leaves it: not the worker's, and readable by the group.
    in_booted sh -euc 'cd /var/spool/aura; chown root:aura-export ./*.csv; chmod 640 ./*.csv'
    in_booted aura publish --file /var/spool/aura/DE01_2026-06.csv --entity DE01 --period 2026-06 --wait --timeout 60 ||
        { in_booted journalctl --no-pager -n 30 -u 'aura-worker@*' && return 1; }
    [ "$(rows_of aura_boot)" = 3 ] || return 1
    modes_of_what_was_written
}

modes_of_what_was_written() {
    diff <(in_booted stat --format='%U:%G %a %n' /var/lib/aura/cache/DE01_2026-06_ingested.parquet /var/log/aura) - <<'TEXT'
aura:aura 640 /var/lib/aura/cache/DE01_2026-06_ingested.parquet
aura:aura 750 /var/log/aura
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
    answers http://127.0.0.1:1942/readyz 200 || return 1
    echo "worker 2 was $before and is $(property aura-worker@2 MainPID)"
    [ "$before" != "$(property aura-worker@2 MainPID)" ] && [ "$(property aura-worker@1 ActiveState)" = inactive ]
}

units_stop_on_removal() {
    in_booted dpkg -r aura || return 1
    [ "$(property aura-worker@2 ActiveState) $(property aura-console ActiveState)" = 'inactive inactive' ]
}
