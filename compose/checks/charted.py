"""The chart: what it makes, and the values that it takes."""

import copy
import json
import pathlib
import re
import tempfile

import yaml

from .tools import HERE, ROLES, expect, read, run

CHART = HERE / "helm/export-center"
# Newest Kubernetes that the chart was checked against; helm built from source takes itself for an old one.
KUBERNETES = "1.37.0"
# Every part of the chart at work.
EVERYTHING = {
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "runbookBase": "https://docs.example/"},
        "dashboards": {"enabled": True},
    },
    "ingress": {"enabled": True, "className": "nginx", "host": "export.example", "tlsSecret": "export-tls", "annotations": {"a": "b"}},
    "autoscaling": {"kind": "keda"},
    "scratch": {"size": "20Gi", "storageClass": "fast"},
    "secrets": {"nats": {"existingSecret": "nats"}, "object": {"existingSecret": "object"}, "extra": ["registry-password"]},
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "priorityClassName": "high",
    "podAnnotations": {"a": "b"},
    "config": {
        "nats": {"user": "exports"},
        "limits": {"active_runs": 8},
        "allow": {"distribution": ["http", "oci"]},
        "oci": {"registries": [{"host": "registry.example", "user": "u", "password_file": "/run/secrets/registry-password/password"}]},
    },
    "networkPolicy": {"gatewayFrom": [{"podSelector": {"matchLabels": {"app": "ingress"}}}]},
}


def template(values=None, fails=False, files=()):
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "values.yaml"
        path.write_text(yaml.safe_dump(values or {}), encoding="utf-8")
        more = [argument for file in files for argument in ("-f", file)]
        return run("helm", "template", "ex", CHART, "--namespace", "exports", "--kube-version", KUBERNETES, *more, "-f", path, fails=fails)


def manifests(text):
    """The manifests by kind and name; Kubernetes' own types read them strictly."""
    passed = [line for line in run("kube-decode", text=text).splitlines() if line.endswith("passed over")]
    allowed = {"monitoring.coreos.com/v1 ServiceMonitor", "monitoring.coreos.com/v1 PrometheusRule", "keda.sh/v1alpha1 ScaledObject"}
    strange = {line.removesuffix(" passed over") for line in passed} - allowed
    expect(not strange, f"the chart makes {sorted(strange)}, which nothing has checked")
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text) if each}


def chart():
    run("helm", "lint", "--strict", "--kube-version", KUBERNETES, CHART)
    for values in [{}, EVERYTHING, {"autoscaling": {"kind": "hpa"}}, {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}]:
        pods(manifests(template(values)))
    made = manifests(template(EVERYTHING))
    selectors(made)
    expect("replicas" not in made["Deployment", "ex-adapt"]["spec"], "adapt is scaled by two")
    scaled = made["ScaledObject", "ex-adapt"]["spec"]
    expect(set(scaled) <= {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod", "triggers"}, "the ScaledObject has what KEDA does not know")
    expect(scaled["scaleTargetRef"]["name"] == "ex-adapt" and "exporter_queue_age_seconds" in scaled["triggers"][0]["metadata"]["query"], "KEDA scales something else")
    hpa = manifests(template({"autoscaling": {"kind": "hpa"}}))["HorizontalPodAutoscaler", "ex-adapt"]["spec"]
    expect(hpa["metrics"][0]["external"]["metric"]["name"] == "exporter_queue_age_seconds", "the autoscaler looks at something else")
    of_chart = made["PrometheusRule", "ex"]["spec"]["groups"]
    expect(without_runbooks(of_chart) == without_runbooks(read("prometheus/rules.yml")["groups"]), "the chart has other rules")
    for group in of_chart:
        for rule in group["rules"]:
            expect("alert" not in rule or rule["annotations"]["runbook_url"].startswith("https://docs.example/docs/operations.md#"), "a runbook has another base")
    boards = made["ConfigMap", "ex-dashboards"]["data"]
    expect({name: json.loads(text) for name, text in boards.items()} == {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (HERE / "grafana/dashboards").glob("*.json")}, "the chart has other dashboards")
    monitor = made["ServiceMonitor", "ex"]["spec"]
    labels = {entry["targetLabel"] for entry in monitor["endpoints"][0]["relabelings"]}
    expect(labels == {"job", "role"} and monitor["endpoints"][0]["port"] == "admin", "the ServiceMonitor gives other labels than rules ask for")
    # Values are closed: a misspelt one at any depth, a setting that is none, a secret in the clear, a role too many.
    for wrong in [
        {"imgae": {}},
        {"image": {"tagg": "1"}},
        {"roles": {"adapts": {}}},
        {"roles": {"adapt": {"replicas": "two"}}},
        {"config": {"limits": {"active_rusn": 1}}},
        {"config": {"nats": {"password": "in the clear"}}},
        {"config": {"store": {"uri_file": "/elsewhere"}}},
        {"secrets": {"mongodb": {"existingSecret": ""}}},
        {"autoscaling": {"kind": "magic"}},
        {"ingress": {"enabled": True}},
        {"monitoring": {"rules": {"thresholds": 1}}},
    ]:
        template(wrong, fails=True)
    offline = template(files=[CHART / "values-offline.yaml"])
    config = manifests(offline)["ConfigMap", "ex"]["data"]["export.toml"]
    expect("offline = true" in config and '"oci"' not in config and "8333" in config, "values-offline.yaml is not offline")
    for policy in (each for (kind, _), each in manifests(offline).items() if kind == "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            ports = {port["port"] for port in rule["ports"]}
            expect(ports == {53} or rule.get("to"), f"values-offline.yaml: port {ports} leads anywhere")


def pods(made):
    """What holds of every pod, whatever the values."""
    for role in ROLES:
        pod = made["Deployment", f"ex-{role}"]["spec"]["template"]["spec"]
        where = f"chart: {role}"
        expect(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{where} may be root")
        # Kubernetes would put EXPORT_…_PORT into the environment, which exportd refuses.
        expect(pod["enableServiceLinks"] is False, f"{where} is told of services by variables")
        expect(pod["automountServiceAccountToken"] is False, f"{where} has a token of the cluster")
        (container,) = pod["containers"]
        security = container["securityContext"]
        expect(security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"] and security["capabilities"]["drop"] == ["ALL"], f"{where} is not confined")
        expect(container["args"] == [role], f"{where} is another role")
        expect("memory" in container["resources"]["limits"], f"{where} has no limits")
        expect(all(container[probe]["httpGet"]["port"] == "admin" for probe in ["startupProbe", "livenessProbe", "readinessProbe"]), f"{where} is not probed")
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        expect(mounted == {volume["name"] for volume in pod["volumes"]}, f"{where}: volumes and mounts differ")
        expect(("secret-signing" in mounted) == (role in {"gateway", "sign"}), f"{where}: the signing key is where it is not needed")
        expect(("secret-mongodb" in mounted) == (role not in {"manifest", "sign", "distribute"}), f"{where}: the ledger's password is where it is not needed")
        config = made["ConfigMap", "ex"]["data"]["export.toml"]
        for secret in re.findall(r'"/run/secrets/([a-z-]+)[/"]', config):
            needed = f"secret-{secret}" in {name for each in ROLES for name in mounts(made, each)} or f"extra-{secret}" in mounted
            expect(needed, f"{where}: {secret} is configured and mounted nowhere")
        expect(not re.search(r"= \d+\.\d", config), "chart: a number became a float")


def mounts(made, role):
    return {mount["name"] for mount in made["Deployment", f"ex-{role}"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]}


def selectors(made):
    """Each selector finds the pods that it is for."""
    labels = {role: made["Deployment", f"ex-{role}"]["spec"]["template"]["metadata"]["labels"] for role in ROLES}

    def found(selector):
        return [role for role in ROLES if selector.items() <= labels[role].items()]

    expect(found(made["Service", "ex-gateway"]["spec"]["selector"]) == ["gateway"], "the service of the gateway finds others")
    expect(found(made["Service", "ex-admin"]["spec"]["selector"]) == ROLES, "the service of metrics misses a role")
    expect(found(made["NetworkPolicy", "ex"]["spec"]["podSelector"]["matchLabels"]) == ROLES, "a role is under no network policy")
    for role in ROLES:
        expect(found(made["PodDisruptionBudget", f"ex-{role}"]["spec"]["selector"]["matchLabels"]) == [role], f"the budget of {role} is another's")
        expect(found(made["Deployment", f"ex-{role}"]["spec"]["selector"]["matchLabels"]) == [role], f"the deployment of {role} takes another's pods")


def without_runbooks(groups):
    groups = copy.deepcopy(groups)
    for group in groups:
        for rule in group["rules"]:
            rule.get("annotations", {}).pop("runbook_url", None)
    return groups
