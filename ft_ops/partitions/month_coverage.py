"""Whether the months that must exist do exist, and what stands in their way, by the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.partitions.create import is_empty, partition_name
from ft_ops.partitions.detached_tables import DetachedTable, detached_tables_of
from ft_ops.partitions.realign import PUBLIC, may_be_replaced
from ft_ops.pg.catalog import Partition, partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import quoted, statement

_LEFT: Final = {
    "content_segments": "partitions/archived_months",
    "audit_log": "partitions/archived_audit_months",
}
_AT_WORK: Final = {
    "content_segments": "partitions/months_at_work",
    "audit_log": "partitions/audit_months_at_work",
}
_GOES_ON: Final = {
    "content_segments": "materialize archived_content_segments for that month",
    "audit_log": "run archive_audit_log",
}
"""What ends what the archive has begun with a month that stands alone, by its parent."""


@dataclass(frozen=True, slots=True)
class PartitionFault:
    """One relation that is not the partition that it should be."""

    table: str
    cause: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.table}: {self.cause}. Next: {self.next_step}"

    def refusal(self) -> Refused:
        return Refused(f"partition {self.table}", cause=self.cause, next_step=self.next_step)


@dataclass(frozen=True, slots=True)
class Coverage:
    """One parent's partitions against the months that it must have.

    ``findings`` are default partitions, bounds that are no UTC month, pending detaches, and
    relations that bear a month's name and stand alone. ``older`` are months before the first one
    wanted: real, but outside Dagster's partitions.
    """

    parent: str
    missing: tuple[Month, ...]
    findings: tuple[PartitionFault, ...]
    older: tuple[Month, ...]
    first: Month | None
    last: Month | None

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.findings


def coverage(connection: Connection, parent: str, wanted: Iterable[Month]) -> Coverage:
    """Compare ``parent`` with the months ``wanted``. Changes nothing."""
    partitions = partitions_of(connection, parent)
    present = {p.month for p in partitions if p.month is not None and not p.is_detaching}
    months = sorted(wanted)
    return Coverage(
        parent=parent,
        missing=tuple(month for month in months if month not in present),
        findings=tuple(_findings(connection, parent, partitions)),
        older=tuple(sorted(month for month in present if months and month < months[0])),
        first=min(present, default=None),
        last=max(present, default=None),
    )


def misplaced(connection: Connection, parent: str, partition: Partition) -> PartitionFault:
    """Bounds that are no UTC month, as a finding."""
    if partition.schema != PUBLIC:
        return _elsewhere(partition)
    try:
        empty = is_empty(connection, partition.name)
    except OpsError as error:
        # Whether it holds rows decides about the next step, and about nothing else.
        return PartitionFault(
            partition.name,
            f"its bounds are no month in UTC, and its rows could not be looked for: {error.cause}",
            error.next_step,
        )
    if partition.is_default:
        return PartitionFault(
            partition.name,
            "it is a default partition: months whose rows it holds can't be created, and none can "
            "be detached without blocking the application",
            f"drop it while it is empty: DROP TABLE {quoted(partition.name)}"
            if empty
            else "move its rows into their months as docs/partitions.md says, then drop it",
        )
    if not empty:
        next_step = "it holds rows: put them into months as docs/partitions.md says"
    elif may_be_replaced(partition):
        next_step = f"materialize {parent}_partitions for its months: it is empty and is replaced"
    else:
        next_step = (
            "it is empty, and of no length that is replaced: in a quiet hour, SET lock_timeout = "
            f"'2s'; DROP TABLE {quoted(partition.name)}; then materialize {parent}_partitions"
        )
    return PartitionFault(
        partition.name, f"its bounds, {partition.bounds}, are no month in UTC", next_step
    )


def _elsewhere(partition: Partition) -> PartitionFault:
    table = quoted(partition.schema, partition.name)
    return PartitionFault(
        table,
        "it lies outside of the schema public, where it can't be archived, frozen or compared",
        f"in a quiet hour: SET lock_timeout = '2s'; ALTER TABLE {table} SET SCHEMA {PUBLIC}",
    )


def pending_detach(parent: str, partition: Partition) -> PartitionFault:
    """A detach that was begun and not ended, as a finding."""
    return PartitionFault(
        partition.name,
        "its detach is pending: its rows are invisible and new ones are refused",
        f"if the archive was at work on {partition.month}, {_GOES_ON[parent]}; otherwise run "
        f"ALTER TABLE {parent} DETACH PARTITION {quoted(partition.name)} FINALIZE, then "
        f"materialize {parent}_partitions",
    )


def archived_months(connection: Connection, parent: str) -> frozenset[Month]:
    """The months of ``parent`` that have left for the archive; other parents have none."""
    return _ledger_months(connection, _LEFT.get(parent))


def months_at_work(connection: Connection, parent: str) -> frozenset[Month]:
    """The months whose tables are the archive's: begun, and not purged since."""
    return _ledger_months(connection, _AT_WORK.get(parent))


def wanted_months(connection: Connection, parent: str, *, first: Month, last: Month) -> list[Month]:
    """The months from ``first`` to ``last`` that ``parent`` must have a partition for.

    All of them, but for those that have moved to the archive.
    """
    archived = archived_months(connection, parent)
    return [month for month in first.until(last) if month not in archived]


def _findings(
    connection: Connection, parent: str, partitions: Iterable[Partition]
) -> Iterator[PartitionFault]:
    for partition in partitions:
        if partition.is_detaching:
            yield pending_detach(parent, partition)
        elif partition.month is None or partition.schema != PUBLIC:
            yield misplaced(connection, parent, partition)
    at_work = {partition_name(parent, month) for month in months_at_work(connection, parent)}
    for detached in detached_tables_of(connection, parent).values():
        yield _standing_alone(parent, detached, at_work=detached.name in at_work)


def _standing_alone(parent: str, detached: DetachedTable, *, at_work: bool) -> PartitionFault:
    if at_work:
        return PartitionFault(
            detached.name,
            "an archive run detached it and has not ended",
            f"{_GOES_ON[parent]}: it goes on where that run stopped",
        )
    return PartitionFault(
        detached.name,
        f"a {detached.kind} of that name stands alone, attached to "
        f"{detached.attached_to or 'nothing'} instead of {parent}",
        f"materialize {parent}_partitions for that month: it is attached if it provably is that "
        "month, and the run says what is in the way otherwise",
    )


def _ledger_months(connection: Connection, query: str | None) -> frozenset[Month]:
    if query is None:
        return frozenset()
    return frozenset(Month.of(month) for (month,) in connection.execute(statement(query)))
