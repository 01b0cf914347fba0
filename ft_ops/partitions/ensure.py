"""Brings every wanted month to life: created, attached again, or its bounds put right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.partitions.create import create_partition, partition_name
from ft_ops.partitions.detached_tables import attach_detached, detached_tables_of
from ft_ops.partitions.month_coverage import misplaced, months_at_work, pending_detach
from ft_ops.partitions.realign import replace_misplaced, touches
from ft_ops.pg.catalog import Partition, partitions_of
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.pace import pace_beside_others

SHARE_BESIDE_OTHERS = 0.2
"""Of the time, for creating months while others are at work in the database. At this share an
application's p99 is what it is when the same months are there and nobody creates any."""

Action: TypeAlias = Literal["existing", "created", "attached", "replaced", "left to the archive"]


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """What became of one month of one parent."""

    month: Month
    name: str
    action: Action


def ensure_months(
    connection: Connection,
    parent: str,
    months: Iterable[Month],
    *,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[PartitionOutcome]:
    """See that each month has its partition; one outcome a month, in order. Safe to run again.

    What can't be put right is an OpsError at the end, all of it in one message, after every other
    month has got its partition.
    """
    worked = work_on_months(connection, parent, months, log=log, sleep=sleep)
    worked.refuse_failures(f"partitions of {parent}")
    return worked.results


def work_on_months(
    connection: Connection,
    parent: str,
    months: Iterable[Month],
    *,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Worked[PartitionOutcome]:
    """See that each month has its partition; what became of each, and which ones failed.

    Beside other sessions' work each created month is followed by a rest of four times as long: 120
    months of one parent take some three seconds instead of half of one.

    A month exists when the catalog has a partition with its UTC bounds, whatever its name.
    """
    wanted = list(months)
    # What is misplaced and stays so is in the way of single months below, and fails those.
    replacing = each(
        [parent],
        lambda parent: replace_misplaced(connection, parent, wanted, log=log, sleep=sleep),
        name=lambda parent: f"misplaced partitions of {parent}",
        log=log,
    )
    replaced = frozenset(month for found in replacing.results for month in found)
    partitions = partitions_of(connection, parent)
    existing = {p.month: p.name for p in partitions if not p.is_detaching}
    detached = detached_tables_of(connection, parent)
    in_the_way = [p for p in partitions if p.month is None or p.is_detaching]
    left_alone = months_at_work(connection, parent)
    pace = pace_beside_others(connection, SHARE_BESIDE_OTHERS, sleep=sleep)

    def ensure(month: Month) -> PartitionOutcome:
        name = partition_name(parent, month)
        if month in existing:
            action: Action = "replaced" if month in replaced else "existing"
            return PartitionOutcome(month, existing[month], action)
        if name in detached and month in left_alone:
            return PartitionOutcome(month, name, "left to the archive")
        _refuse_overlap(connection, parent, month, in_the_way)
        if name in detached:
            did = attach_detached(connection, parent, month, detached[name], log=log, sleep=sleep)
            return PartitionOutcome(month, name, did)
        create_partition(connection, parent, month, pace=pace, sleep=sleep)
        return PartitionOutcome(month, name, "created")

    worked = each(
        wanted,
        ensure,
        name=lambda month: partition_name(parent, month),
        usable=lambda: takes_statements(connection),
    )
    created = [outcome.month for outcome in worked.results if outcome.action == "created"]
    if created:
        log(f"created {len(created)} partitions of {parent}, {min(created)} to {max(created)}")
    return Worked(worked.done, (*replacing.failed, *worked.failed))


def _refuse_overlap(
    connection: Connection, parent: str, month: Month, in_the_way: Iterable[Partition]
) -> None:
    for partition in in_the_way:
        if partition.month == month:
            raise pending_detach(parent, partition).refusal()
        if partition.month is None and touches(partition, month):
            raise misplaced(connection, parent, partition).refusal()
