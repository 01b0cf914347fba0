"""How well it is known that the archive can be read: by its drills and the age of its proofs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ft_ops.archive.drill.choose import Proof
from ft_ops.archive.drill.drills import newest_drill, proofs, refuted
from ft_ops.pg.connect import Connection

LONGEST_WITHOUT: Final = timedelta(days=45)
"""A month, and what Glacier and two failed runs may take."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong, in words, most urgent first; and the month whose proof is oldest."""

    months: int
    oldest: str
    problems: tuple[str, ...]
    words: str


def judge(connection: Connection, now: datetime, *, oldest_days: int) -> Judgement:
    """Judge the drills so far. With nothing purged there is nothing to prove."""
    known = proofs(connection, before=now)
    if not known:
        return Judgement(0, "none", (), "no month is in the archive alone")
    oldest = min(known, key=lambda proof: proof.newest)
    shown = f"{oldest.name}, proven {oldest.newest:%Y-%m-%d}"
    newest = newest_drill(connection)
    words = "no drill yet" if newest is None else f"{newest.name}: {newest.state}"
    return Judgement(
        len(known), shown, tuple(_problems(connection, known, oldest, now, oldest_days)), words
    )


def _problems(
    connection: Connection, known: list[Proof], oldest: Proof, now: datetime, oldest_days: int
) -> Iterator[str]:
    for drill in refuted(connection):
        yield f"{drill.name} is refuted: {drill.error}"
    newest = newest_drill(connection)
    if newest is not None and newest.state == "unknown":
        yield f"{newest.name} came to no verdict: {newest.error}"
    drilled = [proof.drilled_at for proof in known if proof.drilled_at is not None]
    since = max(drilled) if drilled else min(proof.proven_at for proof in known)
    if now - since > LONGEST_WITHOUT:
        held = "the last one was" if drilled else "none was held; the oldest proof is"
        yield f"no drill for {(now - since).days} days: {held} of {since:%Y-%m-%d}"
    if now - oldest.newest > timedelta(days=oldest_days):
        yield f"the proof of {oldest.name} is {(now - oldest.newest).days} days old"
