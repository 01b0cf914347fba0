"""Hold locked versions against known advisories, without a network.

    python deploy/audit.py ADVISORIES LOCK…

ADVISORIES is a zip file of advisories in OSV's format, one JSON a file, as OSV publishes them for
each ecosystem. The exit status is 1 when an advisory concerns a locked version.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Match:
    """An advisory that concerns a locked version."""

    package: str
    version: Version
    advisory: Json

    @property
    def words(self) -> str:
        names = ", ".join([self.advisory["id"], *self.advisory.get("aliases", [])])
        fixed = ", ".join(sorted(_fixes(self.advisory, self.package))) or "no version yet"
        told = self.advisory.get("summary") or self.advisory.get("details", "").strip()
        first = told.splitlines()[0] if told else "no summary"
        return f"{self.package} {self.version}: {names}: {first} (fixed in: {fixed})"


def locked(paths: Sequence[Path]) -> dict[str, Version]:
    """The exact versions that requirement files name."""
    found = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", " ")):
                requirement = Requirement(line.removesuffix("\\").strip())
                (pin,) = requirement.specifier
                found[str(canonicalize_name(requirement.name))] = Version(pin.version)
    return found


def advisories(path: Path) -> Iterator[Json]:
    """Every advisory of the file that was not withdrawn."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                advisory: Json = json.loads(archive.read(name))
                if "withdrawn" not in advisory:
                    yield advisory


def concerns(affected: Json, version: Version) -> bool:
    """Whether an advisory's entry lists a version, or has it in one of its ranges."""
    if version in filter(None, map(_version, affected.get("versions", []))):
        return True
    ranges = (r for r in affected.get("ranges", []) if r["type"] == "ECOSYSTEM")
    return any(_is_within(r["events"], version) for r in ranges)


def matches(found: Sequence[Json], versions: Mapping[str, Version]) -> list[Match]:
    """What concerns a locked version, once for each advisory and package."""
    return [
        Match(package, versions[package], advisory)
        for advisory in found
        for package in sorted(_packages(advisory) & versions.keys())
        if any(
            concerns(affected, versions[package])
            for affected in _affected(advisory)
            if _name(affected) == package
        )
    ]


def _affected(advisory: Json) -> list[Json]:
    return [a for a in advisory.get("affected", []) if a["package"]["ecosystem"] == "PyPI"]


def _name(affected: Json) -> str:
    return str(canonicalize_name(affected["package"]["name"]))


def _packages(advisory: Json) -> set[str]:
    return {_name(affected) for affected in _affected(advisory)}


def _is_within(events: Sequence[Json], version: Version) -> bool:
    """OSV's algorithm: introduced switches on; fixed, and what follows last_affected, off."""
    marks = [(_version(text) or version, kind) for e in events for kind, text in e.items()]
    within = False
    for mark, kind in sorted(marks, key=lambda mark: mark[0]):
        if kind == "introduced" and mark <= version:
            within = True
        elif (kind == "fixed" and mark <= version) or (kind == "last_affected" and mark < version):
            within = False
    return within


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _fixes(advisory: Json, package: str) -> set[str]:
    return {
        str(event["fixed"])
        for affected in _affected(advisory)
        if _name(affected) == package
        for r in affected.get("ranges", [])
        if r["type"] == "ECOSYSTEM"
        for event in r["events"]
        if "fixed" in event
    }


def main(source: str, *locks: str) -> int:
    """Print what concerns the locks, and how much was looked at; the exit status."""
    versions = locked([Path(lock) for lock in locks])
    found = list(advisories(Path(source)))
    if not found:
        click.echo(f"{source} holds no advisory", err=True)
        return 2
    concerned = matches(found, versions)
    for match in concerned:
        click.echo(match.words)
    known = {package for advisory in found for package in _packages(advisory)}
    newest = max(advisory["modified"] for advisory in found)
    click.echo(
        f"{len(versions)} locked versions, {len(known & versions.keys())} of them of packages with "
        f"advisories; {len(found)} advisories, the newest of {newest[:10]}; "
        f"{len(concerned)} concern a locked version"
    )
    return 1 if concerned else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
