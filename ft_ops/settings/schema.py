"""What the schema demands of its server."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ft_ops.settings.base import RoomSettings, names


class SchemaSettings(RoomSettings):
    """The schema's settings."""

    require_extensions: Annotated[frozenset[str], BeforeValidator(names)] = Field(
        default=frozenset(), description="Extensions, comma separated, whose absence is an error."
    )
