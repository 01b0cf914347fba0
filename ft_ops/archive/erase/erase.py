"""Erasure inside archives: rewrites a month without what was erased.

Rewriting needs the objects, and so asks Glacier for them: that costs what the estimate says. The
rows never come back to the product's tables. Each generation is rewritten by itself, in the shape
in which it was archived: a column or a table that was dropped since stays in the archive, whatever
the schema has become. A generation whose rows are in the database is not touched: it is exported
again from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from ft_ops.archive.erase.held import search_for_all
from ft_ops.archive.erase.own_tables import OwnTable, clearances, content_of, deletions, own_tables
from ft_ops.archive.erase.plan import holds_erased, holds_on_erasure, read_tombstones
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.evolution import read_evolution
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import (
    finish,
    generations,
    open_archived,
    record_replaced,
    record_successor,
)
from ft_ops.archive.month.source import Source, scratch_table
from ft_ops.archive.month.states import IN_DATABASE
from ft_ops.archive.month.thaws import Thaw, enter_thaw, generations_of
from ft_ops.archive.proof.load import drop_scratch, loaded
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.run import Run
from ft_ops.archive.store.export import Rows
from ft_ops.archive.store.presence import gone_from
from ft_ops.archive.thaw.merge import refuse_unproven
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit

_SCRATCH = "erasure"
"""What the scratch tables of a rewriting are named after."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: the generations that replace others, and the rows that are gone."""

    generations: tuple[Generation, ...]
    erased: Mapping[str, int]

    @property
    def names(self) -> str:
        return ", ".join(generation.name for generation in self.generations) or "nothing"


def erase_month(run: Run, thaw: Thaw) -> Erasure:
    """Rewrite each generation of a readable month that holds what was erased, without it.

    The old generations stay until the new ones are proven and frozen, and are superseded in the
    transaction that records it. What a dead predecessor has written is gone on with. Refused while
    a hold forbids it.
    """
    old = generations_of(run.connection, thaw)
    refuse_held(run, thaw, old)
    thaw = enter_thaw(run.connection, thaw, "loading")
    begun = successors(run, thaw)
    for stray in _strays(run, thaw, begun.values()):
        record_replaced(run.connection, stray, old[-1])
    rewritten: list[tuple[Generation, Generation]] = []
    erased: dict[str, int] = {}
    for generation in old:
        following, gone = _rewritten(run, generation, begun.get(generation.number))
        for table, rows in gone.items():
            erased[table] = erased.get(table, 0) + rows
        if following is not None:
            rewritten.append((generation, following))
    run.log(f"left out of {thaw.month}: {erased}")
    with run.connection.transaction():
        done = tuple(_replaced(run, *pair) for pair in rewritten)
        enter_thaw(run.connection, thaw, "done", done_at=sql.SQL("clock_timestamp()"))
        write_audit(
            run.connection,
            "archive.erase",
            "ops.archive",
            {
                "month": str(thaw.month),
                "generations": [generation.number for generation in done],
                "erased": erased,
            },
        )
    return Erasure(done, erased)


def refuse_held(run: Run, thaw: Thaw, archived: Sequence[Generation]) -> None:
    """Refused while a hold forbids to erase from a month, or nobody knows yet what it holds."""
    search_for_all(run, thaw.name)
    holds = holds_on_erasure(run.connection, run.bucket, archived)
    if holds:
        raise Refused(
            thaw.name,
            cause="; ".join(holds),
            next_step="nothing was removed. Run it again once the hold is released, or end it, so "
            f"that the month can be thawed: ft-ops archive cancel --month {thaw.month}",
        )


def successors(run: Run, thaw: Thaw) -> dict[int, Generation]:
    """What dead runs of this erasure have begun, by the number of the generation that it is of."""
    known = {g.number: g for g in generations(run.connection, thaw.month)}
    found = {}
    for number in thaw.generations:
        following = known[number].replaced_by
        # One that failed its proof was given up, and names the next.
        while following is not None and known[following].state == "superseded":
            following = known[following].replaced_by
        if following is not None and following > number:
            found[number] = known[following]
    return found


def give_up_begun(run: Run, thaw: Thaw) -> None:
    """Give up what an erasure has written so far: the generations that it is of are there.

    One that is not there any more was replaced by another database, whose archive was adopted.
    """
    old = generations_of(run.connection, thaw)
    begun = successors(run, thaw)
    for generation in old:
        if generation.number in begun and generation.state != "superseded":
            record_replaced(run.connection, begun[generation.number], generation)
            record_successor(run.connection, generation, None)
    for stray in _strays(run, thaw, begun.values()):
        record_replaced(run.connection, stray, old[-1])


def drop_rewritten(run: Run, thaw: Thaw) -> None:
    """Drop what a run left that died with a generation in scratch tables."""
    for generation in generations_of(run.connection, thaw):
        _drop_copy(run, generation)


def _drop_copy(run: Run, generation: Generation) -> None:
    tables = range(len(generation.require_content().tables))
    purpose = generation.scratch(_SCRATCH)
    drop_scratch(
        run.connection,
        [scratch_table(purpose, generation.month, generation.number, n) for n in tables],
    )


def _strays(run: Run, thaw: Thaw, begun: Iterable[Generation]) -> list[Generation]:
    """What an earlier version has begun, which made one generation of all."""
    ours = {generation.number for generation in begun}
    return [
        generation
        for generation in generations(run.connection, thaw.month)
        if generation.origin == "erasure"
        and generation.state in IN_DATABASE
        and generation.number > max(thaw.generations)
        and generation.number not in ours
    ]


def _rewritten(
    run: Run, generation: Generation, begun: Generation | None
) -> tuple[Generation | None, dict[str, int]]:
    """A generation without what was erased, frozen, and the rows that are gone; None: it has none.

    The rows are counted by the run that takes them out.
    """
    if begun is not None and begun.state == "frozen" and not gone_from(run.bucket, begun):
        # It died then with the erased rows in its scratch tables.
        _drop_copy(run, generation)
        return begun, {}
    tables = own_tables(
        generation.require_content(), read_content(run.connection), read_evolution(run.connection)
    )
    with loaded(run, generation, purpose=_SCRATCH) as copy:
        refuse_unproven(run, generation, copy)
        erased = _delete_erased(run, tables, copy)
        is_affected = any(erased.values()) or holds_erased(
            run.bucket, generation, read_tombstones(run.connection)
        )
        if begun is None and not is_affected:
            return None, {}
        rows = Rows(content_of(tables), copy, generation.require_read())
        return archive_content(run, begun or _begin(run, generation), rows), erased


def _begin(run: Run, generation: Generation) -> Generation:
    """Open the generation that is to replace another, and record of which one it is."""
    with run.connection.transaction():
        following = open_archived(run.connection, generation.month, None, run.run_id)
        record_successor(run.connection, generation, following)
        return following


def _replaced(run: Run, old: Generation, following: Generation) -> Generation:
    done = finish(run.connection, following, "purged")
    record_replaced(run.connection, old, done)
    return done


def _delete_erased(run: Run, tables: Sequence[OwnTable], source: Source) -> dict[str, int]:
    """Delete erased rows from scratch tables, parents before children; rows by table."""
    erased = {}
    for own in tables:
        deleted = sum(run.connection.execute(query).rowcount for query in deletions(own, source))
        erased[own.table.name] = deleted
        cleared = sum(run.connection.execute(query).rowcount for query in clearances(own, source))
        if cleared:
            erased[f"{own.table.name}, their maker"] = cleared
    return erased
