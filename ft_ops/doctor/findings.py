"""What an examination finds: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from ft_ops.errors import EXPLAINED, OpsError, explanation


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    "limited" works with less than it could have; "failed" wants an operator; "unknown" could not
    be asked, and is as good as failed. ``mend`` says what to do about each.
    """

    name: str
    state: Literal["ok", "limited", "failed", "unknown"]
    detail: str
    mend: str = ""


def failed(name: str, error: OpsError) -> Finding:
    """An OpsError as a finding; what drivers tell in several lines becomes one.

    What it is about is left out where ``name`` says so already.
    """
    told = error.cause if error.what == name else f"{error.what}: {error.cause}"
    return Finding(name, "failed", " ".join(told.split()), error.next_step)


def asked(name: str, question: Callable[[], Finding]) -> Finding:
    """The answer to ``question``; that it could not be answered is a finding, too.

    An OpsError is an answer: something is not as it must be. Of an error of the database, of S3 or
    of the operating system only that nobody knows.
    """
    try:
        return question()
    except OpsError as error:
        return failed(name, error)
    except EXPLAINED as error:
        told = explanation(name, error)
        return Finding(name, "unknown", " ".join(told.cause.split()), told.next_step)


def can_write_to(folder: Path) -> bool:
    """Whether a file can be made there, by making one: rights alone don't tell it."""
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
