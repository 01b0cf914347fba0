"""Whether a generation of the audit log has every row of one that it replaces, by their proofs.

The lists beside each name every row with two hashes. They stay in STANDARD: nothing is retrieved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.source import scratch_table
from ft_ops.archive.month.units import Units, create_units, drop_units
from ft_ops.archive.run import Run
from ft_ops.archive.store.unit_lists import has_unit_lists, load_unit_lists
from ft_ops.errors import Refused
from ft_ops.pg.sqlfiles import statement


def refuse_not_contained(run: Run, generation: Generation, by: Generation) -> None:
    """Refused while a proven generation of the audit log has a row that ``by`` has not as it is.

    Somebody deleted or changed it in the database in between, or nobody can tell: columns have
    changed since, or a list is gone. What was never proven nobody has relied on; nor is anything of
    a segment's month asked here, where an erasure may have taken rows out.
    """
    if generation.ledger != "audit_archive" or generation.proven_at is None:
        return
    problem = _why_not(run, generation, by)
    if problem is not None:
        raise Refused(
            f"objects of {generation.name}",
            cause=problem,
            next_step="they stay. If nothing in them is needed, set objects and leftovers of that "
            "row of ops.audit_archive to an empty JSON array, and remove them by hand",
        )


def _why_not(run: Run, generation: Generation, by: Generation) -> str | None:
    places = {"month": by.month.first_day, "generation": generation.number, "by": by.number}
    found = run.connection.execute(statement("archive/audit_replacement_is_recorded"), places)
    if found.fetchone() != (True,):
        return (
            f"the bucket has no record of {by.name} yet, or none that it replaces this one: "
            "archive_audit_log writes it"
        )
    others = generation.require_content().differences(by.require_content())
    if others:
        return f"it can't be compared with {by.name}: {others[0]}"
    if not (has_unit_lists(generation) and has_unit_lists(by)):
        return f"it can't be compared with {by.name}: a list of proven rows is missing"
    with ExitStack() as both:
        mine, theirs = (both.enter_context(_listed(run, one)) for one in (generation, by))
        query = statement("archive/count_units_elsewhere")
        [[lacking]] = run.connection.execute(
            query.format(mine=mine.segments, theirs=theirs.segments)
        ).fetchall()
    if lacking:
        return f"{lacking:,} of its rows are not, or not as they were, in {by.name}"
    return None


@contextmanager
def _listed(run: Run, generation: Generation) -> Iterator[Units]:
    """A generation's lists in two scratch tables, for a block."""
    purpose = generation.scratch("collected")
    names = (
        scratch_table(purpose, generation.month, generation.number, part)
        for part in ("rows", "shared")
    )
    units = Units(*names)
    create_units(run.connection, units)
    try:
        load_unit_lists(run, generation, units)
        yield units
    finally:
        drop_units(run.connection, units)
