"""Whether anybody knows what a legal hold is to be placed on: a mistyped id holds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from ft_ops.archive.month.content import ARCHIVED, HOT, archived_name, hot_name
from ft_ops.archive.month.ledger import generations
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.catalog import partitions_of, table_exists
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


def refuse_unknown(
    connection: Connection, *, month: Month | None, ids: Mapping[str, UUID | None]
) -> None:
    """Refused unless the one subject that is given is known, living or erased.

    What was erased is known: archives may still hold its content.
    """
    if month is not None:
        _refuse_unknown_month(connection, month)
    for kind, subject in ids.items():
        if subject is not None:
            _refuse_unknown_id(connection, kind, subject)


def called(connection: Connection, kind: str, subject: UUID) -> str:
    """How a subject is called, and whether it was erased; empty when nobody knows it."""
    names = [
        f"erased on {erased_at:%Y-%m-%d}" if erased_at else str(name or "")
        for found, name, erased_at in _bearers(connection, subject)
        if found == kind
    ]
    return ", ".join(name for name in names if name)


def _refuse_unknown_id(connection: Connection, kind: str, subject: UUID) -> None:
    kinds = {found for found, _, _ in _bearers(connection, subject)}
    if kind in kinds:
        return
    others = sorted(kinds - {kind, "segment"})
    raise Refused(
        f"legal hold on {kind} {subject}",
        cause=f"no {kind} has this id" + (f"; it is the id of a {others[0]}" if others else ""),
        next_step=f"use --{others[0]} {subject}"
        if others
        else "correct the id, or say --force if only an archive can know it",
    )


def _bearers(
    connection: Connection, subject: UUID
) -> list[tuple[str, str | None, datetime | None]]:
    return connection.execute(statement("archive/what_bears_an_id"), {"id": subject}).fetchall()


def _refuse_unknown_month(connection: Connection, month: Month) -> None:
    if (
        generations(connection, month)
        or any(
            partition.month == month
            for parent in (HOT, ARCHIVED)
            for partition in partitions_of(connection, parent)
        )
        or table_exists(connection, hot_name(month))
        or table_exists(connection, archived_name(month))
    ):
        return
    raise Refused(
        f"legal hold on month {month}",
        cause="neither the database nor the archive has this month",
        next_step="correct the month, or say --force to hold whatever may come into it",
    )
