"""The page that an engineer reads in the morning: what needs him first, then everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final


class Status(IntEnum):
    """How bad it is; the worse, the higher."""

    UNKNOWN = 0
    GOOD = 1
    WARNING = 2
    BAD = 3


_SIGN: Final = {
    Status.BAD: "🔴",
    Status.WARNING: "🟡",
    Status.GOOD: "🟢",
    Status.UNKNOWN: "⚪",
}


_LONGEST_DETAIL: Final = 240
_UNBROKEN: Final = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})
"""A figure that is broken into lines is hard to read."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the page.

    ``detail`` says in words what is the matter; ``runbook`` leads to what to do. ``picture`` is a
    data: URL of a sparkline.
    """

    area: str
    status: Status
    what: str
    figure: str
    detail: str = ""
    runbook: str | None = None
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture below the tables; ``source`` is a data: URL."""

    title: str
    source: str


def verdict(lines: Iterable[Line]) -> str:
    """The whole page in one sentence."""
    counts = dict.fromkeys(Status, 0)
    for line in lines:
        counts[line.status] += 1
    if counts[Status.BAD]:
        return (
            f"{_SIGN[Status.BAD]} **{_things(counts[Status.BAD])} a person now**, "
            f"{counts[Status.WARNING]} more will."
        )
    if counts[Status.WARNING]:
        return (
            f"{_SIGN[Status.WARNING]} Nothing is broken, {_things(counts[Status.WARNING])} a look."
        )
    return f"{_SIGN[Status.GOOD]} All is well."


def page(lines: Sequence[Line], pictures: Iterable[Picture], now: datetime) -> str:
    """The page in Markdown: the worst first, then pictures, then what is good or unknown."""
    ordered = sorted(lines, key=lambda line: -line.status)
    urgent = [line for line in ordered if line.status >= Status.WARNING]
    calm = [line for line in ordered if line.status < Status.WARNING]
    parts = [f"{verdict(lines)} As of {now:%Y-%m-%d %H:%M} UTC.", ""]
    if urgent:
        parts += ["### Needs somebody", "", *_table(urgent), ""]
    if calm:
        parts += ["### In order", "", *_table(calm), ""]
    for picture in pictures:
        parts += [f"### {picture.title}", "", f"![{picture.title}]({picture.source})", ""]
    return "\n".join(parts)


def _table(lines: Iterable[Line]) -> list[str]:
    rows = ["| | area | what | figure | | |", "|---|---|---|---|---|---|"]
    for line in lines:
        picture = f"![]({line.picture})" if line.picture else ""
        figure = _cell(line.figure).translate(_UNBROKEN)
        cells = [
            _SIGN[line.status],
            _cell(line.area),
            _cell(line.what),
            figure,
            picture,
            _detail(line),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _detail(line: Line) -> str:
    text = (
        line.detail if len(line.detail) <= _LONGEST_DETAIL else line.detail[:_LONGEST_DETAIL] + "…"
    )
    if line.status < Status.WARNING or line.runbook is None:
        return _cell(text)
    where = (
        f"[what to do]({line.runbook})" if line.runbook.startswith("http") else f"`{line.runbook}`"
    )
    return f"{_cell(text)} → {where}".strip()


def _cell(text: str) -> str:
    """Text that can't end a table's cell or row, and is no markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "|<>*_`[]\\" else sign for sign in flat)


def _things(number: int) -> str:
    return "one thing needs" if number == 1 else f"{number} things need"
