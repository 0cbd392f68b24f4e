"""The compose file, its overlays, and the broker's configuration."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

from .tools import HERE, ROLES, expect, program, read, run

PROFILES = ["core", "observability", "registry", "s3"]


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
    holds_the_streams()


def holds_the_streams():
    """Streams are reserved when they are made: a broker with less than that takes none of them."""
    limits = (HERE / "nats/jetstream.conf").read_text(encoding="utf-8")
    streams = json.loads((HERE.parent / "jetstream/topology.json").read_text(encoding="utf-8"))["streams"]
    for storage, unit in {"memory": ("MB", 1 << 20), "file": ("GB", 1 << 30)}.items():
        limit = int(re.search(rf"^\s*max_{storage}_store: (\d+){unit[0]}$", limits, re.MULTILINE)[1]) * unit[1]
        reserved = sum(stream["max_bytes"] for stream in streams if stream["storage"] == storage)
        expect(reserved <= limit, f"nats/jetstream.conf: max_{storage}_store is {limit}, and the streams reserve {reserved}")


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
