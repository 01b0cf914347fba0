"""Recordings and photos count by their real bytes where an inventory or a listing knows them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO
from uuid import UUID

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection as AnyConnection

from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.storage import Recomputation
from ft_ops.storage.media import load_media, media_version
from ft_ops.storage.report import estimate_error, months_frame
from tests.storage.world import World, changed, insert, make_world

NOW = datetime(2024, 6, 1, tzinfo=UTC)
MAY, JUNE = Month(2024, 5), Month(2024, 6)
RECORDING = "https://cdn.example/audio/G%C3%BC%20nter+1.m4a?signature=abc#t=3"
RECORDING_KEY = "audio/Gü nter+1.m4a"
PHOTOS = ["s3://media/photos/1.jpg", "https://media.s3.amazonaws.com/photos/2.jpg", None]

ROWS = [
    # key, bytes, is the latest version, is a delete marker
    (RECORDING_KEY, 700_000, True, False),
    (RECORDING_KEY, 1, False, False),
    ("photos/1.jpg", 300_000, True, False),
    ("photos/2.jpg", 9, True, True),
]


@pytest.fixture
def world(connection: Connection) -> World:
    """One recording and three photos in May, one photo in June; nothing else."""
    made = make_world(connection, 1, segments=0)
    _add(made, MAY, {"audio_url": RECORDING, "photo_urls": PHOTOS})
    _add(made, JUNE, {"photo_urls": ["https://cdn.example/photos/2.jpg"]})
    return made


def _add(world: World, month: Month, media: dict[str, object]) -> UUID:
    world.sequence += 1
    return insert(
        world.connection,
        "content_segments",
        {
            "thread_id": world.threads[0],
            "user_id": world.users[0],
            "content_type": "mixed",
            "sequence_number": world.sequence,
            "created_at": month.start,
            **media,
        },
    )


def put(bucket: Bucket, key: str, body: bytes) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)


def load(world: World, bucket: Bucket, prefix: str) -> None:
    load_media(world.connection, f"s3://{bucket.name}/{prefix}", now=NOW)


def recount(world: World) -> Recomputation:
    return changed(world.connection, media=media_version(world.connection))


def bytes_of(world: World) -> dict[Month, tuple[int, int, int]]:
    """Recording bytes, photo bytes and what has no size, of the months that have media."""
    rows = world.connection.execute(
        "SELECT month, recording_bytes, photo_bytes, unsized FROM ops.storage_months"
        " WHERE recordings + photos > 0"
    )
    return {Month.of(row[0]): (row[1], row[2], row[3]) for row in rows}


def report(bucket: Bucket, folder: str, file_format: str, *, finished: bool = True) -> None:
    """Write ROWS the way S3 writes an inventory."""
    body, schema = _encoded(file_format)
    suffix = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}[file_format]
    key = f"inventories/data/part-1.{suffix}"
    put(bucket, key, body)
    manifest = {
        "sourceBucket": "media",
        "destinationBucket": f"arn:aws:s3:::{bucket.name}",
        "version": "2016-11-30",
        "creationTimestamp": "1717200000000",
        "fileFormat": file_format,
        "fileSchema": schema,
        "files": [{"key": key, "size": len(body), "MD5checksum": _md5(body)}],
    }
    put(bucket, f"{folder}manifest.json", json.dumps(manifest).encode())
    if finished:
        put(bucket, f"{folder}manifest.checksum", b"0")


def _encoded(file_format: str) -> tuple[bytes, str]:
    if file_format == "CSV":
        lines = [
            f'"media","{key.replace("ü", "%C3%BC").replace("+", "%2B").replace(" ", "+")}","v",'
            f'"{str(latest).lower()}","{str(marker).lower()}","{size}"\n'
            for key, size, latest, marker in ROWS
        ]
        schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"
        # Without the moment: two reports of one content are the same bytes.
        return gzip.compress("".join(lines).encode(), mtime=0), schema
    table = pa.table(
        {
            "bucket": ["media"] * len(ROWS),
            "key": [row[0] for row in ROWS],
            "size": pa.array([row[1] for row in ROWS], pa.int64()),
            "is_latest": [row[2] for row in ROWS],
            "is_delete_marker": [row[3] for row in ROWS],
        }
    )
    target = BytesIO()
    if file_format == "Parquet":
        pyarrow.parquet.write_table(table, target)
        return target.getvalue(), "message s3.inventory { required binary key (UTF8); }"
    pyarrow.orc.write_table(table, target)
    return target.getvalue(), "struct<bucket:string,key:string,size:bigint>"


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("file_format", ["CSV", "Parquet", "ORC"])
def test_an_inventory_gives_real_sizes_to_the_newest_versions(
    world: World, bucket: Bucket, file_format: str
) -> None:
    report(bucket, "inventories/media/daily/2024-05-31T01-00Z/", file_format)
    load(world, bucket, "inventories/media/daily/")
    recount(world)
    assert bytes_of(world) == {
        MAY: (700_000, 300_000 + 2 * 524_288, 2),
        JUNE: (0, 524_288, 1),
    }


def test_the_newest_complete_report_is_read_once(world: World, bucket: Bucket) -> None:
    folder = "inventories/media/daily/"
    report(bucket, f"{folder}2024-05-30T01-00Z/", "CSV")
    report(bucket, f"{folder}2024-05-31T01-00Z/", "CSV", finished=False)
    for _ in range(2):
        inventory = load_media(world.connection, f"s3://{bucket.name}/{folder}", now=NOW)
        assert inventory.taken_at == datetime(2024, 5, 30, 1, tzinfo=UTC)
        assert (inventory.objects, inventory.added) == (2, 2)
    loads = world.connection.execute("SELECT count(*) FROM ops.media_inventories").fetchone()
    assert loads == (1,)


def test_a_damaged_list_is_refused_and_sizes_stay(world: World, bucket: Bucket) -> None:
    put(bucket, "live/photos/1.jpg", b"x")
    folder = "inventories/media/daily/2024-05-31T01-00Z/"
    report(bucket, folder, "CSV")
    put(bucket, "inventories/data/part-1.csv.gz", b"damaged")
    with pytest.raises(OpsError, match=r"part-1\.csv\.gz: its MD5"):
        load(world, bucket, "inventories/media/daily/")
    assert media_version(world.connection).added == 0


def test_a_listing_serves_as_well_and_its_changes_are_followed(
    world: World, bucket: Bucket
) -> None:
    """New objects concern months that miss some, resized and lost ones every month with media."""
    changed(world.connection)
    assert bytes_of(world) == {MAY: (1_048_576, 3 * 524_288, 4), JUNE: (0, 524_288, 1)}

    put(bucket, "photos/2.jpg", b"x" * 11)
    load(world, bucket, "photos/")
    assert set(recount(world).reasons.values()) == {"real sizes changed"}
    assert bytes_of(world) == {MAY: (1_048_576, 11 + 2 * 524_288, 3), JUNE: (0, 11, 0)}

    put(bucket, "photos/1.jpg", b"x" * 5)
    load(world, bucket, "photos/")
    assert recount(world).reasons == {MAY: "real sizes changed"}

    load(world, bucket, "photos/")
    assert recount(world).reasons == {}

    put(bucket, "photos/2.jpg", b"x" * 22)
    load(world, bucket, "photos/")
    assert set(recount(world).reasons) == {MAY, JUNE}
    assert bytes_of(world) == {MAY: (1_048_576, 27 + 524_288, 2), JUNE: (0, 22, 0)}

    bucket.client.delete_object(Bucket=bucket.name, Key="photos/2.jpg")
    load(world, bucket, "photos/")
    recount(world)
    assert bytes_of(world)[JUNE] == (0, 524_288, 1)

    assert set(changed(world.connection).reasons) == {MAY, JUNE}
    assert bytes_of(world) == {MAY: (1_048_576, 3 * 524_288, 4), JUNE: (0, 524_288, 1)}


def test_the_report_says_how_far_the_estimate_was_off(world: World, bucket: Bucket) -> None:
    report(bucket, "daily/2024-05-31T01-00Z/", "Parquet")
    load(world, bucket, "daily")
    recount(world)
    error = estimate_error(months_frame(world.connection))
    assert (error.media, error.unsized) == (5, 3)
    assert error.estimated_bytes - error.counted_bytes == 348_576 + 224_288
    assert error.percent == round(-(348_576 + 224_288) / error.estimated_bytes * 100, 1)


def test_an_empty_prefix_is_refused(world: World, bucket: Bucket) -> None:
    with pytest.raises(OpsError, match="it lists no object"):
        load(world, bucket, "mistyped/")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://cdn.example/a/b.jpg", "a/b.jpg"),
        ("s3://bucket/a/b.jpg", "a/b.jpg"),
        ("a/b.jpg", "a/b.jpg"),
        ("https://cdn.example/a%2Fb%20c.jpg?x=%41#y", "a/b c.jpg"),
        ("https://cdn.example/100%25%.jpg", "100%%.jpg"),
        ("https://cdn.example/%FF%FE.jpg", "%FF%FE.jpg"),
        ("https://cdn.example/%00.jpg", "%00.jpg"),
        ("https://cdn.example", "https://cdn.example"),
        ("", ""),
    ],
)
def test_a_url_names_its_object_by_its_path(connection: Connection, url: str, key: str) -> None:
    assert connection.execute("SELECT ops.media_key(%s)", (url,)).fetchone() == (key,)


def test_any_url_has_some_key(connection: Connection) -> None:
    @settings(deadline=None)
    @given(st.lists(st.text().filter(lambda text: "\0" not in text), min_size=1))
    def check(urls: list[str]) -> None:
        assert None not in _keys(connection, urls)

    check()


def _keys(connection: AnyConnection[tuple[object, ...]], urls: Iterable[str]) -> list[object]:
    rows = connection.execute("SELECT ops.media_key(u) FROM unnest(%s::text[]) AS u", (list(urls),))
    return [row[0] for row in rows]
