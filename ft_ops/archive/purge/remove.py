"""Removes a detached month's rows in small batches, each proven in the snapshot that deletes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ft_ops.archive.month.content import (
    Source,
    TableColumns,
    live_columns,
    live_source,
)
from ft_ops.archive.month.cross_month_links import record_departing_links
from ft_ops.archive.month.digest import MonthDigests, differences, month_digests
from ft_ops.archive.month.holds import is_refused_for_hold
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

BATCH_ROWS = 500
"""Segments removed in one transaction, with what belongs to them; a bucket is never divided."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Removed:
    """Segments whose keys, narrations, tags and links are gone, and those that changed and stay.

    ``buckets`` are all that are gone, those of earlier runs included.
    """

    segments: int
    kept: int
    buckets: frozenset[int]


def remove_content(
    connection: Connection,
    month: Month,
    segments: sql.Composable,
    proven: MonthDigests,
    done: frozenset[int],
    record: Callable[[int], None],
    throttle: Throttle,
    *,
    log: Callable[[str], None],
    sleep: Callable[[float], None],
) -> Removed:
    """Delete the keys of a month's segments, bucket by bucket, and by their cascade the children.

    ``segments`` is the month's table, which stands alone. ``done`` buckets are skipped;
    ``record`` is called for each other one in the transaction that removes it. A batch that is
    not what was proven stays whole.
    """
    columns = live_columns(connection)
    connection.execute(statement("archive/drop_purge_ids"))
    connection.execute(statement("archive/create_purge_ids").format(segments=segments))
    connection.execute(statement("archive/index_purge_ids"))
    connection.execute(statement("archive/analyze_purge_ids"))
    removed = kept = 0
    gone = set(done)
    for buckets, rows in throttle.steps(_batches(connection, done)):
        expected = only_buckets(proven, frozenset(buckets))
        source = _batch_source(segments, buckets)

        def remove(
            expected: MonthDigests = expected,
            source: Source = source,
            buckets: Sequence[int] = buckets,
        ) -> bool:
            return _remove_batch(connection, month, expected, source, buckets, columns, record)

        what = f"removal of {month}, buckets {buckets[0]} to {buckets[-1]}"
        if _serialized(connection, what, remove, sleep=sleep):
            removed += rows
            gone.update(buckets)
        else:
            kept += rows
            log(f"{rows} segments are not what was proven, or under a legal hold, and stay")
        log(f"removed {removed:,} segments of {month}")
    connection.execute(statement("archive/drop_purge_ids"))
    return Removed(removed, kept, frozenset(gone))


def only_buckets(digests: MonthDigests, buckets: frozenset[int]) -> MonthDigests:
    """The part of ``digests`` that belongs to some buckets."""
    return {
        table: {b: digest for b, digest in by_bucket.items() if b in buckets}
        for table, by_bucket in digests.items()
    }


def _batches(connection: Connection, done: frozenset[int]) -> Iterator[tuple[list[int], int]]:
    """Runs of buckets, ascending, of about BATCH_ROWS segments each, with their segments."""
    sizes = connection.execute(statement("archive/purge_id_buckets")).fetchall()
    buckets: list[int] = []
    rows = 0
    for bucket, segments in sizes:
        if bucket in done:
            continue
        buckets.append(bucket)
        rows += segments
        if rows >= BATCH_ROWS:
            yield buckets, rows
            buckets, rows = [], 0
    if buckets:
        yield buckets, rows


def _remove_batch(
    connection: Connection,
    month: Month,
    expected: MonthDigests,
    source: Source,
    buckets: Sequence[int],
    columns: TableColumns,
    record: Callable[[int], None],
) -> bool:
    """One transaction: digest, delete, record; whether the rows were what was proven.

    REPEATABLE READ: the digest and the delete see the same rows, and whatever somebody commits in
    between makes the delete, or its cascade, fail to serialize instead of taking it along.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        if differences(expected, month_digests(connection, source, columns)):
            return False
        record_departing_links(connection, month, source, columns)
        connection.execute(statement("archive/delete_keys"), {"buckets": list(buckets)})
        for bucket in buckets:
            record(bucket)
        return True


def _serialized(
    connection: Connection,
    what: str,
    remove: Callable[[], bool],
    *,
    sleep: Callable[[float], None],
) -> bool:
    for _ in range(_ATTEMPTS):
        try:
            return with_escalating_lock_timeout(connection, what, remove, sleep=sleep)
        except psycopg.errors.SerializationFailure:
            sleep(0.05)
        except psycopg.errors.RestrictViolation as error:
            if not is_refused_for_hold(error):
                raise
            return False
    return False


def _batch_source(table: sql.Composable, buckets: Sequence[int]) -> Source:
    live = live_source(table)
    segments = statement("archive/batch_segments").format(
        segments=live.segments, buckets=sql.Literal(list(buckets))
    )
    return Source(segments, live.narrations, live.tags, live.links)
