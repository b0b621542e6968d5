#!/bin/sh
# Lays out the root of the image around the programs in usr/bin: their libraries, certificates, a user, empty folders.
set -eu
root=$1

for program in "$root"/usr/bin/*; do
    # The loader is named by its path alone, each library by name => path.
    ldd "$program" | awk '$2 == "=>" {print $3} $1 ~ /^\// {print $1}' >>/libraries
done
sort -u /libraries | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done

mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$root/input" "$root/var/lib/aura/cache"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'aura:x:65532:65532:Aura:/var/lib/aura:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'aura:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"
chmod 755 "$root"/usr/bin/*
chown -R 65532:65532 "$root/var/lib/aura"
chmod 750 "$root/var/lib/aura" "$root/var/lib/aura/cache"
