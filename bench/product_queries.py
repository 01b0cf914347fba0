"""The five product queries at first-year volume, against the specification's targets.

Each is run with the application's role, under row level security, for many users who are drawn at
random, in turn with the other queries. A latency is the time that the client waits, including the
transaction in which the application says who is asking. The dashboard is the family's storage and
its active members.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

import psycopg
from psycopg import conninfo

from bench.frame import BenchContext, Curve, Result
from bench.frame.load import prepare_load
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root

TARGETS: Final[Mapping[str, tuple[float, tuple[str, ...]]]] = {
    "thread load": (50.0, ("thread_with_content",)),
    "memory book list": (100.0, ("family_memory_books",)),
    "search": (200.0, ("search_by_tags",)),
    "family dashboard": (150.0, ("family_storage", "active_members")),
}
"""The specification's names and milliseconds, and the queries behind each."""

PERCENTILES: Final = (50, 75, 90, 95, 99)
TAGS: Final = ["summer", "grandma", "christmas"]

Person = tuple[UUID, UUID, UUID]


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    with context.clone(template) as url:
        prepare_load(url)
        with connect(url, application="bench") as connection:
            connection.execute("VACUUM ANALYZE")
            people: list[Person] = connection.execute(
                "SELECT user_id, family_id, thread_id FROM bench.people ORDER BY n LIMIT %s",
                [20 if context.is_quick else 200],
            ).fetchall()
        latencies = _measure(conninfo.make_conninfo(url, user="ft_app"), people)
    for name, found in latencies.items():
        ordered = statistics.quantiles(found, n=100, method="inclusive")
        shown = [ordered[p - 1] for p in PERCENTILES]
        yield Result(
            name=f"product_queries_{name.replace(' ', '_')}",
            work=f"{name}: p95",
            against="",
            unit="ms",
            ours=ordered[94],
            goal=TARGETS[name][0],
            n=len(found),
            spread=(max(found) - min(found)) / statistics.median(found),
            size=template.size,
            curves=(
                Curve(
                    name, "percentile", "latency, ms", tuple(map(float, PERCENTILES)), tuple(shown)
                ),
            ),
        )


def _measure(url: str, people: Sequence[Person]) -> dict[str, list[float]]:
    """Milliseconds by target, one for each person; a first round fills the caches."""
    latencies: dict[str, list[float]] = {name: [] for name in TARGETS}
    texts = {query: query_text(query) for _, queries in TARGETS.values() for query in queries}
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        for turn in range(2):
            for person in people:
                for name, (_, queries) in TARGETS.items():
                    began = time.perf_counter()
                    for query in queries:
                        ask(connection, texts[query], person, query)
                    if turn:
                        latencies[name].append((time.perf_counter() - began) * 1000)
    return latencies


def ask(connection: psycopg.Connection, text: str, person: Person, query: str) -> None:
    """Ask one query as a person, with the transaction in which the application says who asks."""
    user, family, thread = person
    values: dict[str, list[object]] = {
        "thread_with_content": [thread],
        "search_by_tags": [user, TAGS],
    }
    with connection.transaction():
        connection.execute("SELECT set_config('app.current_user_id', $1, true)", [str(user)])
        connection.execute(text, values.get(query, [family])).fetchall()


def query_text(query: str) -> str:
    return (sql_root() / "queries" / f"{query}.sql").read_text(encoding="utf-8")
