# What validators need of Debian.
# shellcheck shell=bash

install_packages() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        die "these packages are missing: $*" 'Install them, or run this as root on Debian.'
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
