# What Kustomize renders, kind by kind. There is no cluster here: nothing below says that one accepts or runs it.
# shellcheck shell=bash

# The oldest and the newest Kubernetes that it is checked for.
KUBERNETES_VERSIONS=(1.30 1.37)

validate_kubernetes() {
    local folder name rendered version
    python_tools
    for folder in deploy/kubernetes/base deploy/kubernetes/overlays/*; do
        name=${folder#deploy/}
        rendered=$WORK/$(basename "$folder").yaml
        look "$name" 'kubectl kustomize 1.37' render "$folder" "$rendered"
        for version in "${KUBERNETES_VERSIONS[@]}"; do
            look "$name" "kubernetes-validate $version" \
                "$PYTHON/kubernetes-validate" --strict --quiet --no-warn -k "$version" "$rendered"
        done
        look "$name" 'KEDA 2.16, Prometheus operator 0.80' "$PYTHON/python" "$HERE/validate.d/models.py" kubernetes "$rendered"
        look "$name: settings" aura-producer kubernetes_settings "$rendered"
    done
}

render() { "$PYTHON/kubectl" kustomize "$1" >"$2"; }

# The programs take what the ConfigMap tells them, and what Kubernetes itself puts beside it.
kubernetes_settings() {
    local settings=()
    mapfile -t settings < <("$PYTHON/python" - "$1" <<'PYTHON'
import sys, yaml
for document in yaml.safe_load_all(open(sys.argv[1], encoding="utf-8")):
    if document["kind"] == "ConfigMap":
        print("\n".join(f"{key}={value}" for key, value in document["data"].items()))
PYTHON
    )
    [ ${#settings[@]} -gt 4 ] || return 1
    env -i "${settings[@]}" AURA_CONSOLE_SERVICE_HOST=10.0.0.1 AURA_CONSOLE_PORT=tcp://10.0.0.1:80 \
        AURA_SOURCES_DIR=deploy/sources "${CARGO_TARGET_DIR:-target}/$PROFILE/aura-producer" sources list
}
