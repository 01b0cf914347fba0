"""How much the application notices of index rebuilds.

Sessions as ft_app read threads, add segments and count views, at a steady pace, in processes of
their own. Meanwhile the indexes that all of them write to are rebuilt as `rebuilt_indexes` does
it, with quiet stretches of the same length in between. A session that waits longer than 100 ms
for a lock gets an error.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bench._application import Span, application, percentile
from bench.frame import BenchContext, Result, Samples
from ft_ops.maintenance import Gates, RebuildRules, Terms, rebuild_indexes
from ft_ops.pg.connect import Connection, connect

GOAL: Final = 5.0
SESSIONS: Final = 2
INDEXES: Final = (
    "content_segment_keys_pkey",
    "content_segment_keys_thread_id_sequence_number_key",
    "idx_content_segment_keys_created",
)
_QUIET_SECONDS: Final = 8.0


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template()
    with context.clone(template) as url:
        database = url.split("@/")[1].split("?")[0]
        app_url = context.sandbox.server.url(database, user="ft_app")
        with application(app_url, sessions=SESSIONS) as end:
            quiet, busy = _take_turns(context, url)
            requests = end()
    ratio_of = {
        "quiet": Samples(tuple(percentile(requests, [span], 0.99) for span in quiet)),
        "busy": Samples(tuple(percentile(requests, [span], 0.99) for span in busy)),
    }
    errors = sorted({request.error for request in requests if request.error})
    size = f"{template.size}; {len(INDEXES)} indexes, {SESSIONS} sessions of the application"
    yield Result.comparing(
        ratio_of["busy"],
        ratio_of["quiet"],
        name="reindex_load",
        work="the application's p99 during index rebuilds",
        against="the same without rebuilds",
        goal=GOAL,
        size=size,
        unit="ms",
    )
    yield Result(
        name="reindex_load_errors",
        work="errors and lock waits over 100 ms during index rebuilds",
        against="",
        unit="",
        ours=sum(request.error is not None for request in requests),
        goal=0,
        n=len(requests),
        spread=0.0,
        size=size,
        note="; ".join(errors),
    )
    yield Result(
        name="reindex_load_worst",
        work="the application's slowest request during index rebuilds",
        against="the same without rebuilds",
        unit="ms",
        ours=percentile(requests, busy, 0.9999),
        reference=percentile(requests, quiet, 0.9999),
        goal=None,
        n=len(requests),
        spread=0.0,
        size=size,
    )


def _take_turns(context: BenchContext, url: str) -> tuple[list[Span], list[Span]]:
    """When it was quiet, and when indexes were rebuilt, in turn."""
    settings = {"max_parallel_maintenance_workers": "0"}
    quiet, busy = [], []
    with (
        connect(url, application="bench", settings=settings) as connection,
        connect(url, application="bench, watching") as beside,
    ):
        time.sleep(_QUIET_SECONDS / 2)  # the sessions begin, and their caches fill
        for _ in range(context.sizes.repetitions):
            quiet.append(_quietly(context))
            busy.append(_rebuilding(connection, beside))
    return quiet, busy


def _quietly(context: BenchContext) -> Span:
    began = time.monotonic()
    time.sleep(1.0 if context.is_quick else _QUIET_SECONDS)
    return Span(began, time.monotonic())


def _rebuilding(connection: Connection, beside: Connection) -> Span:
    began = time.monotonic()
    terms = Terms(
        rules=RebuildRules(0, 0.0, 0, timedelta(0)),
        gates=Gates(30, 1 << 30, lambda connection: 1 << 50),
        canary_limit_ms=10_000.0,
        deadline=began + 3600,
        run_id="bench",
    )
    outcomes = rebuild_indexes(
        connection, beside, terms, INDEXES, now=datetime.now(UTC), chance=random.Random(1)
    )
    assert [outcome.result for outcome in outcomes] == ["rebuilt"] * len(INDEXES), outcomes
    return Span(began, time.monotonic())
