"""A version of an object is asked back from Glacier by its id: moto knows the newest one alone."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from moto.s3.exceptions import InvalidObjectState, MissingKey, MissingVersion
from moto.s3.models import S3Backend
from moto.s3.utils import ARCHIVE_STORAGE_CLASSES

VERSION: Final[ContextVar[str | None]] = ContextVar("version", default=None)
"""Which version the request names that is being answered."""


def ask_back_by_version() -> None:
    """Let moto restore the version that a request names, which may not be the newest."""
    S3Backend.restore_object = _restore  # type: ignore[method-assign, assignment]


def _restore(
    self: S3Backend, bucket_name: str, key_name: str, days: str | None, _type: str | None
) -> bool:
    version = VERSION.get()
    key = self.get_object(bucket_name, key_name, version_id=version)
    if key is None:
        raise MissingKey(key=key_name) if version is None else MissingVersion()
    if key.storage_class not in ARCHIVE_STORAGE_CLASSES:
        raise InvalidObjectState(storage_class=key.storage_class)
    was_restored = key.expiry_date is not None
    if days:
        key.restore(int(days))
    return was_restored
