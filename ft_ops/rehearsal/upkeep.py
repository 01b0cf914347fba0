"""Does on the upgraded copy what keeps a database: statistics, and materialized views made anew.

From version 17 on these run with nothing but the catalog in the search path, so that a function
that an index, a statistic or a view calls may not find what it calls in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.sqlfiles import statement
from ft_ops.rehearsal.findings import RehearsalFinding

_NOT_ABOUT_THE_DATABASE: Final = ("53", "57", "58")
"""Classes of SQLSTATE that say that room, memory or time was short."""


def keep_up(url: str) -> list[RehearsalFinding]:
    """ANALYZE all tables, REFRESH all materialized views, as the superuser; what fails, by name."""
    with connected(url, application="rehearsal") as connection:
        connection.execute("SET statement_timeout = '2h'")
        return [*_analyzed(connection), *_refreshed(connection)]


def _analyzed(connection: Connection) -> Iterator[RehearsalFinding]:
    try:
        connection.execute("ANALYZE")
    except psycopg.Error:
        # It stops at the first table of which it fails.
        yield from _each(connection, "tables_to_analyze", "ANALYZE {}", "statistics")


def _refreshed(connection: Connection) -> Iterator[RehearsalFinding]:
    command = "REFRESH MATERIALIZED VIEW {}"
    return _each(connection, "materialized_views", command, "materialized view")


def _each(connection: Connection, name: str, command: str, kind: str) -> Iterator[RehearsalFinding]:
    found = connection.execute(statement(f"rehearsal/{name}")).fetchall()
    for schema, table in found:
        try:
            connection.execute(sql.SQL(command).format(sql.Identifier(schema, table)))
        except psycopg.Error as error:
            if connection.closed:
                raise
            yield _failed(kind, command, f"{schema}.{table}", error)


def _failed(kind: str, command: str, subject: str, error: psycopg.Error) -> RehearsalFinding:
    said = error.diag.message_primary or type(error).__name__
    what = command.removesuffix(" {}")
    if (error.sqlstate or "")[:2] in _NOT_ABOUT_THE_DATABASE:
        return RehearsalFinding("unknown", kind, subject, f"{what} did not end: {said}")
    return RehearsalFinding(
        "work",
        kind,
        subject,
        f"{what} fails: {said}. From 17 on it finds nothing but the catalog: name the schema in "
        "the functions that it calls, or ALTER FUNCTION … SET search_path, before the upgrade",
    )
