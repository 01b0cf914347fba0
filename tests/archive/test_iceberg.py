"""The archive as tables of Apache Iceberg: counted in Glacier, read where it can be read."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ft_ops.archive.month.ledger import generations
from ft_ops.archive.reading import write_iceberg
from ft_ops.cli import commands
from ft_ops.errors import OpsError
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import delete_version, objects, read_current, read_object
from tests.archive.world import MONTH, RULES, World

pytest.importorskip("pyiceberg")

OTHER = MONTH.plus(1)
READABLE = replace(RULES, storage_class="GLACIER_IR")


@pytest.fixture
def access(aws: str) -> Mapping[str, str]:
    return {
        "s3.endpoint": aws,
        "s3.region": "us-east-1",
        "s3.access-key-id": "tests",
        "s3.secret-access-key": "tests",
    }


def opened(location: str, access: Mapping[str, str]) -> Any:
    """A table as somebody opens it who has its folder and no catalogue."""
    from pyiceberg.table import StaticTable

    return StaticTable.from_metadata(location, dict(access))


def test_what_lies_in_glacier_is_counted_and_bounded_and_the_rest_is_read(
    world: World, access: Mapping[str, str]
) -> None:
    """A filter on the class keeps a reader from what it can't read."""
    ids = set(world.fill(segments=12))
    world.rules = READABLE
    world.archived_and_purged()
    world.fill(OTHER, segments=8)
    world.rules = RULES
    deep = world.archived_and_purged(OTHER)
    done = write_iceberg(world.run)
    assert done.failed == ()
    assert [(m.storage_class, m.readable) for m in done.months] == [
        ("GLACIER_IR", True),
        ("DEEP_ARCHIVE", False),
    ]
    table = opened(f"s3://{world.bucket.name}/archive/iceberg/content_segments", access)

    # By the metadata alone, nothing is asked of the objects: how many, and which could have it.
    assert table.scan().count() == 20
    assert table.inspect.partitions().column("record_count").to_pylist() == [8, 12]
    for condition, months in (
        ("created_at < '2017-04-01T00:00:00+00:00'", {3}),
        ("created_at >= '2017-04-01T00:00:00+00:00'", {4}),
        (f"family_id = '{world.families[0]}'", {3, 4}),
        ("family_id = '00000000-0000-0000-0000-000000000000'", set()),
    ):
        planned = table.scan(row_filter=condition).plan_files()
        assert {task.file.partition[1] for task in planned} == months, condition

    rows = table.scan(row_filter="storage_class = 'GLACIER_IR'").to_arrow()
    assert {row["id"] for row in rows.to_pylist()} == ids
    assert {(row["year"], row["month"], row["gen"]) for row in rows.to_pylist()} == {(2017, 3, 1)}
    with pytest.raises(OSError, match=r"ACCESS_DENIED|storage class"):
        table.scan().to_arrow()
    for item in deep.parts():
        request_restore(world.bucket, item.stored, days=1, tier="Bulk")
    assert table.scan().to_arrow().num_rows == 20
    assert [month.readable for month in write_iceberg(world.run).months] == [True, True]


def test_duckdb_reads_the_same_rows(world: World, access: Mapping[str, str]) -> None:
    world.fill(segments=12)
    world.rules = READABLE
    world.archive()
    live = world.rows(segments="archived_content_segments_2017_03")
    for table in write_iceberg(world.run).tables:
        duck = opened(table.metadata, access).scan().to_duckdb("found")
        assert duck.execute("SELECT count(*) FROM found").fetchall() == [(len(live[table.name]),)]
        if table.name == "photo_narrations":
            numbers = duck.execute("SELECT DISTINCT metadata->>'n' FROM found").fetchall()
            assert numbers == [("1.1",)]


@pytest.mark.usefixtures("begins_archived")
def test_neither_content_nor_credentials_are_in_what_no_erasure_looks_for(world: World) -> None:
    """Metadata stay where they are; so do manifests, which have the bounds for other readers."""
    generation = world.standing()
    write_iceberg(world.run)
    manifest = read_object(world.bucket, generation.require_manifest())
    bodies = [
        read_current(world.bucket, found.key) for found in objects(world.bucket, "archive/iceberg/")
    ]
    assert len(bodies) >= 4 * 4
    for body in [manifest, *bodies]:
        for secret in (b"once upon", b"a lake", b"summer", b"tests"):
            assert secret not in body, secret
    [segments] = [o for o in json.loads(manifest)["objects"] if o["table"] == "content_segments"]
    assert segments["bounds"]["created_at"] == [MONTH.start.isoformat()] * 2
    assert set(segments["bounds"]["family_id"]) == set(map(str, sorted(world.families)))
    assert "content_type" not in segments["bounds"]


@pytest.mark.chaos
def test_it_is_made_anew_at_any_time_and_a_dead_run_leaves_the_last_one(
    world: World, access: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=4)
    world.rules = READABLE
    world.archived_and_purged()
    write_iceberg(world.run)
    folder = f"s3://{world.bucket.name}/archive/iceberg/content_segments"
    assert opened(folder, access).scan().count() == 4
    world.fill(OTHER, segments=8)
    world.archived_and_purged(OTHER)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.store.iceberg._name_newest", die)
        with pytest.raises(KeyboardInterrupt):
            write_iceberg(world.run)
    assert opened(folder, access).scan().count() == 4
    write_iceberg(world.run)
    assert opened(folder, access).scan().count() == 12


@pytest.mark.chaos
def test_a_month_that_is_gone_or_has_other_types_is_named_and_the_others_are_written(
    world: World, tmp_path: Path
) -> None:
    world.rules = READABLE
    third = OTHER.plus(1)
    for month in (MONTH, OTHER, third):
        world.fill(month, segments=4)
        world.archived_and_purged(month)
    [lost] = generations(world.connection, MONTH)
    stored = lost.parts()[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    # A value in that month had no like in Arrow, so that its text was archived.
    changed = world.connection.execute(
        r"""
        UPDATE ops.archive
        SET content = regexp_replace(
            content::text, '("created_at", [^}]*"as_text": )false', '\1true', 'g')::jsonb
        WHERE month = %s
        RETURNING content::text
        """,
        (OTHER.first_day,),
    ).fetchall()
    assert ['"as_text": true' in row[0] for row in changed] == [True]
    done = write_iceberg(world.run, str(tmp_path))
    said = {failed.name: failed.cause for failed in done.failed}
    assert "NoSuchVersion" in said[lost.name] or "404" in said[lost.name]
    assert (
        "created_at holds string, later timestamptz"
        in said[f"{OTHER} generation 1, content_segments"]
    )
    assert {t.name: t.rows for t in done.tables}["content_segments"] == 4
    assert {t.name: t.rows for t in done.tables}["content_links"] == 1
    assert (tmp_path / "content_segments" / "metadata" / "version-hint.text").is_file()


def test_the_command_says_which_months_are_in_glacier(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=4)
    world.archived_and_purged()
    monkeypatch.setenv("FT_DATABASE_URL", world.database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", world.bucket.name)
    done = CliRunner().invoke(commands, ["archive", "iceberg", "--location", str(tmp_path)])
    assert done.exit_code == 0
    assert "content_segments: 4 rows, 1 objects, file://" in done.output
    assert "2017-03 generation 1: DEEP_ARCHIVE, in Glacier: reading it fails" in done.output
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog.memory", None)
    with pytest.raises(OpsError, match=r"ft-ops\[iceberg\]"):
        write_iceberg(world.run)
