"""Links that leave a proven month because the month of their other end is purged.

Such a link is in the archives of both months. When the first of them is purged, it leaves the
database, and the other month is no longer what was proven of it, by our own doing. What left is
subtracted from what that month must have, in the transaction in which it leaves: digests add up,
so they can be taken away too.
"""

from __future__ import annotations

from psycopg.types.json import Jsonb

from ft_ops.archive.month.content import Source, TableColumns, column_list
from ft_ops.archive.month.digest import (
    NOTHING,
    BucketDigests,
    Digest,
    buckets_from_json,
    buckets_to_json,
)
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


def record_departing_links(
    connection: Connection, month: Month, batch: Source, columns: TableColumns
) -> None:
    """Note, inside the transaction that deletes ``batch``, which other months lose links by it."""
    query = statement("archive/departing_links").format(
        columns=column_list(columns["content_links"], "c"), **batch.relations()
    )
    rows = connection.execute(query, {"lower": month.start, "upper": month.end}).fetchall()
    by_month: dict[Month, dict[int, Digest]] = {}
    for other, bucket, count, low, high in rows:
        by_month.setdefault(Month.of(other), {})[bucket] = Digest(count, int(low), int(high))
    for other, departing in by_month.items():
        _record(connection, other, departing)


def _record(connection: Connection, month: Month, departing: BucketDigests) -> None:
    found = connection.execute(
        statement("archive/proven_in_database"), {"month": month.first_day}
    ).fetchone()
    if found is None:
        # Not proven yet: its digests are taken when the link is gone.
        return
    generation, recorded = found
    before = buckets_from_json(recorded)
    departed = {
        bucket: before.get(bucket, NOTHING) + departing.get(bucket, NOTHING)
        for bucket in before.keys() | departing.keys()
    }
    connection.execute(
        statement("archive/record_departed_links"),
        {
            "month": month.first_day,
            "generation": generation,
            "departed": Jsonb(buckets_to_json(departed)),
        },
    )
