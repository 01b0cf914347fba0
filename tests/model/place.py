"""One database and one bucket of the model, and what can be read there, byte by byte."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import Format

from ft_ops.s3.bucket import Bucket
from tests.fixtures.postgres import Database
from tests.model.oracle import SEGMENTS, Key, Values

PARENTS = (SEGMENTS, "archived_content_segments")
_SECONDS = 60

LOCK_TIMEOUT_MS = 150
"""Of everybody but the step: what happens while a step holds a lock is refused, not waited for."""


@dataclass(frozen=True, slots=True)
class Readable:
    """Rows by key, the relation in which each was found, and those that are there twice."""

    rows: Mapping[Key, Values]
    where: Mapping[Key, str]
    twice: tuple[Key, ...]


@dataclass(slots=True)
class Place:
    """Connections are kept open: the administrator's sees everything, the application's its own."""

    database: Database
    bucket: Bucket
    admin: psycopg.Connection
    owner: psycopg.Connection
    app: psycopg.Connection

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Without a session for a block, in which the database is copied, or replaced."""
        self.end_sessions()
        self.close()
        yield
        self.admin, self.owner, self.app = _connections(self.database)

    def close(self) -> None:
        for connection in (self.admin, self.owner, self.app):
            connection.close()

    def as_user(self, user: str) -> psycopg.Connection:
        """The application's connection, acting for a user."""
        self.app.execute("SELECT set_config('app.current_user_id', %s, false)", (user,))
        return self.app

    def readable(self, children: Sequence[str]) -> Readable:
        """Every row that reads through the tables' own names find."""
        found: dict[Key, Values] = {}
        where: dict[Key, str] = {}
        twice = []
        for table, relation in [*((SEGMENTS, p) for p in PARENTS), *((c, c) for c in children)]:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(relation))
            for values in rows(self.admin, query):
                key = (table, (values["id"] or b"").decode())
                if key in found:
                    twice.append(key)
                found[key] = values
                where[key] = relation
        return Readable(found, where, tuple(twice))

    def readable_by(self, user: str, children: Sequence[str]) -> set[Key]:
        """The rows that the application sees for a user."""
        parts = [
            sql.SQL("SELECT {}, id::text FROM {}").format(
                sql.Literal(SEGMENTS if relation in PARENTS else relation), sql.Identifier(relation)
            )
            for relation in (*PARENTS, *children)
        ]
        return {
            (table, row)
            for table, row in self.as_user(user).execute(sql.SQL(" UNION ALL ").join(parts))
        }

    def keys(self) -> set[str]:
        """The segments that are in the database, readable or not."""
        return {i for (i,) in self.admin.execute("SELECT id::text FROM content_segment_keys")}

    def end_sessions(self) -> None:
        """End every session of the operations, and wait until the server has."""
        deadline = time.monotonic() + _SECONDS
        while self.admin.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'ft-ops %'"
        ).fetchall():
            assert time.monotonic() < deadline, f"a session lives on after {_SECONDS} s"

    def pass_time(self, by: timedelta) -> None:
        """Everything that the operations wrote down happened that much longer ago."""
        columns: dict[str, list[sql.Composable]] = {}
        for table, column in self.admin.execute(_MOMENTS):
            columns.setdefault(table, []).append(
                sql.SQL("{0} = {0} - {1}").format(sql.Identifier(column), sql.Literal(by))
            )
        with self.admin.transaction():
            # Nobody's trigger has a say in the passing of time.
            self.admin.execute("SET LOCAL session_replication_role = replica")
            for table, changes in columns.items():
                self.admin.execute(
                    sql.SQL("UPDATE {} SET {}").format(
                        sql.Identifier("ops", table), sql.SQL(", ").join(changes)
                    )
                )


def rows(
    connection: psycopg.Connection, query: sql.SQL | sql.Composed, arguments: Sequence[Any] = ()
) -> list[dict[str, bytes | None]]:
    """The rows of a statement, each column as the server's own text."""
    cursor = connection.execute(query, arguments)
    result = cursor.pgresult
    if result is None or cursor.description is None:
        return []
    assert all(result.fformat(n) == Format.TEXT for n in range(result.nfields))
    names = [column.name for column in cursor.description]
    return [
        {name: result.get_value(row, n) for n, name in enumerate(names)}
        for row in range(result.ntuples)
    ]


@contextmanager
def opened(database: Database, bucket: Bucket) -> Iterator[Place]:
    """The place of one life, for a block."""
    place = Place(database, bucket, *_connections(database))
    try:
        yield place
    finally:
        place.close()


def _connections(database: Database) -> list[psycopg.Connection]:
    """The administrator's, the owner's and the application's."""
    options = f"-c TimeZone=UTC -c DateStyle=ISO -c lock_timeout={LOCK_TIMEOUT_MS}"
    urls = {"admin": database.admin_url, "owner": database.url, "app": database.app_url}
    return [
        # Without prepared statements: their plans would outlive a migration.
        psycopg.connect(
            url,
            autocommit=True,
            options=options,
            application_name=name,
            prepare_threshold=None,
        )
        for name, url in urls.items()
    ]


_MOMENTS = """
SELECT c.relname, a.attname
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'ops'::regnamespace
  AND c.relkind = 'r'
  AND a.atttypid = 'timestamptz'::regtype
  AND a.attnum > 0
  AND NOT a.attisdropped
  AND a.attgenerated = ''
  -- Content that waits, with the moments of its own.
  AND c.relname !~ 'waiting'
  -- By which the bucket tells a hold from others, whenever its row is written again.
  AND (c.relname, a.attname) <> ('legal_holds', 'placed_at')
ORDER BY 1, 2
"""
