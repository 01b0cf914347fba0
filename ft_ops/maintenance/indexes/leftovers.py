"""Indexes as the catalog has them, and which invalid ones a rebuild may have left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from psycopg.rows import class_row

from ft_ops.maintenance.indexes.candidates import LEFTOVER_NAME
from ft_ops.pg.beside_locks import Locked, beside_locks
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import quoted, statement

_LONGEST_NAME: Final = 63
_LONGEST_CHARACTER: Final = 4


@dataclass(frozen=True, slots=True)
class InvalidIndex:
    """An index that serves no query. ``is_busy`` while somebody builds an index of its table.

    One that ``is_partitioned`` serves only queries of the partitions that have a part of it.

    While it or its table is ``locked``, in words, it has no definition: whose it is can't be told.
    """

    oid: int
    schema: str
    table_name: str
    table_oid: int
    name: str
    definition: str
    bytes: int
    is_busy: bool
    is_partitioned: bool = False
    locked: str = ""

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def remedy(self) -> str:
        """What somebody does about one that no rebuild of ours has left."""
        name = quoted(self.schema, self.name)
        if self.is_partitioned:
            return (
                "create it on the partitions that lack it, and ALTER INDEX "
                f"{name} ATTACH PARTITION each of them"
            )
        return f"DROP INDEX CONCURRENTLY {name}"


@dataclass(frozen=True, slots=True)
class TableIdentity:
    """A table that stays the same when it is renamed. By its name where nobody kept its oid."""

    oid: int | None
    schema: str
    name: str

    def has(self, index: InvalidIndex) -> bool:
        """Whether an index is one of this table."""
        if self.oid is not None:
            return index.table_oid == self.oid
        return (index.schema, index.table_name) == (self.schema, self.name)


@dataclass(frozen=True, slots=True)
class IndexNow:
    """An index as the catalog has it now; without a definition while it is ``locked``, in words."""

    oid: int
    table_oid: int
    file_node: int
    bytes: int
    tuples: float
    is_valid: bool
    definition: str
    locked: str = ""


def index_now(connection: Connection, schema: str, name: str) -> IndexNow | None:
    """One index by name, None when it is gone."""

    def read(locked: Locked) -> IndexNow | None:
        with connection.cursor(row_factory=class_row(IndexNow)) as cursor:
            found = cursor.execute(
                statement("maintenance/index_now"),
                {"schema": schema, "name": name, "locked": locked.oids},
            ).fetchone()
        return found and replace(found, locked=locked.by(found.oid, found.table_oid))

    return beside_locks(connection, f"index {schema}.{name}", read)


def invalid_indexes(connection: Connection) -> list[InvalidIndex]:
    """Every invalid index of the database, those that are being built right now included."""

    def read(locked: Locked) -> list[InvalidIndex]:
        with connection.cursor(row_factory=class_row(InvalidIndex)) as cursor:
            found = cursor.execute(
                statement("maintenance/invalid_indexes"), {"locked": locked.oids}
            ).fetchall()
        return [replace(index, locked=locked.by(index.oid, index.table_oid)) for index in found]

    return beside_locks(connection, "invalid indexes", read)


def leftovers_of(
    invalid: Sequence[InvalidIndex], table: TableIdentity, name: str, definition: str
) -> list[InvalidIndex]:
    """Those of ``invalid`` that interrupted rebuilds of one index may have left."""
    return [
        index
        for index in invalid
        if table.has(index)
        and _shape(index.definition) == _shape(definition)
        and _derives_from(index.name, name)
    ]


def _shape(definition: str) -> tuple[bool, str]:
    """What a definition says of the index alone: a table may be renamed, and is named in it."""
    return definition.startswith("true"), definition.partition(" USING ")[2]


def _derives_from(leftover: str, name: str) -> bool:
    """Whether REINDEX CONCURRENTLY may have made the name ``leftover`` from ``name``.

    Names end at 63 bytes, and are cut between characters.
    """
    match = LEFTOVER_NAME.fullmatch(leftover)
    if match is None:
        return False
    was_cut = len(leftover.encode()) > _LONGEST_NAME - _LONGEST_CHARACTER
    stem = match["stem"]
    return stem == name or (bool(stem) and was_cut and name.startswith(stem))
