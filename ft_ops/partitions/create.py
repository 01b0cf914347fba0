"""Creates monthly partitions without making the application wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import psycopg
from psycopg import sql

from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.catalog import partitions_of, table_exists
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

PARENTS: Final = ("content_segments", "audit_log")


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """What became of one month of one parent."""

    month: Month
    name: str
    action: Literal["created", "existing"]


def partition_name(parent: str, month: Month) -> str:
    """``content_segments_2017_03`` of ``content_segments`` and 2017-03."""
    return f"{parent}_{month.suffix}"


def ensure_months(
    connection: Connection,
    parent: str,
    months: Iterable[Month],
    *,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[PartitionOutcome]:
    """Create the partitions of ``parent`` that are missing; one outcome a month, in order.

    A month exists when the catalog has a partition with its UTC bounds, whatever its name.
    Refused when a table of the expected name exists and is no such partition.
    """
    existing = {partition.month: partition for partition in partitions_of(connection, parent)}
    outcomes = []
    for month in months:
        if month in existing:
            outcomes.append(PartitionOutcome(month, existing[month].name, "existing"))
            continue
        name = partition_name(parent, month)
        if table_exists(connection, name):
            raise Refused(
                f"partition {name}",
                cause=f"a table of that name exists and is not attached to {parent} as {month}",
                next_step=f"see what it holds; attach it, or rename it, then create {month} again",
            )
        _create(connection, parent, month, name, sleep=sleep)
        outcomes.append(PartitionOutcome(month, name, "created"))
        log(f"created {name}")
    return outcomes


def _create(
    connection: Connection,
    parent: str,
    month: Month,
    name: str,
    *,
    sleep: Callable[[float], None],
) -> None:
    names = {
        "partition": sql.Identifier(name),
        "parent": sql.Identifier(parent),
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }

    def create_and_attach() -> None:
        with connection.transaction():
            connection.execute(statement("partitions/create_like").format(**names))
            connection.execute(statement("partitions/attach").format(**names))

    try:
        with_escalating_lock_timeout(
            connection, f"partition {name}", create_and_attach, sleep=sleep
        )
    except psycopg.errors.InvalidObjectDefinition as error:
        raise OpsError(
            f"partition {name}",
            cause=str(error).strip(),
            next_step=f"look at the bounds of {parent}'s partitions around {month}",
        ) from error
