"""Of a purged month the bucket has the only copy: what is gone from it is named the next day."""

from __future__ import annotations

import base64
from typing import Any

import dagster as dg
import pytest

from ft_ops.archive.store.presence import missing
from ft_ops.definitions import defs
from ft_ops.s3.objects import delete_version
from tests.archive.world import MONTH, World


def test_nothing_is_missing_from_a_whole_archive(world: World) -> None:
    world.fill()
    world.archived_and_purged()
    world.month(MONTH)
    world.segment(MONTH, thread=1)
    world.archive()
    assert missing(world.connection, world.bucket) == {}


def test_lists_that_were_uploaded_in_parts_are_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 has no SHA-256 of their content then: a large month is purged all the same."""
    client: Any = world.bucket.client
    head = client.head_object

    def head_object(**names: Any) -> Any:
        found = head(**names)
        if found.get("StorageClass", "STANDARD") == "STANDARD":
            found["ChecksumSHA256"] = f"{base64.b64encode(bytes(32)).decode()}-2"
        return found

    world.fill()
    world.archive()
    world.verified_backup()
    monkeypatch.setattr(client, "head_object", head_object)
    assert missing(world.connection, world.bucket) == {}
    assert world.purge().generation.state == "purged"


@pytest.mark.parametrize("table", ["content_tags", "subjects", "proven_segments", "manifest"])
def test_what_was_removed_is_named(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    purged = world.archived_and_purged()
    stored = next(
        (item.stored for item in purged.objects if item.table == table), purged.require_manifest()
    )
    delete_version(world.bucket, stored.key, stored.version_id)
    [(name, problems)] = missing(world.connection, world.bucket).items()
    assert name == purged.name
    assert len(problems) == 1
    assert f"table={table}/" in problems[0]
    monkeypatch.setenv("FT_DATABASE_URL", world.database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", world.bucket.name)
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("check_archive_bucket").execute_in_process(instance=instance)
    [found] = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "archived_objects_are_there"
    ]
    assert not found.passed
    assert purged.name in str(found.description)
