"""The archive is readable without this project, and keeps whatever the schema accepts."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import adbc_driver_postgresql.dbapi
import duckdb
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from pyarrow import fs

from ft_ops.archive import archive_statements
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.proof.proof import prove_month
from ft_ops.archive.run import ArchiveTarget
from ft_ops.archive.store.export import export_month
from ft_ops.archive.store.parquet import arrow_connection, read_snapshot
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import download, read_object
from tests.archive.world import MONTH, World

CLEAN = HealthCheck.function_scoped_fixture


@pytest.fixture
def exported(world: World) -> Generation:
    world.fill()
    return _export(world)


def _export(world: World) -> Generation:
    generation = world.move().generation
    return export_month(world.run, generation)


@pytest.fixture
def s3(aws: str) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key="tests", secret_key="tests", endpoint_override=aws, region="us-east-1"
    )


def test_duckdb_finds_one_familys_content_over_s3(
    world: World, exported: Generation, s3: fs.S3FileSystem
) -> None:
    segments = ds.dataset(
        f"{world.bucket.name}/archive/table=content_segments", filesystem=s3, partitioning="hive"
    )
    tags = ds.dataset(
        f"{world.bucket.name}/archive/table=content_tags", filesystem=s3, partitioning="hive"
    )
    duck = duckdb.connect()
    duck.register("segments", segments)
    duck.register("tags", tags)
    found = duck.execute(
        "SELECT s.id, list(t.tag_name) FROM segments s LEFT JOIN tags t"
        " ON t.content_segment_id = s.id WHERE s.year = 2017 AND s.month = 3"
        " AND s.family_id = ? GROUP BY s.id",
        [world.families[0]],
    ).fetchall()
    rows = world.rows()
    expected = {row[0] for row in rows["content_segments"] if row[1] in world.threads[:2]}
    assert {segment for segment, _ in found} == expected
    tagged = {row[1] for row in rows["content_tags"]} & expected
    assert {segment for segment, names in found if names == ["summer"]} == tagged


def test_pandas_reads_a_part_over_s3(
    world: World, exported: Generation, s3: fs.S3FileSystem
) -> None:
    narrations = next(o for o in exported.objects if o.table == "photo_narrations")
    frame = pd.read_parquet(f"{world.bucket.name}/{narrations.stored.key}", filesystem=s3)
    assert len(frame) == narrations.rows == 14
    assert {json.loads(value)["n"] for value in frame["metadata"]} == {1.1}


def test_a_familys_rows_lie_together_and_statistics_tell_where(world: World) -> None:
    world.fill(segments=400)
    world.move()
    generation = _export(world)
    stored = generation.objects[0].stored
    file = pq.ParquetFile(io.BytesIO(read_object(world.bucket, stored)))
    column_values = file.read(columns=["family_id"]).column("family_id").to_pylist()
    families = [value for value in column_values if isinstance(value, UUID)]
    assert len(families) == 400
    assert families == sorted(families)
    column = file.schema_arrow.names.index("family_id")
    statistics = file.metadata.row_group(0).column(column).statistics
    assert statistics is not None
    assert UUID(bytes=statistics.min) == min(families)


@pytest.mark.usefixtures("begins_archived")
def test_the_manifest_is_enough_to_make_the_tables(world: World) -> None:
    generation = world.standing()
    document = json.loads(read_object(world.bucket, generation.require_manifest()))
    assert document["certificate"]["digests"] == {
        name: table["digest"] for name, table in document["tables"].items()
    }
    world.connection.execute("CREATE SCHEMA elsewhere")
    for table in document["tables"].values():
        world.connection.execute("SET search_path = elsewhere")
        world.connection.execute(table["ddl"])
    world.connection.execute("RESET search_path")
    made = world.connection.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'elsewhere'::regnamespace"
    ).fetchone()
    assert made == (4,)


# PostgreSQL's text holds every character but NUL, and no lone surrogates.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
segment_values = st.fixed_dictionaries(
    {
        "content_type": st.sampled_from(["text", "audio", "photo", "mixed"]),
        "text_content": st.none() | texts | st.just("") | st.just("é" * 1_000_000),
        "audio_url": st.none() | texts,
        "audio_duration_seconds": st.none() | st.integers(-(2**31), 2**31 - 1),
        "audio_transcript": st.none() | texts,
        "photo_urls": st.none() | st.lists(st.none() | texts, max_size=4),
        "is_edited": st.none() | st.booleans(),
        "edited_at": st.none() | st.datetimes().map(lambda d: d.isoformat() + "Z"),
        "is_deleted": st.none() | st.booleans(),
        "view_count": st.none() | st.integers(-(2**31), 2**31 - 1),
        "metadata": st.none() | documents.map(Jsonb),
    }
)


@settings(max_examples=8, deadline=None, suppress_health_check=[CLEAN])
@given(
    segments=st.lists(segment_values, min_size=1, max_size=6),
    narration=texts,
    score=st.none() | st.floats(),
    raw=st.sampled_from(
        ["1.10", "12345678901234567890.123456789", '{"a": 1e-7}', '[[[[{"b": [null]}]]]]']
    ),
)
def test_whatever_the_schema_accepts_is_proven_equal(
    world: World,
    segments: list[dict[str, object]],
    narration: str,
    score: float | None,
    raw: str,
) -> None:
    """The proof compares every row by the server's own text of it: equal means equal."""
    world.connection.execute("DELETE FROM content_segments")
    world.connection.execute("DROP TABLE IF EXISTS archived_content_segments_2017_03")
    world.connection.execute("DELETE FROM content_segment_keys")
    world.connection.execute("TRUNCATE ops.archive")
    world.month(MONTH)
    for number, values in enumerate(segments):
        segment = uuid4()
        columns = ", ".join(values)
        places = ", ".join(["%s"] * len(values))
        world.connection.execute(
            "INSERT INTO content_segments (id, thread_id, user_id, sequence_number, created_at,"
            f" {columns}) VALUES (%s, %s, %s, %s, %s, {places})",
            (segment, world.threads[0], world.users[0], number, MONTH.start, *values.values()),
        )
        world.connection.execute(
            "INSERT INTO photo_narrations (content_segment_id, photo_index, narration_text,"
            " confidence_score, metadata) VALUES (%s, %s, %s, %s, %s::text::jsonb)",
            (segment, -number, narration, score, raw),
        )
    generation = world.move().generation
    target = ArchiveTarget(world.bucket, f"run-{uuid4()}", 64 << 20)
    run = replace(world.run, open_target=lambda: target)
    generation = export_month(run, generation)
    assert generation.rows["content_segments"] == len(segments)
    proven = prove_month(run, generation)
    assert proven.state == "proven"


def test_an_infinite_timestamp_never_enters(world: World) -> None:
    world.month(MONTH)
    segment = world.segment()
    with pytest.raises(psycopg.errors.CheckViolation):
        world.connection.execute(
            "UPDATE content_segments SET edited_at = 'infinity' WHERE id = %s", (segment,)
        )


def test_an_arrow_connection_reads_the_exported_snapshot(world: World) -> None:
    world.fill(segments=4)
    with world.connection.transaction():
        world.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = world.connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        url = world.database.url
        with arrow_connection(url) as other, other.cursor() as cursor:
            cursor.execute("DELETE FROM content_segments")
        with arrow_connection(url) as arrow, arrow.cursor() as cursor:
            read_snapshot(arrow, row[0])
            cursor.execute("SELECT count(*) FROM content_segments")
            assert cursor.fetchone() == (4,)


@pytest.mark.usefixtures("begins_archived")
def test_the_documented_restore_gives_the_documented_digest(world: World, tmp_path: Path) -> None:
    """Every statement of docs/archive-format.md, on an archive of this very test."""
    generation = world.standing()
    document = json.loads(read_object(world.bucket, generation.require_manifest()))
    world.connection.execute("CREATE SCHEMA restored")
    world.connection.execute("SET search_path = restored")
    for item in document["objects"]:
        if item["table"] not in document["tables"]:
            continue
        stored = next(o.stored for o in generation.objects if o.stored.key == item["key"])
        request_restore(world.bucket, stored, days=1, tier="Bulk")
        path = tmp_path / f"{item['table']}.parquet"
        download(world.bucket, stored, path)
        entry = document["tables"][item["table"]]
        world.connection.execute(entry["ddl"])
        table = pq.read_table(path).drop_columns(["family_id"])
        if "metadata" in table.column_names:
            place = table.column_names.index("metadata")
            table = table.set_column(place, "metadata", table["metadata"].cast(pa.json_()))
        with (
            adbc_driver_postgresql.dbapi.connect(world.database.url) as arrow,
            arrow.cursor() as cursor,
        ):
            cursor.adbc_ingest(item["table"], table, mode="append", db_schema_name="restored")
            arrow.commit()
        row = world.connection.execute(
            "SELECT count(*), sum(hashtextextended(line, 0)::numeric),"
            " sum(hashtextextended(line, 1)::numeric) FROM"
            f' (SELECT (ROW(t.*)::text) COLLATE "C" AS line FROM {item["table"]} AS t) AS rows'
        ).fetchone()
        assert row is not None
        assert entry["digest"] == f"{row[0]}:{int(row[1]):x}:{int(row[2]):x}"


@pytest.mark.usefixtures("begins_archived")
def test_the_printed_statements_read_a_thawed_archive(world: World, tmp_path: Path) -> None:
    """DuckDB by its views; Athena's columns are those that the files have."""
    generation = world.standing()
    for item in generation.parts():
        request_restore(world.bucket, item.stored, days=1, tier="Bulk")
        path = tmp_path / item.stored.key
        path.parent.mkdir(parents=True)
        download(world.bucket, item.stored, path)
    duck = duckdb.connect()
    for line in archive_statements(world.connection, "duckdb", str(tmp_path / "archive")):
        duck.execute(line)
    live = world.rows(segments="archived_content_segments_2017_03")
    for table, rows in live.items():
        assert duck.execute(f"SELECT count(*) FROM {table}").fetchall() == [(len(rows),)], table
    texts = "SELECT id, thread_id, text_content, created_at FROM {} ORDER BY id"
    in_duckdb = duck.execute(texts.format("content_segments")).fetchall()
    in_database = world.connection.execute(
        texts.format("archived_content_segments").encode()
    ).fetchall()
    assert in_duckdb == in_database
    numbers = duck.execute("SELECT DISTINCT metadata->>'n' FROM photo_narrations").fetchall()
    assert numbers == [("1.1",)]
    athena = archive_statements(world.connection, "athena", "s3://bucket/archive")
    for statement, item in zip(athena, generation.parts(), strict=True):
        schema = pq.read_schema(tmp_path / item.stored.key)
        columns = re.findall(r"^    `(\w+)` (\S+?),?$", statement, flags=re.MULTILINE)
        assert [name for name, _ in columns] == schema.names
        for name, kind in columns:
            assert fits(schema.field(name).type, kind), (name, kind)
        assert "'read_restored_glacier_objects' = 'true'" in statement
        assert f"'s3://bucket/archive/table={item.table}/'" in statement


def fits(kind: pa.DataType, athena: str) -> bool:
    """Whether Athena reads a column of a Parquet file as that."""
    if kind == pa.uuid():
        return athena == "binary"
    if pa.types.is_list(kind):
        return athena == f"array<{'string' if pa.types.is_string(kind.value_type) else '?'}>"
    tests: dict[str, Callable[[Any], bool]] = {
        "string": pa.types.is_string,
        "timestamp": pa.types.is_timestamp,
        "boolean": pa.types.is_boolean,
        "int": lambda k: pa.types.is_int32(k) or pa.types.is_int16(k),
        "double": pa.types.is_float64,
    }
    return bool(tests[athena](kind))
