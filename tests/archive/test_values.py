"""The digest that needs no PostgreSQL: of values, in any order, by a program that stands alone."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.store import verify_archive
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.s3.objects import WrongContent, objects, read_object
from tests.archive.world import World

PROGRAM = Path(verify_archive.__file__)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS: list[list[object]] = [
    ["a", 1, True, ["x", None], EPOCH, 1.5, uuid4().bytes, date(1970, 1, 1)],
    ["", -2, False, [], EPOCH - timedelta(microseconds=5), -0.0, bytes(16), date(1935, 2, 3)],
    [None] * 8,
    [
        "ünï",
        0,
        True,
        ["", "1:x"],
        EPOCH + timedelta(days=9),
        1e300,
        uuid4().bytes,
        date(2024, 2, 29),
    ],
    ["-", 7, True, ["x"], EPOCH, 0.1, uuid4().bytes, date(1970, 1, 2)],
]
_FIELDS: list[tuple[str, Any]] = [
    ("text", pa.string()),
    ("number", pa.int32()),
    ("truth", pa.bool_()),
    ("list", pa.list_(pa.string())),
    ("moment", pa.timestamp("us", "UTC")),
    ("real", pa.float64()),
    ("id", pa.uuid()),
    ("day", pa.date32()),
]
SCHEMA = pa.schema(_FIELDS)


def batch(rows: Sequence[Sequence[object]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    return pa.RecordBatch.from_arrays(
        [
            pa.ExtensionArray.from_storage(field.type, pa.array(values, pa.binary(16)))
            if field.name == "id"
            else pa.array(values, field.type)
            for field, values in zip(SCHEMA, columns, strict=True)
        ],
        schema=SCHEMA,
    )


def digest(*batches: pa.RecordBatch) -> str:
    added = RowDigest()
    for rows in batches:
        added.add(rows)
    return str(added)


def written(value: Any) -> bytes:
    """By the definition on the page, one value after the other."""
    match value:
        case None:
            return b"-"
        case bool():
            body = b"true" if value else b"false"
        case int():
            body = str(value).encode()
        case float():
            body = str(struct.unpack("<q", struct.pack("<d", value))[0]).encode()
        case datetime():
            body = str((value - EPOCH) // timedelta(microseconds=1)).encode()
        case date():
            body = str((value - EPOCH.date()).days).encode()
        case str():
            body = value.encode()
        case list():
            body = b"".join(map(written, value))
        case _:
            body = value
    return b"%d:%s" % (len(body), body)


def test_it_is_what_the_page_defines() -> None:
    hashes = [hashlib.sha256(b"".join(map(written, row))).digest() for row in ROWS]
    added = sum(int.from_bytes(one, "big") for one in hashes) % 2**256
    assert digest(batch(ROWS)) == f"{len(ROWS)}:{added:064x}"


def test_neither_order_nor_batches_matter_and_every_value_does() -> None:
    whole = digest(batch(ROWS))
    assert digest(batch(ROWS[3:]), batch(ROWS[:3][::-1])) == whole
    # A slice has an offset, and lists whose values begin before it.
    assert digest(batch(ROWS).slice(1, 3), batch(ROWS).slice(4), batch(ROWS).slice(0, 1)) == whole
    for column in range(len(SCHEMA)):
        changed = [list(row) for row in ROWS]
        changed[0][column] = changed[1][column]
        assert digest(batch(changed)) != whole
    assert digest(batch(ROWS), batch(ROWS[:1])) != whole
    assert digest() == f"0:{0:064x}"


def test_a_border_between_two_values_can_not_be_moved() -> None:
    pairs: list[list[Any]] = [["ab", "c"], ["a", "bc"], ["a:1", "c"], [None, "abc"], ["", "abc"]]
    schema = pa.schema([("one", pa.string()), ("two", pa.string())])
    found = {
        digest(pa.RecordBatch.from_pylist([{"one": one, "two": two}], schema=schema))
        for one, two in pairs
    }
    assert len(found) == len(pairs)


def test_the_program_stands_alone() -> None:
    source = PROGRAM.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 200
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    outside = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert outside == {"pyarrow"}


def fetched(world: World, generation: Generation, folder: Path) -> Path:
    """Everything of a generation under its whole keys; the manifest's path."""
    for item in generation.objects:
        path = folder / item.stored.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read_object(world.bucket, item.stored))
    manifest = folder / "manifest.json"
    manifest.write_bytes(read_object(world.bucket, generation.require_manifest()))
    return manifest


def verified(world: World, manifest: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The program that lies in the bucket, run away from this project."""
    document = json.loads(manifest.read_bytes())
    response = world.bucket.client.get_object(Bucket=world.bucket.name, Key=document["verified_by"])
    program = folder / "verify.py"
    program.write_bytes(response["Body"].read())
    return subprocess.run(
        [sys.executable, "-I", str(program), str(manifest), str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_month_is_verified_from_the_bucket_without_a_server(world: World, tmp_path: Path) -> None:
    world.rules = replace(world.rules, storage_class="GLACIER_IR")
    world.fill()
    generation = world.archive()
    manifest = fetched(world, generation, tmp_path)
    done = verified(world, manifest, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert generation.name in done.stdout
    # One value less in the manifest's sums: as if a file had been made anew with other values.
    document = json.loads(manifest.read_bytes())
    document["tables"]["content_tags"]["sha256"] = digest(batch(ROWS))
    manifest.write_text(json.dumps(document))
    done = verified(world, manifest, tmp_path)
    assert (done.returncode, "wrong: content_tags: its rows are" in done.stdout) == (1, True)
    [part] = [o for o in generation.objects if o.table == "content_tags"]
    (tmp_path / part.stored.key).unlink()
    done = verified(world, manifest, tmp_path)
    assert (done.returncode, "not looked at: " + part.stored.key in done.stdout) == (2, True)
    (tmp_path / part.stored.key).write_bytes(b"PAR1")
    done = verified(world, manifest, tmp_path)
    assert (done.returncode, f"wrong: {part.stored.key}" in done.stdout) == (1, True)
    assert len([o for o in objects(world.bucket, "archive/") if o.key.endswith(".py")]) == 1


def test_json_is_a_plain_string_for_whoever_reads_it(world: World) -> None:
    """Iceberg refuses Parquet's own type for it; the manifest says what it is."""
    world.rules = replace(world.rules, storage_class="GLACIER_IR")
    world.fill()
    generation = world.archive()
    [part] = [o for o in generation.objects if o.table == "photo_narrations"]
    plain = pq.read_schema(io.BytesIO(read_object(world.bucket, part.stored)))
    assert plain.field("metadata").type == pa.string()
    document = json.loads(read_object(world.bucket, generation.require_manifest()))
    types = {c["name"]: c["type"] for c in document["tables"]["photo_narrations"]["columns"]}
    assert types["metadata"] == "jsonb"


def other_server(world: World, *, values: bool) -> None:
    """As if a server of another major version had proven the month, which writes rows otherwise."""
    world.connection.execute(
        "UPDATE ops.archive SET digests = jsonb_set(digests, '{content_segments}',"
        " '{\"0\": \"1:1:1\"}'), certificate = jsonb_set(certificate, '{software,postgresql}',"
        " '\"150000\"')"
    )
    if values:
        world.connection.execute(
            "UPDATE ops.archive SET sha256 = jsonb_set(sha256, '{content_tags}', '\"1:1\"')"
        )


def test_where_another_major_version_writes_text_otherwise_a_thaw_is_proven_by_values(
    world: World,
) -> None:
    world.fill()
    world.move()
    before = world.rows()
    world.archived_and_purged()
    other_server(world, values=False)
    assert world.rows_when_thawed() == before


@pytest.mark.usefixtures("begins_purged")
def test_and_refused_where_the_values_are_others_too(world: World) -> None:
    other_server(world, values=True)
    with pytest.raises(WrongContent, match="content_segments differs"):
        world.thaw()


@pytest.mark.usefixtures("begins_purged")
def test_on_the_same_major_version_the_servers_digest_decides(world: World) -> None:
    other_server(world, values=False)
    world.connection.execute(
        "UPDATE ops.archive SET certificate = jsonb_set(certificate, '{software,postgresql}',"
        " to_jsonb(current_setting('server_version_num')))"
    )
    with pytest.raises(WrongContent, match="content_segments differs"):
        world.thaw()
