"""`ops.archive_drills`: which months were drilled, and how that ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ft_ops.archive.drill.choose import Place, Proof, begin_of_month
from ft_ops.archive.month.states import Ledger, month_words
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

DrillState: TypeAlias = Literal["asked", "proven", "refuted", "unknown"]


@dataclass(frozen=True, slots=True)
class ArchiveDrill:
    """One row: a month's generations that are read from one bucket."""

    id: int
    month: Month
    generations: tuple[int, ...]
    copy: Place
    state: DrillState
    estimate: Mapping[str, object]
    asked_at: datetime
    finished_at: datetime | None
    certificate: Mapping[str, object] | None
    error: str | None
    ledger: Ledger = "archive"

    @property
    def subject(self) -> str:
        return month_words(self.month, self.ledger)

    @property
    def name(self) -> str:
        return f"drill {self.id}: {self.subject} of the {self.copy} bucket"


def proofs(connection: Connection, *, before: datetime) -> list[Proof]:
    """When each purged month, the audit log's too, was proven last, as known before a moment."""
    rows = connection.execute(statement("archive/last_proofs"), {"before": before}).fetchall()
    return [Proof(Month.of(month), proven, drilled, of) for of, month, proven, drilled in rows]


def open_drill(connection: Connection) -> ArchiveDrill | None:
    """The drill that waits for Glacier, if one does."""
    return _one(connection, "archive/open_drill")


def newest_drill(connection: Connection) -> ArchiveDrill | None:
    """The drill that ended last, None before the first."""
    return _one(connection, "archive/newest_drill")


def refuted(connection: Connection) -> list[ArchiveDrill]:
    """The drills that refuted a month's copy, of which none has proven it since."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("archive/refuted_drills")).fetchall()
    return [_drill(row) for row in rows]


def is_due(connection: Connection, now: datetime) -> bool:
    """Whether a drill waits for Glacier, or none of this month has come to a verdict."""
    if not proofs(connection, before=now):
        return False
    newest = newest_drill(connection)
    return (
        open_drill(connection) is not None
        or newest is None
        or newest.state == "unknown"
        or newest.asked_at < begin_of_month(now)
    )


def begin_drill(
    connection: Connection,
    month: Month,
    generations: Sequence[int],
    copy: Place,
    estimate: Mapping[str, object],
    run_id: str,
    *,
    ledger: Ledger = "archive",
) -> ArchiveDrill:
    """Record that Glacier is about to be asked for a month."""
    connection.execute(
        statement("archive/begin_drill"),
        {
            "ledger": ledger,
            "month": month.first_day,
            "generations": list(generations),
            "copy": copy,
            "estimate": Jsonb(dict(estimate)),
            "run_id": run_id,
        },
    )
    found = open_drill(connection)
    assert found is not None
    return found


def end_drill(
    connection: Connection,
    drill: ArchiveDrill,
    state: DrillState,
    certificate: Mapping[str, object] | None,
    error: str | None,
) -> None:
    """Record how a drill ended."""
    connection.execute(
        statement("archive/end_drill"),
        {
            "id": drill.id,
            "state": state,
            "certificate": None if certificate is None else Jsonb(dict(certificate)),
            "error": error,
        },
    )


def _one(connection: Connection, query: str) -> ArchiveDrill | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        row: dict[str, Any] | None = cursor.execute(statement(query)).fetchone()
    return None if row is None else _drill(row)


def _drill(row: dict[str, Any]) -> ArchiveDrill:
    row["month"] = Month.of(row["month"])
    row["generations"] = tuple(row["generations"])
    return ArchiveDrill(**row)
