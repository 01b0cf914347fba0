"""A file that is written to S3 while it grows, in bounded memory."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket, naming, said
from ft_ops.s3.objects import StoredObject, put_once, refusing_overwrite

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 << 20
"""Size of an uploaded part; S3 takes 10,000 of them, so an object may reach 80 GB."""

IN_FLIGHT = 2
"""Parts on their way at once. Memory is (IN_FLIGHT + 2) x PART_BYTES, whatever the object."""


class UploadOnce:
    """A binary sink for one object, under a key that must have none.

    Small content goes in a single request, more in parts. Leaving the block normally completes
    the object and sets ``stored``; leaving it by an exception aborts the upload, and nothing of
    it stays in the bucket.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._buffer = bytearray()
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._upload_id: str | None = None
        self._pending: deque[Future[CompletedPartTypeDef]] = deque()
        self._parts: list[CompletedPartTypeDef] = []
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="upload")
        self._stored: StoredObject | None = None
        self.closed = False

    @property
    def stored(self) -> StoredObject:
        if self._stored is None:
            raise OpsError(
                self._bucket.url(self._key),
                cause="its upload did not complete",
                next_step="run again",
            )
        return self._stored

    def write(self, data: bytes) -> int:
        if self.closed:
            # A writer that was interrupted ends its file once more when it is forgotten.
            return len(data)
        self._sha256.update(data)
        self._size += len(data)
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Parts have a minimum size: bytes leave when there are enough of them."""

    def close(self) -> None:
        """Called by whoever writes into the sink; the object is completed by the block's end."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._stored = self._complete()
        finally:
            self._pool.shutdown(cancel_futures=True)
            self.closed = True
            if self._stored is None:
                self._abort()

    def _send(self, data: bytes) -> None:
        if self._upload_id is None:
            with naming(self._bucket.url(self._key)):
                self._upload_id = self._bucket.client.create_multipart_upload(
                    Bucket=self._bucket.name, Key=self._key, ChecksumAlgorithm="SHA256"
                )["UploadId"]
        number = len(self._parts) + len(self._pending) + 1
        while len(self._pending) >= IN_FLIGHT:
            self._parts.append(self._pending.popleft().result())
        self._pending.append(self._pool.submit(self._put_part, self._upload_id, number, data))

    def _put_part(self, upload_id: str, number: int, data: bytes) -> CompletedPartTypeDef:
        # Told with the part, so that the endpoint compares; its answer need not repeat it.
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        with naming(f"{self._bucket.url(self._key)} part {number}"):
            response = self._bucket.client.upload_part(
                Bucket=self._bucket.name,
                Key=self._key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ChecksumSHA256=checksum,
            )
        etag = said(response, "ETag", f"{self._bucket.url(self._key)} part {number}")
        return {"PartNumber": number, "ETag": etag, "ChecksumSHA256": checksum}

    def _complete(self) -> StoredObject:
        if self._upload_id is None:
            return put_once(self._bucket, self._key, bytes(self._buffer))
        if self._buffer:
            self._send(bytes(self._buffer))
        self._parts += [pending.result() for pending in self._pending]
        self._pending.clear()
        with naming(self._bucket.url(self._key)), refusing_overwrite(self._bucket, self._key):
            response = self._bucket.client.complete_multipart_upload(
                Bucket=self._bucket.name,
                Key=self._key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                IfNoneMatch="*",
            )
        self._abort_strays()
        version_id = said(response, "VersionId", self._bucket.url(self._key))
        return StoredObject(self._key, version_id, self._size, self._sha256.hexdigest(), "STANDARD")

    def _abort_strays(self) -> None:
        """Abort what was begun and never used: the answer was lost, and boto3 asked again."""
        for upload in half_uploads(self._bucket, self._key):
            if upload.key == self._key and upload.upload_id != self._upload_id:
                abort_upload(self._bucket, upload)

    def _abort(self) -> None:
        if self._upload_id is not None:
            # What went wrong before is told; a part that stays is removed by the next run.
            with suppress(OpsError):
                abort_upload(self._bucket, HalfUpload(self._key, self._upload_id))


@dataclass(frozen=True, slots=True)
class HalfUpload:
    """An upload in parts that was neither completed nor aborted."""

    key: str
    upload_id: str


def half_uploads(bucket: Bucket, prefix: str) -> Iterator[HalfUpload]:
    """Every upload below a prefix that is under way, or that a dead process left."""
    with naming(bucket.url(prefix)):
        pages = bucket.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket.name, Prefix=prefix
        )
        for page in pages:
            for upload in page.get("Uploads", []):
                yield HalfUpload(upload["Key"], upload["UploadId"])


def abort_upload(bucket: Bucket, upload: HalfUpload) -> None:
    """Abort exactly this upload; S3 forgets its parts. One that is gone is as good as aborted."""
    with naming(bucket.url(upload.key)):
        try:
            bucket.client.abort_multipart_upload(
                Bucket=bucket.name, Key=upload.key, UploadId=upload.upload_id
            )
        except bucket.client.exceptions.NoSuchUpload:
            return
