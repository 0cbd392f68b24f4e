"""Draws (package, version) pairs from advisories and writes, for each ecosystem, an SBOM of them and what must be found in it.

    sample.py OUT PER-ECOSYSTEM FOLDER...

`OUT/<ecosystem>.cdx.json` is what a scanner is given; `OUT/<ecosystem>.jsonl` has a line for each pair: name, version, the `ids` that must be
found, those with a boundary that is no version (`unparsed`) or with no fix (`unfixed`), those of packages of modules
(`modules`), and whether advisories spell the name in several ways.
Standard output has a summary. The draw depends on the input only.
"""

import hashlib
import json
import pathlib
import re
import sys
from urllib.parse import quote

from osv import corpus

# Ecosystem -> type of package URL. What is not here cannot be scanned.
LANGUAGES = {
    "PyPI": "pypi",
    "npm": "npm",
    "crates.io": "cargo",
    "Go": "golang",
    "Bitnami": "bitnami",
    "Maven": "maven",
    "NuGet": "nuget",
    "RubyGems": "gem",
    "Packagist": "composer",
}
# Ecosystem -> name of the system as Trivy knows it, type and namespace of package URLs.
SYSTEMS = {
    "AlmaLinux": ("alma", "rpm", "alma"),
    "Rocky Linux": ("rocky", "rpm", "rocky"),
    "Debian": ("debian", "deb", "debian"),
    "Ubuntu": ("ubuntu", "deb", "ubuntu"),
    "Alpine": ("alpine", "apk", "alpine"),
}
VERSIONS_EACH = 6


def rank(*parts):
    """A number that is as good as random and always the same."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


def neighbours(base, text):
    """Texts near a boundary: the version itself, a little older, a little newer, its pre-releases."""
    yield text
    head = re.match(r"(.*?)([0-9]+)([^0-9]*)$", text)
    if head:
        before, number, after = head.groups()
        yield f"{before}{int(number) + 1}{after}"
        if int(number) > 0:
            yield f"{before}{int(number) - 1}{after}"
    core = re.match(r"v?[0-9]+(\.[0-9]+)*", text)
    if core and base in LANGUAGES:
        numbers = [int(n) for n in core.group().lstrip("v").split(".")]
        for place in range(len(numbers)):
            for step in (-1, 1):
                changed = list(numbers)
                changed[place] += step
                if changed[place] >= 0:
                    yield ".".join(map(str, changed))
        plain = ".".join(map(str, numbers))
        ends = {
            "PyPI": ["rc1", ".post1", ".dev1", "a2", ".1", "+local.1"],
            "npm": ["-rc.1", "-alpha.1", "-0", "+build.5"],
            "crates.io": ["-rc.1", "-alpha.1", "+build.5"],
            "Go": ["-rc.1", "-0.20210101000000-0123456789ab", "+incompatible"],
            "Bitnami": ["-rc.1", "-1"],
            "Maven": ["-SNAPSHOT", "-rc1", ".1", ".Final", "-jre"],
            "NuGet": ["-rc1", ".1", "-beta.2"],
            "RubyGems": [".rc1", ".1", ".pre"],
            "Packagist": ["-RC1", "-beta2", ".1"],
        }
        for end in ends.get(base, []):
            yield plain + end
    if base in SYSTEMS:
        if base == "Alpine":
            yield re.sub(r"-r([0-9]+)$", lambda m: f"-r{int(m[1]) + 1}", text)
            yield re.sub(r"-r([0-9]+)$", lambda m: f"-r{max(0, int(m[1]) - 1)}", text)
        else:
            yield text + ".1"
            yield re.sub(r"([0-9])(-|$)", r"\1~rc1\2", text, count=1)
            yield re.sub(r"([0-9]+)(-)", lambda m: f"{int(m[1]) + 1}{m[2]}", text, count=1)
            yield re.sub(r"([0-9]+)(-)", lambda m: f"{max(0, int(m[1]) - 1)}{m[2]}", text, count=1)
            if re.match(r"[0-9]+:", text):
                yield text.split(":", 1)[1]


def component(ecosystem, name, version, number):
    base, _, release = ecosystem.partition(":")
    reference = f"c{number}"
    if base in SYSTEMS:
        _, kind, namespace = SYSTEMS[base]
        epoch, _, rest = version.rpartition(":")
        if kind == "rpm":
            url = f"pkg:rpm/{namespace}/{quote(name)}@{quote(rest)}?arch=x86_64"
            url += f"&epoch={epoch}" if epoch not in ("", "0") else ""
        else:
            url = f"pkg:{kind}/{namespace}/{quote(name)}@{quote(version)}?arch=x86_64"
        return {"bom-ref": reference, "type": "library", "name": name, "version": version, "purl": url}
    kind = LANGUAGES[base]
    shown = f"v{version}" if base == "Go" and name not in ("stdlib", "toolchain") else version
    found = {"bom-ref": reference, "type": "library", "version": shown}
    if base == "Maven":
        group, _, artifact = name.partition(":")
        found |= {"group": group, "name": artifact}
        path = f"{quote(group)}/{quote(artifact)}"
    else:
        found["name"] = name
        path = quote(name, safe="/")
    return found | {"purl": f"pkg:{kind}/{path}@{quote(shown)}"}


def document(ecosystem, components):
    base, _, release = ecosystem.partition(":")
    root = {"bom-ref": "root", "type": "application", "name": "sample"}
    if base in SYSTEMS:
        release = re.sub(r"^v|:LTS$", "", release)
        # What Ubuntu fixes for subscribers is a release of its own to Trivy.
        release = re.sub(r"^Pro:(.*)$", r"\1-ESM", release)
        components = [{"bom-ref": "os", "type": "operating-system", "name": SYSTEMS[base][0], "version": release}, *components]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
    }


def draw(ecosystem, packages, wanted):
    """Pairs of one ecosystem; what has many advisories is not drawn more often than what has one."""
    base = ecosystem.split(":")[0]
    pairs, refused = [], 0
    # Those with a boundary first: of the others every version is affected.
    plain = {key for key, said in packages.items() if not any(a.boundaries for a in said)}
    for key in sorted(packages, key=lambda key: (key in plain, rank(ecosystem, key))):
        if len(pairs) >= (wanted * 9 // 10 if key not in plain else wanted):
            continue
        said = packages[key]
        name = said[0].name
        texts = {text for a in said for boundary in a.boundaries for text in neighbours(base, boundary)}
        texts |= {text for a in said for text in a.listed[:40]} | {"1.0.0"} if base in LANGUAGES else set()
        if "\0" in name or not name.isprintable():
            continue
        chosen = set()
        for text in sorted(texts, key=lambda text: rank(ecosystem, key, text)):
            if len(chosen) == VERSIONS_EACH:
                break
            if said[0].parse(text) is None or not re.fullmatch(r"[!-~]+", text):
                refused += 1
                continue
            # Scanners take components that differ by their epoch only for one.
            if text.rpartition(":")[2] in chosen:
                continue
            chosen.add(text.rpartition(":")[2])
            pairs.append((name, text, said))
    return pairs, refused


def main():
    out, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    packages, withdrawn = corpus(sys.argv[3:])
    ecosystems = {}
    for (ecosystem, key), said in packages.items():
        if ecosystem.split(":")[0] in LANGUAGES or (ecosystem.split(":")[0] in SYSTEMS and ":" in ecosystem):
            ecosystems.setdefault(ecosystem, {})[key] = said
    summary = {}
    for ecosystem in sorted(ecosystems):
        pairs, refused = draw(ecosystem, ecosystems[ecosystem], wanted)
        file = re.sub(r"[^A-Za-z0-9.]+", "-", ecosystem)
        lines, components, affected = [], [], 0
        for number, (name, text, said) in enumerate(pairs):
            held = [a for a in said if a.holds(text)]
            ids = sorted({i for a in held for i in a.names})
            unparsed = sorted({i for a in said if a.unparsed() for i in a.names})
            unfixed = sorted({i for a in said if not a.fixed for i in a.names})
            modules = sorted({i for a in said if a.module for i in a.names})
            affected += bool(ids)
            components.append(component(ecosystem, name, text, number))
            lines.append(
                {
                    "name": name,
                    "version": components[-1]["version"].removeprefix("0:"),
                    "ids": ids,
                    "unparsed": unparsed,
                    "unfixed": unfixed,
                    "modules": modules,
                    "spellings": len({a.name for a in said}),
                }
            )
        (out / f"{file}.cdx.json").write_text(json.dumps(document(ecosystem, components), indent=1))
        (out / f"{file}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        summary[file] = {
            "ecosystem": ecosystem,
            "packages": len({name for name, _, _ in pairs}),
            "pairs": len(pairs),
            "affected": affected,
            "noVersion": refused,
        }
    print(json.dumps({"withdrawn": withdrawn, "ecosystems": summary}))


main()
