"""The lists of what was proven of a month, as tables that a removal goes by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from ft_ops.archive.month.digest import BUCKETS, month_digests
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.source import live_source, scratch_table
from ft_ops.archive.month.units import (
    RemovalProgress,
    Units,
    create_units,
    drop_units,
    hashed,
    hashed_shared,
    index_units,
    units_query,
)
from ft_ops.archive.run import Run
from ft_ops.archive.store.unit_lists import has_unit_lists, load_unit_lists
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.sqlfiles import statement


@contextmanager
def proven_units(run: Run, generation: Generation, table: Relation) -> Iterator[Units]:
    """What was proven of a generation, in two scratch tables for a block."""
    with _scratch(run, generation) as units:
        if has_unit_lists(generation):
            load_unit_lists(run, generation, units)
        else:
            _derive(run, generation, table, units)
        index_units(run.connection, units)
        yield units


@contextmanager
def removed_units(run: Run, generation: Generation, table: Relation) -> Iterator[Units]:
    """Only what was removed already: what is left can be put back without the bucket."""
    with _scratch(run, generation) as units:
        derive_removed(run, units, table, generation.purged)
        yield units


@contextmanager
def _scratch(run: Run, generation: Generation) -> Iterator[Units]:
    names = (
        scratch_table("purge", generation.month, generation.number, part)
        for part in ("segments", "shared")
    )
    units = Units(*names)
    create_units(run.connection, units)
    try:
        yield units
    finally:
        drop_units(run.connection, units)


def derive_removed(run: Run, units: Units, table: Relation, done: RemovalProgress) -> None:
    """Note what earlier runs have removed: of what they recorded as done, what has no key."""
    run.connection.execute(
        statement("archive/derive_removed").format(
            units=units.segments,
            table=table.identifier,
            done=done.covers(sql.Identifier("s", "id")),
        )
    )


def refuse_absent(run: Run, month: Month, table: Relation, units: Units, what: str) -> None:
    """Refused when the month's table lacks proven segments whose keys are in the database.

    The application's deletion of a segment takes its key along. So they are in another table, or
    were deleted past every trigger; a removal that passed them over would leave them in neither
    the database nor, for a thaw, in the archive.
    """
    [[absent, one]] = run.connection.execute(
        statement("archive/absent_segments").format(
            units=units.segments,
            segments=table.identifier,
            lower=sql.Literal(month.start),
            upper=sql.Literal(month.end),
        )
    ).fetchall()
    if absent:
        raise Refused(
            what,
            cause=f"{absent:,} segments, {one} among them, have keys and are not in "
            f"{table.qualified}",
            next_step="find the table that they are in, and attach it in this one's place; or who "
            "deleted them while triggers were silenced. Nothing was removed",
        )


def _derive(run: Run, generation: Generation, table: Relation, units: Units) -> None:
    """The units of a generation that was proven before there were lists.

    A bucket whose digest is still the proven one holds exactly the rows that were proven. Of any
    other it can't be told which rows those are, and all of them stay. What earlier runs have come
    by is told by the keys alone: its bucket may have been another then.
    """
    content = generation.require_content()
    source = live_source(content, table.identifier)
    proven, found = generation.require_digests(), month_digests(run.connection, content, source)
    alike = {
        name: [
            bucket
            for bucket in range(BUCKETS)
            if bucket not in generation.purged.buckets
            and proven[name].get(bucket) == found[name].get(bucket)
        ]
        for name in content.names
    }
    own = [t.name for t in content if not t.is_shared]
    whole = sorted(set.intersection(*(set(alike[name]) for name in own)))
    units_now = units_query(sql.SQL("({})").format(hashed(content, source)))
    run.connection.execute(
        statement("archive/derive_units").format(
            units=units.segments,
            now=units_now,
            buckets=sql.Literal(whole),
            done=generation.purged.covers(sql.Identifier("now", "segment_id")),
        )
    )
    derive_removed(run, units, table, generation.purged)
    for number, shared in enumerate(content):
        if shared.is_shared:
            run.connection.execute(
                statement("archive/derive_shared_units").format(
                    units=units.shared,
                    now=hashed_shared(number, shared, source),
                    buckets=sql.Literal(alike[shared.name]),
                )
            )
