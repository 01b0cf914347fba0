"""What the schema demands of its server."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ft_ops.settings.base import Knobs, names


class SchemaKnobs(Knobs):
    """The schema's part of the policy."""

    require_extensions: Annotated[frozenset[str], BeforeValidator(names)] = Field(
        default=frozenset(), description="Extensions, comma separated, whose absence is an error."
    )
