"""Glacier's waiting times and expiring copies, on a clock that tests move, in front of moto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import boto3
from botocore.awsrequest import AWSResponse

_ASKED: Final = "ft_asked"
_COLD: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_WAIT: Final = timedelta(hours=24)

Version: TypeAlias = tuple[str, str, str]
"""Bucket, key and version."""

Answer: TypeAlias = tuple[AWSResponse, dict[str, Any]]


@dataclass(slots=True)
class Glacier:
    """Which versions were asked back, and from when until when each copy can be read.

    moto hands an object out as soon as it was asked for, and for ever.
    """

    now: timedelta = timedelta(0)
    copies: dict[Version, tuple[timedelta, timedelta]] = field(default_factory=dict)
    classes: dict[Version, str] = field(default_factory=dict)

    def restore_header(self, version: Version) -> str | None:
        """S3's header: none before it was asked for, and none when the copy is gone."""
        ready, until = self.copies.get(version, (self.now, self.now))
        if until <= self.now:
            return None
        if ready > self.now:
            return 'ongoing-request="true"'
        expiry = datetime.now(UTC) + (until - self.now)
        return f'ongoing-request="false", expiry-date="{format_datetime(expiry, usegmt=True)}"'

    def is_readable(self, version: Version) -> bool:
        return (self.restore_header(version) or "").startswith('ongoing-request="false"')

    def remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        """Keep an operation's parameters where the handlers of its call find them."""
        context[_ASKED] = params

    def before_restore(self, context: dict[str, Any], **_: Any) -> Answer | None:
        asked = context[_ASKED]
        version = _version(asked)
        if (self.restore_header(version) or "").startswith('ongoing-request="true"'):
            return _refusal(409, "RestoreAlreadyInProgress")
        return None

    def after_restore(self, http_response: AWSResponse, context: dict[str, Any], **_: Any) -> None:
        if http_response.status_code >= 300:
            return
        asked = context[_ASKED]
        version = _version(asked)
        ready = self.now if self.is_readable(version) else self.now + _WAIT
        self.copies[version] = (ready, ready + timedelta(days=asked["RestoreRequest"]["Days"]))

    def after_head(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        version = _version(context[_ASKED])
        self.classes[version] = parsed.get("StorageClass", "STANDARD")
        parsed.pop("Restore", None)
        header = self.restore_header(version)
        if header is not None and self.classes[version] in _COLD:
            parsed["Restore"] = header

    def after_copy(
        self, http_response: AWSResponse, parsed: dict[str, Any], context: dict[str, Any], **_: Any
    ) -> None:
        asked = context[_ASKED]
        if http_response.status_code < 300:
            made = (asked["Bucket"], asked["Key"], parsed.get("VersionId", ""))
            self.classes[made] = asked.get("StorageClass", "STANDARD")

    def before_get(self, context: dict[str, Any], **_: Any) -> Answer | None:
        return self._refuse_cold(_version(context[_ASKED]))

    def before_copy(self, context: dict[str, Any], **_: Any) -> Answer | None:
        # As botocore has put it by then, "bucket/key?versionId=…".
        source, query = str(context[_ASKED]["CopySource"]).split("?")
        bucket, key = unquote(source).split("/", 1)
        return self._refuse_cold((bucket, key, query.removeprefix("versionId=")))

    def _refuse_cold(self, version: Version) -> Answer | None:
        if self.classes.get(version) in _COLD and not self.is_readable(version):
            return _refusal(403, "InvalidObjectState")
        return None

    @contextmanager
    def in_front(self) -> Iterator[None]:
        """Every client that boto3's default session makes in the block asks this one first."""
        session = boto3._get_default_session()._session
        handlers: dict[str, Any] = {
            f"before-parameter-build.s3.{name}": self.remember
            for name in ("RestoreObject", "HeadObject", "GetObject", "CopyObject")
        } | {
            "before-call.s3.RestoreObject": self.before_restore,
            "after-call.s3.RestoreObject": self.after_restore,
            "after-call.s3.HeadObject": self.after_head,
            "after-call.s3.CopyObject": self.after_copy,
            "before-call.s3.GetObject": self.before_get,
            "before-call.s3.CopyObject": self.before_copy,
        }
        for event, handler in handlers.items():
            session.register(event, handler)
        try:
            yield
        finally:
            for event, handler in handlers.items():
                session.unregister(event, handler)


def _version(asked: dict[str, Any]) -> Version:
    return (asked["Bucket"], asked["Key"], asked.get("VersionId", ""))


def _refusal(status: int, code: str) -> Answer:
    response = AWSResponse("", status, {}, None)  # type: ignore[arg-type]
    parsed = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {}}
    return response, parsed
