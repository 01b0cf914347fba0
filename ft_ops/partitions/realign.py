"""Replaces empty partitions whose bounds are no month in UTC.

Bounds written as dates follow the TimeZone of the session that wrote them. A chain of such
partitions has to be replaced as a whole, because each of them overlaps two months.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.partitions.create import attach, create_like, is_empty, partition_name
from ft_ops.pg.audit import write_audit
from ft_ops.pg.catalog import Partition, partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

PUBLIC: Final = "public"
"""The schema of all tables of the application."""

_INSTANT = timedelta(microseconds=1)
_LONGEST: Final = timedelta(days=366)
_KNOWN_YEARS: Final = range(1001, 8999)
_WAITS_MS = (50,) * 100


class _NoLongerEmpty(Exception):
    """The application wrote to a partition after it was found empty."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Partitions to drop, and the months to create in their place. Neither or both are empty."""

    drop: tuple[Partition, ...]
    create: tuple[Month, ...]


def touches(partition: Partition, month: Month) -> bool:
    """Whether an instant of the month is within the partition's range; a default one has none."""
    if partition.lower is None or partition.upper is None:
        return False
    return partition.lower < month.end and month.start < partition.upper


def may_be_replaced(partition: Partition) -> bool:
    """Whether months may take its place without a person, once it is seen to be empty.

    Not one of more than a year: its months would be made and attached in one transaction, whose
    locks could fill the server's table of them, and fail what others do. And not one at an edge of
    the years that are told apart, where it reaches nobody knows how far.
    """
    if partition.lower is None or partition.upper is None or partition.schema != PUBLIC:
        return False
    return (
        partition.month is None
        and not partition.is_detaching
        and partition.upper - partition.lower <= _LONGEST
        and partition.lower.year in _KNOWN_YEARS
        and partition.upper.year in _KNOWN_YEARS
    )


def _months_within(partition: Partition) -> tuple[Month, ...]:
    if partition.lower is None or partition.upper is None:
        return ()
    return tuple(Month.of(partition.lower).until(Month.of(partition.upper - _INSTANT)))


def plan_replacement(partitions: Sequence[Partition], empty: Iterable[Partition]) -> Replacement:
    """Which of the ``empty`` ones can go so that no instant loses its partition.

    Each month that one of them touches must be free to be created: what else touches it is that
    very month, or goes too.
    """
    goes = {p for p in empty if may_be_replaced(p)}
    while stuck := {p for p in goes if _is_stuck(p, goes, partitions)}:
        goes -= stuck
    present = {p.month for p in partitions}
    months = {month for p in goes for month in _months_within(p)} - present
    return Replacement(drop=tuple(p for p in partitions if p in goes), create=tuple(sorted(months)))


def replace_misplaced(
    connection: Connection,
    parent: str,
    wanted: Sequence[Month],
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> list[Month]:
    """Replace what is empty, misplaced and in the way of a ``wanted`` month; the months created.

    One transaction under ACCESS EXCLUSIVE on the parent, which it does not wait long for; some
    milliseconds for each partition. No row is ever dropped: emptiness is asked again under it.
    """
    partitions = partitions_of(connection, parent)
    misplaced = [p for p in partitions if may_be_replaced(p)]
    if not any(touches(partition, month) for partition in misplaced for month in wanted):
        return []
    # A chain reaches beyond the months that were asked for.
    candidates = [p for p in misplaced if is_empty(connection, p.name)]
    plan = plan_replacement(partitions, candidates)
    if not set(plan.create) & set(wanted):
        return []

    def replace() -> None:
        with connection.transaction():
            for month in plan.create:
                create_like(connection, parent, _provisional(parent, month))
            connection.execute(
                statement("partitions/lock_parent").format(parent=sql.Identifier(parent))
            )
            if not all(is_empty(connection, partition.name) for partition in plan.drop):
                raise _NoLongerEmpty
            _swap(connection, parent, plan)

    try:
        with_escalating_lock_timeout(
            connection, f"partitions of {parent}", replace, waits_ms=_WAITS_MS, sleep=sleep
        )
    except _NoLongerEmpty:
        return []
    except (psycopg.errors.InvalidObjectDefinition, psycopg.errors.CheckViolation) as error:
        raise Refused(
            f"empty partitions of {parent} with bounds that are no UTC months",
            cause=str(error).splitlines()[0],
            next_step="look at the bounds of all partitions of content_segments and audit_log",
        ) from error
    log(f"replaced {len(plan.drop)} empty partitions whose bounds were no months in UTC")
    return list(plan.create)


def _swap(connection: Connection, parent: str, plan: Replacement) -> None:
    for partition in plan.drop:
        connection.execute(
            statement("partitions/drop_table").format(table=sql.Identifier(partition.name))
        )
    for month in plan.create:
        name = partition_name(parent, month)
        connection.execute(
            statement("partitions/rename").format(
                table=sql.Identifier(_provisional(parent, month)), name=sql.Identifier(name)
            )
        )
        attach(connection, parent, month, name)
    dropped = [partition.name for partition in plan.drop]
    write_audit(connection, "partitions.replace", parent, {"dropped": dropped})


def _is_stuck(partition: Partition, goes: set[Partition], partitions: Sequence[Partition]) -> bool:
    months = set(_months_within(partition))
    return any(
        touches(other, month)
        for other in partitions
        if other not in goes and other.month is None
        for month in months
    ) or any(other.month in months and other.is_detaching for other in partitions)


def _provisional(parent: str, month: Month) -> str:
    return f"{partition_name(parent, month)}_utc"
