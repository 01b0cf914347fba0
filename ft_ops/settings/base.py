"""What the rooms' settings have in common: their variables' prefix, and how text becomes values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ft_ops.errors import OpsError
from ft_ops.months import Month

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}|arn:[^\s/]+(?:[:/][A-Za-z0-9._-]+)+")
"""What boto3 takes for a bucket: some are older than today's rules for their names."""

_BETWEEN_NAMES: Final = re.compile(r"\s*,\s*")
"""A list may be written over several lines."""

_QUOTED: Final = re.compile(r"""(["']).*\1""")

_ADDRESS: Final = re.compile(r"[^\s@]+@[^\s@]+")

_MOST_NAMED: Final = 10_000_000.0

GlacierClass = Literal["GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]
Region = Literal["us", "eu"]
"""Where a service keeps what it is sent: its addresses differ."""
Severity = Literal["warning", "error"]
"""The least severe that is told: from a warning up, which is everything, or errors alone."""


class RoomSettings(BaseSettings):
    """A room's settings: frozen, read from FT_*, taken as it is written there."""

    model_config = SettingsConfigDict(
        env_prefix="FT_",
        frozen=True,
        extra="ignore",
        enable_decoding=False,
        # Deployments that name a variable for everybody leave it empty for most.
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment alone: looking for files that none names takes half of the time."""
        return init_settings, env_settings

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_meant(cls, given: object) -> object:
        """Without the spaces and the line end that a file or a console has left around a value.

        What is nothing but spaces is as good as none. A ValueError names a variable with a
        character in it that nobody sees, one that is no text, and one in quotes: systemd and
        compose take those off a line of a file, kubectl and ECS don't.
        """
        if not isinstance(given, Mapping):
            return given
        kept = {
            name: value.strip() if isinstance(value, str) else value
            for name, value in given.items()
        }
        unseen = [
            f"FT_{name.upper()}: it holds a character that is no text"
            for name, value in kept.items()
            if isinstance(value, str) and not _BETWEEN_NAMES.sub(",", value).isprintable()
        ]
        quoted = [
            f"FT_{name.upper()}: it is in quotes, which become a part of the value: leave them out"
            for name, value in kept.items()
            if isinstance(value, str) and _QUOTED.fullmatch(value)
        ]
        if unseen or quoted:
            raise ValueError("; ".join(unseen + quoted))
        return {name: value for name, value in kept.items() if value != ""}


def month(value: object) -> object:
    """A month from its text, 2024-01; anything else is left to the validation."""
    if not isinstance(value, str):
        return value
    try:
        return Month.parse(value)
    except OpsError as error:
        raise ValueError(error.cause) from error


def names(value: object) -> object:
    """A set from comma separated text; anything else is left to the validation."""
    if isinstance(value, str):
        return frozenset(name.strip() for name in value.split(",") if name.strip())
    return value


def paths(value: object) -> object:
    """Files from comma separated text, in its order; anything else is left to the validation."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def named_sizes(value: object) -> object:
    """Positive numbers by name from text, fast=200, slow=50; anything else is left as it is."""
    if not isinstance(value, str):
        return value
    sizes: dict[str, float] = {}
    for part in filter(None, map(str.strip, value.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            sizes[name] = float(number)
        except ValueError:
            sizes[name] = 0.0
        if not name or not 0 < sizes[name] <= _MOST_NAMED:
            raise ValueError(
                "it needs a name, an equals sign and a number above 0, to "
                f"{_MOST_NAMED:.0f}, not {part!r}"
            )
    return sizes


def folder(prefix: str) -> str:
    """A prefix whose keys are made by a slash and nothing more, or a ValueError."""
    if prefix != prefix.strip("/"):
        raise ValueError("it begins or ends with a slash")
    if prefix and {"", ".", ".."} & set(prefix.split("/")):
        raise ValueError("a part of it is empty, . or .., which other programs read as a path")
    return prefix


def bucket(name: str) -> str:
    """A bucket's name or an access point's ARN, or a ValueError."""
    if name.startswith("arn:") and name.split(":")[2:3] == ["s3"] and ":::" in name:
        raise ValueError("it is the bucket's ARN: write its name, which comes after the colons")
    if not _BUCKET.fullmatch(name):
        raise ValueError("it is no bucket's name: neither a URL nor a path")
    return name


def url_of(*schemes: str) -> Callable[[str], str]:
    """What admits URLs of these schemes; its ValueError quotes nothing of another."""

    def admit(url: str) -> str:
        scheme, found, rest = url.partition("://")
        if scheme not in schemes or not found or not rest:
            raise ValueError(f"it is no {' or '.join(schemes)} URL")
        return url

    return admit


def web_url_of(*schemes: str) -> Callable[[str], str]:
    """What admits URLs of these schemes that name a host; its ValueError quotes nothing of one."""
    of_scheme = url_of(*schemes)

    def admit(url: str) -> str:
        of_scheme(url)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("its host or its port can't be read") from None
        if not parts.hostname or " " in url or port == 0:
            raise ValueError("its host is missing, it holds a space, or its port is 0")
        return url

    return admit


def matching(pattern: str, told: str) -> Callable[[str], str]:
    """What admits text of a form; ``told`` says what another text lacks."""
    form = re.compile(pattern)

    def admit(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(told)
        return text

    return admit


region = matching(r"[a-z0-9]+(-[a-z0-9]+)*", "it is no region's name")


def address(text: str) -> str:
    """An address of mail, alone or behind its owner's name in angle brackets, or a ValueError."""
    name, found = parseaddr(text)
    if not _ADDRESS.fullmatch(found) or (not name and found != text):
        raise ValueError(f"{text} is no address")
    return text


def addresses(texts: frozenset[str]) -> frozenset[str]:
    """Addresses of mail, or a ValueError that names one that is none."""
    return frozenset(address(text) for text in sorted(texts))


def kept_secret(admit: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    """``admit`` for a text that is a secret."""

    def admit_secret(secret: SecretStr) -> SecretStr:
        admit(secret.get_secret_value())
        return secret

    return admit_secret


def key_without_space(secret: SecretStr) -> SecretStr:
    """A key of a service, which holds neither spaces nor line breaks; it is never quoted."""
    text = secret.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text or "://" in text:
        raise ValueError("it is a key of letters and digits, not an address, and has no spaces")
    return secret


def ending_in(suffix: str) -> Callable[[Path], Path]:
    """What admits paths with that suffix."""

    def admit(path: Path) -> Path:
        if path.suffix != suffix:
            raise ValueError(f"its name does not end in {suffix}")
        return path

    return admit
