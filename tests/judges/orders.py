"""How versions of an ecosystem are ordered, by libraries that are not ours.

`order(ecosystem)` gives a function from the text of a version to a value that compares with others of it, or to None where the text is no
version of that ecosystem.
"""

import re

import semver
from packaging.version import InvalidVersion, Version as Pep440
from univers import versions

# SemVer 2.0 strictly: three numbers, optional pre-release and build.
SEMVER = {"npm", "crates.io", "Go", "Bitnami", "Julia", "Hex", "Pub", "SwiftURL"}
UNIVERS = {
    "Maven": None,
    "NuGet": versions.NugetVersion,
    "RubyGems": versions.RubygemsVersion,
    "AlmaLinux": versions.RpmVersion,
    "Rocky Linux": versions.RpmVersion,
    "Debian": versions.DebianVersion,
    "Ubuntu": versions.DebianVersion,
    "Alpine": versions.AlpineLinuxVersion,
}
# What univers takes where it should not: it is not asked about these.
ONLY = {
    "Maven": re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*"),
    "NuGet": re.compile(r"[0-9]+(\.[0-9]+){0,3}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"),
    "RubyGems": re.compile(r"[0-9]+(\.[0-9A-Za-z]+)*(-[0-9A-Za-z.-]+)?"),
}


def semantic(text):
    try:
        return semver.Version.parse(text.removeprefix("v"))
    except ValueError:
        return None


def python(text):
    try:
        return Pep440(text)
    except InvalidVersion:
        return None


def bitnami(text):
    """SemVer, but a number after the hyphen says how often the same version was packaged: 1.2.3 < 1.2.3-1 < 1.2.4."""
    core, _, revision = text.partition("-")
    version = semantic(core if revision.isdigit() else text)
    return None if version is None else Revised((version, int(revision) if revision.isdigit() else 0))


class Revised(tuple):
    """A version and its revision."""


COMPOSER = re.compile(r"v?([0-9]+(?:\.[0-9]+){0,3})(?:[-._]?(dev|alpha|a|beta|b|rc|patch|pl|p)[-.]?([0-9]*))?", re.I)
STABILITIES = {"dev": 0, "alpha": 1, "a": 1, "beta": 2, "b": 2, "rc": 3, "": 4, "patch": 5, "pl": 5, "p": 5}


def composer(text):
    """Four numbers and a stability: https://getcomposer.org/doc/articles/versions.md (univers leaves out the fourth number)."""
    match = COMPOSER.fullmatch(text)
    if not match:
        return None
    numbers = [int(n) for n in match[1].split(".")]
    return (*numbers, *[0] * (4 - len(numbers)), STABILITIES[(match[2] or "").lower()], int(match[3] or 0))


def maven(text):
    # Maven takes "release" for nothing, as it does "final" and "ga"; univers knows only those two.
    # https://maven.apache.org/pom.html#version-order-specification
    return versions.MavenVersion(re.sub(r"(?i)[.-]release$", "", text))


def order(ecosystem):
    base = ecosystem.split(":")[0]
    if base == "PyPI":
        return python
    if base == "Packagist":
        return composer
    if base == "Bitnami":
        return bitnami
    if base in SEMVER:
        return semantic
    scheme, only = UNIVERS[base] or maven, ONLY.get(base)

    def parse(text):
        if only is not None and not only.fullmatch(text):
            return None
        try:
            return scheme(text)
        except Exception:  # univers raises what its schemes raise
            return None

    return parse


def known(ecosystem):
    base = ecosystem.split(":")[0]
    return base in ("PyPI", "Packagist") or base in SEMVER or base in UNIVERS
