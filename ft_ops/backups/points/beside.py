"""What a point has besides the rows of tables: definitions, sequences, roles, databases.

Each is read once before the mark and once after it. What is the same in both was so at the mark.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import psycopg

from ft_ops.errors import OpsError
from ft_ops.pg.beside_locks import beside_locks
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import UNREAD, read_fingerprint

SCHEMA: Final = "schema: "
"""Before an object's name in the list of what could not be read; ``*`` stands for all of them."""

SEQUENCE: Final = "sequence "
"""Before a sequence's name in that list."""

_CHANGED: Final = "it changed in that very moment"
_HELD: Final = "somebody has it to himself"


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Between which values a sequence was at the mark; a copy may be ahead by what is logged."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Beside:
    """One reading. ``unread`` says why something is not in it."""

    schema: Mapping[str, str]
    sequences: Mapping[str, tuple[int, int, int]]
    roles: Mapping[str, str]
    databases: tuple[str, ...]
    unread: Mapping[str, str] = field(default_factory=dict)

    def has_read_definition(self, name: str) -> bool:
        """Whether this reading says if an object is there, and how."""
        return not {f"{SCHEMA}{name}", f"{SCHEMA}*"} & self.unread.keys()

    def has_read_sequence(self, name: str) -> bool:
        """Whether this reading says if a sequence is there, and at what."""
        return f"{SEQUENCE}{name}" not in self.unread


@dataclass(frozen=True, slots=True)
class Agreed:
    """What two readings agree on, and why the rest is not in it."""

    schema: Mapping[str, str]
    sequences: Mapping[str, SequenceRange]
    roles: Mapping[str, str]
    databases: tuple[str, ...]
    unread: Mapping[str, str]


def read_beside(connection: Connection) -> Beside:
    """Read it all. What can't be read is named; nothing waits for a lock."""
    unread: dict[str, str] = {}
    schema: dict[str, str] = {}
    try:
        with connection.transaction():
            schema, locked = schema_digests(connection)
        unread = {f"{SCHEMA}{name}": UNREAD for name in locked}
    except (OpsError, psycopg.Error) as error:
        if connection.closed:
            raise
        unread[f"{SCHEMA}*"] = str(error).strip()
    sequences, held = read_sequences(connection)
    unread |= {f"{SEQUENCE}{name}": _HELD for name in held}
    return Beside(
        schema=schema,
        sequences=sequences,
        roles=read_roles(connection),
        databases=tuple(row[0] for row in connection.execute(statement("backups/other_databases"))),
        unread=unread,
    )


def agreed(first: Beside, second: Beside) -> Agreed:
    """What is the same in both; a sequence moves on, and only its range is known."""
    unread = {**first.unread, **second.unread}
    unread |= _changed(first.schema, second.schema, SCHEMA)
    unread |= _changed(first.roles, second.roles, "role ")
    ranges = {}
    for name in sorted({*first.sequences, *second.sequences}):
        found = _range(first.sequences.get(name), second.sequences.get(name))
        if found is None:
            unread.setdefault(f"{SEQUENCE}{name}", _CHANGED)
        else:
            ranges[name] = found
    return Agreed(
        schema=_same(first.schema, second.schema, SCHEMA, unread),
        sequences=ranges,
        roles=_same(first.roles, second.roles, "role ", unread),
        databases=tuple(name for name in first.databases if name in second.databases),
        unread=unread,
    )


def schema_digests(connection: Connection) -> tuple[dict[str, str], list[str]]:
    """Every object of the schema → a digest of what the catalog says of it; what was locked."""
    found = read_fingerprint(connection)
    locked = [name for name, aspects in found.items() if UNREAD in aspects.values()]
    digests = {name: _digest(dict(aspects)) for name, aspects in found.items()}
    return {name: digest for name, digest in digests.items() if name not in locked}, locked


def read_sequences(
    connection: Connection,
) -> tuple[dict[str, tuple[int, int, int]], tuple[str, ...]]:
    """Sequence → the value it is at, its step, and how far its log may be ahead of it.

    And the names of those that somebody has to himself.
    """
    rows = beside_locks(
        connection,
        "sequences",
        lambda locked: connection.execute(
            statement("backups/sequences"), {"locked": locked.oids}
        ).fetchall(),
    )
    found = {
        name: (int(at), int(step), int(ahead)) for name, at, step, ahead in rows if at is not None
    }
    return found, tuple(name for name, at, *_ in rows if at is None)


def read_roles(connection: Connection) -> dict[str, str]:
    """Role → a digest of what it may and whom it belongs to."""
    rows = connection.execute(statement("backups/roles")).fetchall()
    return {name: _digest(facts) for name, facts in rows}


def _range(
    first: tuple[int, int, int] | None, second: tuple[int, int, int] | None
) -> SequenceRange | None:
    if first is None or second is None:
        return None
    (before, step, _), (after, later_step, ahead) = first, second
    moved = after - before if step > 0 else before - after
    if step != later_step or moved < 0:
        return None  # it was set back
    low, high = sorted((before, after + ahead))
    return SequenceRange(low, high)


def _changed(first: Mapping[str, str], second: Mapping[str, str], kind: str) -> dict[str, str]:
    names = {*first, *second}
    return {f"{kind}{name}": _CHANGED for name in names if first.get(name) != second.get(name)}


def _same(
    first: Mapping[str, str], second: Mapping[str, str], kind: str, unread: Mapping[str, str]
) -> dict[str, str]:
    return {
        name: digest
        for name, digest in first.items()
        if second.get(name) == digest and f"{kind}{name}" not in unread
    }


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
