"""`ops.thaws`: which months were asked back, why, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from psycopg import sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from ft_ops.archive.month.digest import MonthDigests
from ft_ops.archive.month.ledger import Generation, digests_from_json, digests_to_json, generations
from ft_ops.archive.month.relation import Recorded, Relation, require_archived
from ft_ops.archive.thaw.retrieval_cost import ThawEstimate
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.glacier import Tier

Purpose: TypeAlias = Literal["thaw", "erasure"]
ThawState: TypeAlias = Literal[
    "restoring", "loading", "loaded", "thawed", "refreezing", "done", "cancelled"
]


@dataclass(frozen=True, slots=True)
class Thaw:
    """One row of ops.thaws. ``digests`` are of what was loaded, when it was loaded."""

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
    digests: MonthDigests | None
    left_out: Mapping[str, int] | None
    purged_buckets: frozenset[int]
    requested_at: datetime
    expires_at: datetime | None

    @property
    def name(self) -> str:
        of = f" of family {self.family_id}" if self.family_id else ""
        return f"{self.purpose} {self.id}: {self.month}{of}"

    def require_digests(self) -> MonthDigests:
        """What was loaded; an OpsError before anything was."""
        if self.digests is None:
            raise OpsError(
                self.name,
                cause=f"nothing was loaded yet, its state is {self.state}",
                next_step="materialize thawed_content_segments for this month",
            )
        return self.digests


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
    estimate: ThawEstimate,
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
            "estimate": Jsonb(asdict(estimate)),
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
            statement("archive/update_thaw").format(assignments=sql.SQL(", ").join(assignments)),
            {"id": thaw.id, "seen_state": thaw.state},
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
    connection: Connection, thaw: Thaw, digests: MonthDigests, left_out: Mapping[str, int]
) -> Thaw:
    """Record, in the transaction that loaded them, what came back and what stayed out."""
    return enter_thaw(
        connection,
        thaw,
        "loaded",
        digests=sql.Literal(Jsonb(digests_to_json(digests))),
        left_out=sql.Literal(Jsonb(dict(left_out))),
    )


def record_thaw_error(connection: Connection, thaw: Thaw, error: str | None) -> None:
    """Keep why a thaw does not get on, for whoever looks at the ledger; None: it does."""
    connection.execute(statement("archive/record_thaw_error"), {"id": thaw.id, "error": error})


def record_refrozen_bucket(connection: Connection, thaw: Thaw, bucket: int) -> None:
    """Record, in the transaction that removed it, that a bucket is gone from the database."""
    connection.execute(
        statement("archive/record_refrozen_bucket"), {"id": thaw.id, "bucket": bucket}
    )


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
    # psycopg's kwargs_row: a row of archive/open_thaws.sql, whose column types the table sets.
    return Thaw(
        **{
            **{name: value for name, value in row.items() if name != "relation_name"},
            "month": Month.of(row["month"]),
            "generations": tuple(row["generations"]),
            "digests": row["digests"] and digests_from_json(row["digests"]),
            "purged_buckets": frozenset(row["purged_buckets"]),
            "relation": row["relation"] and Recorded(row["relation"], row["relation_name"]),
        }
    )
