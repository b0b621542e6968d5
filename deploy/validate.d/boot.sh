# docs/install.md, carried out: a Debian with the services' packages is booted by systemd in namespaces, with a network
# of its own, and the commands of its first chapter are run there. The units run with every restriction in force.
# shellcheck shell=bash

BOOTED=

validate_boot() {
    local mongod=.local/mongodb/bin/mongod
    [ -x $mongod ] || mongod=$(command -v mongod || true)
    if [ -z "$mongod" ]; then
        skip docs/install.md 'systemd, booted' 'there is no mongod; deploy/local up brings one'
        return
    fi
    PACKAGE=$(echo "$WORK"/packages/aura_*.deb)
    if [ ! -e "$PACKAGE" ]; then
        "$HERE/package" --no-build --fast --profile "$PROFILE" "$WORK/packages" >/dev/null
        PACKAGE=$(echo "$WORK"/packages/aura_*.deb)
    fi
    server_root "$mongod"
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

# A Debian 12 with the packages that docs/install.md installs, since there is no network to install them from.
server_root() {
    local archive=$WORK/server-1.tar
    if [ ! -s "$archive" ]; then
        command -v mmdebstrap >/dev/null || install_packages mmdebstrap
        mmdebstrap --quiet --variant=apt --include=systemd,dbus,ca-certificates,curl,sudo,postgresql,rabbitmq-server,libcurl4,liblzma5 \
            bookworm "${archive%.tar}.new.tar" >&2
        mv "${archive%.tar}.new.tar" "$archive"
    fi
    ROOT=$WORK/server
    rm -rf -- "$ROOT"
    mkdir -p "$ROOT"
    tar -xf "$archive" -C "$ROOT"
    cp "$PACKAGE" "$ROOT/root/"
    install -m 755 "$1" "$ROOT/usr/bin/mongod"
    mkdir -p "$ROOT/var/lib/mongodb" "$ROOT/etc/systemd/system/multi-user.target.wants"
    cat >"$ROOT/etc/systemd/system/mongod.service" <<'UNIT'
[Service]
ExecStart=/usr/bin/mongod --dbpath /var/lib/mongodb --replSet rs0 --bind_ip 127.0.0.1 --wiredTigerCacheSizeGB 0.25
UNIT
    ln -s /etc/systemd/system/mongod.service "$ROOT/etc/systemd/system/multi-user.target.wants/"
    echo '127.0.0.1 localhost aura-validate' >"$ROOT/etc/hosts"
    echo aura-validate >"$ROOT/etc/hostname"
}

# The commands of the first chapter: its blocks that are sh.
chapter() {
    awk '/^## / {inside = ($0 == "## One server")} /^```/ {block = (inside && $0 == "```sh"); next} block' docs/install.md
}

carry_out() {
    local tries
    for ((tries = 0; tries < 50; tries++)); do
        ! nsenter --target "$BOOTED" --net -- python3 -I "$HERE/local.d/probe.py" initiate 27017 || break
        sleep 0.5
    done
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
    command -v ip >/dev/null || install_packages iproute2
    mask_units
    # systemd counts its services in a tree of control groups of its own: version 1's, where there is one.
    [ ! -d $group/systemd ] || group=$group/systemd
    mkdir -p $group/aura-validate
    # shellcheck disable=SC2016 # for the shell within
    (
        echo "$BASHPID" >$group/aura-validate/cgroup.procs
        exec unshare --cgroup --mount --net --pid --uts --ipc --fork --kill-child -- bash -euc '
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
            mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
            ln -s pts/ptmx "$root/dev/ptmx"
            : >"$root/dev/console"
            hostname aura-validate
            ip link set lo up
            # Not chroot: systemd lays out the roots of its services from its own.
            cd "$root"
            pivot_root . mnt
            umount -l /mnt
            exec env -i container=aura PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=journal' \
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
    nsenter --target "$BOOTED" --mount --net --pid --uts --ipc --cgroup --root --wd -- \
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
