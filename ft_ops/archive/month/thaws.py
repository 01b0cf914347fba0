"""`ops.thaws`: which months were asked back, why, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from psycopg import sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from ft_ops.archive.month.content import Content, content_from_json, content_to_json
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.relation import Recorded, Relation, require_archived
from ft_ops.archive.month.states import TO_REFREEZE, ThawState
from ft_ops.archive.month.units import RemovalProgress, Units
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.glacier import Tier

Purpose: TypeAlias = Literal["thaw", "erasure"]


@dataclass(frozen=True, slots=True)
class Thaw:
    """One row of ops.thaws. ``content`` are the tables of content when the month was loaded."""

    id: int
    month: Month
    family_id: UUID | None
    purpose: Purpose
    state: ThawState
    generations: tuple[int, ...]
    tier: Tier
    days: int
    estimate: Mapping[str, object]
    relation: Recorded | None
    content: Content | None
    left_out: Mapping[str, int] | None
    purged: RemovalProgress
    requested_at: datetime
    expires_at: datetime | None

    @property
    def name(self) -> str:
        of = f" of family {self.family_id}" if self.family_id else ""
        return f"{self.purpose} {self.id}: {self.month}{of}"

    @property
    def has_units(self) -> bool:
        """Whether it is known, row by row, what was loaded: not of thaws of earlier versions."""
        return self.content is not None and self.state in {"loaded", *TO_REFREEZE}


def open_thaw(connection: Connection, month: Month) -> Thaw | None:
    """The thaw of a month that is not done, None when there is none."""
    found = [thaw for thaw in open_thaws(connection) if thaw.month == month]
    return found[0] if found else None


def open_thaws(connection: Connection) -> list[Thaw]:
    """Every thaw that is not done, oldest first."""
    with connection.cursor(row_factory=kwargs_row(_thaw)) as cursor:
        return cursor.execute(statement("archive/open_thaws")).fetchall()


def begin_thaw(
    connection: Connection,
    month: Month,
    *,
    purpose: Purpose,
    family_id: UUID | None,
    generations: tuple[int, ...],
    tier: Tier,
    days: int,
    estimate: Mapping[str, object],
    run_id: str,
) -> Thaw:
    """Record that a month is asked back; only one at a time a month."""
    connection.execute(
        statement("archive/begin_thaw"),
        {
            "month": month.first_day,
            "purpose": purpose,
            "family_id": family_id,
            "generations": list(generations),
            "tier": tier,
            "days": days,
            "estimate": Jsonb(dict(estimate)),
            "run_id": run_id,
        },
    )
    thaw = open_thaw(connection, month)
    assert thaw is not None
    return thaw


def enter_thaw(
    connection: Connection, thaw: Thaw, state: ThawState, **columns: sql.Composable
) -> Thaw:
    """Record a state, and other columns with it; the row is matched by the state last seen."""
    assignments = [sql.SQL("state = {}").format(sql.Literal(state))]
    assignments += [
        sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in columns.items()
    ]
    with connection.cursor(row_factory=kwargs_row(_thaw)) as cursor:
        cursor.execute(
            # Without parameters: beside them a % in a name or an expression would be one.
            statement("archive/update_thaw").format(
                assignments=sql.SQL(", ").join(assignments),
                id=sql.Literal(thaw.id),
                seen_state=sql.Literal(thaw.state),
            )
        )
        updated = cursor.fetchone()
    if updated is None:
        raise OpsError(
            thaw.name,
            cause=f"its state was {thaw.state} a moment ago and is no longer",
            next_step="find the other run at work on this month, and run again after it",
        )
    return updated


def record_loaded(
    connection: Connection, thaw: Thaw, content: Content, left_out: Mapping[str, int]
) -> Thaw:
    """Record, in the transaction that loaded them, what came back and what stayed out."""
    return enter_thaw(
        connection,
        thaw,
        "loaded",
        content=sql.Literal(Jsonb(content_to_json(content))),
        left_out=sql.Literal(Jsonb(dict(left_out))),
    )


def record_attached(connection: Connection, thaw: Thaw) -> Thaw:
    """Record that a loaded month can be read, and until when."""
    now = sql.SQL("clock_timestamp()")
    return enter_thaw(
        connection,
        thaw,
        "thawed",
        thawed_at=now,
        expires_at=sql.SQL("{} + {}").format(now, sql.Literal(timedelta(days=thaw.days))),
    )


def record_untouched(connection: Connection, thaw: Thaw) -> Thaw:
    """Record that the end of a thaw stopped before it removed anything: it is still thawed."""
    return enter_thaw(
        connection,
        thaw,
        "thawed",
        purged_buckets=sql.SQL("'{}'"),
        purged_through=sql.SQL("NULL"),
    )


def units_of(thaw: Thaw) -> Units:
    """The tables that say what a thaw has brought back, row by row; they end with it."""
    return Units(f"thaw_{thaw.id}_segments", f"thaw_{thaw.id}_shared")


def record_thaw_error(connection: Connection, thaw: Thaw, error: str | None) -> None:
    """Record in the ledger why a thaw makes no progress; None if it does make progress."""
    connection.execute(statement("archive/record_thaw_error"), {"id": thaw.id, "error": error})


def record_refrozen(connection: Connection, thaw: Thaw, through: UUID) -> None:
    """Record, in the transaction that removed them, up to which id segments are done."""
    connection.execute(statement("archive/record_refrozen"), {"id": thaw.id, "through": through})


def record_table(connection: Connection, thaw: Thaw, table: Relation) -> Thaw:
    """Record which table a thaw fills."""
    return enter_thaw(
        connection,
        thaw,
        thaw.state,
        relation=sql.Literal(table.oid),
        relation_name=sql.Literal(table.qualified),
    )


def thawed_relation(connection: Connection, thaw: Thaw) -> Relation:
    """The table that holds a thawed month; Refused when it is gone."""
    return require_archived(connection, thaw.month, thaw.relation, what=thaw.name)


def generations_of(connection: Connection, thaw: Thaw) -> list[Generation]:
    """The generations that a thaw reads, oldest first."""
    return [g for g in generations(connection, thaw.month) if g.number in thaw.generations]


def _thaw(**row: Any) -> Thaw:
    # psycopg's kwargs_row: a row of archive/open_thaws, whose column types the table sets.
    together = {"relation_name", "purged_through", "purged_buckets"}
    return Thaw(
        **{
            **{name: value for name, value in row.items() if name not in together},
            "month": Month.of(row["month"]),
            "generations": tuple(row["generations"]),
            "content": row["content"] and content_from_json(row["content"]),
            "purged": RemovalProgress(row["purged_through"], frozenset(row["purged_buckets"])),
            "relation": row["relation"] and Recorded(row["relation"], row["relation_name"]),
        }
    )
