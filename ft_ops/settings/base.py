"""What the rooms' settings have in common: their variables' prefix, and how text becomes values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ft_ops.errors import OpsError
from ft_ops.months import Month

GlacierClass = Literal["GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]


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
        if not name or not 0 < sizes[name] < math.inf:
            raise ValueError(f"it needs a name, an equals sign and a number above 0, not {part!r}")
    return sizes


def folder(prefix: str) -> str:
    """A prefix whose keys are made by a slash and nothing more, or a ValueError."""
    if prefix != prefix.strip("/"):
        raise ValueError("it begins or ends with a slash")
    return prefix


def url_of(*schemes: str) -> Callable[[str], str]:
    """What admits URLs of these schemes; its ValueError quotes nothing of another."""

    def admit(url: str) -> str:
        scheme, found, rest = url.partition("://")
        if scheme not in schemes or not found or not rest:
            raise ValueError(f"it is no {' or '.join(schemes)} URL")
        return url

    return admit


def kept_secret(admit: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    """``admit`` for a text that is a secret."""

    def admit_secret(secret: SecretStr) -> SecretStr:
        admit(secret.get_secret_value())
        return secret

    return admit_secret


def ending_in(suffix: str) -> Callable[[Path], Path]:
    """What admits paths with that suffix."""

    def admit(path: Path) -> Path:
        if path.suffix != suffix:
            raise ValueError(f"its name does not end in {suffix}")
        return path

    return admit
