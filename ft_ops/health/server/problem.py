"""What is wrong with the server, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that somebody has to look at; an error must not wait for a free hour."""

    words: str
    is_error: bool = False
