"""Cursors that make a span of each statement; used only where a collector is configured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import psycopg
from psycopg import Copy
from psycopg.abc import Params, Query
from psycopg.rows import Row
from psycopg.sql import Composable

from ft_ops.pg.sqlfiles import name_of
from ft_ops.spans import of_statement

_COMMANDS: Final = frozenset(
    {"ALTER", "ANALYZE", "CALL", "COMMENT", "COPY", "CREATE", "DELETE", "DO", "DROP", "EXPLAIN"}
    | {"GRANT", "INSERT", "LOCK", "MERGE", "NOTIFY", "REFRESH", "REINDEX", "RESET", "REVOKE"}
    | {"SELECT", "SET", "SHOW", "TRUNCATE", "UPDATE", "VACUUM", "VALUES", "WITH"}
)


class TracedCursor(psycopg.Cursor[Row]):
    """A cursor whose statements have spans."""

    def execute(self, query: Any, params: Params | None = None, **options: Any) -> Any:
        with _span(self, query):
            return super().execute(query, params, **options)

    def executemany(self, query: Query, params_seq: Iterable[Params], **options: Any) -> None:
        with _span(self, query):
            super().executemany(query, params_seq, **options)

    def stream(self, query: Query, params: Params | None = None, **options: Any) -> Iterator[Row]:
        with _span(self, query):
            yield from super().stream(query, params, **options)

    @contextmanager
    def copy(
        self, statement: Query, params: Params | None = None, **options: Any
    ) -> Iterator[Copy]:
        with _span(self, statement), super().copy(statement, params, **options) as copy:
            yield copy


class TracedServerCursor(psycopg.ServerCursor[Row]):
    """A server's cursor; the span is of its declaration."""

    def execute(self, query: Any, params: Params | None = None, **options: Any) -> Any:
        with _span(self, query):
            return super().execute(query, params, **options)


def _span(cursor: psycopg.Cursor[Any], query: Query) -> AbstractContextManager[None]:
    info = cursor.connection.info
    name = name_of(query)
    attributes: dict[str, str | int] = {
        "db.system.name": "postgresql",
        "db.namespace": info.dbname,
        "server.address": info.host,
        "server.port": info.port,
    }
    if name is not None:
        attributes["db.query.summary"] = name
    return of_statement(name or _command(query), attributes)


def _command(query: Query) -> str:
    """The first word of a statement that has no name: what follows may hold values."""
    first = query.as_string() if isinstance(query, Composable) else query
    text = first.decode(errors="replace") if isinstance(first, bytes) else str(first)
    word = (text.split(maxsplit=1) or [""])[0].upper()
    return word if word in _COMMANDS else "statement"
