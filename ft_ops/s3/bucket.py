"""A bucket: opened with bounded time-outs, its failures put into words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ft_ops.errors import OpsError, mask_secrets

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NEXT_STEPS = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "404": "look for the bucket, the object and its versions; somebody may have removed it",
    "NoSuchKey": "look for the object's versions; somebody may have removed it",
    "NoSuchVersion": "look for the object's versions; somebody may have removed it",
    "403": "grant the role that runs this what deploy/iam lists, and check the bucket's owner",
    "AccessDenied": "grant the role that runs this what deploy/iam lists",
    "InvalidObjectState": "the object is in Glacier: thaw its month first",
}

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_DENIED = frozenset({"403", "AccessDenied"})


class Missing(OpsError):
    """An object, or the version of it that was asked for, is not there."""


class Denied(OpsError):
    """S3 does not let it: by the role's policies, or by a lock or retention on the version."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the client that speaks to it; safe to share among threads."""

    name: str
    client: S3Client

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"


def open_bucket(name: str, *, region: str | None = None) -> Bucket:
    """Open a bucket that must exist and must be versioned; an OpsError says what is wrong.

    Endpoint, region and credentials are boto3's own settings (AWS_ENDPOINT_URL_S3, AWS_REGION,
    profiles, roles).
    """
    bucket = open_foreign_bucket(name, region=region)
    with naming(f"bucket {name}"):
        status = bucket.client.get_bucket_versioning(Bucket=name).get("Status")
    if status != "Enabled":
        raise OpsError(
            f"bucket {name}",
            cause="it is not versioned, so an object could be overwritten without a trace",
            next_step=f"aws s3api put-bucket-versioning --bucket {name} "
            "--versioning-configuration Status=Enabled",
        )
    return bucket


def open_foreign_bucket(name: str, *, region: str | None = None) -> Bucket:
    """Open a bucket that we only read, and that may be versioned or not; it must exist."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        # Exports and read-backs run several requests at once, by several threads.
        max_pool_connections=16,
    )
    with naming(f"bucket {name}"):
        bucket = Bucket(name, client_of("s3", region_name=region, config=config))
        bucket.client.head_bucket(Bucket=name)
    return bucket


def client_of(service: Literal["s3", "rds"], **options: Any) -> Any:
    """A client of boto3, or an OpsError about what its own settings hold."""
    try:
        return boto3.client(service, **options)
    except ValueError as error:
        raise OpsError(
            f"boto3's settings for {service}",
            cause=mask_secrets(str(error)),
            next_step="write AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 with http:// or https://, "
            "and see AWS_REGION and the profile",
        ) from error


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn boto3's exceptions into an OpsError about ``what``."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", "")
        kind = Missing if code in _MISSING else Denied if code in _DENIED else OpsError
        raise kind(
            what,
            cause=f"{error.operation_name} was refused: {code} {message}".rstrip(),
            next_step=_NEXT_STEPS.get(code, "see the cause; if it passes, run again"),
        ) from error
    except BotoCoreError as error:
        raise OpsError(
            what,
            cause=str(error),
            next_step="check the endpoint, the network and the credentials, then run again",
        ) from error
