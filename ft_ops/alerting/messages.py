"""What an alert says, and how it looks as Slack's JSON and as mail. No secret gets into either."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.utils import localtime
from typing import Final, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from ft_ops.errors import mask_secrets
from ft_ops.settings import Settings

Level = Literal["error", "warning", "recovered"]

_SIGN: Final[dict[Level, str]] = {"error": "🔴", "warning": "🟡", "recovered": "🟢"}
_LONGEST_DETAIL = 1500
_LONGEST_SECTION = 3000
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell. ``identity`` is equal for two alerts that tell the same.

    ``link`` leads to the run or the schedule, ``runbook`` to the section on what to do.
    ``incident`` is equal for a failure and its recovery; empty, it is the identity.
    """

    identity: str
    level: Level
    title: str
    detail: str
    link: str | None
    runbook: str | None
    incident: str = ""

    def masked(self, secrets: Collection[str]) -> Alert:
        """The same alert without passwords in URLs, without any of ``secrets``, and sendable."""

        def told(text: str) -> str:
            return sendable(masked_text(text, secrets))

        return replace(
            self,
            identity=told(self.identity),
            title=told(self.title),
            detail=told(self.detail),
            incident=told(self.incident),
        )


def masked_text(text: str, secrets: Collection[str]) -> str:
    """The text without passwords in URLs, and without any of ``secrets``."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return mask_secrets(text)


def known_secrets(settings: Settings, environment: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Every secret of this deployment that a message might quote, in each of its spellings.

    The settings' own, the passwords inside its URLs, and the secrets that boto3 and libpq read
    from the environment by themselves.
    """
    texts: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            texts.add(value.get_secret_value())
            texts |= _passwords(value.get_secret_value())
    texts |= {
        value
        for name, value in environment
        if name in {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD"}
    }
    return frozenset(text for text in texts if len(text) >= _SHORTEST_SECRET)


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password
    except ValueError:  # no URL at all: a libpq keyword string, which mask_secrets knows
        return set()
    if not password:
        return set()
    return {password, unquote(password), quote(unquote(password), safe="")}


def slack_message(alert: Alert) -> dict[str, object]:
    """The alert as an incoming webhook of Slack takes it; others read ``text`` alone."""
    links = [
        f"<{url}|{name}>" if url.startswith("http") else f"{name}: {url}"
        for name, url in (("run", alert.link), ("what to do", alert.runbook))
        if url
    ]
    title = f"{_SIGN[alert.level]} *{_escaped(alert.title)}*"
    blocks: list[dict[str, object]] = [
        {
            "type": "section",
            "text": {
                "type": "mrkdwn",
                "text": _within(f"{title}\n{_escaped(plain_text(alert.detail))}"),
            },
        }
    ]
    if links:
        blocks.append(
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "  ·  ".join(links)}]}
        )
    return {"text": f"{_SIGN[alert.level]} {_escaped(alert.title)}", "blocks": blocks}


def mail(alert: Alert, sender: str, recipients: Iterable[str]) -> EmailMessage:
    """The alert as a plain text message."""
    message = addressed(f"{alert.level}: {alert.title}", sender, recipients)
    lines = [alert.title, "", plain_text(alert.detail), ""]
    lines += [f"Run: {alert.link}"] if alert.link else []
    lines += [f"What to do: {alert.runbook}"] if alert.runbook else []
    # Not every server takes eight bits or long lines.
    message.set_content("\n".join(lines), cte="quoted-printable")
    return message


def addressed(subject: str, sender: str, recipients: Iterable[str]) -> EmailMessage:
    """A message without content yet."""
    message = EmailMessage()
    # A line break would end the header.
    message["Subject"] = " ".join(f"[FamilyTales] {subject}".split())
    message["From"] = sender
    message["To"] = ", ".join(sorted(recipients))
    message["Date"] = localtime()
    return message


def sendable(text: str) -> str:
    """The text without halves of characters: a file's name that is no UTF-8 has some.

    They can't be sent, and what can't be sent would be tried again for a week.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def plain_text(text: str, longest: int = _LONGEST_DETAIL) -> str:
    """A text of at most so many characters, and a sign that there was more."""
    return text if len(text) <= longest else f"{text[:longest]} …"


def _within(text: str) -> str:
    """Text that Slack takes as one section; an entity at its end is not cut in two."""
    if len(text) <= _LONGEST_SECTION:
        return text
    cut = text[: _LONGEST_SECTION - 2]
    start = cut.rfind("&")
    return (cut if ";" in cut[start:] or start < len(cut) - 5 else cut[:start]) + " …"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
