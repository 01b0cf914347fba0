"""A fingerprint of every table, order-independent and computed by the server.

A row's text, under the pinned settings of our sessions, is hashed to 64 bits
(hashtextextended) and the hashes are added up. Equal sums and counts mean equal rows in any order,
short of an accident of 1 in 2^64. Physical order, bloat and indexes don't enter it, so a restored
table must have the very fingerprint of its original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import psycopg
from psycopg import sql

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class TableFingerprint:
    """The rows of one table and the sum of their hashes."""

    rows: int
    sum: int


Fingerprints = Mapping[str, TableFingerprint]
"""``schema.table`` → fingerprint, for every table and materialized view that holds rows itself."""


def fingerprint_tables(connection: Connection) -> Fingerprints:
    """Fingerprint every table of the database; for one instant, call it in one snapshot.

    Left out are unlogged and temporary tables, which no backup carries, and what belongs to an
    extension. An OpsError names a table that can't be read.
    """
    return _each_table(connection, _raise)


def fingerprint_readable_tables(
    connection: Connection, unreadable: Callable[[str, psycopg.Error], None]
) -> Fingerprints:
    """Like `fingerprint_tables`, for a copy that may be damaged.

    ``unreadable`` is told the table and the error for each that can't be read, and the others are
    fingerprinted all the same. The connection must be in autocommit.
    """
    return _each_table(connection, unreadable)


def _each_table(
    connection: Connection, on_error: Callable[[str, psycopg.Error], None]
) -> Fingerprints:
    found = {}
    for schema, table in connection.execute(statement("backups/tables")).fetchall():
        name = f"{schema}.{table}"
        try:
            found[name] = _fingerprint(connection, schema, table)
        except psycopg.Error as error:
            on_error(name, error)
    return found


def _fingerprint(connection: Connection, schema: str, table: str) -> TableFingerprint:
    query = statement("backups/fingerprint").format(table=sql.Identifier(schema, table))
    row: tuple[int, Decimal] | None = connection.execute(query).fetchone()
    assert row is not None
    return TableFingerprint(row[0], int(row[1]))


def _raise(name: str, error: psycopg.Error) -> None:
    raise OpsError(
        f"fingerprint of {name}",
        cause=str(error).strip(),
        next_step="if the operations role may not read it, grant it SELECT; if the server reports "
        "a damaged page, restore from a verified backup",
    ) from error
