"""The overview's lines on content: months covered, archives, storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from ft_ops.archive import due_months, list_holds
from ft_ops.format import human_bytes, human_duration
from ft_ops.months import Month
from ft_ops.overview.lines import Line, Status
from ft_ops.partitions import PARENTS, coverage, wanted_months
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.settings.links import runbook_link

_PATIENCE: Final = timedelta(days=3)
"""How long a month may be due, or archived and unproven, before it is no longer just at work."""
_STALE: Final = timedelta(hours=36)
"""Age from which the result of a daily run is a day old too much."""
_DONE: Final = frozenset({"frozen", "purging", "purged", "superseded"})


@dataclass(frozen=True, slots=True)
class NewestGeneration:
    """What the ledger says of one month."""

    month: date
    generation: int
    state: str
    bytes: int
    archived_at: datetime | None
    proven_at: datetime | None
    error: str | None


def coverage_lines(connection: Connection, settings: Settings, now: datetime) -> Iterator[Line]:
    """Whether each parent has its months, from the first wanted to the last one ahead."""
    last = settings.last_month_ahead(now)
    for parent in PARENTS:
        wanted = wanted_months(connection, parent, first=settings.first_month, last=last)
        found = coverage(connection, parent, wanted)
        problems = [f"{len(found.missing)} months missing"] if found.missing else []
        problems += [str(finding) for finding in found.findings]
        older = f"{len(found.older)} months before FT_FIRST_MONTH" if found.older else ""
        yield Line(
            "partitions",
            Status.BAD if problems else Status.WARNING if older else Status.GOOD,
            f"months of {parent}",
            f"{found.first} to {found.last}",
            ", ".join(filter(None, [*problems, older])),
            runbook_link(settings, f"{parent}_coverage"),
        )


def archive_lines(connection: Connection, settings: Settings, now: datetime) -> Iterator[Line]:
    """States of the archive, months that are overdue, the oldest that is unproven, thaws."""
    with connection.cursor(row_factory=class_row(NewestGeneration)) as cursor:
        newest = cursor.execute(statement("health/newest_generations")).fetchall()
    states = Counter(generation.state for generation in newest)
    held = sum(hold.released_at is None for hold in list_holds(connection))
    yield Line(
        "archive",
        Status.GOOD,
        "months in the archive",
        f"{len(newest)} ({human_bytes(sum(g.bytes for g in newest))})",
        ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        + (f"; {held} legal holds" if held else ""),
    )
    yield _due_line(due_months(connection, settings.retention_years, now), settings, now)
    yield _unproven_line(newest, settings, now)
    broken = [g for g in newest if g.error and g.state not in _DONE]
    if broken:
        yield Line(
            "archive",
            Status.BAD,
            "months stopped by an error",
            str(len(broken)),
            f"{broken[0].month:%Y-%m}: {broken[0].error}",
            runbook_link(settings, "archive_old_content"),
        )
    thaws = connection.execute(statement("health/open_thaws")).fetchall()
    if thaws:
        yield Line(
            "archive",
            Status.GOOD,
            "months asked back",
            str(len(thaws)),
            ", ".join(f"{month:%Y-%m} {state}" for month, state, _, _ in thaws),
        )


def storage_lines(connection: Connection, settings: Settings, now: datetime) -> Iterator[Line]:
    """When storage was recomputed, and who is near a limit."""
    row = connection.execute(statement("health/storage_at_a_glance")).fetchone()
    assert row is not None
    recomputed_at, families, beyond, near, size = row
    if recomputed_at is None:
        yield Line("storage", Status.UNKNOWN, "storage of families", "never recomputed")
        return
    yield Line(
        "storage",
        Status.BAD if now - recomputed_at > _STALE else Status.GOOD,
        "storage recomputed",
        f"{human_duration((now - recomputed_at).total_seconds())} ago",
        f"{human_bytes(size)} of {families:,} families",
        runbook_link(settings, "recompute_storage"),
    )
    yield Line(
        "storage",
        Status.WARNING if beyond else Status.GOOD,
        "families beyond their limit",
        f"{beyond:,}",
        f"{near:,} use more than 80 % of it",
        runbook_link(settings, "families_within_limits"),
    )


def _due_line(months: Iterable[Month], settings: Settings, now: datetime) -> Line:
    due = sorted(months)
    overdue = [m for m in due if m.plus(12 * settings.retention_years).end < now - _PATIENCE]
    return Line(
        "archive",
        Status.BAD if overdue else Status.GOOD,
        "months past their retention",
        str(len(due)),
        f"{overdue[0]} should have been archived" if overdue else "",
        runbook_link(settings, "archive_old_content"),
    )


def _unproven_line(newest: Iterable[NewestGeneration], settings: Settings, now: datetime) -> Line:
    unproven = [
        (g.archived_at, g)
        for g in newest
        if g.archived_at and not g.proven_at and g.state not in _DONE
    ]
    if not unproven:
        return Line("archive", Status.GOOD, "oldest unproven archive", "none")
    since, oldest = min(unproven, key=lambda item: item[0])
    return Line(
        "archive",
        Status.BAD if now - since > _PATIENCE else Status.WARNING,
        "oldest unproven archive",
        f"{oldest.month:%Y-%m}",
        f"{oldest.state} for {human_duration((now - since).total_seconds())}",
        runbook_link(settings, "archive_old_content"),
    )
