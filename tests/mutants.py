"""Judges a run of mutmut: how many mutants of the rules their tests did not notice, and which.

    python -m tests.mutants

A mutant is a function with one operator, number or argument changed. One that passes all tests is a
limit that nobody holds, unless it means the same: those are in tests/mutants.toml, each with the
reason. The exit status is 1 when one survived that is not in that list, when the list has one that
did not survive, when more than one in ten survived, or when some were not tried.
"""

from __future__ import annotations

import difflib
import json
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[1]
_MOST: Final = 0.1
_SURVIVED: Final = frozenset({0, 5, 33})
"""Exit statuses of pytest in mutmut: everything passed, or no test runs the function at all."""

Fate = Literal["killed", "survived", "not tried"]


@dataclass(frozen=True, slots=True)
class Change:
    """What makes a mutant: in which function, which lines, and what they became."""

    function: str
    before: str
    after: str

    def __str__(self) -> str:
        lines = [f"  - {line}" for line in self.before.splitlines()]
        lines += [f"  + {line}" for line in self.after.splitlines()]
        return "\n".join([self.function, *lines])


@dataclass(frozen=True, slots=True)
class Report:
    """How many mutants met which fate, and those that survived. ``known`` come with a reason."""

    fates: Mapping[Fate, int]
    survivors: tuple[Change, ...]
    known: Mapping[Change, str]

    @property
    def unknown(self) -> list[Change]:
        return [change for change in self.survivors if change not in self.known]

    @property
    def gone(self) -> list[Change]:
        """What the list has and what did not survive."""
        return [change for change in self.known if change not in self.survivors]

    @property
    def total(self) -> int:
        return sum(self.fates.values())

    @property
    def problems(self) -> list[str]:
        found = []
        if not self.total:
            found.append("there are no mutants")
        if self.fates.get("not tried"):
            found.append(f"{self.fates['not tried']} were not tried: the run did not end")
        if len(self.survivors) > _MOST * self.total:
            found.append(f"more than one in {1 / _MOST:.0f} survived")
        if self.unknown:
            found.append(f"{len(self.unknown)} survived that tests/mutants.toml does not have")
        if self.gone:
            found.append(f"{len(self.gone)} of tests/mutants.toml did not survive")
        return found

    def __str__(self) -> str:
        survived = len(self.survivors)
        share = survived / self.total if self.total else 0
        counts = (
            f"{self.total} mutants: {self.fates.get('killed', 0)} killed, {survived} survived "
            f"({share:.1%}), of which {survived - len(self.unknown)} are known to mean the same"
        )
        lines = [
            *(f"survived, and nothing says why: {change}" for change in self.unknown),
            *(f"in tests/mutants.toml, and did not survive: {change}" for change in self.gone),
            counts,
            *(f"failed: {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)


def read_report(mutants: Path, known: Path) -> Report:
    """What mutmut left in its folder, held against the list of known survivors."""
    fates: Counter[Fate] = Counter()
    survivors = []
    for meta in sorted(mutants.glob("ft_ops/**/*.py.meta")):
        statuses = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        path = meta.with_suffix("")
        for name, status in statuses.items():
            fate = _fate(status)
            fates[fate] += 1
            if fate == "survived":
                survivors.append(_change(path, name))
    listed = tomllib.loads(known.read_text(encoding="utf-8")).get("equivalent", [])
    reasons = {
        Change(item["function"], item["before"].strip(), item["after"].strip()): item["reason"]
        for item in listed
    }
    return Report(fates, tuple(survivors), reasons)


def _fate(status: int | None) -> Fate:
    if status is None:
        return "not tried"
    return "survived" if status in _SURVIVED else "killed"


def _change(path: Path, name: str) -> Change:
    """A mutant by the lines in which it differs. mutmut writes all of them into the module."""
    module, _, mutant = name.rpartition(".")
    original = f"{mutant.rpartition('__mutmut_')[0]}__mutmut_orig"
    spans = json.loads(path.with_name(f"{path.name}.spans").read_text(encoding="utf-8"))["spans"]
    lines = path.read_text(encoding="utf-8").splitlines()

    def source(function: str) -> list[str]:
        start, end = spans[function]
        text = "\n".join(lines[start - 1 : end]).replace(function, "")
        return textwrap.dedent(text).splitlines()

    changed = list(_changed(source(original), source(mutant)))
    return Change(
        f"{module}.{_function(mutant)}",
        "\n".join(line[2:].strip() for line in changed if line.startswith("- ")),
        "\n".join(line[2:].strip() for line in changed if line.startswith("+ ")),
    )


def _changed(before: list[str], after: list[str]) -> Iterator[str]:
    return (line for line in difflib.ndiff(before, after) if line.startswith(("- ", "+ ")))


def _function(mutant: str) -> str:
    """``x_each__mutmut_3`` is of ``each``, and ``xǁMonthǁplus__mutmut_1`` of ``Month.plus``."""
    name = mutant.rpartition("__mutmut_")[0]
    return name[1:].strip("ǁ").replace("ǁ", ".") if "ǁ" in name else name.removeprefix("x_")


def main() -> None:
    """Print the report."""
    report = read_report(ROOT / "mutants", ROOT / "tests" / "mutants.toml")
    sys.stdout.write(f"{report}\n")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
