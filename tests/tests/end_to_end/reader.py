"""Reads an unpacked json:raw bundle with none of our code and compares it with the documents it was made from.

    reader.py UNPACKED ORIGINALS...

ORIGINALS are folders as they were given to `exportd evidence import`: with packs (docs.jsonl.zst beside
paths.txt.zst), with single documents, or both. Values are compared with their number literals (1.0 is not 1) and with
every member, also those whose name repeats; the order of members does not count, that of list entries does. Prints one
JSON document.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import threading

PASSED_OVER = {"LICENSES", "enrichment", "malformed", "policy"}


def members(pairs):
    return ("object", sorted(pairs, key=lambda pair: pair[0]))


def number(literal):
    return ("number", literal)


def constant(literal):
    raise ValueError(f"`{literal}` is no JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=members, parse_float=number, parse_int=number, parse_constant=constant, strict=True
)


def value(text):
    return DECODER.decode(text)


def fingerprint(parsed):
    return hashlib.sha256(repr(parsed).encode("utf-8", "surrogatepass")).digest()


def lines(path):
    """The lines of a .zst file as `zstd` unpacks it, without their ends."""
    with subprocess.Popen(["zstd", "-q", "-dc", "--long=27", str(path)], stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            yield line.rstrip(b"\n")
    if process.returncode:
        raise SystemExit(f"zstd fails on {path}")


def with_zstandard(path):
    """(plain bytes, sha256 of them) by the `zstandard` package, or None without it."""
    try:
        import zstandard
    except ImportError:
        return None
    digest, count = hashlib.sha256(), 0
    with open(path, "rb") as file:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file, read_across_frames=True)
        while piece := reader.read(1 << 20):
            digest.update(piece)
            count += len(piece)
    return count, digest.hexdigest()


def originals(root):
    """(source, path, text) of every document below a folder that was imported."""
    packs = sorted(root.rglob("docs.jsonl.zst"))
    for pack in packs:
        folder = pack.parent.relative_to(root)
        if PASSED_OVER.isdisjoint(folder.parts):
            paths = (path.decode() for path in lines(pack.with_name("paths.txt.zst")))
            for path, text in zip(paths, lines(pack), strict=True):
                yield folder.as_posix(), path, text
    for file in sorted(root.rglob("*.json")):
        path = file.relative_to(root)
        if PASSED_OVER.isdisjoint(path.parts) and file.name != "MANIFEST.json":
            yield root.name, path.as_posix(), file.read_bytes()


def candidates(wanted, record):
    """Originals at the path with which a document id begins."""
    source, document_id = record["source"], record["document_id"]
    end = len(document_id)
    while end > 0:
        found = wanted.get((source, document_id[:end]))
        if found:
            return found
        end = document_id.rfind("#", 0, end)
    return None


def main():
    unpacked = pathlib.Path(sys.argv[1])
    wanted, read, report = {}, 0, {"files": {}, "different": [], "unexpected": [], "compared": 0, "longest": 0}
    for root in sys.argv[2:]:
        for source, path, text in originals(pathlib.Path(root)):
            wanted.setdefault((source, path), []).append(fingerprint(value(text.decode())))
            read += 1
    sources = {source for source, _ in wanted}
    for file in sorted(unpacked.rglob("*.jsonl.zst")):
        facts = {"records": 0, "plainBytes": 0, "kinds": set(), "tenants": set(), "sorted": True}
        last, digest = None, hashlib.sha256()
        for line in lines(file):
            facts["records"] += 1
            facts["plainBytes"] += len(line) + 1
            digest.update(line + b"\n")
            report["longest"] = max(report["longest"], len(line))
            names = dict(value(line.decode())[1])
            raw = dict(names["content"][1])["raw"]
            if names["source"] in sources:
                found = candidates(wanted, names)
                print_of_raw = fingerprint(raw)
                if found is None:
                    report["unexpected"].append(names["document_id"])
                elif print_of_raw in found:
                    found.remove(print_of_raw)
                    report["compared"] += 1
                else:
                    report["different"].append(names["document_id"])
            key = (names["subject"].encode(), names["document_id"].encode(), names["source"].encode())
            facts["sorted"] = facts["sorted"] and (last is None or last < key) and list(names) == sorted(names)
            last = key
            facts["kinds"].add(names["kind"])
            facts["tenants"].add(names["tenant"])
        facts["kinds"], facts["tenants"] = sorted(facts["kinds"]), sorted(facts["tenants"])
        if (other := with_zstandard(file)) is not None and other != (facts["plainBytes"], digest.hexdigest()):
            raise SystemExit(f"zstandard and zstd read {file} differently")
        report["files"][file.relative_to(unpacked).as_posix()] = facts
    missing = [f"{source}: {path}" for (source, path), left in wanted.items() for _ in left]
    report["originals"], report["missing"] = read, missing
    for name in ("different", "unexpected", "missing"):
        report[name] = {"count": len(report[name]), "first": report[name][:10]}
    json.dump(report, sys.stdout)


# Evidence nests deeper than Python's default stack.
sys.setrecursionlimit(100_000)
threading.stack_size(512 << 20)
thread = threading.Thread(target=main)
failed = []
threading.excepthook = lambda args: (failed.append(args.exc_value), sys.__excepthook__(*args[:3]))
thread.start()
thread.join()
sys.exit(1 if failed else 0)
