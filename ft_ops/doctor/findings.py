"""What an examination finds: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psycopg

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


def asked(name: str, question: Callable[[], Finding]) -> Finding:
    """The answer to ``question``; that it could not be answered is a finding, too."""
    try:
        return question()
    except OpsError as error:
        return failed(name, error)
    except psycopg.Error as error:
        return Finding(
            name,
            "failed",
            " ".join(f"the database did not answer: {error}".split()),
            "see the lines above; if they are all ok, the server's log",
        )
