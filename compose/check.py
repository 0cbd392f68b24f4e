"""Checks what deploys Export Center, with no server and no container engine: rules and their tests, dashboards, the compose files, the chart.

    check.py            everything
    check.py NAME...    of it: rules, metrics, dashboards, runbooks, compliance, compose, nats, chart, settings

Needs promtool, compose-spec, helm, kube-decode and nats-server (tools/install.sh test), and PyYAML. Where the variable EXPORTD names the
server's program, `settings` also has it read every configuration.
"""

import copy
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CHART = HERE / "helm/export-center"
ROLES = ["adapt", "distribute", "gateway", "manifest", "orchestrator", "plan", "resolve", "sign"]
PROFILES = ["core", "observability", "registry", "s3"]
# What `NAME_bucket` and the like come from.
PARTS = re.compile(r"_(bucket|count|sum)$")
# Newest Kubernetes that the chart was checked against; helm built from source takes itself for an old one.
KUBERNETES = "1.37.0"


class Fault(Exception):
    """What is wrong, in words."""


def expect(good, text):
    if not good:
        raise Fault(text)


def program(name):
    own = ROOT / ".tools/bin" / name
    found = str(own) if own.is_file() else shutil.which(name)
    expect(found, f"no {name}: run tools/install.sh test")
    return found


def run(name, *arguments, text=None, fails=False, environment=None):
    done = subprocess.run(
        [program(name), *map(str, arguments)], input=text, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False
    )
    if fails:
        expect(done.returncode != 0, f"{name} {arguments} should have failed")
    else:
        expect(done.returncode == 0, f"{name} {arguments} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr if fails else done.stdout


def read(path):
    return yaml.safe_load((HERE / path).read_text(encoding="utf-8"))


def alerts():
    return [rule for group in read("prometheus/rules.yml")["groups"] for rule in group["rules"] if "alert" in rule]


def known():
    """Metrics by name, with their labels."""
    lines = (HERE / "prometheus/metrics.txt").read_text(encoding="utf-8").splitlines()
    return {line.split()[0]: set(line.split()[1:]) for line in lines if line and not line.startswith("#")}


# --- Prometheus and Grafana -------------------------------------------------------------------------------------------------------------


def rules():
    folder = HERE / "prometheus"
    run("promtool", "check", "rules", folder / "rules.yml")
    run("promtool", "check", "config", "--syntax-only", folder / "prometheus.yml")
    for tests in sorted(folder.glob("*.test.yml")):
        run("promtool", "test", "rules", tests)
    # Each alert is expected to fire by a test of that very name, and each test file also looks where nothing may fire.
    text = "".join(tests.read_text(encoding="utf-8") for tests in folder.glob("*.test.yml"))
    names = [alert["alert"] for alert in alerts()]
    expect(len(names) == len(set(names)), "an alert is there twice")
    for name in names:
        expect(f'{{alertname="{name}"' in text, f"no test expects {name} to fire")
    # Rules that never fire do not pass: each test that expects one says so.
    broken = read("prometheus/rules.yml")
    for group in broken["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = f"({rule['expr'].strip()}) and on () (vector(1) == 2)"
    with tempfile.TemporaryDirectory() as scratch:
        (pathlib.Path(scratch) / "rules.yml").write_text(yaml.safe_dump(broken), encoding="utf-8")
        said = ""
        for tests in sorted(folder.glob("*.test.yml")):
            shutil.copy(tests, scratch)
            said += run("promtool", "test", "rules", pathlib.Path(scratch) / tests.name, fails=True)
    for name in names:
        expect(f'alertname="{name}"' in said, f"a {name} that never fires passes its tests")


def named(expression):
    """The metrics of an expression, and the labels that are asked of each."""
    found = []
    for name, _, selector in re.findall(r"\b(exporter_[a-z0-9_]+)\b(\{([^}]*)\})?", expression):
        labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
        found.append((name, labels))
    return found


def expressions():
    for group in read("prometheus/rules.yml")["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for path in sorted((HERE / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            yield f"{path.name}: {variable['name']}", variable["query"]["query"]
    for path in sorted((CHART / "templates").glob("*.yaml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "exporter_" in line:
                yield path.name, line


def metrics():
    names = known()
    for where, expression in expressions():
        for name, labels in named(expression):
            base = name if name in names else PARTS.sub("", name)
            expect(base in names, f"{where}: nobody serves {name}")
            strange = labels - names[base] - {"le", "instance", "role", "job", "namespace"}
            expect(not strange, f"{where}: {name} has no {', '.join(sorted(strange))}")
    # Where the page of metrics is there, it has each.
    page = ROOT / "docs/metrics.md"
    if page.is_file():
        rows = set(re.findall(r"^\| `(exporter_[a-z_]+)(?:\{[^}`]*\})?`", page.read_text(encoding="utf-8"), re.M))
        missing = sorted(set(names) - rows)
        expect(not missing, f"docs/metrics.md does not have {', '.join(missing)}")
    # Recorded series are made before they are used.
    made = {rule["record"] for group in read("prometheus/rules.yml")["groups"] for rule in group["rules"] if "record" in rule}
    for where, expression in expressions():
        for name in re.findall(r"\bexporter:[a-z0-9_:]+", expression):
            expect(name in made, f"{where}: no rule records {name}")


def dashboards():
    """Every panel has its query understood by Prometheus itself, and what the specification asks for is shown."""
    titles = set()
    queries = []
    uids = []
    for path in sorted((HERE / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        uids.append(board["uid"])
        ids = [panel["id"] for panel in board["panels"]]
        expect(len(ids) == len(set(ids)), f"{path.name}: two panels have one id")
        for one, other in itertools.combinations([panel["gridPos"] for panel in board["panels"]], 2):
            apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart = apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            expect(apart, f"{path.name}: panels lie over each other at {one} and {other}")
        for panel in board["panels"]:
            titles.add(panel["title"])
            expect(panel["type"] == "row" or panel["targets"], f"{path.name}: `{panel['title']}` asks nothing")
            for target in panel.get("targets", []):
                expect(target["datasource"]["uid"] == "prometheus", f"{path.name}: `{panel['title']}` asks another source")
                queries.append(target["expr"].replace("$profile", ".*"))
    expect(len(uids) == len(set(uids)), "two dashboards have one uid")
    for title in ["Runs that ended", "Bytes exported", "Failure ratio", "Latency of a hand-over, median", "Age of the oldest command", "Age of the last good bundle"]:
        expect(title in titles, f"no dashboard shows `{title}`")
    source = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    expect(source["uid"] == "prometheus", "the data source has another uid than the dashboards ask")
    # promtool reads expressions in rules only.
    document = {"groups": [{"name": "g", "rules": [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(queries)]}]}
    with tempfile.TemporaryDirectory() as scratch:
        (pathlib.Path(scratch) / "panels.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        run("promtool", "check", "rules", pathlib.Path(scratch) / "panels.yml")


def runbooks():
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.M)}
    for alert in alerts():
        for member in ["summary", "description", "runbook_url"]:
            expect(alert["annotations"].get(member), f"{alert['alert']} has no {member}")
        expect(alert["labels"].get("severity") in {"critical", "warning"}, f"{alert['alert']} has no severity")
        file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        expect(file == "docs/operations.md", f"{alert['alert']}: its runbook is not docs/operations.md")
        expect(anchor == alert["alert"].lower() and anchor in anchors, f"{alert['alert']}: docs/operations.md has no section #{anchor}")
    of_alerts = set(re.findall(r"^### (Export\w+)$", page, re.M))
    strange = sorted(of_alerts - {alert["alert"] for alert in alerts()})
    expect(not strange, f"docs/operations.md has runbooks of no alert: {', '.join(strange)}")


def compliance():
    """Each test that docs/compliance.md names is there, and each line of the checklist has its section."""
    page = (ROOT / "docs/compliance.md").read_text(encoding="utf-8")
    there = set()
    for top in ["crates", "stages", "gateway", "exportd", "exportctl", "jetstream", "tests"]:
        for path in (ROOT / top).rglob("*.rs"):
            there |= set(re.findall(r"\bfn ([a-z0-9_]+)", path.read_text(encoding="utf-8")))
    missing = sorted(set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", page)) - there)
    expect(not missing, f"docs/compliance.md names tests that are not there: {', '.join(missing)}")
    sections = re.findall(r"^## (.+)$", page, re.M)
    expect(len(sections) == 6, "docs/compliance.md: the checklist has six lines")
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        for row in re.findall(r"^\| (?!claim|---)(.+)$", section, re.M):
            expect("`" in row, f"docs/compliance.md: nothing shows `{row}`")


# --- compose ----------------------------------------------------------------------------------------------------------------------------


def composed(*overlays, profiles=PROFILES):
    """The services of a deployment, as the reference implementation of the specification reads them."""
    # Secrets are files that secrets.sh makes; only their names count here.
    files = [HERE / "compose.yaml", *(HERE / "overlays" / f"{name}.yaml" for name in overlays)]
    return json.loads(run("compose-spec", "-profiles", ",".join(profiles), *files))


def compose():
    everything = composed()
    services = everything["services"]
    expect(set(ROLES) <= set(services), "a role has no service")
    for name, service in services.items():
        where = f"compose.yaml: {name}"
        expect(service.get("read_only") is True, f"{where} can write to its root")
        expect(service.get("cap_drop") == ["ALL"], f"{where} keeps capabilities")
        expect("no-new-privileges:true" in service.get("security_opt", []), f"{where} may gain privileges")
        expect(not service.get("privileged"), f"{where} is privileged")
        root = service["user"].split(":")[0] == "0"
        expect(not root or (name == "volumes" and service["cap_add"] == ["CHOWN"] and service["network_mode"] == "none"), f"{where} is root")
        expect(name == "volumes" or not service.get("cap_add"), f"{where} has capabilities")
        limits = service["deploy"]["resources"]["limits"]
        expect({"cpus", "memory", "pids"} <= set(limits), f"{where} has no limits")
        once = name in {"volumes", "setup", "s3-buckets"}
        expect(bool(service.get("healthcheck", {"disable": not once}).get("disable")) == once, f"{where}: health is to be checked of what stays, and of nothing else")
        expect(re.search(r":[^:/]*\d", service["image"]), f"{where}: the image has no version")
        expect(not service["image"].endswith(":latest"), f"{where}: the image is whatever is the latest")
        for port in service.get("ports", []):
            expect(port["host_ip"] == "127.0.0.1", f"{where} listens to everybody")
        for variable in service.get("environment") or {}:
            expect(not re.search("PASSWORD|SECRET|TOKEN|KEY", variable) or variable.endswith("FILE"), f"{where}: a secret in {variable}")
    for role in ROLES:
        expect(services[role]["command"] == [role], f"compose.yaml: {role} is another role")
        expect("replicas" in services[role]["deploy"], f"compose.yaml: {role} has no scale of its own")
    keys = {name for name, service in services.items() for volume in service.get("volumes", []) if volume.get("source") == "keys"}
    expect(keys == {"volumes", "setup", "gateway", "sign"}, f"compose.yaml: the keys are mounted by {sorted(keys)}")
    by_profile = {profile: set(composed(profiles=[profile])["services"]) for profile in PROFILES}
    expect(by_profile["core"] == {*ROLES, "volumes", "setup", "nats", "mongodb"}, "compose.yaml: core is something else")
    expect(by_profile["observability"] == {"volumes", "prometheus", "grafana"}, "compose.yaml: observability is something else")
    expect(by_profile["s3"] == {"volumes", "s3", "s3-buckets"}, "compose.yaml: s3 is something else")
    expect(by_profile["registry"] == {"volumes", "registry"}, "compose.yaml: registry is something else")
    # Prometheus looks for the roles under the names that they have here, at the port where they serve metrics.
    targets = read("prometheus/prometheus.yml")["scrape_configs"][0]["dns_sd_configs"][0]
    expect(sorted(targets["names"]) == ROLES and targets["port"] == 9480, "prometheus.yml looks elsewhere than compose.yaml serves")
    expect('admin_listen = "0.0.0.0:9480"' in (HERE / "export.toml").read_text(encoding="utf-8"), "export.toml: metrics are elsewhere")

    cluster = composed("nats-cluster")["services"]
    expect({"nats", "nats-2", "nats-3"} <= set(cluster), "nats-cluster.yaml: not three brokers")
    homes = [next(volume["source"] for volume in cluster[name]["volumes"] if volume["target"] == "/data") for name in ["nats", "nats-2", "nats-3"]]
    expect(len(set(homes)) == 3, "nats-cluster.yaml: two brokers share a volume")
    for role in ROLES:
        environment = cluster[role]["environment"]
        expect(environment["EXPORT_NATS_REPLICAS"] == "3" and environment["EXPORT_NATS_URL"].count("nats://") == 3, f"nats-cluster.yaml: {role} knows one broker")

    offline = composed("offline")["services"]
    expect("registry" not in offline, "offline.yaml: there is a registry")
    for name, service in offline.items():
        expect(service.get("pull_policy") == "never", f"offline.yaml: {name} would be pulled")
        ways = set(service.get("networks") or {})
        expect("outside" not in ways or name in {"gateway", "prometheus", "grafana"}, f"offline.yaml: {name} leads outside")
    for role in ROLES:
        environment = offline[role]["environment"]
        expect(environment["EXPORT_OFFLINE"] == "true", f"offline.yaml: {role} is not offline")
        expect("oci" not in environment["EXPORT_ALLOW_DISTRIBUTION"].split(","), f"offline.yaml: {role} pushes to registries")
        expect(environment["EXPORT_STAGING_DRIVER"] == "s3", f"offline.yaml: {role} stages elsewhere")
    # The specification's schema is really asked.
    with tempfile.TemporaryDirectory() as scratch:
        wrong = pathlib.Path(scratch) / "wrong.yaml"
        wrong.write_text("name: x\nservices: {a: {image: a, comand: [x]}}\n", encoding="utf-8")
        expect("comand" in run("compose-spec", wrong, fails=True), "compose-spec takes what is no member")


def nats():
    """The broker's own program reads its configuration, with the secrets that secrets.sh makes."""
    with tempfile.TemporaryDirectory() as scratch:
        top = pathlib.Path(scratch)
        subprocess.run([HERE / "secrets.sh", top / "run/secrets"], check=True, capture_output=True)
        before = {path.name: path.read_text(encoding="utf-8") for path in (top / "run/secrets").iterdir()}
        subprocess.run([HERE / "secrets.sh", top / "run/secrets"], check=True, capture_output=True)
        after = {path.name: path.read_text(encoding="utf-8") for path in (top / "run/secrets").iterdir()}
        expect(before == after, "secrets.sh makes a secret anew that is there")
        wanted = {entry["file"].rpartition("/")[2] for overlay in ["compose.yaml", "overlays/nats-cluster.yaml"] for entry in read_tagged(overlay)["secrets"].values()}
        expect(wanted <= set(after), f"secrets.sh does not make {sorted(wanted - set(after))}")
        (top / "etc/nats").mkdir(parents=True)
        for path in (HERE / "nats").iterdir():
            shutil.copy(path, top / "etc/nats")
        for name in ["nats.conf", "nats-cluster.conf"]:
            said = subprocess.run(
                [program("nats-server"), "-t", "-c", top / "etc/nats" / name], env={**os.environ, "NATS_NAME": "nats"}, capture_output=True, text=True, check=False
            )
            expect(said.returncode == 0, f"{name}: {said.stdout}{said.stderr}")


def read_tagged(path):
    """A compose file whose tags (`!override`) do not matter."""

    class Loader(yaml.SafeLoader):
        pass

    def plain(loader, _suffix, node):
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        return loader.construct_scalar(node)

    Loader.add_multi_constructor("!", plain)
    return yaml.load((HERE / path).read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506 - a SafeLoader


# --- the chart --------------------------------------------------------------------------------------------------------------------------

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


def settings():
    done = subprocess.run([sys.executable, HERE / "helm/schema.py"], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, done.stderr)
    # Whatever the compose file and the chart set is a setting.
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    variables = {"EXPORT_" + name.replace(".", "_").upper() for name in re.findall(r"^\| `([a-z_.]+)` \|", page, re.M)} | {"EXPORT_CONFIG"}
    for name, service in composed()["services"].items():
        for variable in service.get("environment") or {}:
            expect(not variable.startswith("EXPORT_") or variable in variables, f"compose.yaml: {name}: {variable} is no setting")
    server = os.environ.get("EXPORTD")
    if not server:
        return
    # The server itself takes what each role of each deployment is told.
    for overlays in [[], ["nats-cluster"], ["offline"]]:
        services = composed(*overlays)["services"]
        for role in ROLES:
            accepted(server, HERE / "export.toml", services[role]["environment"])
    pushing = {**composed()["services"]["plan"]["environment"], "EXPORT_ALLOW_DISTRIBUTION": "http,oci,object"}
    accepted(server, HERE / "export.toml", pushing)
    for values, files in [({}, ()), (EVERYTHING, ()), ({}, (CHART / "values-offline.yaml",))]:
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch) / "export.toml"
            path.write_text(manifests(template(values, files=files))["ConfigMap", "ex"]["data"]["export.toml"], encoding="utf-8")
            accepted(server, path, {})


def accepted(server, file, variables):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EXPORT")}
    environment = {**bare, **variables, "EXPORT_CONFIG": str(file)}
    done = subprocess.run([server, "config", "check"], env=environment, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"{file}: {done.stdout}{done.stderr}")


CHECKS = [rules, metrics, dashboards, runbooks, compliance, compose, nats, chart, settings]


def main():
    wanted = sys.argv[1:] or [check.__name__ for check in CHECKS]
    by_name = {check.__name__: check for check in CHECKS}
    failed = False
    for name in wanted:
        if name not in by_name:
            sys.exit(f"there is no check `{name}`; there are {', '.join(by_name)}")
        try:
            by_name[name]()
            print(f"{name}: ok")
        except Fault as fault:
            failed = True
            print(f"{name}: {fault}", file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
