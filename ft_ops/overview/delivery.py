"""The morning's page on its ways out: a file, a folder of the archive bucket, a mail."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from ft_ops.alerting import addressed, send_mail, sendable, within
from ft_ops.errors import OpsError
from ft_ops.items import Worked, each
from ft_ops.s3.bucket import Bucket, naming, open_bucket
from ft_ops.settings import Settings

_LONGEST_MAIL_SECONDS: Final = 60.0
_READABLE: Final = 0o644
"""The file is for a web server, which is another user."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is delivered: the HTML file, and for a mail its subject and its text."""

    html: str
    subject: str
    text: str
    made_at: datetime

    @property
    def name(self) -> str:
        """That of its day: a second page of a day takes the first one's place."""
        return f"{self.made_at:%Y-%m-%d}.html"


def deliver(page: Page, settings: Settings, log: Callable[[str], None]) -> Worked[str]:
    """Deliver by every way that a setting opens: where it went, and which way failed and why.

    None is set: nothing is done. A way that fails keeps the page from no other.
    """
    ways: Mapping[str, Callable[[], str]] = {
        name: way
        for name, way, is_set in (
            ("FT_OVERVIEW_FILE", lambda: _write(page, settings), settings.overview_file),
            ("FT_OVERVIEW_PREFIX", lambda: _upload(page, settings), settings.overview_prefix),
            ("FT_OVERVIEW_EMAIL_TO", lambda: _mail(page, settings), settings.overview_email_to),
        )
        if is_set
    }
    return each(ways, lambda name: ways[name](), log=log)


def _write(page: Page, settings: Settings) -> str:
    path = settings.overview_file
    if path is None:
        raise AssertionError("this way is set")
    write_in_one_step(path, page.html)
    return str(path)


def write_in_one_step(path: Path, text: str) -> None:
    """Replace a file, so that a reader never finds half of it and a full disk leaves the old one.

    An OpsError when it can't be written; nothing else stays in the folder.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            Path(name).chmod(_READABLE)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OpsError(
            f"page {path}",
            cause=error.strerror or str(error),
            next_step="correct FT_OVERVIEW_FILE, or the rights on its folder and the room there",
        ) from error


def _upload(page: Page, settings: Settings) -> str:
    bucket = open_bucket(settings.require_archive_bucket())
    body = page.html.encode("utf-8", errors="backslashreplace")
    for name in (page.name, "latest.html"):
        _put(bucket, f"{settings.overview_prefix}/{name}", body)
    return bucket.url(f"{settings.overview_prefix}/{page.name}")


def _put(bucket: Bucket, key: str, body: bytes) -> None:
    """Put a version; the bucket keeps those before it."""
    with naming(bucket.url(key)):
        bucket.client.put_object(
            Bucket=bucket.name,
            Key=key,
            Body=body,
            ContentType="text/html; charset=utf-8",
            ChecksumAlgorithm="SHA256",
        )


def _mail(page: Page, settings: Settings) -> str:
    if settings.smtp_url is None:
        raise OpsError(
            "FT_OVERVIEW_EMAIL_TO",
            cause="FT_SMTP_URL is not set",
            next_step="set it, or unset FT_OVERVIEW_EMAIL_TO",
        )
    url = settings.smtp_url.get_secret_value()
    message = mail_of(page, settings.alert_email_from, settings.overview_email_to)
    refused: list[str] = []
    within(
        _LONGEST_MAIL_SECONDS,
        "mail of the morning's page",
        lambda: refused.extend(send_mail(url, message)),
    )
    if refused:
        raise OpsError(
            "FT_OVERVIEW_EMAIL_TO",
            cause=f"the mail server took it for all but {', '.join(sorted(refused))}",
            next_step="correct these addresses",
        )
    return ", ".join(sorted(settings.overview_email_to))


def mail_of(page: Page, sender: str, recipients: frozenset[str]) -> EmailMessage:
    """The page as a mail: what needs somebody as its text, the HTML file attached."""
    message = addressed(sendable(page.subject), sender, recipients)
    # Not every server takes eight bits or long lines.
    message.set_content(sendable(page.text), cte="quoted-printable")
    message.add_attachment(
        sendable(page.html), subtype="html", cte="base64", filename=f"overview-{page.name}"
    )
    return message
