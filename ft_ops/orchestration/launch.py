"""What people type when they launch a run: read with an error that says what is accepted."""

from __future__ import annotations

from uuid import UUID

from ft_ops.errors import Refused


def uuid_of(field: str, text: str) -> UUID | None:
    """The id that a field of the launch config holds, None when it is empty."""
    if not text.strip():
        return None
    try:
        return UUID(text.strip())
    except ValueError as error:
        raise Refused(
            f"{field} of the launch",
            cause=f"{text!r} is no id",
            next_step="write a UUID, such as 6c0d7f2a-0000-4000-8000-000000000000, or leave it "
            "empty",
        ) from error


def at_least(field: str, value: int, least: int) -> int:
    """A number of the launch config that has a lower bound."""
    if value < least:
        raise Refused(
            f"{field} of the launch",
            cause=f"it is {value}",
            next_step=f"write a number from {least} on",
        )
    return value
