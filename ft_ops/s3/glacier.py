"""Asking Glacier for objects, and knowing when they can be read.

A restored object keeps its storage class; only the Restore header tells that a readable copy
lies beside it, and until when.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

from botocore.exceptions import ClientError

from ft_ops.errors import Refused
from ft_ops.s3.bucket import Bucket, naming, naming_object
from ft_ops.s3.objects import Listed, StoredObject

Tier: TypeAlias = Literal["Expedited", "Standard", "Bulk"]

NEEDS_RESTORE: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes whose objects can't be read as they are; GLACIER_IR can."""

_INTELLIGENT_TIERING: Final = "INTELLIGENT_TIERING"
"""It may move objects to archive tiers of its own, which only the object itself tells."""

_EXPIRY = re.compile(r'expiry-date="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a version can be read now, and until when, if its copy is a temporary one."""

    readable: bool
    requested: bool
    until: datetime | None


def availability(bucket: Bucket, stored: StoredObject) -> Availability:
    """Ask S3 whether this version can be read."""
    with naming_object(bucket, f"{bucket.url(stored.key)} version {stored.version_id}"):
        response = bucket.client.head_object(
            Bucket=bucket.name, Key=stored.key, VersionId=stored.version_id
        )
    if response.get("StorageClass", "STANDARD") not in NEEDS_RESTORE:
        return Availability(readable=True, requested=False, until=None)
    header = response.get("Restore", "")
    expiry = _EXPIRY.search(header)
    return Availability(
        readable='ongoing-request="false"' in header,
        requested=bool(header),
        until=parsedate_to_datetime(expiry[1]) if expiry else None,
    )


def is_readable(bucket: Bucket, listed: Listed) -> bool:
    """Whether a listed object can be read now. Asks S3 only where its class leaves that open."""
    if listed.storage_class not in NEEDS_RESTORE | {_INTELLIGENT_TIERING}:
        return True
    with naming_object(bucket, bucket.url(listed.key)):
        response = bucket.client.head_object(Bucket=bucket.name, Key=listed.key)
    if listed.storage_class == _INTELLIGENT_TIERING and response.get("ArchiveStatus") is None:
        return True
    return 'ongoing-request="false"' in response.get("Restore", "")


def request_restore(bucket: Bucket, stored: StoredObject, *, days: int, tier: Tier) -> None:
    """Ask for a readable copy of a version, for ``days``; asking twice does no harm.

    Refused for Expedited on DEEP_ARCHIVE, which S3 does not offer.
    """
    if stored.storage_class not in NEEDS_RESTORE:
        return
    if stored.storage_class == "DEEP_ARCHIVE" and tier == "Expedited":
        raise Refused(
            bucket.url(stored.key),
            cause="objects in DEEP_ARCHIVE have no Expedited retrieval",
            next_step="ask for the tier Standard (within 12 hours) or Bulk (within 48)",
        )
    with naming(f"{bucket.url(stored.key)} version {stored.version_id}"):
        try:
            bucket.client.restore_object(
                Bucket=bucket.name,
                Key=stored.key,
                VersionId=stored.version_id,
                RestoreRequest={"Days": days, "GlacierJobParameters": {"Tier": tier}},
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "RestoreAlreadyInProgress":
                raise
