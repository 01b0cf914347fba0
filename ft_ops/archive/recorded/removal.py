"""What the bucket has to know before rows leave the database: afterwards it alone has them.

Whose archive it is: the claim is made by this very run. Of two databases that nothing tells apart,
such as a disk's snapshot and its original, the second is refused before it removes anything. And
what is archived: a database that is made anew finds these rows by the ledger's record alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from ft_ops.archive.claims.claim import claim, disowned_records
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.recorded.records import (
    GenerationRecord,
    generation_document,
    newest_record,
    put_document,
)
from ft_ops.archive.run import Run
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_FOUND_BY: Final = ("objects", "manifest", "certificate", "content", "digests", "sha256")
"""The ledger's columns by which an adoption finds the rows, and a thaw knows that it has them."""

_RECORDABLE: Final = frozenset({"proven", "frozen", "purged"})
"""The states in which a generation's row is true of the bucket, whatever becomes of the rows."""


def claim_removal(run: Run, generations: Sequence[Generation], what: str) -> None:
    """Claim the folder for a removal, and write there what it does not know of the generations.

    Refused when another database has claimed it, or when a record is not there afterwards; nothing
    was removed then.
    """
    unknown = [found for found in generations if not is_recorded(run, found)]
    records = [_record_of(run, generation) for generation in unknown]
    documents = [generation_document(run.target.prefix, record) for record in records]
    claim(run.folder, what, [document.key for document in documents], removes=True)
    for generation, document in zip(unknown, documents, strict=True):
        put_document(run.bucket, document)
        if not is_recorded(run, generation):
            raise Refused(
                what,
                cause=f"{run.bucket.url(document.key)} was written, and the newest record of "
                f"{generation.name} is not that one",
                next_step="see who writes and removes there, and run again; nothing was removed",
            )


def is_recorded(run: Run, generation: Generation) -> bool:
    """Whether a database that knows the bucket alone would find the generation's rows.

    An OpsError where the record can't be read or is not what was written.
    """
    target = run.target
    found = newest_record(target, generation.month, generation.number, disowned_records(run.folder))
    if found is None:
        return False
    row = _row_of(run, generation).row
    return all(found.row.get(name) == row[name] for name in _FOUND_BY)


def can_be_recorded(generation: Generation) -> bool:
    """Whether a removal would write the record that is missing."""
    return generation.state in _RECORDABLE


def _record_of(run: Run, generation: Generation) -> GenerationRecord:
    if not can_be_recorded(generation):
        raise OpsError(
            f"record of {generation.name}",
            cause=f"it is {generation.state}, and the bucket has no record from before that",
            next_step="run the asset again: it puts back what is left of the month first",
        )
    # Of the same moment there may be a record already that does not count: a disowned copy's, or an
    # earlier version's that lacks a column.
    _execute(run, "date_row_to_record", generation)
    return _row_of(run, generation)


def _row_of(run: Run, generation: Generation) -> GenerationRecord:
    """The ledger's row as it is now."""
    row: Mapping[str, Any]
    updated_at, row = one_row(_execute(run, "row_to_record", generation))
    return GenerationRecord(generation.month, generation.number, updated_at, row)


def _execute(run: Run, name: str, generation: Generation) -> Cursor[TupleRow]:
    query = statement(f"archive/{name}").format(ledger=sql.Identifier("ops", generation.ledger))
    place = {"month": generation.month.first_day, "generation": generation.number}
    return run.connection.execute(query, place)
