"""A small world for the archive: what was in it at first, what is in it now, and where."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Final

import boto3
import psycopg
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from psycopg import sql
from psycopg.rows import dict_row

from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.sandbox.sample import make_sample
from tests.fixtures.postgres import Database, created

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MONTH: Final = Month(2017, 3)
"""The month that is archived; the ones around it have content that links to and from it."""

_CHILDREN: Final = ("photo_narrations", "content_tags", "content_links")
_PARENTS: Final = ("content_segments", "archived_content_segments")
_numbers = count(1)

_TIMED: Final = re.compile(r"(?<=/)\d{8}T\d+|[0-9a-f]{32}(?=\.json)")
"""What the moment decides in the name of a record: itself, and the digest of the content."""

Rows = Mapping[str, frozenset[str]]
"""Rows as JSON text, by table; segments by the one name, wherever they lie."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that two worlds must agree in, whatever happened on the way.

    Version ids, times and run ids are left out, and so is what an interruption may rightly
    repeat: a line of the audit log that announces what is about to be done.
    """

    rows: Rows
    partitions: tuple[tuple[str, ...], ...]
    tables: tuple[str, ...]
    ledger: tuple[str, ...]
    objects: tuple[str, ...]
    uploads: tuple[str, ...]
    audited: frozenset[str]

    def with_what_is_in(self, other: State) -> State:
        """This one, of whose objects and uploads those count that ``other`` has too."""
        known = Counter(other.objects) & Counter(self.objects)
        return replace(
            self,
            objects=tuple(sorted(known.elements())),
            uploads=tuple(u for u in self.uploads if u in other.uploads),
        )

    def differences(self, other: State) -> list[str]:
        """In words, where ``other`` differs from this one."""
        found = []
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(f"{name}: {_difference(mine, theirs)}")
        return found


@dataclass(frozen=True, slots=True)
class World:
    """One database and one bucket. ``original`` is what the database held at first."""

    database: Database
    bucket: str
    original: Rows
    erased: set[str] = field(default_factory=set)
    """Ids of what the application has deleted: rows that mention one of them may be gone."""

    @property
    def arguments(self) -> list[str]:
        """What a step of `steps` is called with."""
        return [self.database.url, self.bucket, MONTH.key]

    def lost(self) -> list[str]:
        """Rows that are neither in the database nor in an archive that was proven."""
        now = self.rows()
        gone = [
            (table, row)
            for table in now
            for row in self.original[table] - now[table]
            if not any(erased in row for erased in self.erased)
        ]
        if not gone:
            return []
        archived = self._proven_ids()
        return [
            f"{table}: {row}" for table, row in gone if _value(row, "id") not in archived[table]
        ]

    def duplicated(self) -> list[str]:
        """Segments that are in two places of the database at once."""
        with psycopg.connect(self.database.admin_url) as connection:
            ids = [
                str(i)
                for table in self._segment_tables(connection)
                for i in _ids(connection, table)
            ]
        return [i for i, times in Counter(ids).items() if times > 1]

    def rows(self) -> Rows:
        """Every row of content in the database, also of a month that stands alone."""
        with psycopg.connect(self.database.admin_url) as connection:
            tables = self._segment_tables(connection)
            segments = frozenset(row for table in tables for row in _json_rows(connection, table))
            return {"content_segments": segments} | {
                table: frozenset(_json_rows(connection, table))
                for table in (*_CHILDREN, "content_segment_keys")
            }

    def state(self) -> State:
        with psycopg.connect(self.database.admin_url) as connection:
            return State(
                rows=self.rows(),
                partitions=tuple(connection.execute(_PARTITIONS, [list(_PARENTS)]).fetchall()),
                tables=tuple(name for (name,) in connection.execute(_TABLES).fetchall()),
                ledger=tuple(name for (name,) in connection.execute(_LEDGER).fetchall()),
                objects=self._objects(),
                uploads=self._uploads(),
                audited=frozenset(a for (a,) in connection.execute(_AUDITED).fetchall()),
            )

    def backends(self) -> list[int]:
        """The server processes that still work for a run, dead or alive."""
        with psycopg.connect(self.database.server_url) as connection:
            return [pid for (pid,) in connection.execute(_BACKENDS, [self.database.name])]

    def rely_on_a_backup(self) -> None:
        """Record a backup that was restored and verified just now."""
        with psycopg.connect(self.database.admin_url) as connection:
            connection.execute(_BACKUP)
            connection.execute(_DRILL)

    def erase_a_thread(self) -> None:
        """What the application does to the thread that has most of the month's segments."""
        segments = [row for row in self.original["content_segments"] if _month(row) == str(MONTH)]
        ((thread, _),) = Counter(_value(row, "thread_id") for row in segments).most_common(1)
        with psycopg.connect(self.database.admin_url) as connection:
            connection.execute("DELETE FROM threads WHERE id = %s", [thread])
        self.erased.add(thread)
        self.erased.update(
            _value(row, "id") for row in self.original["content_segments"] if thread in row
        )

    def _segment_tables(self, connection: psycopg.Connection) -> list[str]:
        return [name for (name,) in connection.execute(_SEGMENT_TABLES)]

    def _proven_ids(self) -> dict[str, set[str]]:
        """The ids in the objects of every proven generation, read by version from the bucket."""
        ids: dict[str, set[str]] = {table: set() for table in self.original}
        with psycopg.connect(self.database.admin_url, row_factory=dict_row) as connection:
            ledger = connection.execute(
                "SELECT objects, state FROM ops.archive WHERE proven_at IS NOT NULL"
            ).fetchall()
        for state, item in ((line["state"], item) for line in ledger for item in line["objects"]):
            if item["table"] in ids:
                try:
                    body = self._read(item["stored"])
                except ClientError as error:
                    # The ledger forgets the objects of a replaced generation once all are gone.
                    is_gone = error.response["Error"]["Code"] in {"NoSuchKey", "NoSuchVersion"}
                    if state == "superseded" and is_gone:
                        continue
                    raise
                table = pq.read_table(io.BytesIO(body), columns=["id"])
                ids[item["table"]] |= {str(value) for value in table["id"].to_pylist()}
        # A key has no row of its own in an archive: it comes back with its segment.
        ids["content_segment_keys"] = ids["content_segments"]
        return ids

    def _read(self, stored: Mapping[str, str]) -> bytes:
        key, version = stored["key"], stored["version_id"]
        if stored["storage_class"] != "STANDARD":
            # This endpoint restores at once.
            s3().restore_object(
                Bucket=self.bucket, Key=key, VersionId=version, RestoreRequest={"Days": 1}
            )
        return s3().get_object(Bucket=self.bucket, Key=key, VersionId=version)["Body"].read()

    def _objects(self) -> tuple[str, ...]:
        pages = s3().get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        found = [
            f"{kind} {_TIMED.sub('*', item['Key'])} {item.get('StorageClass', '')}"
            for page in pages
            for kind, items in (
                ("version", page.get("Versions", [])),
                ("marker", page.get("DeleteMarkers", [])),
            )
            for item in items
            # Each run that writes makes one, and one that was struck is run again.
            if "/records/claims/" not in item["Key"]
        ]
        # And it may record once more how far it got.
        records = {name for name in found if "/records/" in name}
        return tuple(sorted([*(name for name in found if name not in records), *records]))

    def written(self) -> frozenset[tuple[str, str]]:
        """Every version in the bucket, by key and id."""
        pages = s3().get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        return frozenset(
            (item["Key"], item["VersionId"]) for page in pages for item in page.get("Versions", [])
        )

    def remove_other_than(self, there: frozenset[tuple[str, str]]) -> None:
        """Take the bucket back to what it was."""
        for key, version in self.written() - there:
            s3().delete_object(Bucket=self.bucket, Key=key, VersionId=version)

    def _uploads(self) -> tuple[str, ...]:
        found = s3().list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return tuple(sorted(upload["Key"] for upload in found))


def s3() -> S3Client:
    """A client of whatever endpoint the environment names."""
    return boto3.client("s3")


@contextmanager
def new_world(template: Database, original: Rows, *, bucket: str | None = None) -> Iterator[World]:
    """A clone of ``template`` for a block, with ``bucket`` or an empty one of its own."""
    clone = Database(f"{template.name}_{next(_numbers)}", template.server_url)
    with created(clone, sql.Identifier(template.name)):
        with psycopg.connect(clone.admin_url) as connection:
            # It takes the place of the one that it was copied from, and is no second one.
            connection.execute(
                "UPDATE ops.records_claims SET database_oid = d.oid"
                " FROM pg_database AS d WHERE d.datname = current_database()"
            )
        if bucket is None:
            bucket = clone.name.replace("_", "-")
            s3().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        yield World(clone, bucket, original)


def fill(connection: Connection) -> None:
    """Three months of 30 segments each, around the month that is archived, and no other months."""
    months = list(MONTH.plus(-1).until(MONTH.plus(1)))
    for parent in PARENTS:
        _drop_partitions(connection, parent)
        ensure_months(connection, parent, months)
    make_sample(
        connection,
        families=1,
        first=months[0],
        last=months[-1],
        segments_per_month=30,
        seed=7,
        progress=lambda line: None,
    )


def _drop_partitions(connection: Connection, parent: str) -> None:
    """A clone costs by the file: today's months go, but for those that audit_log needs."""
    today = Month.of(datetime.now(UTC))
    for partition in partitions_of(connection, parent):
        if parent != "audit_log" or partition.month not in {today, today.plus(1)}:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partition.name)))


def _json_rows(connection: psycopg.Connection, table: str) -> list[str]:
    query = sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t").format(sql.Identifier(table))
    return [row for (row,) in connection.execute(query)]


def _ids(connection: psycopg.Connection, table: str) -> list[object]:
    query = sql.SQL("SELECT id FROM {}").format(sql.Identifier(table))
    return [value for (value,) in connection.execute(query)]


def _value(row: str, name: str) -> str:
    return str(json.loads(row)[name])


def _month(row: str) -> str:
    return _value(row, "created_at")[:7]


def _difference(mine: object, theirs: object) -> str:
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        parts = [f"{k}: {_difference(mine[k], theirs[k])}" for k in mine if mine[k] != theirs[k]]
        return "; ".join(parts)
    assert isinstance(mine, (frozenset, Sequence))
    assert isinstance(theirs, (frozenset, Sequence))
    missing = [str(item)[:200] for item in mine if item not in theirs]
    added = [str(item)[:200] for item in theirs if item not in mine]
    return f"missing {missing[:3]} (of {len(missing)}), added {added[:3]} (of {len(added)})"


_SEGMENT_TABLES: Final = r"""
SELECT relname FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  AND relname ~ '^(archived_)?content_segments_\d{4}_\d{2}$'
ORDER BY relname
"""
_PARTITIONS: Final = """
SELECT p.relname::text, c.relname::text, pg_get_expr(c.relpartbound, c.oid),
       i.inhdetachpending::text
FROM pg_inherits AS i
JOIN pg_class AS p ON p.oid = i.inhparent
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE p.relname = ANY (%s)
ORDER BY 1, 2
"""
_TABLES: Final = """
SELECT relnamespace::regnamespace || '.' || relname FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace IN ('public'::regnamespace, 'ops'::regnamespace)
ORDER BY 1
"""
_LEDGER: Final = """
SELECT jsonb_build_object(
    'month', month, 'generation', generation, 'state', state, 'rows', row_counts,
    'digests', digests, 'error', error, 'origin', origin, 'replaced_by', replaced_by,
    'leftovers', leftovers,
    'purged', purged_through,
    'objects', (
        SELECT jsonb_agg(jsonb_build_array(
            o -> 'table', o -> 'part', o -> 'rows', o #> '{stored,key}',
            o #> '{stored,storage_class}',
            -- The list of subjects has no order: two threads write it.
            CASE WHEN o ->> 'table' <> 'subjects' THEN o #> '{stored,sha256}' END))
        FROM jsonb_array_elements(objects) AS o
    )
)::text
FROM ops.archive
UNION ALL
SELECT jsonb_build_object('thaw of', month, 'purpose', purpose, 'state', state)::text
FROM ops.thaws
ORDER BY 1
"""
_AUDITED: Final = """
SELECT DISTINCT action || ' ' || table_name FROM audit_log
WHERE user_id = '00000000-0000-0000-0000-000000000000'
"""
_BACKENDS: Final = """
SELECT pid FROM pg_stat_activity
WHERE datname = %s AND application_name LIKE 'ft-ops %%'
"""
_BACKUP: Final = """
INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point, completed_at)
VALUES ('full-now', 'full', 'barman', 'complete', 'x', clock_timestamp(), '{}', clock_timestamp())
"""
_DRILL: Final = """
INSERT INTO ops.restore_drills (
    backup, target, state, restored_to, recovery_seconds, loss_seconds, certificate, finished_at
) SELECT name, name, 'passed', point_at, 1, 1, '{}', clock_timestamp() FROM ops.backups
"""
