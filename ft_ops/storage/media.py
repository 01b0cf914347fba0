"""Real sizes of recordings and photos, from an S3 Inventory or from a listing.

A media URL names its object by its path (``ops.media_key``): true of virtual-hosted buckets, of
s3:// URLs and of a CDN in front of a bucket, not of URLs that begin with the bucket's name.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote_plus, urlsplit

import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet
from psycopg.rows import class_row
from pydantic import BaseModel, Field, ValidationError

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket, naming, open_foreign_bucket
from ft_ops.storage.changes import MediaVersion

DATED_FOLDER_FORMAT = "%Y-%m-%dT%H-%MZ"

Sizes = Iterator[tuple[str, int]]
"""Object keys with their bytes, the newest version of each."""


@dataclass(frozen=True, slots=True)
class MediaInventory:
    """What ops.media_objects holds since a load; ``altered`` objects were resized or are gone."""

    source: str
    taken_at: datetime
    objects: int
    bytes: int
    added: int
    altered: int


class _File(BaseModel):
    key: str
    md5: str = Field(alias="MD5checksum")


class _Manifest(BaseModel):
    """The part of an S3 Inventory's manifest.json that says where its lists are."""

    format: str = Field(alias="fileFormat")
    columns: str = Field(alias="fileSchema")
    files: list[_File]


def load_media(
    connection: Connection,
    location: str,
    *,
    now: datetime,
    log: Callable[[str], None] = lambda line: None,
) -> MediaInventory:
    """Bring ops.media_objects in line with ``location`` in one transaction.

    ``location`` is an s3:// URL: the folder of an inventory's configuration, whose newest complete
    report is read unless it was read before, or any other prefix, which is listed.
    """
    parts = urlsplit(location)
    bucket = open_foreign_bucket(parts.netloc)
    prefix = parts.path.lstrip("/")
    with only_one(connection, "media inventory"):
        folder = _newest_report(bucket, prefix)
        if folder is None:
            return _load(connection, location, now, _listed(bucket, prefix), log)
        taken_at = datetime.strptime(f"{folder[-18:-1]}+0000", f"{DATED_FOLDER_FORMAT}%z")
        known = latest_inventory(connection)
        if known is not None and (known.source, known.taken_at) == (location, taken_at):
            log(f"the inventory of {taken_at:%Y-%m-%d %H:%M} UTC is loaded already")
            return known
        return _load(connection, location, taken_at, _reported(bucket, folder), log)


def latest_inventory(connection: Connection) -> MediaInventory | None:
    """What was loaded last."""
    with connection.cursor(row_factory=class_row(MediaInventory)) as cursor:
        return cursor.execute(statement("storage/latest_inventory")).fetchone()


def media_version(connection: Connection) -> MediaVersion:
    """The version of the sizes in ops.media_objects, for `find_changes`."""
    with connection.cursor(row_factory=class_row(MediaVersion)) as cursor:
        return one_row(cursor.execute(statement("storage/media_version")))


def _load(
    connection: Connection,
    source: str,
    taken_at: datetime,
    sizes: Sizes,
    log: Callable[[str], None],
) -> MediaInventory:
    with (
        connection.transaction(),
        connection.cursor(row_factory=class_row(MediaInventory)) as cursor,
    ):
        cursor.execute(statement("storage/create_media_seen"))
        with cursor.copy(statement("storage/copy_media_seen")) as copy:
            copy.set_types(["text", "int8"])
            for size in sizes:
                copy.write_row(size)
        changed = [
            cursor.execute(statement(f"storage/{step}")).rowcount
            for step in ("add_media", "resize_media", "lose_media")
        ]
        cursor.execute(
            statement("storage/record_inventory"),
            {
                "source": source,
                "taken_at": taken_at,
                "added": changed[0],
                "altered": changed[1] + changed[2],
            },
        )
        inventory = one_row(cursor)
        if inventory.objects == 0:
            raise OpsError(
                source,
                cause="it lists no object, and every size would fall back to its estimate",
                next_step="correct FT_MEDIA_INVENTORY, or unset it",
            )
    log(f"{inventory.objects:,} media objects, {inventory.bytes:,} bytes")
    return inventory


def _newest_report(bucket: Bucket, prefix: str) -> str | None:
    """The dated folder of the newest report below an inventory's folder, None if it has none.

    S3 writes manifest.checksum last: without it a report is still being delivered.
    """
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    dated = []
    with naming(bucket.url(folder)):
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.name, Prefix=folder, Delimiter="/"
        )
        for page in pages:
            for item in page.get("CommonPrefixes", []):
                name = item["Prefix"]
                if _is_dated(name[len(folder) : -1]):
                    dated.append(name)
        for name in sorted(dated, reverse=True):
            found = bucket.client.list_objects_v2(
                Bucket=bucket.name, Prefix=f"{name}manifest.checksum", MaxKeys=1
            )
            if found.get("KeyCount", 0):
                return name
    return None


def _is_dated(name: str) -> bool:
    try:
        datetime.strptime(f"{name}+0000", f"{DATED_FOLDER_FORMAT}%z")
    except ValueError:
        return False
    return True


def _listed(bucket: Bucket, prefix: str) -> Sizes:
    with naming(bucket.url(prefix)):
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.name, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"], item["Size"]


def _reported(bucket: Bucket, folder: str) -> Sizes:
    manifest = _manifest(bucket, f"{folder}manifest.json")
    with tempfile.TemporaryDirectory(prefix="ft-inventory-") as scratch:
        for number, file in enumerate(manifest.files):
            # pyarrow sees from the last suffix that a list is compressed.
            path = Path(scratch) / f"{number}-{Path(file.key).name}"
            _download(bucket, file, path)
            yield from _sizes_in(path, manifest, bucket.url(file.key))
            path.unlink()


def _manifest(bucket: Bucket, key: str) -> _Manifest:
    with naming(bucket.url(key)):
        body = bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    try:
        return _Manifest.model_validate_json(body)
    except ValidationError as error:
        raise OpsError(
            bucket.url(key),
            cause=f"it is no manifest of an S3 Inventory: {error.error_count()} fields are wrong",
            next_step="point FT_MEDIA_INVENTORY at the folder of an inventory's configuration",
        ) from error


def _download(bucket: Bucket, file: _File, path: Path) -> None:
    # S3's own checksum of its reports.
    digest = hashlib.md5(usedforsecurity=False)
    with naming(bucket.url(file.key)), path.open("wb") as target:
        response = bucket.client.get_object(Bucket=bucket.name, Key=file.key)
        with closing(response["Body"]) as body:
            for chunk in body.iter_chunks(1 << 20):
                digest.update(chunk)
                target.write(chunk)
    if digest.hexdigest() != file.md5.lower():
        raise OpsError(
            bucket.url(file.key),
            cause=f"its MD5 is {digest.hexdigest()}, its manifest says {file.md5}",
            next_step="wait for the next report; sizes stay as they were",
        )


def _sizes_in(path: Path, manifest: _Manifest, url: str) -> Sizes:
    if manifest.format.upper() == "CSV":
        return _csv_sizes(path, manifest)
    if manifest.format.upper() == "PARQUET":
        return _table_sizes(pyarrow.parquet.ParquetFile(path).iter_batches())
    if manifest.format.upper() == "ORC":
        file = pyarrow.orc.ORCFile(path)
        return _table_sizes(file.read_stripe(stripe) for stripe in range(file.nstripes))
    raise OpsError(
        url,
        cause=f"its format is {manifest.format}",
        next_step="configure the inventory to write Parquet, ORC or CSV",
    )


def _csv_sizes(path: Path, manifest: _Manifest) -> Sizes:
    """Rows of a gzipped CSV without a header, every field quoted, keys percent-encoded."""
    names = [name.strip() for name in manifest.columns.split(",")]
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=names),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.string()), strings_can_be_null=False
        ),
    )
    for batch in reader:
        for row in batch.to_pylist():
            if row.get("IsLatest", "true") == "true" and row.get("IsDeleteMarker") != "true":
                yield unquote_plus(row["Key"]), int(row["Size"] or 0)


def _table_sizes(batches: Iterator[pyarrow.RecordBatch]) -> Sizes:
    """Rows of a Parquet or ORC report: snake-case columns, keys as they are."""
    for batch in batches:
        for row in batch.to_pylist():
            if row.get("is_latest", True) and not row.get("is_delete_marker"):
                yield row["key"], row["size"] or 0
