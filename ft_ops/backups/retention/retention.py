"""Which backups stay: grandfather, father, son over verified fulls, as a plan to look at first.

Kept is the union of the first verified full of each of the newest days, ISO weeks and months that
have one. It counts backups, not ages: after a fortnight of failed nights an age rule would have
nothing left, and a clock that jumps would empty the shelf.

A backup that was never restored fills no place in the ladder. Nor does it go because of that: it
goes when it would go even if it were proven, since every rung that it could take is taken by one
that stays, or out of the ladder's reach. What a drill refuted is for a person to look at, and goes
only once one has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ft_ops.backups.inventory.ages import is_stale
from ft_ops.backups.provider import Kind
from ft_ops.clock import MOST_CLOCK_SKEW
from ft_ops.months import Month

Trust = Literal["verified", "refuted", "unproven"]
"""By the last drill that came to a verdict about the content; ``unproven`` if none has."""

_LOOK = (
    "a drill refuted it: see what it found, then drill it again, or give it up by "
    "`ft-ops backup acknowledge`"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backup that exists, in the terms that retention judges by.

    ``is_acknowledged``: a person has looked at what refuted it. ``needs`` names the backups without
    which it can't be restored.
    """

    name: str
    kind: Kind
    taken_at: datetime
    trust: Trust
    is_held: bool = False
    is_acknowledged: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How much is kept. ``floor`` and ``stale`` are about verified fulls."""

    days: int
    weeks: int
    months: int
    floor: int
    stale: timedelta


@dataclass(frozen=True, slots=True)
class RetentionDecision:
    """Why a backup stays; it may be deleted when there is no reason."""

    candidate: Candidate
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """A decision on each backup, oldest first. ``refusal`` says why none may be deleted now."""

    decisions: tuple[RetentionDecision, ...]
    refusal: str | None

    @property
    def kept(self) -> list[Candidate]:
        return [one.candidate for one in self.decisions if one.is_kept]

    @property
    def deletable(self) -> list[Candidate]:
        """What may be deleted: nothing under a refusal."""
        if self.refusal is not None:
            return []
        return [one.candidate for one in self.decisions if not one.is_kept]


Tier = tuple[str, int, Callable[[datetime], str]]


def tiers(rules: Rules) -> tuple[Tier, ...]:
    """The ladder: name, places, and the period that a moment in UTC belongs to."""
    return (
        ("day", rules.days, _day),
        ("week", rules.weeks, lambda moment: f"{moment:%G-W%V}"),
        ("month", rules.months, _month),
    )


def kept_at_most_until(taken_at: datetime, rules: Rules) -> Month:
    """The month with whose end a full goes at the latest, when each month has one and no one holds.

    The ladder's longest rung is the month's: its first full stays while that is among the newest.
    """
    return Month.of(taken_at).plus(rules.months)


def firsts(
    fulls: Iterable[Candidate], places: int, period: Callable[[datetime], str]
) -> dict[str, Candidate]:
    """Period → its first full, for the newest ``places`` periods that have one."""
    first: dict[str, Candidate] = {}
    for full in sorted(fulls, key=lambda full: full.taken_at):
        first.setdefault(period(full.taken_at), full)
    return dict(sorted(first.items())[-places:])


def plan_retention(
    candidates: Iterable[Candidate],
    rules: Rules,
    now: datetime,
    *,
    holes: Sequence[str] = (),
    lost_refutations: Sequence[str] = (),
) -> RetentionPlan:
    """Judge every backup. Pure: it looks at nothing but its arguments.

    ``holes`` are those of the log: while it has one, nobody knows what is still of use. Nor while
    there are ``lost_refutations``: what is called verified may have been refuted.
    """
    ordered = sorted(candidates, key=lambda candidate: (candidate.taken_at, candidate.name))
    reasons: dict[str, list[str]] = {candidate.name: [] for candidate in ordered}
    # What was dated wrongly stays, and takes no place of what was not.
    dated = [candidate for candidate in ordered if candidate.taken_at <= now + MOST_CLOCK_SKEW]
    for candidate in ordered[len(dated) :]:
        reasons[candidate.name].append(f"dated after {now:%F %T}Z: check the clocks")
    verified = _verified_fulls(dated)
    for tier, places, period in tiers(rules):
        for label, full in firsts(verified, places, period).items():
            reasons[full.name].append(f"first of {tier} {label}")
    for full in verified[-rules.floor :]:
        reasons[full.name].append(f"one of the newest {rules.floor} that are verified")
    for candidate in ordered:
        if candidate.is_held:
            reasons[candidate.name].append("held")
    kept = [full for full in verified if reasons[full.name]]
    for name, reason in _reasons_besides(dated, verified, rules, now):
        reasons[name].append(reason)
    _keep_what_is_needed({candidate.name: candidate for candidate in ordered}, reasons)
    return RetentionPlan(
        decisions=tuple(RetentionDecision(c, tuple(reasons[c.name])) for c in ordered),
        refusal=_refusal(_verified_fulls(ordered), kept, rules, now, holes)
        or (
            f"a refutation is not recorded: {'; '.join(lost_refutations)}"
            if lost_refutations
            else None
        ),
    )


def _reasons_besides(
    ordered: Sequence[Candidate],
    verified: Sequence[Candidate],
    rules: Rules,
    now: datetime,
) -> Iterator[tuple[str, str]]:
    """The reasons to keep backups that have no place in the ladder."""
    days = _newest((c for c in ordered if c.kind != "dump"), rules.days + 1, _day)
    months = _newest((c for c in ordered if c.kind == "dump"), rules.months + 1, _month)
    for candidate in ordered:
        match candidate.kind:
            case "dump" if _month(candidate.taken_at) in months:
                yield candidate.name, "a dump of the last months"
            case "increment" if _day(candidate.taken_at) in days:
                yield candidate.name, "an increment of the last days"
            case "full" if candidate.trust == "unproven":
                is_recent = now - candidate.taken_at <= timedelta(days=rules.days)
                is_newest = not verified or candidate.taken_at > verified[-1].taken_at
                if is_recent or is_newest:
                    yield candidate.name, "not restored yet"
                elif (rung := _free_rung(candidate, verified, rules)) is not None:
                    yield candidate.name, f"it may be the only one of {rung}: drill it by its name"
        if candidate.trust not in {"verified", "unproven"} and not candidate.is_acknowledged:
            yield candidate.name, _LOOK


def _free_rung(full: Candidate, verified: Sequence[Candidate], rules: Rules) -> str | None:
    """A rung that a full would take if it were proven and that no verified one has."""
    for tier, places, period in tiers(rules):
        label = period(full.taken_at)
        taken = firsts(verified, places, period)
        if label not in taken and label in firsts([*verified, full], places, period):
            return f"{tier} {label}"
    return None


def _newest(
    candidates: Iterable[Candidate], places: int, period: Callable[[datetime], str]
) -> set[str]:
    """The newest periods that have a backup."""
    return set(sorted({period(candidate.taken_at) for candidate in candidates})[-places:])


def _keep_what_is_needed(
    candidates: Mapping[str, Candidate], reasons: Mapping[str, list[str]]
) -> None:
    """What a kept backup can't be restored without stays too, and what that needs."""
    waiting = [name for name, why in reasons.items() if why]
    while waiting:
        name = waiting.pop()
        for needed in candidates[name].needs:
            if needed in candidates:
                if not reasons[needed]:
                    waiting.append(needed)
                reasons[needed].append(f"{name} needs it")


def _verified_fulls(candidates: Iterable[Candidate]) -> list[Candidate]:
    return [c for c in candidates if c.kind == "full" and c.trust == "verified"]


def _refusal(
    verified: Sequence[Candidate],
    kept: Sequence[Candidate],
    rules: Rules,
    now: datetime,
    holes: Sequence[str],
) -> str | None:
    if not verified:
        return "no full backup is verified"
    # One of the future says nothing about whether backups are taken now.
    dated = [full for full in verified if full.taken_at <= now + MOST_CLOCK_SKEW]
    if not dated:
        return f"the verified fulls are all dated after {now:%F %T}Z: check the clocks"
    if is_stale(dated[-1].taken_at, now, rules.stale):
        hours = (now - dated[-1].taken_at).total_seconds() / 3600
        return (
            f"the newest verified full, {dated[-1].name}, is {hours:.0f} h old, and "
            f"{rules.stale.total_seconds() / 3600:.0f} h is the limit"
        )
    if len(kept) < rules.floor:
        return f"{len(kept)} verified fulls are left, and {rules.floor} is the floor"
    if holes:
        return f"the log has a hole: {'; '.join(holes)}. The check wal_continuity says what to do"
    return None


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _month(moment: datetime) -> str:
    return f"{moment:%Y-%m}"
