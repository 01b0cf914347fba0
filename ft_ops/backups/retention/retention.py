"""Which backups stay: grandfather, father, son over verified fulls, as a plan to look at first.

Kept is the union of the first verified full of each of the newest days, ISO weeks and months that
have one. It counts backups, not ages: after a fortnight of failed nights an age rule would have
nothing left. A backup that was never restored fills no place in the ladder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ft_ops.backups.provider import Kind

Trust = Literal["verified", "doubtful", "unproven"]
"""``doubtful``: it was verified once, and its last drill failed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup that exists, in the terms that retention judges by."""

    name: str
    kind: Kind
    taken_at: datetime
    trust: Trust
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How much is kept. ``floor`` and ``stale`` are about verified fulls."""

    days: int
    weeks: int
    months: int
    floor: int
    stale: timedelta


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a backup stays; it goes when nothing speaks for it."""

    candidate: Candidate
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """A verdict for each backup, oldest first. ``refusal`` says why none may be deleted now."""

    verdicts: tuple[Verdict, ...]
    refusal: str | None

    @property
    def kept(self) -> list[Candidate]:
        return [verdict.candidate for verdict in self.verdicts if verdict.is_kept]

    @property
    def deletable(self) -> list[Candidate]:
        """What may be deleted: nothing under a refusal."""
        if self.refusal is not None:
            return []
        return [verdict.candidate for verdict in self.verdicts if not verdict.is_kept]


Tier = tuple[str, int, Callable[[datetime], str]]


def tiers(rules: Rules) -> tuple[Tier, ...]:
    """The ladder: name, places, and the period that a moment in UTC belongs to."""
    return (
        ("day", rules.days, lambda moment: f"{moment:%Y-%m-%d}"),
        ("week", rules.weeks, lambda moment: f"{moment:%G-W%V}"),
        ("month", rules.months, lambda moment: f"{moment:%Y-%m}"),
    )


def firsts(
    fulls: Iterable[Candidate], places: int, period: Callable[[datetime], str]
) -> dict[str, Candidate]:
    """Period → its first full, for the newest ``places`` periods that have one."""
    first: dict[str, Candidate] = {}
    for full in sorted(fulls, key=lambda full: full.taken_at):
        first.setdefault(period(full.taken_at), full)
    return dict(sorted(first.items())[-places:])


def plan_retention(candidates: Iterable[Candidate], rules: Rules, now: datetime) -> RetentionPlan:
    """Judge every backup. Pure: it looks at nothing but its arguments."""
    ordered = sorted(candidates, key=lambda candidate: (candidate.taken_at, candidate.name))
    verified = [c for c in ordered if c.kind == "full" and c.trust == "verified"]
    reasons: dict[str, list[str]] = {candidate.name: [] for candidate in ordered}
    for tier, places, period in tiers(rules):
        for label, full in firsts(verified, places, period).items():
            reasons[full.name].append(f"first of {tier} {label}")
    for full in verified[-rules.floor :]:
        reasons[full.name].append(f"one of the newest {rules.floor} that are verified")
    for candidate in ordered:
        if candidate.is_held:
            reasons[candidate.name].append("held")
    kept = [full for full in verified if reasons[full.name]]
    for candidate in ordered:
        reasons[candidate.name] += _reasons_besides(candidate, kept, rules, now)
    return RetentionPlan(
        verdicts=tuple(Verdict(c, tuple(reasons[c.name])) for c in ordered),
        refusal=_refusal(verified, kept, rules, now),
    )


def _reasons_besides(
    candidate: Candidate, kept: Sequence[Candidate], rules: Rules, now: datetime
) -> list[str]:
    """What speaks for a backup that has no place in the ladder."""
    is_recent = now - candidate.taken_at <= timedelta(days=rules.days)
    reaches = bool(kept) and candidate.taken_at >= kept[0].taken_at
    if candidate.kind == "dump":
        return ["a dump of the last months"] if _is_of_last_months(candidate, rules, now) else []
    if candidate.kind == "increment":
        return ["an increment of the last days"] if is_recent and reaches else []
    if candidate.trust == "doubtful" and reaches:
        return ["its last drill failed: drill it again, or delete it by hand"]
    if candidate.trust == "unproven" and (is_recent or _is_newest(candidate, kept)):
        return ["not restored yet"]
    return []


def _is_of_last_months(candidate: Candidate, rules: Rules, now: datetime) -> bool:
    months = (now.year - candidate.taken_at.year) * 12 + now.month - candidate.taken_at.month
    return months <= rules.months


def _is_newest(candidate: Candidate, kept: Sequence[Candidate]) -> bool:
    return not kept or candidate.taken_at > kept[-1].taken_at


def _refusal(
    verified: Sequence[Candidate], kept: Sequence[Candidate], rules: Rules, now: datetime
) -> str | None:
    if not verified:
        return "no full backup is verified"
    age = now - verified[-1].taken_at
    if age > rules.stale:
        hours = age.total_seconds() / 3600
        return (
            f"the newest verified full, {verified[-1].name}, is {hours:.0f} h old, and "
            f"{rules.stale.total_seconds() / 3600:.0f} h is the limit"
        )
    if len(kept) < rules.floor:
        return f"{len(kept)} verified fulls are left, and {rules.floor} is the floor"
    return None
