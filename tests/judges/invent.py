"""Writes invented OSV advisories for ecosystems of which the evidence has little, in every shape of range.

    invent.py OUT

Nothing in them is about a real package. The same documents come out every time.
"""

import hashlib
import json
import pathlib
import sys

PACKAGES = 40
ECOSYSTEMS = {
    "npm": ["-alpha.1", "-rc.2"],
    "PyPI": ["rc1", ".post1", ".dev2"],
    "crates.io": ["-alpha.1"],
    "Go": ["-rc.1"],
    "Maven": ["-RC1", ".Final", "-M2"],
    "NuGet": ["-preview.3", ".4"],
    "RubyGems": [".rc1", ".1"],
    "Packagist": ["-RC1", ".1"],
    "Bitnami": ["-2"],
    "Debian:12": ["-1", "-2+deb12u3", "~rc1-1"],
    "Ubuntu:22.04:LTS": ["-1ubuntu1", "-0ubuntu0.22.04.2"],
    "Alpine:v3.19": ["-r0", "-r12"],
    "Rocky Linux:9": ["-1.el9", "-12.el9_4"],
    "AlmaLinux:9": ["-1.el9", "-12.el9_4"],
}
SYSTEMS = ("Debian", "Ubuntu", "Alpine", "Rocky Linux", "AlmaLinux")
SEVERITIES = [
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
    "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:L/A:N",
]


class Dice:
    """Numbers that are as good as random and always the same."""

    def __init__(self, *seed):
        self.seed, self.thrown = "\0".join(seed), 0

    def below(self, end):
        self.thrown += 1
        return int.from_bytes(hashlib.sha256(f"{self.seed}\0{self.thrown}".encode()).digest()[:8], "big") % end

    def one_in(self, number):
        return self.below(number) == 0

    def of(self, choices):
        return choices[self.below(len(choices))]


def package(ecosystem, number, dice):
    base = ecosystem.split(":")[0]
    plain = f"invented-{number}"
    if base == "npm":
        return f"@invented/{plain}" if dice.one_in(3) else plain
    if base == "Maven":
        return f"org.invented.group{number % 7}:{plain}"
    if base == "Packagist":
        return f"invented/{plain}"
    if base == "Go":
        return f"example.com/invented/Pkg{number}"
    if base == "NuGet":
        return f"Invented.Package{number}"
    if base == "PyPI":
        return dice.of([f"Invented{number}", f"invented_{number}", f"invented.{number}", plain])
    return plain


def version(base, major, dice, endings):
    numbers = [major, dice.below(5), dice.below(20)]
    text = ".".join(map(str, numbers))
    if base in SYSTEMS:
        return text + dice.of(endings)
    return text + dice.of(endings) if dice.one_in(3) else text


def affected(ecosystem, name, dice, endings):
    base = ecosystem.split(":")[0]
    events, listed = [], []
    if base in SYSTEMS:
        # Distributions publish what fixes; what is not fixed has no end.
        events.append({"introduced": "0"})
        if not dice.one_in(6):
            events.append({"fixed": version(base, dice.below(6), dice, endings)})
    else:
        intervals = 1 + dice.below(3)
        for interval in range(intervals):
            start = "0" if interval == 0 and dice.one_in(2) else version(base, interval * 4, dice, endings)
            events.append({"introduced": start})
            if interval + 1 < intervals or not dice.one_in(5):
                kind = "last_affected" if dice.one_in(4) else "fixed"
                events.append({kind: version(base, interval * 4 + 2, dice, endings)})
        if dice.one_in(4):
            listed = sorted({version(base, 20 + dice.below(3), dice, endings) for _ in range(4)})
    kind = "SEMVER" if base in ("npm", "crates.io", "Go", "Bitnami") else "ECOSYSTEM"
    found = {"package": {"ecosystem": ecosystem, "name": name}}
    if not (listed and dice.one_in(3)):
        found["ranges"] = [{"type": kind, "events": events}]
    if listed:
        found["versions"] = listed
    return found


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True)
    serial = 0
    for ecosystem, endings in ECOSYSTEMS.items():
        for number in range(PACKAGES):
            dice = Dice(ecosystem, str(number))
            name = package(ecosystem, number, dice)
            for _ in range(1 + dice.below(3)):
                serial += 1
                document = {
                    "schema_version": "1.6.0",
                    "id": f"INVENTED-2026-{serial}",
                    "modified": "2026-01-01T00:00:00Z",
                    "published": "2025-06-01T00:00:00Z",
                    "summary": f"Invented advisory {serial}",
                    "severity": [{"type": "CVSS_V3", "score": dice.of(SEVERITIES)}],
                    "affected": [affected(ecosystem, name, dice, endings)],
                }
                # Some are known by a CVE of their own, some by one that others have too, some by two.
                aliases = [f"CVE-2099-{10000 + serial}"] if not dice.one_in(3) else []
                if aliases and dice.one_in(8):
                    aliases.append(f"CVE-2098-{10000 + serial}")
                if aliases:
                    document["aliases"] = aliases
                if dice.one_in(12):
                    document["withdrawn"] = "2026-01-01T00:00:00Z"
                (out / f"{document['id']}.json").write_text(json.dumps(document, indent=1) + "\n")


main()
