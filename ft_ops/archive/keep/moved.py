"""Which moves of shared rows (links) count after a recovery to a moment before them.

A row that was moved to other segments leaves a tombstone of its former place, so that an older
archive does not bring it back there. If no archive has it in its new place, the recovery has undone
the move: the bucket knows only where it is not any more, and it would come back nowhere. Then the
tombstone is withdrawn, and the row is where it was.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

from ft_ops.archive.month.generation import OBJECTS
from ft_ops.archive.recorded.records import Event, GenerationRecord, Records
from ft_ops.archive.store.unit_lists import SHARED
from ft_ops.items import Failed, each
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import read_object


@dataclass(frozen=True, slots=True)
class Moves:
    """Events with those moves undone that no archive knows: ``undone`` are their records.

    ``failed``: lists that could not be read. What they, or records that could not be read, may hold
    is not decided, and the tombstones in question are not among the ``events``.
    """

    events: tuple[Event, ...]
    undone: tuple[Mapping[str, object], ...]
    failed: tuple[Failed, ...]

    def note(self, connection: Connection) -> None:
        """Let the bucket know that the rows are in their places again."""
        for record in self.undone:
            connection.execute(
                statement("archive/note_place_again"), {"record": Jsonb(dict(record))}
            )


def moves_that_count(connection: Connection, bucket: Bucket, records: Records) -> Moves:
    """The events, but for moves after which no generation was read that has the row."""
    unknown = _unknown(connection, records.events)
    if not unknown:
        return Moves(records.events, (), ())
    first = min(move.at for move in unknown)
    later = [
        record
        for record in records.generations.values()
        if record.row["state"] != "superseded" and (read := _read_at(record)) and read > first
    ]
    keys = frozenset(move.key for move in unknown)
    listed = each(
        later,
        lambda record: (_read_at(record), _listed(bucket, record, keys)),
        name=lambda record: f"list of shared rows of {record.name}",
    )
    undone = [
        move
        for move in unknown
        if not any(
            read and read > move.at and (found is None or move.key in found)
            for read, found in listed.results
        )
    ]
    # No archive is said to lack a row while the record of one of them could not be read.
    if listed.failed or records.unread_events or records.unread_months:
        undecided = {move.place for move in undone}
        kept = (event for event in records.events if _place(event) not in undecided)
        return Moves(tuple(kept), (), listed.failed)
    returned = tuple(Event("returned_row", move.at, move.record) for move in undone)
    return Moves((*records.events, *returned), tuple(move.record for move in undone), ())


@dataclass(frozen=True, slots=True)
class _Move:
    """The tombstone of a place: when the row of this key was moved away."""

    record: Mapping[str, Any]
    key: str

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.record["erased_at"])

    @property
    def place(self) -> tuple[str, str]:
        return self.record["table_name"], self.record["key"]


def _unknown(connection: Connection, events: Sequence[Event]) -> list[_Move]:
    """Tombstones of places that stand in the bucket and not here."""
    newest = {place: event for event in events if (place := _place(event)) is not None}
    stand = [event.record for event in newest.values() if event.kind == "erased_row"]
    rows = connection.execute(
        statement("archive/candidate_places"),
        {
            "numbers": list(range(len(stand))),
            "names": [record["table_name"] for record in stand],
            "keys": [record["key"] for record in stand],
            "moments": [record["erased_at"] for record in stand],
        },
    ).fetchall()
    return [_Move(stand[number], key) for number, key in rows]


def _place(event: Event) -> tuple[str, str] | None:
    """Table and place of the tombstone of a place, or of its withdrawal; None of anything else."""
    if event.kind not in {"erased_row", "returned_row"} or not _is_place(event.record["key"]):
        return None
    return event.record["table_name"], event.record["key"]


def _is_place(key: str) -> bool:
    *_, last = json.loads(key)
    return isinstance(last, dict) and set(last) == {"at"}


def _read_at(record: GenerationRecord) -> datetime | None:
    as_of = record.row.get("as_of")
    return datetime.fromisoformat(as_of) if as_of else None


def _listed(
    bucket: Bucket, record: GenerationRecord, keys: frozenset[str]
) -> frozenset[str] | None:
    """Which of these keys a generation has, of whatever table.

    None: it was proven without a list, by an earlier version, and may have any of them.
    """
    lists = [o for o in OBJECTS.validate_python(record.row["objects"]) if o.table == SHARED]
    found: set[str] = set()
    for item in lists:
        listed = pq.read_table(io.BytesIO(read_object(bucket, item.stored)), columns=["key"])
        found |= keys.intersection(map(str, listed.column("key").to_pylist()))
    return frozenset(found) if lists else None
