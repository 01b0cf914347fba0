"""Objects that several may replace: written only if they are what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket, Missing, naming, naming_object
from ft_ops.s3.objects import replace_current

_CHANGED: Final = frozenset(
    {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404"}
)
_NO_CONDITIONS: Final = frozenset({"NotImplemented", "501"})


class Changed(OpsError):
    """An object is not what it was when it was read: somebody else has written it since."""


@dataclass(frozen=True, slots=True)
class Current:
    """An object's newest content, and the ETag by which S3 knows it again."""

    content: bytes
    etag: str


def read_with_etag(bucket: Bucket, key: str) -> Current:
    """The newest content of an object, to be replaced by `replace_unchanged`."""
    with naming(bucket.url(key)):
        response = bucket.client.get_object(Bucket=bucket.name, Key=key)
        return Current(response["Body"].read(), response["ETag"])


def replace_unchanged(bucket: Bucket, key: str, body: bytes, etag: str | None) -> str:
    """Write an object's newest content if it still has this ETag; None: if there is no such object.

    The new ETag; Changed when it is another one by now, or when this very request was repeated. An
    endpoint without conditional writes is asked for the ETag just before: there, whoever writes in
    between is not noticed.
    """
    condition: dict[str, str] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
    try:
        with naming(bucket.url(key)):
            return bucket.client.put_object(
                Bucket=bucket.name,
                Key=key,
                Body=body,
                ChecksumAlgorithm="SHA256",
                **condition,  # type: ignore[arg-type]  # one of two strings
            )["ETag"]
    except OpsError as error:
        answer = error.__cause__
        known = answer.response.get("Error", {}) if isinstance(answer, ClientError) else {}
        code = known.get("Code", "")
        if code in _NO_CONDITIONS and _etag(bucket, key) == etag:
            replace_current(bucket, key, body)
            return read_with_etag(bucket, key).etag
        if code in _NO_CONDITIONS | _CHANGED:
            raise Changed(
                bucket.url(key),
                cause="somebody else has written it since it was read",
                next_step="run again: what was written meanwhile is read then",
            ) from error
        raise


def _etag(bucket: Bucket, key: str) -> str | None:
    try:
        with naming_object(bucket, bucket.url(key)):
            return bucket.client.head_object(Bucket=bucket.name, Key=key)["ETag"]
    except Missing:
        return None
