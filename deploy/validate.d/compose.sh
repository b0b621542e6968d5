# What Compose reads. The plugin of Docker itself is in no registry of packages: compose-spec is a reader of its
# specification (in Rust), with models of it that refuse what they do not know, and podman-compose another program that
# runs such files.
# shellcheck shell=bash

validate_compose() {
    local file source merged=$WORK/compose.yaml
    python_tools
    for file in deploy/compose.yaml deploy/compose.aura.yaml; do
        look "$file" 'compose-spec 0.2.1' "$PYTHON/python" "$HERE/validate.d/models.py" compose "$file"
    done
    look 'compose.yaml + compose.aura.yaml' 'podman-compose config' merge_compose "$merged"
    look 'compose.yaml + compose.aura.yaml' 'compose-spec 0.2.1' "$PYTHON/python" "$HERE/validate.d/models.py" compose "$merged"
    look 'compose.aura.yaml: settings' aura-producer compose_settings "$merged"
    while read -r source; do
        if [ ! -e deploy/monitoring ] && [[ $source == ./monitoring/* ]]; then
            skip "compose.aura.yaml: $source" test 'deploy/monitoring is not there'
        else
            look "compose.aura.yaml: $source" test test -e "deploy/$source"
        fi
    done < <(sed -nE 's/^ *- (\.\/[^:]+):.*/\1/p; s/^ *- \$\{[A-Z_]+:-(\.\/[^}]+)\}:.*/\1/p' deploy/compose.aura.yaml)
    if ! command -v promtool >/dev/null; then
        skip 'compose.aura.yaml: prometheus' promtool "Debian's package prometheus is not installed"
    elif [ -e deploy/monitoring ]; then
        look 'compose.aura.yaml: prometheus' 'promtool check config' watched_by_prometheus
    fi
    look Containerfile 'hadolint 2.15' "$PYTHON/hadolint" --ignore DL3008 deploy/Containerfile
}

# The folder as Prometheus finds it in its container.
watched_by_prometheus() {
    local folder=$WORK/prometheus
    rm -rf -- "$folder"
    mkdir -p "$folder"
    cp -r deploy/monitoring/prometheus.yml deploy/monitoring/alerts.yml deploy/compose.d/targets "$folder"
    promtool check config "$folder/prometheus.yml"
}

merge_compose() {
    "$PYTHON/podman-compose" -f deploy/compose.yaml -f deploy/compose.aura.yaml config >"$1"
    grep -q 'worker-2:' "$1" && grep -q 'mongodb:' "$1"
}

# The programs take what a worker and the console are told.
compose_settings() {
    local service settings=()
    for service in worker-1 worker-2 console migrate; do
        mapfile -t settings < <("$PYTHON/python" - "$1" "$service" <<'PYTHON'
import sys, yaml
document = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
values = document["services"][sys.argv[2]]["environment"]
for item in (values if isinstance(values, list) else [f"{key}={value}" for key, value in values.items()]):
    print(item)
PYTHON
        )
        [ ${#settings[@]} -gt 5 ] || return 1
        env -i "${settings[@]}" AURA_SOURCES_DIR=deploy/sources "${CARGO_TARGET_DIR:-target}/$PROFILE/aura-producer" sources list || return 1
    done
}
