"""Small archives of earlier schemas: how one is kept, and how it gets into a database and a bucket.

``python -m tests.archive.kept_archives`` keeps one of today's schema in ``tests/archive/fixtures``.
The one of migration 10 was made by the code of that day.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import conninfo, sql
from psycopg.types.json import Jsonb

from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import sandbox
from ft_ops.schema import load_migrations, run_migrations
from tests.archive.world import World
from tests.fixtures.postgres import Database

KEPT: Final = Path(__file__).parent / "fixtures"
MONTHS: Final = (Month(2017, 3), Month(2017, 4))
PEOPLE: Final = ("users", "families", "memory_books", "threads")

_SEGMENTS: LiteralString = """
    INSERT INTO content_segments (
        id, thread_id, user_id, content_type, sequence_number, text_content, audio_url,
        audio_duration_seconds, audio_transcript, photo_urls, is_edited, edited_at, is_deleted,
        deleted_at, created_at, view_count, reaction_count, metadata
    )
    VALUES
        (%(a)s, %(thread)s, %(user)s, 'text', 1, E'Grüße, 東京 😀\\n\\t"quoted" \\\\', NULL,
         NULL, NULL, NULL, true, '2020-02-29 23:59:59.999999+00', false, NULL,
         '2017-03-01 00:00:00+00', 3, 1,
         '{"n": 1.10, "big": 12345678901234567890.5, "deep": [{"a": null}]}'),
        (%(b)s, %(thread)s, %(user)s, 'photo', 2, '', NULL, NULL, NULL,
         ARRAY['s3://a', NULL, '{"x"}', ''], false, NULL, true, '1969-12-31 23:59:59.999999+00',
         '2017-03-31 23:59:59.999999+00', 0, 0, NULL),
        (%(c)s, %(other)s, %(guest)s, 'audio', 1, NULL, 's3://b', 2147483647, 'once upon a time',
         '{}', NULL, NULL, NULL, NULL, '2017-04-15 12:00:00.000001+00', NULL, NULL, '[]')
"""

_BELONGINGS: tuple[LiteralString, ...] = (
    """
    INSERT INTO photo_narrations
        (id, content_segment_id, photo_index, narration_text, narration_type, confidence_score,
         language, created_by, created_at, updated_at, metadata)
    VALUES
        (gen_random_uuid(), %(b)s, 0, 'a lake', 'user', 0.1::float8, 'de', %(user)s,
         '2018-01-01+00', '2018-01-02+00', '{"n": 1.10}'),
        (gen_random_uuid(), %(b)s, 1, 'a sea', 'ai', NULL, 'en', NULL, '2018-01-01+00',
         '2018-01-01+00', 'null')
    """,
    """
    INSERT INTO content_tags (id, content_segment_id, tag_name, tagged_by, created_at)
    VALUES (gen_random_uuid(), %(a)s, 'summer', %(guest)s, '2018-01-01+00'),
           (gen_random_uuid(), %(c)s, 'Ä', %(user)s, '2018-01-01+00')
    """,
    """
    INSERT INTO content_links
        (id, source_segment_id, target_segment_id, link_type, created_by, created_at, metadata)
    VALUES
        (gen_random_uuid(), %(b)s, %(a)s, 'reply', %(user)s, '2018-01-01+00', '{}'),
        (gen_random_uuid(), %(c)s, %(a)s, 'reference', %(guest)s, '2018-01-01+00', '{"far": true}')
    """,
)

_ROWS: Mapping[str, LiteralString] = {
    "content_segments": "SELECT to_jsonb(s) FROM archived_content_segments AS s ORDER BY s.id",
    "photo_narrations": "SELECT to_jsonb(s) FROM photo_narrations AS s ORDER BY s.id",
    "content_tags": "SELECT to_jsonb(s) FROM content_tags AS s ORDER BY s.id",
    "content_links": "SELECT to_jsonb(s) FROM content_links AS s ORDER BY s.id",
}


@dataclass(frozen=True, slots=True)
class KeptArchive:
    """One that was kept: what made it, who its content is of, its ledger, objects and rows."""

    folder: Path
    migration: int
    people: Mapping[str, list[Any]]
    ledger: list[Any]
    objects: list[Mapping[str, str]]
    rows: Mapping[str, list[Any]]


def kept_archives() -> list[KeptArchive]:
    """All of them, oldest first."""
    return [read_kept(path.parent) for path in sorted(KEPT.glob("*/archive.json"))]


def read_kept(folder: Path) -> KeptArchive:
    return KeptArchive(folder=folder, **json.loads((folder / "archive.json").read_text()))


def write_content(connection: Connection, users: list[UUID], threads: list[UUID]) -> None:
    """Two months with a row of every kind, and a link from one month to the other."""
    [[a, b, c]] = connection.execute(
        "SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid()"
    ).fetchall()
    names = {"a": a, "b": b, "c": c, "user": users[0], "guest": users[1]}
    names |= {"thread": threads[0], "other": threads[1]}
    for statement in (_SEGMENTS, *_BELONGINGS):
        connection.execute(statement, names)


def archived_rows(connection: Connection) -> dict[str, list[Any]]:
    """Every row of content in the database, while all of it is in the archive's table."""
    return {
        table: [row for (row,) in connection.execute(query).fetchall()]
        for table, query in _ROWS.items()
    }


def keep(connection: Connection, bucket: Bucket, folder: Path, migration: int, rows: Any) -> None:
    """Write what there is of two purged months; ``rows`` as they were before the purge."""
    client: Any = bucket.client
    objects = []
    listed = client.list_object_versions(Bucket=bucket.name)["Versions"]
    for number, version in enumerate(sorted(listed, key=lambda v: v["Key"])):
        which = {"Bucket": bucket.name, "Key": version["Key"], "VersionId": version["VersionId"]}
        if version["StorageClass"] != "STANDARD":
            request = {"Days": 1, "GlacierJobParameters": {"Tier": "Bulk"}}
            client.restore_object(**which, RestoreRequest=request)
        name = f"{number:02d}{Path(version['Key']).suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(client.get_object(**which)["Body"].read())
        objects.append(
            {
                "file": name,
                "key": version["Key"],
                "version_id": version["VersionId"],
                "storage_class": version["StorageClass"],
            }
        )
    found = {
        "migration": migration,
        "people": {table: _all(connection, table) for table in PEOPLE},
        "ledger": _all(connection, "ops.archive"),
        "objects": objects,
        "rows": rows,
    }
    (folder / "archive.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def put_back(kept: KeptArchive, connection: Connection, bucket: Bucket) -> None:
    """Its people and its ledger into a database of its schema, its objects into a bucket.

    A bucket gives versions ids of its own: the ledger gets these.
    """
    client: Any = bucket.client
    ledger = json.dumps(kept.ledger)
    for stored in kept.objects:
        answer = client.put_object(
            Bucket=bucket.name,
            Key=stored["key"],
            Body=(kept.folder / stored["file"]).read_bytes(),
            StorageClass=stored["storage_class"],
            ChecksumAlgorithm="SHA256",
        )
        ledger = ledger.replace(stored["version_id"], answer["VersionId"])
    for table, rows in (*kept.people.items(), ("ops.archive", json.loads(ledger))):
        name = sql.Identifier(*table.split("."))
        connection.execute(
            sql.SQL(
                "INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s)"
                " ON CONFLICT DO NOTHING"
            ).format(name),
            (Jsonb(rows),),
        )


def _all(connection: Connection, table: str) -> list[Any]:
    query = sql.SQL("SELECT to_jsonb(t) FROM {} AS t").format(sql.Identifier(*table.split(".")))
    return [row for (row,) in connection.execute(query).fetchall()]


def main() -> None:
    """Archive and purge two months in a sandbox, and keep what there is of them."""
    migrations = load_migrations()
    with sandbox(announce=print) as box:
        os.environ.update(box.child_environment(os.environ))
        name = str(conninfo.conninfo_to_dict(box.database_url)["dbname"])
        with connect(box.database_url, application="tests") as connection:
            run_migrations(connection, migrations)
            bucket = open_bucket(box.archive_bucket)
            world = World(Database(name, box.admin_url), connection, bucket)
            world.people()
            for month in MONTHS:
                world.month(month)
            write_content(connection, world.users, world.threads)
            for month in MONTHS:
                world.archive(month)
            rows = archived_rows(connection)
            world.verified_backup()
            for month in MONTHS:
                world.purge(month)
            newest = migrations[-1].version
            keep(connection, bucket, KEPT / f"migration-{newest:04d}", newest, rows)


if __name__ == "__main__":
    main()
