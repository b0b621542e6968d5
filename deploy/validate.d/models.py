"""Checks documents against published models, unknown keys included.

Usage: models.py compose FILE | models.py kubernetes FILE

'compose' reads a file of Compose, 'kubernetes' what Kustomize rendered: the kinds that operators of a cluster define
(KEDA's, the Prometheus operator's) by their models, and everything by what Aura relies on.
"""

import re
import sys

import yaml

SECRETS = {"aura", "aura-owner", "aura-keda", "aura-console-users"}
# What Kubernetes itself defines is checked by kubernetes-validate.
OWN = {"Namespace", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Job", "PodDisruptionBudget", "NetworkPolicy"}


def compose(path):
    import compose_spec

    with open(path, encoding="utf-8") as file:
        # Where nobody sets a variable, its default stands.
        document = yaml.safe_load(re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", file.read()))
    # x-… are the file's own; the models know of no others.
    for key in [key for key in document if key.startswith("x-")]:
        del document[key]
    compose_spec.ComposeSpecification.model_validate(document, extra="forbid")
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(document)).validate()
    return []


def kubernetes(path):
    with open(path, encoding="utf-8") as file:
        documents = [document for document in yaml.safe_load_all(file) if document]
    faults = []
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind in OWN:
            continue
        model = defined_elsewhere(document["apiVersion"], kind)
        if model is None:
            faults.append(f"{kind}/{name}: no model is known for {document['apiVersion']}")
        else:
            model.model_validate(document, extra="forbid")
    return faults + relied_on(documents)


def defined_elsewhere(version, kind):
    if version == "keda.sh/v1alpha1":
        from cloudcoil.models.keda import v1alpha1 as models
    elif version == "monitoring.coreos.com/v1":
        from cloudcoil.models.prometheus_operator import v1 as models
    else:
        return None
    return getattr(models, kind, None)


def relied_on(documents):
    """What no schema knows: that parts name each other rightly, and no pod may do more than it must."""
    by_name = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    settings = by_name["ConfigMap", "aura"]["data"]
    faults = []

    def expect(what, holds):
        if not holds:
            faults.append(what)

    for (kind, name), document in by_name.items():
        expect(f"{kind}/{name} holds a secret", kind != "Secret")
        if kind not in ("Deployment", "Job"):
            continue
        pod = document["spec"]["template"]["spec"]
        where = f"{kind}/{name}"
        expect(f"{where}: runs as root", pod["securityContext"]["runAsNonRoot"] is True)
        expect(f"{where}: seccomp", pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"})
        expect(f"{where}: has a token", pod["automountServiceAccountToken"] is False)
        expect(f"{where}: service account", ("ServiceAccount", pod["serviceAccountName"]) in by_name)
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume:
                expect(f"{where}: volume {volume['name']} has no bound", "sizeLimit" in volume["emptyDir"])
            if "secret" in volume:
                expect(f"{where}: secret of {volume['name']}", volume["secret"]["secretName"] in SECRETS)
        for container in pod["containers"]:
            may = container["securityContext"]
            expect(f"{where}: may write its root", may["readOnlyRootFilesystem"] is True)
            expect(f"{where}: may gain rights", may["allowPrivilegeEscalation"] is False)
            expect(f"{where}: capabilities", may["capabilities"] == {"drop": ["ALL"]})
            expect(f"{where}: memory has no bound", "memory" in container["resources"]["limits"])
            for source in container.get("envFrom", []):
                if "secretRef" in source:
                    expect(f"{where}: secret", source["secretRef"]["name"] in SECRETS)
                else:
                    expect(f"{where}: settings", ("ConfigMap", source["configMapRef"]["name"]) in by_name)
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                expect(f"{where}: secret of {variable['name']}", reference is None or reference["name"] in SECRETS)
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = container.get(probe, {}).get(action, {}).get("port")
                    expect(f"{where}: {probe} asks port {port}", port is None or port in ports)

    worker = by_name["Deployment", "aura-worker"]["spec"]["template"]["spec"]
    drain = int(settings["AURA_DRAIN_SECONDS"])
    expect("a worker is killed as it drains", worker["terminationGracePeriodSeconds"] >= drain + 60)
    expect("a drain ends before a job may", drain >= int(settings["AURA_JOB_TIMEOUT_SECONDS"]))
    scaling = by_name["ScaledObject", "aura-worker"]["spec"]
    expect("nothing is scaled", ("Deployment", scaling["scaleTargetRef"]["name"]) in by_name)
    expect("replicas are fixed", "replicas" not in by_name["Deployment", "aura-worker"]["spec"])
    for trigger in scaling["triggers"]:
        expect("no such trigger authentication", ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in by_name)
        expect("value is not AURA_CONCURRENCY", trigger["metadata"]["value"] == settings["AURA_CONCURRENCY"])
    selected = by_name["PodDisruptionBudget", "aura-worker"]["spec"]["selector"]["matchLabels"]
    labels = by_name["Deployment", "aura-worker"]["spec"]["template"]["metadata"]["labels"]
    expect("the disruption budget selects no worker", selected.items() <= labels.items())
    service = by_name["Service", "aura-console"]["spec"]
    labels = by_name["Deployment", "aura-console"]["spec"]["template"]["metadata"]["labels"]
    expect("the service selects no console", service["selector"].items() <= labels.items())
    return faults


def main():
    what, path = sys.argv[1:]
    faults = {"compose": compose, "kubernetes": kubernetes}[what](path)
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


main()
