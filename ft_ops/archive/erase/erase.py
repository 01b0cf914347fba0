"""Erasure inside archives: rewrites a month without what was erased.

Rewriting needs the objects, and so asks Glacier for them: that costs what the estimate says. The
rows never come back to the product's tables. A generation whose rows are in the database is not
touched: it is exported again from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from ft_ops.archive.erase.plan import holds_on_erasure
from ft_ops.archive.month.content import Table
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import finish, generations, open_archived, record_replaced
from ft_ops.archive.month.source import Source, ends_of, key_names, matches
from ft_ops.archive.month.states import IN_DATABASE
from ft_ops.archive.month.thaws import Thaw, enter_thaw, generations_of
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.run import Run
from ft_ops.archive.store.export import Rows
from ft_ops.archive.thaw.conditions import FALSE, ends_deleted, is_deleted
from ft_ops.archive.thaw.merge import Merged, merged
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: the generation that replaces the others, and the rows that are gone."""

    generation: Generation
    erased: Mapping[str, int]


def erase_month(run: Run, thaw: Thaw) -> Erasure:
    """Rewrite a readable month as a generation of its own, without what was erased.

    The old generations stay until the new one is proven and frozen, and are superseded in the
    transaction that records it. A dead predecessor's half-written generation is gone on with.
    Refused while a hold forbids it.
    """
    old = generations_of(run.connection, thaw)
    refuse_held(run, thaw, old)
    thaw = enter_thaw(run.connection, thaw, "loading")
    as_of = max(generation.require_as_of() for generation in old)
    with merged(run, old, purpose="erasure") as scratch:
        erased = _delete_erased(run, scratch)
        run.log(f"left out of {thaw.month}: {erased}")
        generation = archive_content(
            run,
            replacement(run, thaw) or open_archived(run.connection, thaw.month, None, run.run_id),
            Rows(scratch.content, scratch.source, as_of),
        )
    with run.connection.transaction():
        generation = finish(run.connection, generation, "purged")
        for replaced in old:
            record_replaced(run.connection, replaced, generation)
        enter_thaw(run.connection, thaw, "done", done_at=sql.SQL("clock_timestamp()"))
        write_audit(
            run.connection,
            "archive.erase",
            "ops.archive",
            {"month": str(thaw.month), "generation": generation.number, "erased": erased},
        )
    return Erasure(generation, erased)


def refuse_held(run: Run, thaw: Thaw, archived: Sequence[Generation]) -> None:
    """Refused while a hold forbids to erase from a month."""
    holds = holds_on_erasure(run.connection, run.bucket, archived)
    if holds:
        raise Refused(
            thaw.name,
            cause="; ".join(holds),
            next_step="nothing was removed. Run it again once the hold is released, or end it, so "
            f"that the month can be thawed: ft-ops archive cancel --month {thaw.month}",
        )


def replacement(run: Run, thaw: Thaw) -> Generation | None:
    """The generation that a dead run of this erasure has begun, if one has."""
    return next(
        (
            generation
            for generation in reversed(generations(run.connection, thaw.month))
            if generation.origin == "erasure"
            and generation.state in IN_DATABASE
            and generation.number > max(thaw.generations)
        ),
        None,
    )


def _delete_erased(run: Run, scratch: Merged) -> dict[str, int]:
    """Delete erased rows from scratch tables, parents before children; rows by table."""
    erased = {}
    for table in scratch.content:
        statements = _deletions(table, scratch.source)
        erased[table.name] = sum(run.connection.execute(query).rowcount for query in statements)
        for query in _clearances(table, scratch.source):
            run.connection.execute(query)
    return erased


def _deletions(table: Table, source: Source) -> list[sql.Composed]:
    rows = {"rows": source[table.name], "by_users": _by_users(table)}
    if not table.paths:
        return [
            statement("archive/erase_segments").format(
                rows=source[table.name], kind=sql.Literal(kind), subject=sql.Identifier("c", column)
            )
            for kind, column in (("user", "user_id"), ("thread", "thread_id"), ("segment", "id"))
        ]
    return [
        statement("archive/erase_rows").format(
            deleted=is_deleted(table, "c"), ends_deleted=ends_deleted(table, "c"), **rows
        ),
        statement("archive/erase_homeless_rows").format(
            rows=source[table.name],
            ends=ends_of(table, source),
            matches=matches("c", table.key, "ends", key_names(table)),
        ),
    ]


def _clearances(table: Table, source: Source) -> list[sql.Composed]:
    """What a deleted user leaves empty in rows that stay, as the foreign key says."""
    return [
        statement("archive/erase_makers").format(
            rows=source[table.name], maker=sql.Identifier(maker), its=sql.Identifier("c", maker)
        )
        for maker in _cleared(table)
    ]


def _by_users(table: Table) -> sql.Composable:
    tests = [
        sql.SQL(
            "EXISTS (SELECT FROM ops.erasures AS e WHERE e.kind = 'user' AND e.id = {}"
            " AND NOT e.used_again)"
        ).format(sql.Identifier("c", maker))
        for maker in table.makers
        if maker not in _cleared(table)
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(tests)) if tests else FALSE


def _cleared(table: Table) -> set[str]:
    return {r.columns[0] for r in table.references if r.sets_null} & set(table.makers)
