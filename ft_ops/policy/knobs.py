"""What the rooms' knobs have in common: their variables' prefix, and how text becomes values."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from ft_ops.months import Month

GlacierClass = Literal["GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]


class Knobs(BaseSettings):
    """A room's part of the policy: frozen, read from FT_*, taken as it is written there."""

    model_config = SettingsConfigDict(
        env_prefix="FT_", frozen=True, extra="ignore", enable_decoding=False
    )


def month(value: object) -> object:
    """A month from its text, 2024-01; anything else is left to the validation."""
    return Month.parse(value) if isinstance(value, str) else value


def names(value: object) -> object:
    """A set from comma separated text; anything else is left to the validation."""
    if isinstance(value, str):
        return frozenset(name.strip() for name in value.split(",") if name.strip())
    return value


def require_folder(variable: str, prefix: str) -> None:
    """ValueError unless keys below ``prefix`` are made by a slash and nothing more."""
    if prefix != prefix.strip("/"):
        raise ValueError(f"{variable} must not begin or end with a slash")
