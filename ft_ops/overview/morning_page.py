"""The page that an engineer reads in the morning: what needs him first, then everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ft_ops.health import sparkline
from ft_ops.overview.causes import causes
from ft_ops.settings import Settings, runbook_link
from ft_ops.standing import Standing, Status

_STATE: Final = {
    Status.BAD: "**broken**",
    Status.WARNING: "**look**",
    Status.GOOD: "good",
    Status.UNKNOWN: "**not known**",
}
"""In words: a coloured sign is an empty box where its font is missing, and nothing to many eyes."""
_LONGEST_DETAIL: Final = 240
ENOUGH_POINTS: Final = 5
"""Fewer measurements are no course of anything, and are not drawn."""
NOT_DRAWN: Final = "its course is not known: a figure in it is no number"
_UNBROKEN: Final = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})
"""A figure that is broken into lines is hard to read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture below the tables; ``source`` is a data: URL."""

    title: str
    source: str


def summary(standings: Iterable[Standing]) -> str:
    """The whole page in one sentence, which counts causes."""
    counts = Counter(cause.status for cause in causes(standings))
    unknown = counts[Status.UNKNOWN]
    dark = f"{'one is' if unknown == 1 else f'{unknown} are'} not known" if unknown else ""
    if counts[Status.BAD]:
        more = f"{counts[Status.WARNING]} more will"
        return (
            f"**{_things(counts[Status.BAD])} a person now**, "
            f"{', '.join(filter(None, (more, dark)))}."
        )
    if unknown:
        things = "one thing is" if unknown == 1 else f"{unknown} things are"
        warned = f", {_things(counts[Status.WARNING])} a look" if counts[Status.WARNING] else ""
        return f"**{things} not known**{warned}; of the rest, nothing is broken."
    if counts[Status.WARNING]:
        return f"Nothing is broken, {_things(counts[Status.WARNING])} a look."
    return "All is well."


def page(
    standings: Sequence[Standing], pictures: Iterable[Picture], now: datetime, settings: Settings
) -> str:
    """The page in Markdown: the worst first, then pictures, then what is good."""
    ordered = sorted(standings, key=lambda standing: -standing.status)
    urgent = [standing for standing in ordered if standing.status != Status.GOOD]
    calm = [standing for standing in ordered if standing.status == Status.GOOD]
    parts = [f"{summary(standings)} As of {now:%Y-%m-%d %H:%M} UTC.", ""]
    if urgent:
        parts += ["### Needs somebody", "", *_table(urgent, settings), ""]
    if calm:
        parts += ["### In order", "", *_table(calm, settings), ""]
    for picture in pictures:
        parts += [f"### {picture.title}", "", f"![{picture.title}]({picture.source})", ""]
    return "\n".join(parts)


def _table(standings: Iterable[Standing], settings: Settings) -> list[str]:
    rows = ["| state | area | what | figure | |", "|---|---|---|---|---|"]
    for standing in standings:
        cells = [
            _STATE[standing.status].translate(_UNBROKEN),
            _cell(standing.area),
            _cell(standing.what),
            _cell(standing.figure).translate(_UNBROKEN) + _history(standing),
            _detail(standing, settings),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _history(standing: Standing) -> str:
    if len(standing.history) < ENOUGH_POINTS:
        return ""
    source = sparkline(standing.history, standing.limit)
    return f" ({NOT_DRAWN})" if source is None else f" ![]({source})"


def _detail(standing: Standing, settings: Settings) -> str:
    text = standing.reason
    if standing.since is not None:
        since = "known until" if standing.status == Status.UNKNOWN else "since"
        text = f"{text} ({since} {standing.since:%Y-%m-%d %H:%M} UTC)".strip()
    text = text if len(text) <= _LONGEST_DETAIL else text[:_LONGEST_DETAIL] + "…"
    if standing.status == Status.GOOD or standing.section is None:
        return _cell(text)
    link = runbook_link(settings, standing.section)
    is_page = link.startswith("http")
    where = f"[what to do]({link})" if is_page else f"runbook: {_cell(standing.section)}"
    return f"{_cell(text)} → {where}".strip()


def _cell(text: str) -> str:
    """Text that can't end a table's cell or row, and is no markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "|<>*_`[]\\" else sign for sign in flat)


def _things(number: int) -> str:
    return "one thing needs" if number == 1 else f"{number} things need"
