"""Whether the months that must exist do exist, by the catalog alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ft_ops.months import Month
from ft_ops.pg.catalog import Partition, partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Coverage:
    """One parent's partitions against the months that it must have."""

    parent: str
    missing: tuple[Month, ...]
    misplaced: tuple[Partition, ...]
    older: tuple[Month, ...]
    first: Month | None
    last: Month | None

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.misplaced


def coverage(connection: Connection, parent: str, wanted: Iterable[Month]) -> Coverage:
    """Compare ``parent`` with the months ``wanted``.

    ``misplaced`` are partitions whose bounds are no UTC month, or whose detach is pending;
    ``older`` are months before the first one wanted: real, but outside Dagster's partitions.
    """
    partitions = partitions_of(connection, parent)
    present = {p.month for p in partitions if p.month is not None and not p.is_detaching}
    months = sorted(wanted)
    return Coverage(
        parent=parent,
        missing=tuple(month for month in months if month not in present),
        misplaced=tuple(p for p in partitions if p.month is None or p.is_detaching),
        older=tuple(sorted(month for month in present if months and month < months[0])),
        first=min(present, default=None),
        last=max(present, default=None),
    )


def archived_months(connection: Connection, parent: str) -> frozenset[Month]:
    """The months of ``parent`` that have moved to the archive; only content_segments has any."""
    if parent != "content_segments":
        return frozenset()
    rows = connection.execute(statement("partitions/archived_months")).fetchall()
    return frozenset(Month.of(month) for (month,) in rows)


def wanted_months(connection: Connection, parent: str, *, first: Month, last: Month) -> list[Month]:
    """The months from ``first`` to ``last`` that ``parent`` must have a partition for.

    All of them, but for those that have moved to the archive.
    """
    archived = archived_months(connection, parent)
    return [month for month in first.until(last) if month not in archived]
