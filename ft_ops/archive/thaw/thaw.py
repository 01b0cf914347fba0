"""Brings a purged month back from Glacier, under archived_content_segments.

Asked for first (with its cost), loaded when Glacier has it: into a table of its own, which is then
attached, or into the month's table where a later generation of it is still in the database. What
was erased since the purge stays erased, and is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

from ft_ops.archive.copies import read
from ft_ops.archive.copies.read import Answer, ask, locate
from ft_ops.archive.cost.prices import Prices
from ft_ops.archive.hold.holds import guard_segments
from ft_ops.archive.month.catalog import read_content, refuse_changed_arrivals
from ft_ops.archive.month.content import ARCHIVED, archived_name, bounds
from ft_ops.archive.month.evolution import read_evolution
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.relation import Relation, attached_relation, named_relation
from ft_ops.archive.month.states import TO_LOAD
from ft_ops.archive.month.thaws import (
    Purpose,
    Thaw,
    begin_thaw,
    enter_thaw,
    generations_of,
    open_thaw,
    record_attached,
    record_loaded,
    record_table,
    thawed_relation,
)
from ft_ops.archive.move.align import aligned
from ft_ops.archive.move.copy import loosen
from ft_ops.archive.move.detach import attach_archived
from ft_ops.archive.move.renewed import note_columns
from ft_ops.archive.run import ArchiveTarget, Run
from ft_ops.archive.thaw.insert import Insertion
from ft_ops.archive.thaw.merge import drop_merged, merged, plan_becoming
from ft_ops.archive.thaw.retrieval_cost import ThawEstimate, estimate_thaw
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.partitions import kept_to_owner
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.glacier import Tier
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
    connection: Connection, request: ThawRequest, prices: Prices, *, purpose: Purpose = "thaw"
) -> tuple[list[Generation], ThawEstimate]:
    """The generations that a thaw would read, and what that costs; asks for nothing.

    Refused when nothing of the month was purged, and when its rows can't become rows of today's
    tables: that is known before anything is paid for. To an erasure today's tables don't matter.
    """
    known = generations(connection, request.month)
    purged = [g for g in known if g.state == "purged"]
    for generation in known:
        if generation.is_in_database and generation.state in {"archiving", "purging"}:
            raise Refused(
                f"thaw of {request.month}",
                cause=f"{generation.name} is {generation.state}, and its table stands alone",
                next_step="wait for the daily run, which finishes that, "
                "or materialize the asset again",
            )
    if not purged:
        state = f"its newest generation is {known[-1].state}" if known else "it was never archived"
        raise Refused(
            f"thaw of {request.month}",
            cause=state,
            next_step=f"its rows are in the database: look in {ARCHIVED} and content_segments",
        )
    if purpose == "thaw":
        refuse_changed_arrivals(connection, f"thaw of {request.month}")
        content, evolution = read_content(connection), read_evolution(connection)
        for generation in purged:
            plan_becoming(generation, content, evolution)
    return purged, estimate_thaw(purged, request.tier, request.days, prices)


def begin(run: Run, request: ThawRequest, prices: Prices, *, purpose: Purpose) -> Thaw:
    """Record a thaw and ask Glacier for every object of it; goes on with one that was begun.

    Also asks again for an object whose readable copy has expired before it was loaded. The caller
    holds the month's advisory lock.
    """
    thaw = open_thaw(run.connection, request.month)
    if thaw is None:
        found, estimate = plan_thaw(run.connection, request, prices, purpose=purpose)
        thaw = begin_thaw(
            run.connection,
            request.month,
            purpose=purpose,
            family_id=request.family_id,
            generations=tuple(g.number for g in found),
            tier=request.tier,
            days=request.days,
            estimate=asdict(estimate),
            run_id=run.run_id,
        )
    elif (thaw.family_id, thaw.purpose) != (request.family_id, purpose):
        raise Refused(
            f"{purpose} of {request.month}",
            cause=f"{thaw.name} is under way, {thaw.state}",
            next_step="wait until it is done, or end it: ft-ops archive cancel --month "
            f"{request.month}; one thaw of a month at a time",
        )
    elif thaw.state == "refreezing":
        raise Refused(
            f"{purpose} of {request.month}",
            cause=f"{thaw.name} is being taken out of the database, and its table stands alone",
            next_step="run refreeze_thawed_content, which finishes that, then thaw the month again",
        )
    if thaw.state in TO_LOAD:
        for stored in _objects(run.connection, thaw):
            copy = locate(run.target, stored)
            if copy.instead:
                run.log(f"{copy.url} is asked for instead: {copy.instead}")
            ask(copy, days=thaw.days + RESTORE_MARGIN_DAYS, tier=thaw.tier)
    return thaw


def is_readable(connection: Connection, target: ArchiveTarget, thaw: Thaw) -> bool:
    """Whether Glacier has brought back every object that a thaw needs."""
    return answer(connection, target, thaw) == "readable"


def answer(connection: Connection, target: ArchiveTarget, thaw: Thaw) -> Answer:
    """What Glacier has made of a thaw's request."""
    return read.answer(locate(target, stored) for stored in _objects(connection, thaw))


def load(run: Run, thaw: Thaw) -> Thaw:
    """Load a readable thaw and attach it; goes on where a dead run stopped."""
    if thaw.state in TO_LOAD:
        thaw = enter_thaw(run.connection, thaw, "loading")
        thaw = _load_rows(run, thaw)
    else:
        # Its rows were committed, and then it died with its scratch tables.
        drop_merged(run.connection, thaw.month, purpose=_SCRATCH)
    if thaw.state == "loaded":
        thaw = _attach(run, thaw)
    return thaw


def _load_rows(run: Run, thaw: Thaw) -> Thaw:
    month = thaw.month
    thaw = with_escalating_lock_timeout(
        run.connection,
        f"creation of {archived_name(month)}",
        lambda: _place(run, thaw),
        sleep=run.sleep,
    )
    found = generations_of(run.connection, thaw)
    with merged(run, found, purpose=_SCRATCH) as scratch, run.connection.transaction():
        table = thawed_relation(run.connection, thaw)
        is_alone = table.parent is None
        refuse_changed_arrivals(run.connection, thaw.name)
        with _refused_rows_explained(thaw):
            left_out = Insertion.into(run, thaw, scratch, table).insert()
        if is_alone:
            guard_segments(run.connection, table.identifier)
        run.log(f"{left_out or 'nothing'} left out")
        write_audit(
            run.connection,
            "archive.thaw",
            table.name,
            {"month": str(month), "thaw": thaw.id, "left_out": left_out},
        )
        loaded = record_loaded(run.connection, thaw, scratch.content, left_out)
        return loaded if is_alone else record_attached(run.connection, loaded)


@contextmanager
def _refused_rows_explained(thaw: Thaw) -> Iterator[None]:
    """Refused where today's tables don't take a row, for a reason that no single row can tell."""
    try:
        yield
    except psycopg.IntegrityError as error:
        is_taken = isinstance(
            error, psycopg.errors.UniqueViolation | psycopg.errors.ExclusionViolation
        )
        raise Refused(
            thaw.name,
            cause=" ".join(str(error).split("\n")[:2]).removesuffix("."),
            next_step="nothing was brought back. Declare a value in ops.column_changes by which "
            "such rows differ, or make the constraint NOT DEFERRABLE: then they stay out and are "
            "counted"
            if is_taken
            else "nothing was brought back. Of a partitioned table make the partition of "
            "the row; of a foreign key to other rows of content thaw their month first",
        ) from error


def _place(run: Run, thaw: Thaw) -> Thaw:
    """Record which table the month is loaded into.

    That is its own, if a later generation has one already, or a new one with the foreign keys that
    its attachment will adopt, and a trigger of its own. Adding the keys locks threads and users, so
    it happens here, for an instant, and not with the rows. What a dead run made is recorded, and
    empty: rows come with the state 'loaded'.
    """
    connection = run.connection
    attached = attached_relation(connection, ARCHIVED, thaw.month)
    if attached is not None:
        _refuse_unknown(connection, thaw, attached)
        return record_table(connection, thaw, attached)
    name = archived_name(thaw.month)
    names = {
        "archived": sql.Identifier("public", name),
        "parent": sql.Identifier(ARCHIVED),
        **bounds(thaw.month),
    }
    with connection.transaction():
        found = named_relation(connection, name)
        if found is not None:
            _refuse_other_table(connection, thaw, found)
            connection.execute(statement("archive/drop_empty").format(archived=found.identifier))
        connection.execute(statement("archive/create_thawed").format(**names))
        connection.execute(kept_to_owner(names["archived"]))
        connection.execute(statement("archive/follow_deletes").format(table=names["archived"]))
        made = named_relation(connection, name)
        assert made is not None
        note_columns(connection, made.oid, ARCHIVED)
        loosen(run, made.identifier)
        return record_table(connection, thaw, made)


def _refuse_unknown(connection: Connection, thaw: Thaw, attached: Relation) -> None:
    """Refused when the month's table is not that of a generation that the ledger knows."""
    if not any(g.is_in_database for g in generations(connection, thaw.month)):
        raise Refused(
            thaw.name,
            cause=f"there is a table {attached.qualified} already, attached to {attached.parent}, "
            "and no generation of the ledger is in the database",
            next_step="find out who made it and what it holds; a thaw makes that table itself",
        )


def _refuse_other_table(connection: Connection, thaw: Thaw, found: Relation) -> None:
    """Refused unless a table is the one that this thaw made, and empty.

    Of a database that was dumped and restored the oids are others: then its name says so, and the
    trigger that it was made with. So it does where the ledger of an earlier version has neither.
    """
    made = thaw.relation
    is_ours = (
        made is None
        or made.oid == found.oid
        or (made.name == found.qualified and found.follows_deletes)
    )
    if is_ours and found.parent is None:
        [[rows]] = connection.execute(
            statement("archive/count_rows").format(table=found.identifier)
        ).fetchall()
        if rows == 0:
            return
    raise Refused(
        thaw.name,
        cause=f"there is a table {found.qualified} already, and this thaw did not make it",
        next_step="find out who made it and what it holds; a thaw makes that table itself",
    )


def _attach(run: Run, thaw: Thaw) -> Thaw:
    table = thawed_relation(run.connection, thaw)
    what = f"attach of {table.qualified}"
    following = aligned(run, thaw.month, table, what)
    if following.oid != table.oid:
        thaw = record_table(run.connection, thaw, following)

    def attach() -> Thaw:
        with run.connection.transaction():
            attach_archived(run.connection, thaw.month, following)
            return record_attached(run.connection, thaw)

    return with_escalating_lock_timeout(run.connection, what, attach, sleep=run.sleep)


def _objects(connection: Connection, thaw: Thaw) -> list[StoredObject]:
    return [
        item.stored
        for generation in generations_of(connection, thaw)
        for item in generation.parts()
    ]
