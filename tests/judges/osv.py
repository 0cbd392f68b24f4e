"""An evaluator of OSV that shares nothing with ours: which advisories affect a package at a version.

It follows "Evaluation" of the OSV schema (https://ossf.github.io/osv-schema/#evaluation): a version is affected if it is listed, or if it lies in
a range whose events are gone through in the order of their versions.
"""

import functools
import json
import pathlib
import re
import subprocess

from orders import known, order

CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}")


def documents(path):
    """Every JSON object in a file or a folder: `.json` files, and packs of one document a line."""
    path = pathlib.Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if file.name.endswith(".jsonl.zst"):
            text = subprocess.run(["zstd", "-dcq", file], check=True, stdout=subprocess.PIPE).stdout
            for line in text.splitlines():
                yield json.loads(line)
        elif file.suffix == ".json":
            yield json.loads(file.read_bytes())


def is_osv(document):
    return isinstance(document, dict) and "id" in document and "modified" in document and "affected" in document


# Errata of these list the CVEs that they fix as related; elsewhere related is what is merely similar.
ERRATA = ("AlmaLinux", "Rocky Linux")


def names(document, ecosystem):
    """What Trivy calls an advisory: the CVEs that it is about, else its own id."""
    candidates = [document["id"], *(document.get("aliases") or []), *(document.get("upstream") or [])]
    if ecosystem.split(":")[0] in ERRATA:
        candidates += document.get("related") or []
    found = {text.strip() for text in candidates if CVE.fullmatch(text.strip())}
    return sorted(found) or [document["id"]]


def package_key(ecosystem, name):
    """Two names with one key are one package."""
    base = ecosystem.split(":")[0]
    if base == "PyPI":
        return re.sub(r"[-_.]+", "-", name).lower()
    return name.lower() if base in ("npm", "NuGet", "Packagist", "RubyGems", "Maven", "crates.io", "Bitnami") else name


class Range:
    """One range of an advisory."""

    def __init__(self, parse, events):
        self.points, self.unparsed = [], []
        for event in events:
            for kind, text in event.items():
                if kind == "limit":
                    continue
                value = None if text == "0" and kind == "introduced" else parse(text)
                if value is None and not (text == "0" and kind == "introduced"):
                    self.unparsed.append(text)
                else:
                    self.points.append((value, kind))
        # Stable: events of one version keep the order in which they were written.
        self.points.sort(key=functools.cmp_to_key(lambda a, b: compare(a[0], b[0])))

    def holds(self, version):
        affected = False
        for value, kind in self.points:
            if kind == "introduced" and compare(version, value) >= 0:
                affected = True
            elif kind == "fixed" and compare(version, value) >= 0:
                affected = False
            elif kind == "last_affected" and compare(version, value) > 0:
                affected = False
        return affected


def compare(one, other):
    """None is older than every version."""
    if one is None or other is None:
        return (one is not None) - (other is not None)
    return -1 if one < other else 1 if other < one else 0


class Affected:
    """What one advisory says of one package."""

    def __init__(self, document, affected):
        self.ecosystem = affected["package"]["ecosystem"]
        self.name = affected["package"]["name"]
        self.document, self.names = document["id"], names(document, self.ecosystem)
        self.parse = order(self.ecosystem)
        ranges = [r for r in affected.get("ranges") or [] if r["type"] != "GIT"]
        # GitHub keeps the last version that it knows to be affected apart, where there is no fix.
        last = re.fullmatch(r"(<=?) *(\S+)", (affected.get("database_specific") or {}).get("last_known_affected_version_range") or "")
        for r in ranges:
            if last and not any("fixed" in e or "last_affected" in e for e in r["events"]):
                r["events"].append({"fixed" if last[1] == "<" else "last_affected": last[2]})
        self.ranges = [Range(self.parse, r["events"]) for r in ranges]
        self.listed = [v for v in affected.get("versions") or []]
        self.boundaries = [text for r in ranges for e in r["events"] for text in e.values() if text != "0"]

        self.fixed = any("fixed" in e for r in ranges for e in r["events"])
        self.module = any(".module" in e.get("fixed", "") for r in ranges for e in r["events"])

    def unparsed(self):
        return sorted({text for r in self.ranges for text in r.unparsed})

    @functools.cached_property
    def listed_values(self):
        return [value for value in map(self.parse, self.listed) if value is not None]

    def holds(self, text):
        version = self.parse(text)
        return (
            text in self.listed
            or any(compare(version, value) == 0 for value in self.listed_values)
            or any(r.holds(version) for r in self.ranges)
        )


def corpus(paths):
    """(ecosystem, package key) -> what advisories say of it. Withdrawn ones say nothing."""
    packages, withdrawn = {}, 0
    for path in paths:
        for document in documents(path):
            if not is_osv(document):
                continue
            if document.get("withdrawn"):
                withdrawn += 1
                continue
            for affected in document["affected"]:
                package = affected.get("package") or {}
                ecosystem = package.get("ecosystem")
                if ecosystem and known(ecosystem):
                    key = (ecosystem, package_key(ecosystem, package["name"]))
                    packages.setdefault(key, []).append(Affected(document, affected))
    return packages, withdrawn
