"""The records of the archive's drills in the bucket: when which month was proven last."""

from __future__ import annotations

import json

from psycopg.types.json import Jsonb

from ft_ops.archive.recorded.records import drill_keys, put_drill, read_record
from ft_ops.items import Worked, each
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket


def ship_drills(connection: Connection, bucket: Bucket, prefix: str) -> int:
    """Put the record of every ended drill into the bucket that is not there yet; how many."""
    there = set(drill_keys(bucket, prefix))
    rows = connection.execute(statement("archive/ended_drills")).fetchall()
    return sum(put_drill(bucket, prefix, record, there) for (record,) in rows)


def adopt_drills(
    connection: Connection, bucket: Bucket, prefix: str, *, apply: bool
) -> tuple[int, Worked[int]]:
    """Bring the bucket's records of drills into this database.

    How many it did not know, and those that can't be read or are no such records.
    """

    def take(key: str) -> int:
        record = json.loads(read_record(bucket, key))
        with connection.transaction(force_rollback=not apply):
            return connection.execute(
                statement("archive/adopt_drill"), {"record": Jsonb(record)}
            ).rowcount

    taken = each(drill_keys(bucket, prefix), take, name=bucket.url)
    return sum(taken.results), taken
