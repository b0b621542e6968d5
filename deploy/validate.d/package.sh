# The Debian package: made, installed, looked at, upgraded, removed and purged.
# shellcheck shell=bash

# The exposure, by systemd's own reckoning, above which a unit counts as open: 10 is worst.
MAX_EXPOSURE=25 # tenths

validate_package() {
    local packages=$WORK/packages unit
    if ! command -v dpkg-shlibdeps >/dev/null || ! command -v objcopy >/dev/null; then
        install_packages dpkg-dev binutils
    fi
    rm -rf -- "$packages"
    look 'deploy/package' cargo-deb "$HERE/package" --no-build --fast --profile "$PROFILE" "$packages"
    PACKAGE=$(echo "$packages"/aura_*.deb)
    [ -e "$PACKAGE" ] || return 0
    if $QUICK; then skip 'aura.deb' lintian '--quick'; else look 'aura.deb' lintian lint_package; fi
    look 'aura.deb' 'dpkg -i' install_package "$PACKAGE"
    look 'aura.deb: owners and modes' stat modes_are_right
    look 'aura.sysusers, aura.tmpfiles' 'systemd-sysusers, -tmpfiles' sysusers_and_tmpfiles
    for unit in aura-worker@1.service aura-console.service; do
        look "${unit/@1/@}" 'systemd-analyze verify' verify_unit "$unit"
        look "${unit/@1/@}" 'systemd-analyze security < 2.5' in_root systemd-analyze security --no-pager \
            --offline=true --threshold=$MAX_EXPOSURE "$unit"
    done
    look 'aura-worker@.service' 'TimeoutStopSec > drain' stop_exceeds_drain
    look 'aura.example.toml' 'the programs, as aura' programs_run
    look 'manual pages' man pages_are_there
    look 'backup, restore, monitoring' 'as docs/ names them' documented_files_are_there
    look 'completions' 'bash -n' bash -n "$ROOT/usr/share/bash-completion/completions/aura-producer"
    look 'aura.deb: an upgrade' 'dpkg -i' upgrade_package "$packages"
    look 'aura.deb: removed and purged' dpkg remove_package
}

# What lintian may find: the symbols are wanted, without which a backtrace names nothing; there is no upload to Debian.
lint_package() {
    command -v lintian >/dev/null || install_packages lintian
    local allowed=unstripped-binary-or-object,no-changelog,non-standard-file-perm,no-manual-page
    allowed+=,maintainer-script-calls-systemctl,copyright-without-copyright-notice
    lintian --allow-root --fail-on=error,warning --suppress-tags "$allowed" "$PACKAGE"
}

install_package() {
    fresh_root
    cp "$1" "$ROOT/root/aura.deb"
    in_root dpkg -i /root/aura.deb
}

# Prints owner, group and mode of what the package and its scripts made.
modes() { in_root stat --format='%U:%G %a %n' "$@"; }

modes_are_right() {
    diff <(modes /etc/aura /etc/aura/aura.toml /var/lib/aura /var/lib/aura/cache /var/log/aura /var/spool/aura \
        /usr/bin/aura-worker /usr/bin/aura-producer /usr/sbin/aura /usr/share/aura/sources) - <<'TEXT' || return 1
root:aura 750 /etc/aura
root:aura 640 /etc/aura/aura.toml
aura:aura 750 /var/lib/aura
aura:aura 2750 /var/lib/aura/cache
aura:aura 750 /var/log/aura
aura:aura-export 2770 /var/spool/aura
root:root 755 /usr/bin/aura-worker
root:root 755 /usr/bin/aura-producer
root:root 755 /usr/sbin/aura
root:root 755 /usr/share/aura/sources
TEXT
    [ "$(in_root id -Gn aura)" = 'aura aura-export' ]
}

sysusers_and_tmpfiles() {
    in_root systemd-sysusers --replace=/usr/lib/sysusers.d/aura.conf aura.conf && in_root systemd-tmpfiles --create aura.conf
}

# Without a manual page of its own programs, which this root leaves out, systemd would have nothing else to say.
verify_unit() {
    local said
    said=$(in_root systemd-analyze verify --man=no "$1" 2>&1) || { printf '%s\n' "$said" && return 1; }
    [ -z "$said" ] || { printf '%s\n' "$said" && return 1; }
}

stop_exceeds_drain() {
    local stop drain
    stop=$(sed -n 's/^TimeoutStopSec=//p' "$ROOT/usr/lib/systemd/system/aura-worker@.service")
    drain=$(in_root aura-producer help settings | awk '/drain.seconds|AURA_DRAIN_SECONDS/ {found = 1} found && match($0, /[0-9]+/) {print substr($0, RSTART, RLENGTH); exit}')
    echo "TimeoutStopSec=$stop, AURA_DRAIN_SECONDS=$drain"
    [ "$stop" -ge $((drain + 15)) ]
}

programs_run() {
    local sample=$ROOT/tmp/de01.csv
    cp deploy/sources/samples/sap-acdoca.csv "$sample"
    chmod 644 "$sample"
    as_aura aura-worker --version && as_aura aura-worker --help >/dev/null || return 1
    # shellcheck disable=SC2016 # for the shell within
    as_aura env AURA_CONFIG=/etc/aura/aura.toml sh -euc '
        cd /
        aura-producer help settings | grep -q amqp
        aura-producer sources list | grep sap-acdoca
        aura-producer check /tmp/de01.csv --source sap-acdoca'
    in_root aura sources list | grep -q sap-acdoca || return 1
    # With the installed settings a worker comes as far as its services: a mistake in them would end it with 2.
    [ "$(as_aura env AURA_CONFIG=/etc/aura/aura.toml AURA_HTTP_ADDR=127.0.0.1:0 sh -c 'cd && timeout 3 aura-worker | grep -c "\"starting\""')" = 1 ]
}

pages_are_there() {
    local page
    for page in aura-producer aura-producer-dead-replay aura-producer-console; do
        gzip -dc "$ROOT/usr/share/man/man1/$page.1.gz" | grep -q '^\.TH' || { echo "$page has no page" && return 1; }
    done
}

# What the documentation calls by its path is in the package, and what is a program runs there.
documented_files_are_there() {
    local path
    while IFS= read -r path; do
        [ -e "$ROOT$path" ] || { echo "$path is named in docs/ and not there" && return 1; }
    done < <(grep -ohE '/usr/share/aura/[a-z-]+(/[a-z.-]*[a-z])?' docs/*.md | sort -u)
    for path in alerts.yml prometheus.yml alertmanager.yml grafana-dashboard.json targets/workers.yml; do
        [ -s "$ROOT/usr/share/aura/monitoring/$path" ] || { echo "$path is not there" && return 1; }
    done
    in_root /usr/share/aura/backup --help >/dev/null && in_root /usr/share/aura/restore --help >/dev/null &&
        in_root /usr/share/aura/backup /copies --wal-settings | grep -q '^archive_command'
}

# The next version of the package: the settings that somebody changed stay, and the new ones come beside them.
upgrade_package() {
    local next=$WORK/next
    rm -rf -- "$next"
    dpkg-deb -R "$PACKAGE" "$next"
    sed -i 's/^Version: .*/Version: 99/' "$next/DEBIAN/control"
    echo '# of the next version' >>"$next/etc/aura/aura.toml"
    dpkg-deb --root-owner-group -Znone -b "$next" "$ROOT/root/next.deb" >/dev/null
    echo 'concurrency = 3 # ours' >>"$ROOT/etc/aura/aura.toml"
    echo 'AURA_CONCURRENCY=5' >"$ROOT/etc/aura/worker-1.env"
    echo 'a file that was handed in' >"$ROOT/var/spool/aura/kept.csv"
    in_root dpkg -i --force-confdef --force-confold /root/next.deb
    grep -q '# ours' "$ROOT/etc/aura/aura.toml" && grep -q 'of the next version' "$ROOT/etc/aura/aura.toml.dpkg-dist" &&
        [ "$(modes /etc/aura/aura.toml /etc/aura/worker-1.env | cut -d' ' -f1,2 | sort -u)" = 'root:aura 640' ]
}

# Settings stay until the purge; after it, what was handed in stays, and so does what the operator wrote himself.
remove_package() {
    in_root dpkg -r aura || return 1
    [ -e "$ROOT/etc/aura/aura.toml" ] && [ ! -e "$ROOT/usr/bin/aura-worker" ] && [ -d "$ROOT/var/log/aura" ] || return 1
    in_root dpkg -P aura || return 1
    diff <(cd "$ROOT" && find etc var usr \( -ipath '*aura*' -o -path 'var/spool/aura*' \) -not -path '*/apt/*' | sort) - <<'TEXT'
etc/aura
etc/aura/worker-1.env
var/spool/aura
var/spool/aura/kept.csv
TEXT
}
