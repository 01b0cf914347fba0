"""Creating 120 months of both tables by the function that a run calls, against pg_partman's run.

Both work on the same schema and the same server, the first `debian_server` that has pg_partman.
pg_partman's tables have the months of now and are told to keep 120 more ahead; measured is the call
of `run_maintenance` that creates them. It counts months by their days and makes a few less: ours
makes as many as it. Without such a server nothing is measured, and the
earlier results stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from bench._debian_server import debian_server, migrate
from bench.frame import BenchContext, Result, alternating, seconds
from bench.partitions import FIRST_MONTH, MONTHS, QUICK_MONTHS
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.server import Server

GOAL: Final = 1.0
_AT_FIRST: Final = 1

_PARTITIONS: Final[LiteralString] = """
    SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass
"""
_RUN: Final[LiteralString] = "SELECT partman.run_maintenance(p_analyze := false)"
_CREATE_PARENT: Final[LiteralString] = """
    SELECT partman.create_parent(
        p_parent_table := %s, p_control := 'created_at', p_type := 'native',
        p_interval := 'monthly', p_premake := %s
    )
"""


def run(context: BenchContext) -> Iterator[Result]:
    months = QUICK_MONTHS if context.is_quick else MONTHS
    with debian_server(context, _has_partman) as server:
        if server is None:
            context.log("left out: no server here has pg_partman; `make versions` unpacks one")
            return
        _make_templates(server)
        made = _partman(server, months).partitions
        found = alternating(
            {
                "ours": lambda: _ours(server, made // len(PARENTS)),
                "pg_partman": lambda: _partman(server, months).seconds,
            },
            repetitions=context.sizes.repetitions,
            warm_ups=0,
        )
        yield Result.comparing(
            found["ours"],
            found["pg_partman"],
            name="partitions_partman",
            work=f"create {made // len(PARENTS)} months of both tables, one function",
            against=f"pg_partman {_partman_version(server)}",
            goal=GOAL,
            size=f"{made} partitions",
        )


def _has_partman(server: Server) -> bool:
    with connect(server.url(), application="bench") as admin:
        return _default_version(admin) is not None


def _partman_version(server: Server) -> str:
    with connect(server.url(), application="bench") as admin:
        return f"{_default_version(admin)}"


def _default_version(admin: Connection) -> str | None:
    found = admin.execute(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'"
    ).fetchone()
    return None if found is None else str(found[0])


def _make_templates(server: Server) -> None:
    """Two databases with the schema: ours, and one whose tables are pg_partman's."""
    with connect(server.url(), application="bench") as admin:
        admin.execute("CREATE DATABASE ours TEMPLATE template0")
        migrate(server, "ours")
        admin.execute("CREATE DATABASE partman TEMPLATE ours")
    with connect(server.url("partman"), application="bench") as admin:
        admin.execute("CREATE SCHEMA partman")
        admin.execute("CREATE EXTENSION pg_partman SCHEMA partman")
        for parent in PARENTS:
            for [partition] in admin.execute(_PARTITIONS, [parent]).fetchall():
                admin.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(partition)))
            admin.execute(_CREATE_PARENT, [f"public.{parent}", _AT_FIRST])
        # Without data it would wait for some before it creates more.
        admin.execute("UPDATE partman.part_config SET infinite_time_partitions = true")
        admin.execute(_RUN)


def _ours(server: Server, number: int) -> float:
    months = list(FIRST_MONTH.until(FIRST_MONTH.plus(number - 1)))
    with (
        _copy(server, "ours") as name,
        connect(server.url(name, user="ft_ops"), application="bench") as connection,
    ):
        return seconds(lambda: [ensure_months(connection, parent, months) for parent in PARENTS])


@dataclass(frozen=True, slots=True)
class _Made:
    """The partitions that one run of pg_partman has made of both tables."""

    partitions: int
    seconds: float


def _partman(server: Server, number: int) -> _Made:
    with (
        _copy(server, "partman") as name,
        connect(server.url(name), application="bench") as connection,
    ):
        before = _count(connection)
        connection.execute("UPDATE partman.part_config SET premake = premake + %s", [number])
        took = seconds(lambda: connection.execute(_RUN))
        return _Made(_count(connection) - before, took)


def _count(connection: Connection) -> int:
    return sum(len(connection.execute(_PARTITIONS, [parent]).fetchall()) for parent in PARENTS)


@contextmanager
def _copy(server: Server, template: str) -> Iterator[str]:
    name = "copy"
    with connect(server.url(), application="bench") as admin:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER ft_ops")
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield name
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
