"""What an examination finds: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ft_ops.errors import OpsError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    "limited" works with less than it could have; "failed" wants an operator. ``mend`` says what
    to do about either.
    """

    name: str
    state: Literal["ok", "limited", "failed"]
    detail: str
    mend: str = ""


def failed(name: str, error: OpsError) -> Finding:
    """An OpsError as a finding; what drivers tell in several lines becomes one."""
    return Finding(
        name, "failed", " ".join(f"{error.what}: {error.cause}".split()), error.next_step
    )
