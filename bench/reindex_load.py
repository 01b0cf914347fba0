"""What the application notices while indexes are rebuilt.

The indexes that all of its writes go to are rebuilt as `rebuilt_indexes` does it, in turn with
quiet windows. The load is that of archive_purge_load.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bench._disturbance import Job, disturb, disturbance
from bench.frame import BenchContext, Result
from bench.frame.load import application_load
from ft_ops.maintenance import Gates, RebuildRules, Terms, rebuild_indexes
from ft_ops.pg.connect import Connection, connect

INDEXES: Final = (
    "content_segment_keys_pkey",
    "content_segment_keys_thread_id_sequence_number_key",
    "idx_content_segment_keys_created",
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    job = Job(
        "reindex_load",
        f"while {len(INDEXES)} indexes are rebuilt",
        template.size,
    )
    settings = {"max_parallel_maintenance_workers": "0"}
    with (
        context.clone(template) as url,
        connect(url, application="bench", settings=settings) as connection,
        connect(url, application="bench, watching") as beside,
        application_load(context.sandbox, context.work_dir, url) as load,
    ):
        quiet, busy = disturb(context, load, lambda: _rebuild(connection, beside), repetitions=2)
    yield from disturbance(job, load, quiet, busy)


def _rebuild(connection: Connection, beside: Connection) -> None:
    terms = Terms(
        rules=RebuildRules(0, 0.0, 0, timedelta(0)),
        gates=Gates(30, 1 << 30, lambda connection: {"server": 1 << 50}),
        canary_limit_ms=10_000.0,
        deadline=time.monotonic() + 3600,
        run_id="bench",
    )
    outcomes = rebuild_indexes(
        connection, beside, terms, INDEXES, now=datetime.now(UTC), chance=random.Random(1)
    )
    assert [outcome.result for outcome in outcomes] == ["rebuilt"] * len(INDEXES), outcomes
