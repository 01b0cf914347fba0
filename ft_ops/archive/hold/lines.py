"""A legal hold in the lines that `ft-ops hold list` shows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ft_ops.archive.hold.holds import LegalHold, held_months
from ft_ops.archive.hold.subjects import called
from ft_ops.format import one_line
from ft_ops.months import Month
from ft_ops.pg.connect import Connection

_MONTHS_SHOWN = 24
_NOT_SEARCHED = (
    "       in the archive: not searched yet: ship_archive_records does that every 15 minutes"
)


def hold_lines(connection: Connection, hold: LegalHold) -> list[str]:
    """What is held, since when, by whom and why; the months; and how it ended, if it did."""
    name = called(connection, hold.kind, hold.subject_id) if hold.subject_id is not None else ""
    lines = [
        f"{hold.id:>5}  {hold.subject}" + (f" ({one_line(name)})" if name else ""),
        f"       placed {_when(hold.placed_at)} by {hold.placed_by}: {one_line(hold.reason)}",
    ]
    if hold.released_at is not None:
        lines.append(
            f"       released {_when(hold.released_at)} by {hold.released_by}: "
            f"{one_line(hold.release_reason or 'no reason was given')}"
        )
        return lines
    lines.append(f"       in the database: {_months(held_months(connection, hold))}")
    if hold.archived_months is None:
        lines.append(_NOT_SEARCHED)
    else:
        searched = f", searched {_when(hold.archives_read_at)}" if hold.archives_read_at else ""
        lines.append(
            f"       in the archive: {_months(map(Month.of, hold.archived_months))}{searched}"
        )
    if hold.unlisted_months:
        lines.append(f"       {unlisted_words(hold)}")
    return lines


def unlisted_words(hold: LegalHold) -> str:
    """Of which months it is not known what their links lead to; empty if there are none."""
    if not hold.unlisted_months:
        return ""
    months = _months(map(Month.of, hold.unlisted_months))
    return f"not known what links of these archived months lead to, which may be deleted: {months}"


def _months(months: Iterable[Month]) -> str:
    """Runs of months: ``2017-01 to 2017-03, 2019-05``."""
    runs: list[tuple[Month, Month]] = []
    for month in sorted(months):
        if runs and runs[-1][1].plus(1) == month:
            runs[-1] = (runs[-1][0], month)
        else:
            runs.append((month, month))
    words = [str(a) if a == b else f"{a} to {b}" for a, b in runs]
    more = len(words) - _MONTHS_SHOWN
    return ", ".join(words[:_MONTHS_SHOWN]) + (f" and {more} more" if more > 0 else "") or "none"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
