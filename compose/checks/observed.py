"""Rules and alerts with their tests, metrics, dashboards."""

import itertools
import json
import pathlib
import re
import shutil
import tempfile

import yaml

from .tools import HERE, ROOT, expect, read, run

# What `NAME_bucket` and the like come from.
PARTS = re.compile(r"_(bucket|count|sum)$")


def alerts():
    return [rule for group in read("prometheus/rules.yml")["groups"] for rule in group["rules"] if "alert" in rule]


def known():
    """Metrics by name, with their labels."""
    lines = (HERE / "prometheus/metrics.txt").read_text(encoding="utf-8").splitlines()
    return {line.split()[0]: set(line.split()[1:]) for line in lines if line and not line.startswith("#")}


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
    for path in sorted((HERE / "helm/export-center/templates").glob("*.yaml")):
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
