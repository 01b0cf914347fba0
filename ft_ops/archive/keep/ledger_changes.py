"""Which rows of the ledger an adoption writes for what the bucket says of a month's generations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.states import State
from ft_ops.archive.recorded.records import GenerationRecord
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

SETTLED: Final = frozenset({"purged", "superseded"})
"""The generation's rows are not in the database any more."""


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """A row of the ledger to be written: the record's, in a state and with a table of its own."""

    record: GenerationRecord
    state: State
    table: Relation | None
    replaces: bool

    @property
    def words(self) -> str:
        where = "in the archive alone" if self.state == "purged" else self.state
        verb = "is brought up to date" if self.replaces else "is adopted"
        return f"{self.record.name} {verb}: {where}"


def ledger_changes(
    connection: Connection,
    records: Sequence[GenerationRecord],
    known: Mapping[int, Generation],
    table: Relation | None,
) -> Iterator[LedgerChange]:
    """What the ledger, of which these generations are ``known``, gets to know of a month.

    ``table`` is the month's in the archive; the newest generation whose rows were in a database
    when it was recorded has it, where none of this database's own has. Refused while the month is
    being moved here. Records that tell nothing new change nothing.
    """
    moments: dict[int, datetime] = dict(
        connection.execute(
            statement("archive/generation_moments"), {"month": records[0].month.first_day}
        ).fetchall()
    )
    held = next((g for g in known.values() if g.is_in_database), None)
    free = table if held is None else None
    for record in reversed(records):
        mine = known.get(record.generation)
        state: State = record.row["state"]
        if mine is None:
            if state not in SETTLED and free is not None:
                yield LedgerChange(record, state, free, replaces=False)
                free = None
            else:
                gone: State = "superseded" if state == "superseded" else "purged"
                yield LedgerChange(record, gone, None, replaces=False)
        elif mine.state in SETTLED or state == "superseded":
            # An earlier moment's row: what was recorded later is true of the bucket.
            if record.updated_at > moments[record.generation] and state in SETTLED:
                yield LedgerChange(record, state, None, replaces=True)
        elif mine.origin == "erasure" and state == "purged":
            # It was rewritten from other generations: its rows were never here.
            yield LedgerChange(record, state, None, replaces=True)
        elif mine.state == "archiving":
            raise Refused(
                f"adoption of {record.name}",
                cause="its move out of content_segments has begun in this database, and its proof "
                "lies in the bucket",
                next_step="materialize archived_content_segments for this month, then adopt again",
            )
        elif _is_behind(mine, record):
            stands: State = "proven" if state == "proven" else "frozen"
            yield LedgerChange(record, stands, table, replaces=True)


def _is_behind(mine: Generation, record: GenerationRecord) -> bool:
    """Whether the bucket has a proof or a freeze of a generation that this database has not."""
    if mine.state in {"frozen", "purging"}:
        return False
    return mine.proven_at is None or record.row["state"] != "proven"


def is_new(change: LedgerChange, known: Mapping[int, Generation]) -> bool:
    """Whether the generation was read after this database's moment, as far as that can be told."""
    mine = known.get(change.record.generation)
    return mine is None or mine.proven_at is None


def in_archive_alone(change: LedgerChange, known: Mapping[int, Generation]) -> LedgerChange:
    """One that holds more than the month's table is not what that holds."""
    if change.table is None or not is_new(change, known):
        return change
    return replace(change, state="purged", table=None)


def write_change(connection: Connection, change: LedgerChange) -> None:
    """Put a record's row into the ledger, in place of the one that is there."""
    record = change.record
    row: dict[str, Any] = {**record.row, "state": change.state}
    if change.state not in SETTLED:
        # Nothing of the rows that are here was removed, however far the other database had come.
        row |= {"purged_through": None, "purged_buckets": []}
    if change.table is not None:
        row |= {"relation": change.table.oid, "relation_name": change.table.qualified}
    key = {"month": record.month.first_day, "generation": record.generation}
    columns = connection.execute(statement("archive/ledger_columns")).fetchall()
    names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in columns if name in row)
    if change.replaces:
        connection.execute(statement("archive/forget_generation"), key)
    # A run before this one, which this month has failed, has searched what it had then.
    connection.execute(statement("archive/search_for_all_again"))
    connection.execute(
        statement("archive/insert_adopted").format(columns=names), {"row": Jsonb(row)}
    )
    if change.state == record.row["state"]:
        connection.execute(
            statement("archive/record_shipped"), {**key, "updated_at": record.updated_at}
        )
    else:
        # Another than was recorded: it is recorded again by the next shipment.
        connection.execute(statement("archive/touch_adopted"), key)
