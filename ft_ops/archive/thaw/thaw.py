"""Brings a purged month back from Glacier, under archived_content_segments.

Asked for first (with its cost), loaded when Glacier has it: into a table of its own, then
attached. What was erased since the purge stays erased, and is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from psycopg import sql

from ft_ops.archive.month.content import (
    ARCHIVED,
    TABLES,
    Source,
    archived_name,
    column_list,
    live_columns,
    live_source,
    table_columns,
)
from ft_ops.archive.month.digest import month_digests
from ft_ops.archive.month.ledger import Generation, generations
from ft_ops.archive.month.relation import Relation, attached_relation, named_relation
from ft_ops.archive.move.detach import attach_archived
from ft_ops.archive.thaw.ledger import (
    Purpose,
    Thaw,
    begin_thaw,
    enter_thaw,
    generations_of,
    open_thaw,
    record_loaded,
    record_table,
    thawed_relation,
)
from ft_ops.archive.thaw.merge import drop_merged, merged
from ft_ops.archive.thaw.retrieval_cost import Prices, ThawEstimate, estimate_thaw
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import Tier, availability, request_restore
from ft_ops.s3.objects import StoredObject

RESTORE_MARGIN_DAYS = 2
"""Days that Glacier's readable copies outlast the request: a load may be retried in them."""

_SCRATCH: Final = "thaw"
"""What the scratch tables of a load are named after."""


@dataclass(frozen=True, slots=True)
class ThawRequest:
    """What to bring back: a month or one family of it, how fast, and for how many days."""

    month: Month
    family_id: UUID | None
    tier: Tier
    days: int


def plan_thaw(
    connection: Connection, request: ThawRequest, prices: Prices
) -> tuple[list[Generation], ThawEstimate]:
    """The generations that a thaw would read, and what that costs; asks for nothing.

    Refused unless the month's newest generation is purged: what is still in the database needs
    no thaw.
    """
    known = generations(connection, request.month)
    purged = [g for g in known if g.state == "purged"]
    if not purged or known[-1].state != "purged":
        state = known[-1].state if known else "not archived"
        raise Refused(
            f"thaw of {request.month}",
            cause=f"its newest generation is {state}",
            next_step=f"its rows are in the database: look in {ARCHIVED} and content_segments",
        )
    return purged, estimate_thaw(purged, request.tier, request.days, prices)


def begin(
    connection: Connection,
    bucket: Bucket,
    request: ThawRequest,
    prices: Prices,
    *,
    purpose: Purpose,
    run_id: str,
) -> Thaw:
    """Record a thaw and ask Glacier for every object of it; goes on with one that was begun.

    The caller holds the month's advisory lock.
    """
    thaw = open_thaw(connection, request.month)
    if thaw is None:
        found, estimate = plan_thaw(connection, request, prices)
        thaw = begin_thaw(
            connection,
            request.month,
            purpose=purpose,
            family_id=request.family_id,
            generations=tuple(g.number for g in found),
            tier=request.tier,
            days=request.days,
            estimate=estimate,
            run_id=run_id,
        )
    elif (thaw.family_id, thaw.purpose) != (request.family_id, purpose):
        raise Refused(
            f"{purpose} of {request.month}",
            cause=f"{thaw.name} is under way, {thaw.state}",
            next_step="wait until it is done; one thaw of a month at a time",
        )
    if thaw.state == "restoring":
        for stored in _objects(connection, thaw):
            if not availability(bucket, stored).requested:
                request_restore(
                    bucket, stored, days=thaw.days + RESTORE_MARGIN_DAYS, tier=thaw.tier
                )
    return thaw


def is_readable(connection: Connection, bucket: Bucket, thaw: Thaw) -> bool:
    """Whether Glacier has brought back every object that a thaw needs."""
    return all(availability(bucket, stored).readable for stored in _objects(connection, thaw))


def load(
    connection: Connection,
    url: str,
    bucket: Bucket,
    thaw: Thaw,
    *,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Thaw:
    """Load a readable thaw and attach it; goes on where a dead run stopped."""
    if thaw.state in {"restoring", "loading"}:
        thaw = enter_thaw(connection, thaw, "loading")
        thaw = _load_rows(connection, url, bucket, thaw, log=log, sleep=sleep)
    else:
        # Its rows were committed, and then it died with its scratch tables.
        drop_merged(connection, thaw.month, purpose=_SCRATCH)
    if thaw.state == "loaded":
        thaw = with_escalating_lock_timeout(
            connection,
            f"attach of {archived_name(thaw.month)}",
            lambda: _attach(connection, thaw),
            sleep=sleep,
        )
    return thaw


def _load_rows(
    connection: Connection,
    url: str,
    bucket: Bucket,
    thaw: Thaw,
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> Thaw:
    month = thaw.month
    thaw = with_escalating_lock_timeout(
        connection,
        f"creation of {archived_name(month)}",
        lambda: _create_table(connection, thaw),
        sleep=sleep,
    )
    found = generations_of(connection, thaw)
    with (
        merged(connection, url, bucket, found, purpose=_SCRATCH, log=log) as scratch,
        connection.transaction(),
    ):
        left_out = _insert(connection, thaw, scratch)
        log(f"{left_out or 'nothing'} left out")
        source = live_source(thawed_relation(connection, thaw).identifier)
        digests = month_digests(connection, source, live_columns(connection))
        write_audit(
            connection,
            "archive.thaw",
            archived_name(month),
            {"month": str(month), "thaw": thaw.id, "left_out": left_out},
        )
        return record_loaded(connection, thaw, digests, left_out)


def _create_table(connection: Connection, thaw: Thaw) -> Thaw:
    """An empty table with the foreign keys that its attachment will adopt, and its own trigger.

    Adding the keys locks threads and users, so it happens here, for an instant, and not with the
    rows. What a dead run made is recorded, and empty: rows come with the state 'loaded'.
    """
    name = archived_name(thaw.month)
    names = {"archived": sql.Identifier("public", name), "parent": sql.Identifier(ARCHIVED)}
    with connection.transaction():
        found = attached_relation(connection, ARCHIVED, thaw.month)
        found = found or named_relation(connection, name)
        if found is not None:
            _refuse_other_table(connection, thaw, found)
            connection.execute(statement("archive/drop_empty").format(archived=found.identifier))
        connection.execute(statement("archive/create_thawed").format(**names))
        connection.execute(statement("archive/follow_deletes").format(table=names["archived"]))
        made = named_relation(connection, name)
        assert made is not None
        return record_table(connection, thaw, made)


def _refuse_other_table(connection: Connection, thaw: Thaw, found: Relation) -> None:
    """Refused unless a table is the one that this thaw made, and empty."""
    # A thaw that was begun before the ledger recorded tables knows its own by the name.
    is_ours = thaw.relation is None or thaw.relation.oid == found.oid
    if is_ours and found.parent is None:
        [[rows]] = connection.execute(
            statement("archive/count_rows").format(table=found.identifier)
        ).fetchall()
        if rows == 0:
            return
    raise Refused(
        thaw.name,
        cause=f"there is a table {found.qualified} already, "
        + (f"attached to {found.parent}" if found.parent else "and this thaw did not make it"),
        next_step="find out who made it and what it holds; a thaw makes that table itself",
    )


def _insert(connection: Connection, thaw: Thaw, scratch: Source) -> dict[str, int]:
    """Insert what may come back, parents before children; counts what stays out, by reason."""
    columns = table_columns(connection, "content_segments")
    names = {
        "archived": thawed_relation(connection, thaw).identifier,
        "columns": sql.SQL(", ").join(sql.Identifier(c.name) for c in columns),
        "segment_columns": column_list(columns, "s"),
        **scratch.relations(),
    }
    values = {"family_id": thaw.family_id, "month": thaw.month.first_day}
    connection.execute(statement("archive/thaw_verdicts").format(**names), values)
    left_out = {
        f"segments: {reason}": rows
        for reason, rows in connection.execute(statement("archive/thaw_left_out")).fetchall()
    }
    for name in ("segments", "keys", "narrations", "tags", "links"):
        connection.execute(statement(f"archive/thaw_{name}").format(**names), values)
    for name in ("narrations", "tags", "links"):
        row = connection.execute(
            statement(f"archive/thaw_left_out_{name}").format(**names), values
        ).fetchone()
        if row is not None and row[0]:
            left_out[f"{name}: whoever made them, or what they belong to, is gone"] = row[0]
    connection.execute(statement("archive/thaw_waiting_links").format(**names), values)
    return left_out


def _attach(connection: Connection, thaw: Thaw) -> Thaw:
    with connection.transaction():
        attach_archived(connection, thaw.month, thawed_relation(connection, thaw))
        expires = sql.SQL("clock_timestamp() + {}").format(sql.Literal(timedelta(days=thaw.days)))
        return enter_thaw(
            connection,
            thaw,
            "thawed",
            thawed_at=sql.SQL("clock_timestamp()"),
            expires_at=expires,
        )


def _objects(connection: Connection, thaw: Thaw) -> Sequence[StoredObject]:
    return [
        item.stored
        for generation in generations_of(connection, thaw)
        for item in generation.objects
        if item.table in TABLES
    ]
