"""Compares an index of Java archives with the SBOMs that it was made of.

    java_index.py INDEX FOLDER...

Prints what is wrong, a JSON list of at most twenty texts, and how much was compared.
"""

import json
import pathlib
import sqlite3
import sys
from urllib.parse import unquote

from osv import documents

COLUMNS = {
    "artifacts": [("id", "INTEGER", 1), ("group_id", "TEXT", 0), ("artifact_id", "TEXT", 0)],
    "indices": [("artifact_id", "INTEGER", 0), ("version", "TEXT", 0), ("sha1", "BLOB", 0), ("archive_type", "TEXT", 0)],
}


def coordinates(url):
    """Group, artifact, version and qualifiers of a package URL of Maven."""
    if not isinstance(url, str) or not url.startswith("pkg:maven/"):
        return None
    path, _, qualifiers = url.removeprefix("pkg:maven/").partition("#")[0].partition("?")
    path, _, version = path.partition("@")
    group, _, artifact = path.rpartition("/")
    if not (group and artifact and version):
        return None
    return unquote(group), unquote(artifact), unquote(version), qualifiers


def components(document):
    """(package URL, SHA-1) of everything in a CycloneDX or SPDX 2 document."""
    waiting = [*(document.get("components") or []), (document.get("metadata") or {}).get("component") or {}]
    while waiting:
        component = waiting.pop()
        waiting.extend(component.get("components") or [])
        for digest in component.get("hashes") or []:
            if digest.get("alg") == "SHA-1":
                yield component.get("purl"), digest.get("content")
    for package in document.get("packages") or []:
        urls = [r.get("referenceLocator") for r in package.get("externalRefs") or [] if r.get("referenceType") == "purl"]
        for digest in package.get("checksums") or []:
            if digest.get("algorithm") == "SHA1":
                for url in urls:
                    yield url, digest.get("checksumValue")


def said(folders):
    """SHA-1 -> what SBOMs say that it is, and whether one of them has doubts (a classifier, an archive of another type)."""
    found, doubtful = {}, set()
    for folder in folders:
        for document in documents(folder):
            if not isinstance(document, dict):
                continue
            for url, digest in components(document):
                known = coordinates(url)
                if known and isinstance(digest, str) and len(digest) == 40:
                    found.setdefault(digest.lower(), set()).add(known[:3])
                    if known[3] not in ("", "type=jar"):
                        doubtful.add(digest.lower())
    return found, doubtful


def main():
    index = sqlite3.connect(f"file:{pathlib.Path(sys.argv[1])}?mode=ro", uri=True)
    faults = []
    if index.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        faults.append("the integrity check fails")
    for table, columns in COLUMNS.items():
        has = [(name, kind.upper(), key) for _, name, kind, _, _, key in index.execute(f"PRAGMA table_info({table})")]
        if has != columns:
            faults.append(f"{table} has the columns {has}")
    rows = index.execute(
        "SELECT sha1, typeof(sha1), group_id, artifacts.artifact_id, version, archive_type FROM indices JOIN artifacts ON artifacts.id = indices.artifact_id"
    ).fetchall()
    if len(rows) != index.execute("SELECT count(*) FROM indices").fetchone()[0]:
        faults.append("an index has no artifact")
    found, doubtful = said(sys.argv[2:])
    indexed = {}
    for sha1, kind, group, artifact, version, archive in rows:
        if kind != "blob" or len(sha1) != 20 or archive != "jar":
            faults.append(f"{group}:{artifact}:{version} is {kind} {archive}")
            continue
        if (group, artifact, version) not in found.get(sha1.hex(), ()):
            faults.append(f"no SBOM says that {sha1.hex()} is {group}:{artifact}:{version}")
        if sha1.hex() in indexed:
            faults.append(f"{sha1.hex()} stands twice")
        indexed[sha1.hex()] = (group, artifact, version)
    for digest, names in sorted(found.items()):
        if digest not in doubtful and digest not in indexed:
            faults.append(f"{digest} is missing: {sorted(names)}")
    several = sum(len(names) > 1 for names in found.values())
    print(json.dumps({"faults": faults[:20], "count": len(faults), "rows": len(rows), "digests": len(found), "several": several}))


main()
