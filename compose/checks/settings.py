"""What deployments set are settings, and the server takes them."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from .charted import CHART, EVERYTHING, manifests, template
from .composed import composed
from .tools import HERE, ROLES, ROOT, expect


def settings():
    done = subprocess.run([sys.executable, HERE / "helm/schema.py"], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, done.stderr)
    # Whatever the compose file and the chart set is a setting.
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    variables = {"EXPORT_" + name.replace(".", "_").upper() for name in re.findall(r"`([a-z_.]+)`", " ".join(re.findall(r"^\| (`[a-z_.`, ]+`) \|", page, re.M)))} | {"EXPORT_CONFIG"}
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
