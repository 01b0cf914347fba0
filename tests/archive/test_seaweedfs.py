"""The archive on SeaweedFS: it compares checksums, keeps locks, and tells other things than moto.

It serves what is in a Glacier class at once, and knows no restore: thaws are tried on moto.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket, Missing
from ft_ops.s3.objects import (
    Retention,
    WrongContent,
    copy_to_class,
    delete_version,
    download,
    head,
    put_once,
    retain,
    versions,
)
from ft_ops.s3.posture import Purpose, bucket_posture, weaknesses
from ft_ops.s3.upload import PART_BYTES, UploadOnce, half_uploads
from tests.archive.world import World

pytestmark = pytest.mark.seaweedfs


def test_a_month_goes_through_the_whole_archive(seaweedfs_bucket: Bucket, world: World) -> None:
    world.bucket = seaweedfs_bucket
    world.fill()
    generation = world.archived_and_purged()
    assert {item.stored.storage_class for item in generation.objects} == {
        "DEEP_ARCHIVE",
        "STANDARD",
    }
    for item in generation.objects:
        assert head(seaweedfs_bucket, item.stored) == item.stored


def test_nothing_is_overwritten(seaweedfs_bucket: Bucket) -> None:
    put_once(seaweedfs_bucket, "a", b"first")
    with pytest.raises(Refused):
        put_once(seaweedfs_bucket, "a", b"second")
    with pytest.raises(Refused), UploadOnce(seaweedfs_bucket, "a") as sink:
        sink.write(bytes(PART_BYTES + 1))
    assert len(list(versions(seaweedfs_bucket, "a"))) == 1
    assert not list(half_uploads(seaweedfs_bucket, "a"))


def test_a_part_that_arrives_damaged_is_refused(
    seaweedfs_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checksum goes with the part: the endpoint compares, and moto would not."""
    put_part = seaweedfs_bucket.client.upload_part

    def damaged(**request: object) -> object:
        return put_part(**{**request, "Body": b"x" * PART_BYTES})  # type: ignore[arg-type]

    monkeypatch.setattr(seaweedfs_bucket.client, "upload_part", damaged)
    with (
        pytest.raises(OpsError, match=r"BadDigest|checksum|SHA256"),
        UploadOnce(seaweedfs_bucket, "a") as sink,
    ):
        sink.write(bytes(PART_BYTES + 1))
    assert not list(versions(seaweedfs_bucket, "a"))


def test_a_large_object_is_copied_and_read_back(seaweedfs_bucket: Bucket, tmp_path: Path) -> None:
    with UploadOnce(seaweedfs_bucket, "a") as sink:
        sink.write(bytes(2 * PART_BYTES + 7))
    copy = copy_to_class(seaweedfs_bucket, sink.stored, "GLACIER_IR")
    download(seaweedfs_bucket, copy, tmp_path / "a")
    with pytest.raises(WrongContent):
        copy_to_class(seaweedfs_bucket, replace(copy, sha256="0" * 64), "DEEP_ARCHIVE")


def test_a_lock_keeps_its_version_and_what_is_gone_is_missing(seaweedfs_bucket: Bucket) -> None:
    stored = put_once(seaweedfs_bucket, "a", b"first")
    retain(seaweedfs_bucket, stored, Retention("GOVERNANCE", datetime.now(UTC) + timedelta(1)))
    with pytest.raises(OpsError, match="refused"):
        delete_version(seaweedfs_bucket, stored.key, stored.version_id)
    other = put_once(seaweedfs_bucket, "b", b"other")
    delete_version(seaweedfs_bucket, other.key, other.version_id)
    with pytest.raises(Missing):
        head(seaweedfs_bucket, other)


def test_what_a_server_has_no_setting_for_is_not_set(seaweedfs_bucket: Bucket) -> None:
    posture = bucket_posture(seaweedfs_bucket)
    assert (posture.versioned, posture.object_lock) == (True, True)
    assert not posture.public_access_blocked
    assert "public access is not blocked" in {
        weakness.cause
        for weakness in weaknesses(
            "a", posture, Purpose(needs_object_lock=True, keeps_every_version=True)
        )
    }
