"""An archived month in scratch tables beside the live ones: what can be compared with them.

Loaded and proven as a thaw does it, from whichever bucket can be read, with the family that each
segment belonged to when it was exported. Nothing of the month itself is touched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from psycopg import sql

from ft_ops.archive.copies.read import LocatedCopy, ask, fetch, locate
from ft_ops.archive.cost.prices import Prices
from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, newest_first
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.month.source import scratch_table
from ft_ops.archive.proof.load import drop_scratch
from ft_ops.archive.run import Run
from ft_ops.archive.store.parquet import arrow_connection, read_batches
from ft_ops.archive.thaw.merge import merged
from ft_ops.archive.thaw.retrieval_cost import ThawEstimate, estimate_objects
from ft_ops.errors import Refused
from ft_ops.format import human_bytes, human_dollars
from ft_ops.months import Month
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.glacier import Tier, availability

TIERS: Final[tuple[Tier, ...]] = ("Bulk", "Standard", "Expedited")
_DAYS: Final = 7
"""Days that a readable copy stays: a restore is looked at first, and run again."""

_PURPOSE: Final = "restore"
"""What the scratch tables are named after."""


@dataclass(frozen=True, slots=True)
class MonthBeside:
    """An archived month as it was at ``as_of``, the moment of its newest generation.

    ``relations`` and ``columns``: a table's qualified name → the scratch table with its rows, and
    the columns of that. ``families``: a scratch table (id, family_id) with the family of each
    segment when it was exported.
    """

    month: Month
    as_of: datetime
    generations: tuple[str, ...]
    relations: Mapping[str, sql.Composable]
    columns: Mapping[str, frozenset[str]]
    families: sql.Composable


def proven_generations(run: Run, month: Month) -> list[Generation]:
    """The generations that hold what is archived of a month; Refused when there is none.

    Those that left the database, and the one that is in it, once it was proven.
    """
    known = generations(run.connection, month)
    found = [
        g
        for g in known
        if g.state == "purged" or (g.is_in_database and g.manifest is not None and g.parts())
    ]
    if not found:
        state = f"its newest generation is {known[-1].state}" if known else "it was never archived"
        raise Refused(
            f"archive of {month}",
            cause=f"nothing of it is proven: {state}",
            next_step="take a backup instead: --at; what is archived: SELECT * FROM"
            " ops.archive_status",
        )
    return found


@dataclass(frozen=True, slots=True)
class ColdParts:
    """Objects that can't be read now; ``unasked`` are those that Glacier was not asked for."""

    copies: tuple[LocatedCopy, ...]
    unasked: tuple[LocatedCopy, ...]


def cold_parts(run: Run, found: Sequence[Generation]) -> ColdParts:
    """What of these generations lies in Glacier; an OpsError names an object that is nowhere."""
    copies = [locate(run.target, item.stored) for g in found for item in g.parts()]
    states = [(copy, availability(copy.bucket, copy.stored)) for copy in copies]
    return ColdParts(
        tuple(copy for copy, state in states if not state.readable),
        tuple(copy for copy, state in states if not state.readable and not state.requested),
    )


def refuse_cold(run: Run, month: Month, cold: ColdParts, prices: Prices) -> None:
    """Refused while something can't be read, with what to do and what that costs."""
    if not cold.copies:
        return
    _refuse_useless(run, month)
    size = human_bytes(sum(copy.stored.bytes for copy in cold.copies))
    raise Refused(
        f"archive of {month}",
        cause=f"{len(cold.copies)} objects of it ({size}) are in Glacier and can't be read now",
        next_step="Glacier was asked for all of them: run again once it has answered, at most 48"
        " hours after that"
        if not cold.unasked
        else f"run again with --ask-glacier: {'; '.join(_offers(cold, prices))}",
    )


def ask_for(run: Run, month: Month, cold: ColdParts, tier: Tier, prices: Prices) -> ThawEstimate:
    """Ask Glacier for what it was not asked for; what that costs."""
    _refuse_useless(run, month)
    estimate = estimate_objects([copy.stored for copy in cold.unasked], tier, _DAYS, prices)
    for copy in cold.unasked:
        run.log(f"Glacier is asked for {copy.url}")
        ask(copy, days=_DAYS, tier=tier)
    return estimate


def _refuse_useless(run: Run, month: Month) -> None:
    """Where nothing of a month is in the database, no row of it can be missing there."""
    if attached_relation(run.connection, ARCHIVED, month) is None:
        raise Refused(
            f"archive of {month}",
            cause="it is in Glacier alone: no row of it can be missing in the database",
            next_step="thaw that month, or the family of it: materialize thawed_content_segments",
        )


def _offers(cold: ColdParts, prices: Prices) -> Iterator[str]:
    for tier in TIERS:
        # What one of the classes does not offer is Refused.
        with suppress(Refused):
            found = estimate_objects([c.stored for c in cold.unasked], tier, _DAYS, prices)
            dollars = human_dollars(found.dollars)
            yield f"{tier}, {dollars}, within {found.longest_hours:g} hours"


@contextmanager
def month_beside(run: Run, found: Sequence[Generation]) -> Iterator[MonthBeside]:
    """Load the month that ``found`` add up to, for a block. Its objects must be readable.

    WrongContent and Missing name an object or a table that is not what was proven. The caller holds
    the month's advisory lock.
    """
    month = found[0].month
    families = scratch_table(_PURPOSE, month, 0, "families")
    part = scratch_table(_PURPOSE, month, 0, "families_part")
    with merged(run, found, purpose=_PURPOSE) as rows:
        drop_scratch(run.connection, (families, part))
        try:
            _create(run, families, "family_id")
            for generation in newest_first(run.connection, found):
                _add_families(run, generation, families, part)
            named = {table.name: f"{table.schema}.{table.relname}" for table in rows.content}
            yield MonthBeside(
                month,
                max(generation.require_as_of() for generation in found),
                tuple(generation.name for generation in found),
                {name: rows.source[table] for table, name in named.items()},
                {named[t.name]: frozenset(c.name for c in t.stored) for t in rows.content},
                sql.Identifier("ops", families),
            )
        finally:
            drop_scratch(run.connection, (families, part))


def _create(run: Run, name: str, family: str) -> None:
    run.connection.execute(
        statement("archive/create_scratch").format(
            scratch=sql.Identifier("ops", name),
            columns=sql.SQL("id uuid PRIMARY KEY, {} uuid").format(sql.Identifier(family)),
        )
    )


def _add_families(run: Run, generation: Generation, families: str, part: str) -> None:
    """Add what the segments of no newer generation have."""
    segments = generation.require_content().segments
    columns = ["id", segments.family_column]
    for item in generation.parts():
        if item.table != segments.name:
            continue
        _create(run, part, segments.family_column)
        with (
            tempfile.TemporaryFile(prefix="ft-archive-") as file,
            arrow_connection(run.url) as arrow,
            arrow.cursor() as cursor,
        ):
            path = Path(f"/dev/fd/{file.fileno()}")
            fetch(run, item.stored, path)
            rows = read_batches(path, columns, run.pace)
            cursor.adbc_ingest(part, rows, mode="append", db_schema_name="ops")
        run.connection.execute(
            statement("archive/add_families").format(
                families=sql.Identifier("ops", families),
                part=sql.Identifier("ops", part),
                family=sql.Identifier(segments.family_column),
            )
        )
        drop_scratch(run.connection, (part,))
