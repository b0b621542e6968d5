# The image, without a registry: made of the programs that were built here, on a base of Debian's packages.
# shellcheck shell=bash

IMAGE=localhost/aura:validate

validate_image() {
    local needed=() tool
    for tool in podman buildah runc mmdebstrap curl; do
        command -v "$tool" >/dev/null || needed+=("$tool")
    done
    [ ${#needed[@]} -eq 0 ] || install_packages "${needed[@]}"
    look Containerfile 'podman build' "$HERE/image" --no-build --local-base --profile "$PROFILE" --tag "$IMAGE"
    look image 'no shell in it' no_shell
    if stores_are_up; then
        look image 'loads a file, read only, as 65532' image_loads
    else
        skip image 'loads a file' 'deploy/local up has not run'
    fi
}

# Runs the image as a cluster would: no root, no capabilities, nothing to write but /tmp and the cache.
run_image() {
    podman --runtime runc --cgroup-manager cgroupfs run --network=host --read-only --cap-drop=ALL \
        --security-opt=no-new-privileges --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 \
        --volume "$WORK/image-input:/input:ro" --volume "$WORK/image-cache:/var/lib/aura/cache" \
        "${STORES[@]/#/--env=}" --env=AURA_HTTP_ADDR=127.0.0.1:19991 "$@"
}

no_shell() {
    local STORES=()
    mkdir -p "$WORK/image-input" "$WORK/image-cache"
    ! run_image --rm --entrypoint sh "$IMAGE" -c true 2>/dev/null &&
        run_image --rm --entrypoint aura-producer "$IMAGE" sources list
}

image_loads() {
    local status=0
    rm -rf -- "$WORK/image-input" "$WORK/image-cache"
    mkdir -p "$WORK/image-input" "$WORK/image-cache"
    chown 65532:65532 "$WORK/image-cache"
    fresh_stores aura_image
    write_ledger "$WORK/image-input/DE01_2026-06.csv"
    podman rm --force --ignore aura-validate >/dev/null
    run_image --rm --entrypoint aura-producer "$IMAGE" migrate || return 1
    run_image --detach --name aura-validate "$IMAGE" >/dev/null
    answers http://127.0.0.1:19991/readyz 200 || status=1
    [ "$(podman top aura-validate huser | tail -n 1)" != root ] || status=1
    run_image --rm --entrypoint aura-producer "$IMAGE" \
        publish --file /input/DE01_2026-06.csv --entity DE01 --period 2026-06 --wait --timeout 60 || status=1
    [ "$(rows_of aura_image)" = 3 ] || status=1
    [ -s "$WORK/image-cache/DE01_2026-06_ingested.parquet" ] || status=1
    podman stop --time 60 aura-validate >/dev/null
    [ "$(podman inspect --format '{{.State.ExitCode}}' aura-validate)" = 0 ] || status=1
    podman logs aura-validate 2>&1 | tail -n 5
    podman rm aura-validate >/dev/null
    return "$status"
}
