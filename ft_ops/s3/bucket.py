"""A bucket: opened with bounded time-outs, its failures put into words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from ft_ops.clock import utc_now
from ft_ops.errors import OpsError, mask_secrets
from ft_ops.format import human_duration
from ft_ops.s3.bounded import bound
from ft_ops.s3.silence import NotAsked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BUSY = "it is the service's own trouble, or too many requests at once: run again later"
_KEY = "see AWS_ACCESS_KEY_ID, its secret and the profile: this endpoint does not know them"
_TOKEN = "renew the session (aws sso login, or a new token) and see AWS_SESSION_TOKEN"
_KMS = (
    "nothing says that its content is wrong: see the state of the key in KMS that it is encrypted "
    "by (aws kms describe-key), enable it or cancel its deletion, and see that the role may use it"
)
_NO_BUCKET = "create the bucket, or correct its name"
_REGION = "set AWS_REGION to the bucket's own region"
_IF_IT_PASSES = "see the cause; if it passes, run again"
_CLOCK = "set this machine's clock, and let NTP keep it, then run again"

_NEXT_STEPS = {
    "NoSuchBucket": _NO_BUCKET,
    "404": "look for the bucket, the object and its versions; somebody may have removed it",
    "NoSuchKey": "look for the object's versions; somebody may have removed it",
    "NoSuchVersion": "look for the object's versions; somebody may have removed it",
    "403": "grant the role that runs this what deploy/iam lists, and the use of the key that "
    "encrypts the object; check its owner; S3 says the same to an access key it does not know",
    "AccessDenied": "grant the role that runs this what deploy/iam lists",
    "InvalidObjectState": "the object is in Glacier: thaw its month first",
    **dict.fromkeys(("SlowDown", "503", "ServiceUnavailable"), _BUSY),
    **dict.fromkeys(("InternalError", "500"), _BUSY),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch"), _KEY),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "InvalidToken"), _TOKEN),
    # To a HEAD, S3 answers with a number alone.
    "400": f"if it says so of everything, {_TOKEN}. If it says so of some objects, {_KMS}",
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "301"), _REGION),
    "RequestTimeTooSkewed": _CLOCK,
    "DBInstanceNotFound": "let FT_RDS_INSTANCE name an instance of this account and AWS_REGION",
}

_MOST_SKEW_SECONDS = 15 * 60
"""Of a request that is dated otherwise, S3 says that it is too skewed."""

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_DENIED = frozenset({"403", "AccessDenied"})


class Missing(OpsError):
    """An object, or the version of it that was asked for, is not there."""


class Damaged(OpsError):
    """What arrived of an object is not what S3's checksum is of: damaged there, or on the way."""


class Silent(OpsError):
    """Nothing was asked, because the endpoint answers nothing: whoever has more to ask may stop."""


class Denied(OpsError):
    """S3 does not let it: by the role's policies, or by a lock or retention on the version."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the client that speaks to it; safe to share among threads.

    ``endpoint_url`` is that of its own, where it isn't the one of boto3's settings: for programs of
    others, which are to find the same bucket.
    """

    name: str
    client: S3Client
    endpoint_url: str | None = None

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"


def open_bucket(name: str, *, region: str | None = None, endpoint_url: str | None = None) -> Bucket:
    """Open a bucket that must exist and must be versioned; an OpsError says what is wrong.

    Region and endpoint, where they are not named, and credentials are boto3's own settings
    (AWS_ENDPOINT_URL_S3, AWS_REGION, profiles, roles).
    """
    bucket = open_foreign_bucket(name, region=region, endpoint_url=endpoint_url)
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


def open_foreign_bucket(
    name: str, *, region: str | None = None, endpoint_url: str | None = None
) -> Bucket:
    """Open a bucket that we only read, and that may be versioned or not; it must exist."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        # Exports and read-backs run several requests at once, by several threads.
        max_pool_connections=16,
    )
    with naming(f"bucket {name}"):
        client = client_of("s3", region_name=region, endpoint_url=endpoint_url, config=config)
        bucket = Bucket(name, client, endpoint_url)
        bucket.client.head_bucket(Bucket=name)
    return bucket


def client_of(service: Literal["s3", "rds", "kms"], **options: Any) -> Any:
    """A client of boto3 whose requests end; or an OpsError about what its own settings hold."""
    try:
        return _session().client(service, **options)
    except ValueError as error:
        raise OpsError(
            f"boto3's settings for {service}",
            cause=mask_secrets(str(error)),
            next_step="write AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 with http:// or https://, "
            "and see AWS_REGION and the profile",
        ) from error


def _session() -> boto3.Session:
    """boto3's own for this process, which reads its files once."""
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    assert session is not None
    session.events.register("creating-client-class", bound, unique_id="ft-ops bounded")
    return session


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn boto3's exceptions into an OpsError about ``what``."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", "")
        kind = Missing if code in _MISSING else Denied if code in _DENIED else OpsError
        cause = f"{error.operation_name} was refused: {code} {message}".rstrip()
        next_step = _NEXT_STEPS.get(code, _KMS if code.startswith("KMS.") else _IF_IT_PASSES)
        if kind is Missing and error.operation_name == "HeadBucket":
            # No word of any object: a bucket that is not there is no reason to give one up.
            kind, next_step = OpsError, _NO_BUCKET
        if kind is Denied and (skew := _clock_skew(error)) is not None:
            # To a HEAD, S3 answers with a number alone.
            kind, next_step = OpsError, _CLOCK
            cause += f"; the clock here and that of S3 differ by {human_duration(skew)}"
        raise kind(what, cause=cause, next_step=next_step) from error
    except FlexibleChecksumError as error:
        raise Damaged(
            what,
            cause=f"what arrived of it does not have its checksum: {error}",
            next_step="read it again; if it stays so, it is damaged where it lies: look for an "
            "older version or another copy of it",
        ) from error
    except NotAsked as error:
        raise Silent(
            what,
            cause=str(error),
            next_step="see that the endpoint is up and can be reached from here, then run again",
        ) from error
    except BotoCoreError as error:
        raise OpsError(
            what,
            cause=str(error),
            next_step="check the endpoint, the network and the credentials, then run again",
        ) from error


@contextmanager
def naming_object(bucket: Bucket, what: str) -> Iterator[None]:
    """The same about an object, asked by HEAD. Missing only if the bucket itself is there.

    To a HEAD, S3 answers 404 alone, whether the object is not there or its bucket.
    """
    try:
        with naming(what):
            yield
    except Missing:
        with naming(f"bucket {bucket.name}"):
            bucket.client.head_bucket(Bucket=bucket.name)
        raise


def said(response: Mapping[str, Any], name: str, what: str) -> str:
    """What S3 has to say in an answer to a write; an OpsError where it does not."""
    value: str | None = response.get(name)
    if not value:
        raise OpsError(
            what,
            cause=f"it was written, and the answer names no {name}: nothing can be recorded of it",
            next_step="see that the bucket is versioned, and that nothing between here and the "
            "endpoint takes headers out of its answers; then run again",
        )
    return value


def _clock_skew(error: ClientError) -> float | None:
    """By how many seconds the clocks differ, when that is more than S3 takes; else None."""
    said = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if said is None:
        return None
    try:
        skew = abs((parsedate_to_datetime(said) - utc_now()).total_seconds())
    except (TypeError, ValueError):
        return None
    return skew if skew > _MOST_SKEW_SECONDS else None
