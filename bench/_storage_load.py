"""What the application notices while storage is recomputed in full.

Every month is counted and the totals of all families, spoilt beforehand, are written, as
`recompute_storage` does it with its own settings, between quiet windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench._disturbance import Job, disturb, disturbance
from bench.frame import BenchContext, Result
from bench.frame.load import application_load
from ft_ops.pg.connect import Connection, connect
from ft_ops.settings import load_settings
from ft_ops.storage import publish_families, publish_users, recompute_everything

_SPOIL: Final = "UPDATE families SET storage_used_bytes = -1"


def while_recomputed(
    context: BenchContext, connection: Connection, url: str, size: str
) -> Iterator[Result]:
    """In a database whose storage has been counted before."""
    job = Job("storage_load", "while storage is recomputed in full", size)
    with application_load(context.sandbox, context.work_dir, url) as load:
        quiet, busy = disturb(
            context,
            load,
            lambda: _recompute(connection, url),
            prepare=lambda: connection.execute(_SPOIL),
            repetitions=1,
        )
    yield from disturbance(job, load, quiet, busy)


def _recompute(connection: Connection, url: str) -> None:
    settings = load_settings()
    recompute_everything(
        connection,
        lambda: connect(url, application="bench, reading"),
        readers=settings.storage_readers,
        run_id="bench",
    )
    for publish in (publish_families, publish_users):
        publish(
            connection,
            batch_rows=settings.storage_batch_rows,
            lock_wait_ms=settings.storage_lock_wait_ms,
        )
