"""Names, in words, how a live schema differs from what the migrations produce."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from ft_ops.schema.fingerprint import UNREAD, Fingerprint

_WHOLE = frozenset({"type", "definition"})
"""Aspects that stand for their object: "column users.email is text", not "… has type text"."""


_NOT_LISTED = ("partition ", "role ", "default privileges of ")
"""Objects that a fingerprint names only for what is wrong with them."""

_OPENS_OR_SHUTS = ("policy ", "trigger ", "constraint ")
"""What nobody may add to a table either: it decides who reads and writes what."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as the migrations made it, or could not be read."""

    object: str
    kind: Literal["missing", "unexpected", "changed", "unread"]
    words: str

    @property
    def is_harmless(self) -> bool:
        """Whether it hurts nothing by itself: an object of somebody else's, or one not read."""
        if self.kind == "unexpected":
            return not self.object.startswith(_OPENS_OR_SHUTS)
        return self.kind == "unread"


def differences(live: Fingerprint, expected: Fingerprint) -> list[Difference]:
    """Every difference, by object. What belongs to a table that is missing itself is left out."""
    return [
        difference
        for name in sorted(live.keys() | expected.keys())
        for difference in _of_object(name, live, expected)
    ]


def _of_object(name: str, live: Fingerprint, expected: Fingerprint) -> Iterator[Difference]:
    here, wanted = live.get(name, {}), expected.get(name, {})
    owner = (here or wanted).get("belongs to")
    if owner is not None and ((owner in live) != (owner in expected)):
        return
    if not here:
        yield Difference(name, "missing", f"{name} is missing")
    elif not wanted and not _is_always_there(name, here):
        yield Difference(name, "unexpected", f"{name} is in no migration")
    else:
        for aspect in sorted(here.keys() | wanted.keys()):
            if here.get(aspect) == UNREAD and aspect in wanted:
                words = f"{name}: {aspect} was not read, because a table that it asks is locked"
                yield Difference(name, "unread", words)
            elif here.get(aspect) != wanted.get(aspect):
                words = _words(name, aspect, here.get(aspect), wanted.get(aspect))
                yield Difference(name, "changed", words)


def _is_always_there(name: str, here: Mapping[str, str]) -> bool:
    """Whether an object that no migration makes is none that somebody else has made."""
    return name.startswith(_NOT_LISTED) or all(aspect.startswith("grants to ") for aspect in here)


def _words(name: str, aspect: str, here: str | None, wanted: str | None) -> str:
    if aspect == "owner":
        return f"{name} belongs to {here}, not to the owner of the schema ops"
    subject = name if aspect in _WHOLE else f"{name}: {aspect}"
    if "\n" not in f"{here}{wanted}":
        return f"{subject} is {here or 'none'}, expected {wanted or 'none'}"
    number, line, wanted_line = _first_difference(
        (here or "").splitlines(), (wanted or "").splitlines()
    )
    return f"{subject} differs in line {number}: {line}, expected {wanted_line}"


def _first_difference(lines: list[str], wanted: list[str]) -> tuple[int, str, str]:
    pairs = enumerate(zip_longest(lines, wanted, fillvalue="nothing"), start=1)
    return next((n, here.strip(), there.strip()) for n, (here, there) in pairs if here != there)
