"""Export, proof and freeze: what is in the bucket is what was in the database, or it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.digest import Digest, month_digests, total
from ft_ops.archive.month.ledger import generations, latest
from ft_ops.archive.proof.load import loaded
from ft_ops.archive.proof.proof import RowsDiffer, prove_month
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.replica.mend import mend
from ft_ops.archive.run import ArchiveTarget
from ft_ops.archive.store.export import export_month
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.pace import Pace
from ft_ops.s3.bucket import Missing
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import (
    Version,
    WrongContent,
    delete_version,
    put_once,
    read_object,
    versions,
)
from tests.archive.world import MONTH, World, sizes


def stored_versions(world: World) -> list[Version]:
    """What lies in the bucket, without the claims that whoever writes there makes before."""
    return [v for v in versions(world.bucket, "") if "/records/claims/" not in v.key]


def test_a_frozen_month_is_proven_and_only_parts_are_in_glacier(world: World) -> None:
    world.fill()
    expected = sizes(world.rows(segments="content_segments_2017_03"))
    generation = world.archive()
    assert generation.state == "frozen"
    assert [generation.rows[table] for table in TABLES] == expected
    stored = stored_versions(world)
    assert {v.key.split("/")[1]: v.storage_class for v in stored} == {
        "table=content_segments": "DEEP_ARCHIVE",
        "table=photo_narrations": "DEEP_ARCHIVE",
        "table=content_tags": "DEEP_ARCHIVE",
        "table=content_links": "DEEP_ARCHIVE",
        "table=subjects": "STANDARD",
        "table=ends_of_shared_rows": "STANDARD",
        "table=proven_segments": "STANDARD",
        "table=proven_shared_rows": "STANDARD",
        "table=manifest": "STANDARD",
    }
    assert len(stored) == len({v.key for v in stored}) == 11
    certificate = generation.certificate
    assert certificate is not None
    assert certificate["digests"] == {table: str(total(world.digests()[table])) for table in TABLES}


def test_a_version_that_a_lifecycle_rule_has_frozen_itself_is_kept(world: World) -> None:
    world.fill()
    frozen = world.archive()
    before = stored_versions(world)
    # The ledger knows each object as it was written, and S3 has changed its class in place.
    world.connection.execute(
        "UPDATE ops.archive SET state = 'freezing', frozen_at = NULL, objects = replace("
        "objects::text, 'DEEP_ARCHIVE', 'STANDARD')::jsonb"
    )
    again = world.freeze()
    assert (again.state, again.objects) == ("frozen", frozen.objects)
    assert stored_versions(world) == before
    # Nor does another version go for one that was lost: it may be what is left of it.
    world.connection.execute("UPDATE ops.archive SET state = 'freezing', frozen_at = NULL")
    lost, other = frozen.parts()[0].stored, b"what somebody has brought back"
    world.bucket.client.put_object(Bucket=world.bucket.name, Key=lost.key, Body=other)
    delete_version(world.bucket, lost.key, lost.version_id)
    with pytest.raises(OpsError, match=f"{lost.version_id}.* 404"):
        world.freeze()
    assert [v.bytes for v in versions(world.bucket, lost.key)] == [len(other)]


def test_a_version_that_a_retention_protects_goes_when_that_is_over(
    world: World,
) -> None:
    """The freeze ends all the same: the version is recorded, and stays until it may go."""
    client: Any = world.bucket.client
    world.fill()
    world.move()
    for item in export_month(world.run, world.standing()).objects:
        client.put_object_retention(
            Bucket=world.bucket.name,
            Key=item.stored.key,
            VersionId=item.stored.version_id,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": utc_now() + timedelta(days=1)},
        )
    frozen = world.freeze()
    assert frozen.state == "frozen"
    assert len(frozen.leftovers) == len(TABLES)
    held = remove_superseded(world.run)
    assert [failed.name for failed in held.failed] == [f"replaced versions of {frozen.name}"]
    for key, version_id in frozen.leftovers:
        client.put_object_retention(
            Bucket=world.bucket.name,
            Key=key,
            VersionId=version_id,
            Retention={},
            BypassGovernanceRetention=True,
        )
    # One of them has become the only copy, and later is what the ledger names.
    lost = next(item.stored for item in frozen.objects if item.table == "content_segments")
    delete_version(world.bucket, lost.key, lost.version_id)
    refused = remove_superseded(world.run).failed
    assert [failed.cause.partition(":")[0] for failed in refused] == [
        "what has replaced them is not whole"
    ]
    assert not mend(world.run, None, apply=True).failed
    assert remove_superseded(world.run).results == [len(TABLES) - 1]
    assert world.standing().leftovers == ()
    left = {version.version_id for version in stored_versions(world)}
    named = {item.stored.version_id for item in world.standing().objects}
    assert left & {version_id for _, version_id in frozen.leftovers} <= named <= left


def test_a_second_run_does_nothing(world: World) -> None:
    world.fill()
    first = world.archive()
    before = stored_versions(world)
    assert world.archive() == first
    assert stored_versions(world) == before


def test_a_large_month_becomes_several_parts_that_add_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is one row group here, and each row group what several steps have read."""
    monkeypatch.setattr("ft_ops.archive.store.parquet.STEP_BYTES", 32 << 10)
    monkeypatch.setattr("ft_ops.archive.store.parquet.ROW_GROUP_BYTES", 128 << 10)
    world.fill(segments=3000)
    move = world.move()
    steps: list[float] = []
    pace = Pace(lambda: True, 0.5, steps.append)
    target = ArchiveTarget(world.bucket, "archive", part_bytes=1)
    run = replace(world.run, open_target=lambda: target, pace=pace)
    generation = export_month(run, move.generation)
    parts = [
        item.rows for item in generation.objects if item.table == "content_segments" and item.rows
    ]
    assert len(parts) > 3
    assert len(steps) > 3 * len(parts)
    assert generation.rows["content_segments"] == 3000
    proven = prove_month(world.run, generation)
    assert proven.state == "proven"


def test_the_unrecorded_objects_of_a_dead_run_are_replaced(world: World) -> None:
    world.fill()
    world.move()
    key = "archive/table=content_segments/year=2017/month=03/gen=1/part-00000.parquet"
    put_once(world.bucket, key, b"half of an export")
    of_others = [key.replace("gen=1", "gen=10"), key.replace("month=03", "month=04")]
    for under_way in of_others:
        world.bucket.client.create_multipart_upload(Bucket=world.bucket.name, Key=under_way)
    upload = world.bucket.client.create_multipart_upload(
        Bucket=world.bucket.name, Key=key.replace("00000", "00001")
    )
    world.bucket.client.upload_part(
        Bucket=world.bucket.name,
        Key=key.replace("00000", "00001"),
        UploadId=upload["UploadId"],
        PartNumber=1,
        Body=b"half of a part",
    )
    assert world.freeze().state == "frozen"
    uploads = world.bucket.client.list_multipart_uploads(Bucket=world.bucket.name)
    assert sorted(upload["Key"] for upload in uploads["Uploads"]) == sorted(of_others)


@pytest.mark.parametrize(
    ("lost", "words"),
    [("", "manifest of a proven"), ("table=manifest/", "in DEEP_ARCHIVE and part of a proven")],
)
def test_what_a_recovered_ledger_does_not_know_is_not_taken_for_a_dead_runs(
    world: World, lost: str, words: str
) -> None:
    """Not even when somebody has removed its manifest: no dead run leaves anything frozen."""
    world.fill(segments=8)
    world.move()
    world.connection.execute("CREATE TEMP TABLE recovered AS TABLE ops.archive")
    world.freeze()
    ship_records(world.run)
    for version in [v for v in versions(world.bucket, f"archive/{lost}") if lost]:
        delete_version(world.bucket, version.key, version.version_id)
    before = sorted((v.key, v.version_id) for v in stored_versions(world))
    world.connection.execute("DELETE FROM ops.archive")
    world.connection.execute("INSERT INTO ops.archive SELECT * FROM recovered")
    with pytest.raises(Refused, match=f"{words} generation") as refused:
        world.freeze()
    assert "FT_ARCHIVE_PREFIX" in str(refused.value)
    assert sorted((v.key, v.version_id) for v in stored_versions(world)) == before


def _exported(world: World) -> None:
    world.fill()
    move = world.move()
    export_month(world.run, move.generation)


def _tamper(world: World, change: str) -> None:
    """Damage the stored segments in one way."""
    generation = latest(world.connection, MONTH)
    assert generation is not None
    item = generation.objects[0].stored
    body = bytearray(read_object(world.bucket, item))
    delete_version(world.bucket, item.key, item.version_id)
    if change == "missing":
        return
    if change == "flipped":
        body[len(body) // 2] ^= 1
    if change == "truncated":
        del body[-8:]
    stored = put_once(world.bucket, item.key, bytes(body))
    world.connection.execute(
        "UPDATE ops.archive SET objects = jsonb_set(objects, '{0,stored,version_id}', to_jsonb(%s"
        "::text))",
        (stored.version_id,),
    )


@pytest.mark.parametrize("change", ["flipped", "truncated", "missing"])
def test_damage_before_the_proof_is_named_and_the_rows_stay(world: World, change: str) -> None:
    _exported(world)
    before = world.rows()
    _tamper(world, change)
    with pytest.raises(OpsError, match="part-00000") as caught:
        world.freeze()
    assert isinstance(caught.value.__cause__, Missing if change == "missing" else WrongContent)
    assert [g.state for g in generations(world.connection, MONTH)] == ["superseded", "archived"]
    assert world.rows() == before
    assert world.freeze().state == "frozen"
    assert world.rows() == before


def test_a_swapped_version_is_named(world: World) -> None:
    _exported(world)
    generation = latest(world.connection, MONTH)
    assert generation is not None
    segments, narrations = (item.stored for item in generation.objects[:2])
    swapped = replace(narrations, key=segments.key)
    body = read_object(world.bucket, narrations)
    delete_version(world.bucket, segments.key, segments.version_id)
    stored = put_once(world.bucket, swapped.key, body)
    world.connection.execute(
        "UPDATE ops.archive SET objects = jsonb_set(objects, '{0,stored,version_id}', to_jsonb(%s"
        "::text))",
        (stored.version_id,),
    )
    with pytest.raises(OpsError, match="table=content_segments"):
        world.freeze()


def test_rows_edited_between_export_and_proof_are_exported_again(world: World) -> None:
    _exported(world)
    world.connection.execute("UPDATE photo_narrations SET narration_text = 'a sea'")
    generation = world.freeze()
    assert (generation.number, generation.state) == (2, "frozen")
    assert generation.digests == world.digests()


def test_a_month_that_never_agrees_is_given_up_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an export would that left out a table's rows."""
    _exported(world)
    monkeypatch.setattr(
        "ft_ops.archive.proof.proof.month_digests",
        lambda connection, content, source, pace: {
            **month_digests(connection, content, source, pace),
            "content_tags": {0: Digest(1, id(connection), 0)},
        },
    )
    with pytest.raises(RowsDiffer, match="content_tags"):
        world.freeze()
    states = [g.state for g in generations(world.connection, MONTH)]
    assert states == ["superseded", "superseded", "superseded", "archived"]
    assert world.count("archived_content_segments") == 40


def test_the_archive_can_be_loaded_after_columns_came_and_went(world: World) -> None:
    world.fill()
    generation = world.archive()
    for item in generation.objects:
        request_restore(world.bucket, item.stored, days=1, tier="Bulk")
    world.connection.execute(
        "ALTER TABLE photo_narrations ADD COLUMN mood text NOT NULL DEFAULT 'calm'"
    )
    world.connection.execute("ALTER TABLE photo_narrations DROP COLUMN language")
    with loaded(world.run, generation, purpose="test") as copy:
        found = world.connection.execute(
            f"SELECT count(*), count(language) FROM {copy['photo_narrations'].as_string()}"
        ).fetchone()
    assert found == (14, 14)
