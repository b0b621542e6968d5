# A Debian of its own, booted by systemd in namespaces, with a network of its own. Nothing in it reaches this machine's
# services, and the units run with every restriction in force.
# shellcheck shell=bash

# What it is called; who boots another at the same time names it otherwise.
MACHINE=${MACHINE:-aura-validate}
BOOTED=

# The mongod that deploy/local brought, or this machine's.
find_mongod() {
    if [ -x .local/mongodb/bin/mongod ]; then echo .local/mongodb/bin/mongod; else command -v mongod; fi
}

# machine_archive NAME PACKAGES [LATER]: the archive of a Debian 12 with PACKAGES, separated by commas; it is kept, so
# that the next run begins with it. LATER, separated by spaces, are in apt's cache there: they can be installed without
# a network, as they would be with one.
machine_archive() {
    local archive=$WORK/$1.tar new=$WORK/$1.new.tar later=()
    if [ ! -s "$archive" ]; then
        command -v mmdebstrap >/dev/null || install_packages mmdebstrap
        [ $# -lt 3 ] || later=(--skip=cleanup/apt "--customize-hook=APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get -qq -y --download-only -o APT::Install-Recommends=true install $3")
        mmdebstrap --quiet --variant=apt --include="$2" "${later[@]}" bookworm "$new" >&2
        mv "$new" "$archive"
    fi
    echo "$archive"
}

# machine_root ARCHIVE MONGOD: lays it out in ROOT, with a MongoDB as its own package would leave it: a user, settings,
# a unit that is started.
machine_root() {
    rm -rf -- "$ROOT"
    mkdir -p "$ROOT"
    tar -xf "$1" -C "$ROOT"
    cp "$PACKAGE" "$ROOT/root/"
    install -m 755 "$2" "$ROOT/usr/bin/mongod"
    chroot "$ROOT" useradd --system --user-group --home-dir /var/lib/mongodb --shell /usr/sbin/nologin mongodb
    chroot "$ROOT" install -d -o mongodb -g mongodb /var/lib/mongodb /var/log/mongodb
    cat >"$ROOT/etc/mongod.conf" <<'CONF'
storage:
  dbPath: /var/lib/mongodb
  wiredTiger: {engineConfig: {cacheSizeGB: 0.25}}
systemLog: {destination: file, logAppend: true, path: /var/log/mongodb/mongod.log}
net: {port: 27017, bindIp: 127.0.0.1}
replication: {replSetName: rs0}
CONF
    mkdir -p "$ROOT/etc/systemd/system/multi-user.target.wants"
    cat >"$ROOT/etc/systemd/system/mongod.service" <<'UNIT'
[Service]
User=mongodb
Group=mongodb
ExecStart=/usr/bin/mongod --config /etc/mongod.conf
LimitNOFILE=64000
UNIT
    ln -s /etc/systemd/system/mongod.service "$ROOT/etc/systemd/system/multi-user.target.wants/"
    echo "127.0.0.1 localhost $MACHINE" >"$ROOT/etc/hosts"
    echo "$MACHINE" >"$ROOT/etc/hostname"
}

# Makes MongoDB's replica set, for which its own shell is missing.
initiate_mongodb() {
    local tries
    for ((tries = 0; tries < 50; tries++)); do
        ! nsenter --target "$BOOTED" --net -- python3 -I "$HERE/local.d/probe.py" initiate 27017 2>/dev/null || return 0
        sleep 0.5
    done
    return 1
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
    mkdir -p "$group/$MACHINE"
    # shellcheck disable=SC2016 # for the shell within
    (
        echo "$BASHPID" >"$group/$MACHINE/cgroup.procs"
        exec unshare --cgroup --mount --net --pid --uts --ipc --fork --kill-child -- bash -euc '
            root=$1 name=$2
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
            hostname "$name"
            ip link set lo up
            # Not chroot: systemd lays out the roots of its services from its own.
            cd "$root"
            pivot_root . mnt
            umount -l /mnt
            exec env -i container=aura PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=journal' \
            sh "$ROOT" "$MACHINE"
    ) >"$ROOT.log" 2>&1 </dev/null 8<&- &
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
    # One of an earlier run is not this shell's to wait for.
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$UNSHARED" 2>/dev/null || break
        sleep 0.1
    done
    BOOTED=
    find "/sys/fs/cgroup/$MACHINE" "/sys/fs/cgroup/systemd/$MACHINE" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

property() { in_booted systemctl show --value --property "$2" "$1"; }
