"""What a test's world begins with is what was made once, whatever another test has done to it."""

from __future__ import annotations

import pytest

from ft_ops.archive.month.digest import MonthDigests
from ft_ops.s3.objects import Version, delete_version, read_version, versions
from tests.archive.beginnings import Beginning
from tests.archive.world import World


@pytest.mark.usefixtures("begins_archived")
def test_a_bucket_that_was_put_back_has_every_version_as_it_was(
    world: World, beginning: Beginning
) -> None:
    def found() -> list[tuple[Version, bytes]]:
        listed = list(versions(world.bucket, ""))
        # What is in Glacier is read by those tests that thaw it.
        return [
            (v, read_version(world.bucket, v) if v.storage_class == "STANDARD" else b"")
            for v in listed
        ]

    before = found()
    for version, _ in before:
        delete_version(world.bucket, version.key, version.version_id)
    world.bucket.client.put_object(Bucket=world.bucket.name, Key="archive/late", Body=b"late")
    assert len(found()) == 1
    beginning.put_back()
    assert len(before) > 5
    assert found() == before


@pytest.mark.usefixtures("begins_archived")
@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_the_month_to_itself(world: World, turn: int) -> None:
    before: MonthDigests = world.digests()
    world.verified_backup()
    world.purge()
    world.thaw()
    assert world.digests() == before
    assert len(world.filled) == world.count("content_segment_keys") == 40
