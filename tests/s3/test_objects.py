"""Objects are written once, whole or not at all, and read by version."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket, Missing, open_bucket
from ft_ops.s3.glacier import availability, request_restore
from ft_ops.s3.objects import (
    Retention,
    WrongContent,
    copy_to_class,
    delete_version,
    download,
    head,
    put_once,
    read_object,
    retain,
    versions,
)
from ft_ops.s3.upload import PART_BYTES, UploadOnce, half_uploads


def test_a_key_is_written_once(bucket: Bucket) -> None:
    put_once(bucket, "a", b"first")
    with pytest.raises(Refused, match="nothing is ever overwritten"):
        put_once(bucket, "a", b"second")
    assert len(list(versions(bucket, "a"))) == 1


@pytest.mark.parametrize("size", [0, 10, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 7])
def test_an_upload_of_any_size_is_what_was_written(
    bucket: Bucket, tmp_path: Path, size: int
) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    with UploadOnce(bucket, "big") as sink:
        for start in range(0, size, 1_000_003):
            sink.write(content[start : start + 1_000_003])
    assert sink.stored.sha256 == hashlib.sha256(content).hexdigest()
    download(bucket, sink.stored, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_an_upload_over_an_existing_key_is_refused_and_leaves_nothing(bucket: Bucket) -> None:
    put_once(bucket, "big", b"first")
    with pytest.raises(Refused), UploadOnce(bucket, "big") as sink:
        sink.write(bytes(PART_BYTES + 1))
    assert len(list(versions(bucket, "big"))) == 1
    assert not list(half_uploads(bucket, "big"))


def test_an_interrupted_upload_leaves_nothing(bucket: Bucket) -> None:
    def interrupted() -> None:
        with UploadOnce(bucket, "big") as sink:
            sink.write(bytes(3 * PART_BYTES))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(versions(bucket, "big")) == []
    assert not list(half_uploads(bucket, "big"))


def test_what_a_forgotten_writer_adds_after_the_interruption_goes_nowhere(bucket: Bucket) -> None:
    with pytest.raises(KeyboardInterrupt), UploadOnce(bucket, "big") as sink:
        raise KeyboardInterrupt
    assert sink.write(bytes(PART_BYTES)) == PART_BYTES
    assert list(half_uploads(bucket, "")) == []


def test_an_upload_that_was_begun_twice_is_whole_and_leaves_nothing_else(bucket: Bucket) -> None:
    """boto3 asks again for an upload where the first answer was lost; S3 has begun both."""
    with UploadOnce(bucket, "big") as sink:
        for key in ("big", "bigger"):
            bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
        sink.write(bytes(PART_BYTES + 1))
    assert read_object(bucket, sink.stored) == bytes(PART_BYTES + 1)
    assert [upload.key for upload in half_uploads(bucket, "")] == ["bigger"]


def test_reading_by_version_passes_a_delete_marker_by(bucket: Bucket) -> None:
    stored = put_once(bucket, "a", b"content")
    bucket.client.delete_object(Bucket=bucket.name, Key="a")
    assert read_object(bucket, stored) == b"content"


def test_other_bytes_than_recorded_are_named(bucket: Bucket) -> None:
    stored = put_once(bucket, "a", b"content")
    with pytest.raises(WrongContent, match="expected 7 bytes"):
        read_object(bucket, replace(stored, sha256="0" * 64))
    delete_version(bucket, "a", stored.version_id)
    with pytest.raises(Missing, match="version"):
        read_object(bucket, stored)


def test_a_frozen_copy_has_the_same_checksum_and_a_class_of_its_own(bucket: Bucket) -> None:
    with UploadOnce(bucket, "big") as sink:
        sink.write(bytes(PART_BYTES + 5))
    frozen = copy_to_class(bucket, sink.stored, "DEEP_ARCHIVE")
    assert frozen.version_id != sink.stored.version_id
    assert head(bucket, frozen) == frozen
    assert frozen.sha256 == sink.stored.sha256
    assert not availability(bucket, frozen).readable
    request_restore(bucket, frozen, days=1, tier="Bulk")
    assert availability(bucket, frozen).readable


def test_a_copy_of_other_bytes_than_proven_is_refused(bucket: Bucket) -> None:
    stored = put_once(bucket, "a", b"content")
    with pytest.raises(WrongContent):
        copy_to_class(bucket, replace(stored, sha256="0" * 64), "GLACIER")


def test_deep_archive_is_never_asked_for_expedited(bucket: Bucket) -> None:
    frozen = copy_to_class(bucket, put_once(bucket, "a", b"x"), "DEEP_ARCHIVE")
    with pytest.raises(Refused, match="no Expedited retrieval"):
        request_restore(bucket, frozen, days=1, tier="Expedited")


def test_a_bucket_without_versions_is_refused(aws: str) -> None:
    boto3.client("s3").create_bucket(Bucket="unversioned-bucket")
    with pytest.raises(OpsError, match="it is not versioned"):
        open_bucket("unversioned-bucket")


def test_a_missing_bucket_is_named(aws: str) -> None:
    with pytest.raises(OpsError, match="bucket no-such-bucket"):
        open_bucket("no-such-bucket")


def test_of_a_bucket_that_is_gone_no_object_is_called_missing(bucket: Bucket) -> None:
    """To a HEAD, S3 answers the same of an object that is not there."""
    stored = put_once(bucket, "a", b"x")
    delete_version(bucket, "a", stored.version_id)
    for ask in (head, availability):
        with pytest.raises(Missing, match="version"):
            ask(bucket, stored)
    bucket.client.delete_bucket(Bucket=bucket.name)
    for ask in (head, availability):
        with pytest.raises(OpsError, match=f"^bucket {bucket.name}: .*create the bucket") as told:
            ask(bucket, stored)
        assert not isinstance(told.value, Missing)


def test_an_unreachable_endpoint_is_named(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OpsError, match="check the endpoint"):
        open_bucket("some-bucket")


def test_an_object_lock_is_on_the_frozen_version(bucket: Bucket) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    stored = put_once(bucket, "a", b"x")
    retain(bucket, stored, Retention("GOVERNANCE", until))
    retain(bucket, stored, Retention("GOVERNANCE", until))
    with pytest.raises(OpsError, match="AccessDenied"):
        delete_version(bucket, "a", stored.version_id)
