"""Objects that are written once, read by version, and moved between storage classes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket, naming, naming_object, said

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CopyObjectRequestTypeDef

CHUNK_BYTES = 1 << 20


class WrongContent(OpsError):
    """A stored version does not hold the bytes that were written."""


class Unverified(OpsError):
    """Nobody can tell what a version holds: S3 says no checksum, and it can't be read."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of one object. ``sha256`` is of the whole content, in hexadecimal."""

    key: str
    version_id: str
    bytes: int
    sha256: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class Version:
    """What a listing says of one version."""

    key: str
    version_id: str
    bytes: int
    storage_class: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of an object's newest version. The ETag is another for other content."""

    key: str
    etag: str
    bytes: int
    storage_class: str
    last_modified: datetime

    @property
    def is_folder(self) -> bool:
        """Whether it only makes a folder show: consoles and file systems over S3 leave such."""
        return self.key.endswith("/") and self.bytes == 0


@dataclass(frozen=True, slots=True)
class Retention:
    """An Object Lock of one version."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    until: datetime


def put_once(bucket: Bucket, key: str, body: bytes) -> StoredObject:
    """Write a small object under a key that has none yet; Refused when it has."""
    with naming(bucket.url(key)), refusing_overwrite(bucket, key):
        for is_last in (False, False, True):
            try:
                response = bucket.client.put_object(
                    Bucket=bucket.name,
                    Key=key,
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                )
                break
            except ClientError as error:
                # Somebody writes the same key at this moment: asked again, S3 says who was first.
                code = error.response.get("Error", {}).get("Code", "")
                if is_last or code != "ConditionalRequestConflict":
                    raise
    version_id = said(response, "VersionId", bucket.url(key))
    return StoredObject(key, version_id, len(body), hashlib.sha256(body).hexdigest(), "STANDARD")


class refusing_overwrite:  # noqa: N801  a context manager, used like a function
    """Turns S3's failed IfNoneMatch into Refused."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._url = bucket.url(key)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if (
            isinstance(error, ClientError)
            and error.response.get("Error", {}).get("Code") == "PreconditionFailed"
        ):
            raise Refused(
                self._url,
                cause="an object of this key exists, and nothing is ever overwritten",
                next_step="find out which run wrote it: list its versions",
            ) from error


def read_object(bucket: Bucket, stored: StoredObject) -> bytes:
    """The content of a small object, by version; an OpsError unless size and SHA-256 agree."""
    body = b"".join(_chunks(bucket, stored.key, stored.version_id))
    _refuse_half(bucket, stored, len(body))
    _refuse_other_content(bucket, stored, len(body), hashlib.sha256(body).hexdigest())
    return body


def download(bucket: Bucket, stored: StoredObject, path: Path) -> None:
    """Write the object's content to ``path``; an OpsError unless size and SHA-256 agree."""
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for chunk in _chunks(bucket, stored.key, stored.version_id):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    _refuse_half(bucket, stored, size)
    _refuse_other_content(bucket, stored, size, digest.hexdigest())


def copy_to_class(bucket: Bucket, stored: StoredObject, storage_class: str) -> StoredObject:
    """Copy a version onto its own key in another storage class, as a new version.

    WrongContent unless the copy's SHA-256 is the original's: as the endpoint tells it in its
    answer, else of the copy when asked for it, else of what is read back. Unverified when there is
    none of these: then the copy stays beside the original.
    """
    return copy_version(bucket, stored, bucket, storage_class)


def copy_version(
    source: Bucket, stored: StoredObject, target: Bucket, storage_class: str
) -> StoredObject:
    """The same from one bucket into another, in whatever region, under the same key."""
    request: CopyObjectRequestTypeDef = {
        "Bucket": target.name,
        "Key": stored.key,
        "CopySource": {"Bucket": source.name, "Key": stored.key, "VersionId": stored.version_id},
        "StorageClass": storage_class,  # type: ignore[typeddict-item]  # validated by the settings
        "ChecksumAlgorithm": "SHA256",
        "MetadataDirective": "COPY",
    }
    with naming(target.url(stored.key)):
        response = target.client.copy_object(**request)
    sha256 = _hex(response.get("CopyObjectResult", {}).get("ChecksumSHA256"))
    version_id = said(response, "VersionId", target.url(stored.key))
    copy = replace(stored, version_id=version_id, storage_class=storage_class)
    # AWS answers with a checksum; SeaweedFS tells it only when asked for the copy.
    size = stored.bytes
    if not sha256:
        found = head(target, copy)
        size, sha256 = found.bytes, found.sha256
    _refuse_other_content(target, copy, size, sha256)
    return copy


def retain(bucket: Bucket, stored: StoredObject, retention: Retention) -> None:
    """Put an Object Lock on exactly this version; the same lock may be put again."""
    with naming(f"{bucket.url(stored.key)} version {stored.version_id}"):
        bucket.client.put_object_retention(
            Bucket=bucket.name,
            Key=stored.key,
            VersionId=stored.version_id,
            Retention={"Mode": retention.mode, "RetainUntilDate": retention.until},
        )


def head(bucket: Bucket, stored: StoredObject) -> StoredObject:
    """What exactly this version is now; an OpsError unless it is there.

    Its SHA-256 is what S3 says, else that of the content, which is read whole. Unverified where
    that can't be done.
    """
    found = told(bucket, stored)
    if found.sha256:
        return found
    try:
        body = _chunks(bucket, stored.key, stored.version_id)
        return replace(found, sha256=_sha256(body))
    except OpsError as error:
        raise Unverified(
            f"{bucket.url(stored.key)} version {stored.version_id}",
            cause="the endpoint tells no SHA-256 of it, and its content can't be read: "
            f"{error.cause}",
            next_step="nothing says that its content is wrong. Use an endpoint that keeps SHA-256 "
            "checksums (AWS does), or a storage class that can be read at once: GLACIER_IR",
        ) from error


def told(bucket: Bucket, stored: StoredObject) -> StoredObject:
    """What S3 says of exactly this version now, without reading it: one request.

    ``sha256`` is empty where S3 tells none of the whole content. An OpsError unless it is there.
    """
    with naming_object(bucket, f"{bucket.url(stored.key)} version {stored.version_id}"):
        response = bucket.client.head_object(
            Bucket=bucket.name,
            Key=stored.key,
            VersionId=stored.version_id,
            ChecksumMode="ENABLED",
        )
    return StoredObject(
        key=stored.key,
        version_id=stored.version_id,
        bytes=response["ContentLength"],
        sha256=_hex(response.get("ChecksumSHA256")),
        # S3 leaves the header out for STANDARD.
        storage_class=response.get("StorageClass", "STANDARD"),
    )


def versions(bucket: Bucket, prefix: str) -> Iterator[Version]:
    """Every version below a prefix, delete markers left out."""
    with naming(bucket.url(prefix)):
        pages = bucket.client.get_paginator("list_object_versions").paginate(
            Bucket=bucket.name, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Versions", []):
                yield Version(
                    key=item["Key"],
                    version_id=item["VersionId"],
                    bytes=item["Size"],
                    storage_class=item.get("StorageClass", "STANDARD"),
                    last_modified=item["LastModified"],
                )


def objects(bucket: Bucket, prefix: str) -> Iterator[Listed]:
    """Every object below a prefix by key, as a reader without version ids finds it."""
    with naming(bucket.url(prefix)):
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket.name, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Contents", []):
                yield Listed(
                    key=item["Key"],
                    etag=item["ETag"].strip('"'),
                    bytes=item["Size"],
                    storage_class=item.get("StorageClass", "STANDARD"),
                    last_modified=item["LastModified"],
                )


def read_current(bucket: Bucket, key: str) -> bytes:
    """The newest content of an object that somebody else wrote; nothing is compared."""
    with naming(bucket.url(key)):
        return bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()


def read_version(bucket: Bucket, version: Version) -> bytes:
    """The content of one version that somebody else may have written; nothing is compared."""
    with naming(f"{bucket.url(version.key)} version {version.version_id}"):
        return bucket.client.get_object(
            Bucket=bucket.name, Key=version.key, VersionId=version.version_id
        )["Body"].read()


def replace_current(bucket: Bucket, key: str, body: bytes) -> None:
    """Write an object's newest content; its older versions stay as long as the lifecycle says."""
    with naming(bucket.url(key)):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body, ChecksumAlgorithm="SHA256")


def hide(bucket: Bucket, key: str) -> None:
    """Put a delete marker on an object; its versions stay as long as the lifecycle says."""
    with naming(bucket.url(key)):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)


def delete_version(bucket: Bucket, key: str, version_id: str) -> None:
    """Delete exactly one version, for good; no marker is left. Absent is as good as deleted."""
    with naming(f"{bucket.url(key)} version {version_id}"):
        bucket.client.delete_object(Bucket=bucket.name, Key=key, VersionId=version_id)


def _chunks(bucket: Bucket, key: str, version_id: str) -> Iterator[bytes]:
    with naming(f"{bucket.url(key)} version {version_id}"):
        response = bucket.client.get_object(Bucket=bucket.name, Key=key, VersionId=version_id)
        # Whoever takes the chunks may stop before the last one.
        with closing(response["Body"]) as body:
            yield from body.iter_chunks(CHUNK_BYTES)


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _refuse_half(bucket: Bucket, expected: StoredObject, size: int) -> None:
    """An OpsError where S3 has answered with another number of bytes than it says that it has.

    A body that ended early, or an error in its place, tells nothing about what is stored.
    """
    if size == expected.bytes:
        return
    has = told(bucket, expected).bytes
    if has != size:
        raise OpsError(
            f"{bucket.url(expected.key)} version {expected.version_id}",
            cause=f"the answer had {size} bytes, and the endpoint says that it has {has}",
            next_step="nothing says that its content is wrong. See what stands between here and "
            "the endpoint, and run again",
        )


def _refuse_other_content(bucket: Bucket, expected: StoredObject, size: int, sha256: str) -> None:
    if (size, sha256) != (expected.bytes, expected.sha256):
        raise WrongContent(
            f"{bucket.url(expected.key)} version {expected.version_id}",
            cause=f"it holds {size} bytes with SHA-256 {sha256 or '(none)'}, expected "
            f"{expected.bytes} bytes with {expected.sha256}",
            next_step="keep the database's rows; export this month again as the next generation",
        )


def _hex(checksum: str | None) -> str:
    """S3's base64 in hexadecimal; empty when there is none or it is a composite (`…-N`)."""
    if not checksum or "-" in checksum:
        return ""
    return base64.b64decode(checksum).hex()
