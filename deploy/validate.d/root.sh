# A Debian of its own in a folder, in which a package is installed and systemd is booted.
# shellcheck shell=bash

ROOT=$WORK/root

# The archive of a bare Debian 12 with systemd and certificates; it is kept, so that the next run begins with it.
root_archive() {
    local archive=$WORK/root-2.tar
    if [ ! -s "$archive" ]; then
        command -v mmdebstrap >/dev/null || install_packages mmdebstrap
        mmdebstrap --quiet --variant=essential --include=systemd,dbus,ca-certificates bookworm "${archive%.tar}.new.tar" >&2
        mv "${archive%.tar}.new.tar" "$archive"
    fi
    echo "$archive"
}

fresh_root() {
    local archive
    archive=$(root_archive)
    rm -rf -- "$ROOT"
    mkdir -p "$ROOT"
    tar -xf "$archive" -C "$ROOT"
}

# Runs a command in the root, as root, with a /proc of its own.
in_root() {
    # shellcheck disable=SC2016 # for the shell within
    unshare --mount --pid --fork --kill-child -- sh -euc \
        'root=$1; shift; mount -t proc proc "$root/proc"; exec env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 chroot "$root" "$@"' \
        sh "$ROOT" "$@"
}

as_aura() { in_root runuser -u aura -- "$@"; }
