"""Three years of nights, of which something fails in most, against an oracle of its own.

The oracle knows nothing of plans and reasons. It looks at what is in the store before a retention
and after it: every rung of the ladder that a good full stood on still has one, the floor holds, and
nothing went that a person had to look at first, that was held, or that may yet prove good.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from ft_ops.backups.inventory.inventory import Inventory, Item
from ft_ops.backups.inventory.ledger import Entry, State
from ft_ops.backups.provider import Condition, Kind, StoredBackup
from ft_ops.backups.retention.deletion import deletions
from ft_ops.backups.retention.retention import Rules, Trust, plan_retention

RULES = Rules(days=7, weeks=4, months=12, floor=3, stale=timedelta(hours=48))
FIRST_NIGHT = datetime(2024, 1, 1, 2, tzinfo=UTC)

Verdict = Literal["proven", "refuted"]


@dataclass(slots=True)
class Backup:
    """One backup as it really is: what was shown of it, and what can be seen of it now."""

    name: str
    kind: Kind
    at: datetime
    was_completed: bool = True
    verdict: Verdict | None = None
    was_verified: bool = False
    hidden: str | None = None
    is_held: bool = False
    is_given_up: bool = False

    @property
    def is_good(self) -> bool:
        """Proven, and all of it is there."""
        return self.verdict == "proven" and self.hidden is None and self.was_completed

    def item(self) -> Item:
        state: State = "complete"
        condition: Condition = "complete"
        if not self.was_completed:
            state, condition = "failed", "unfinished"
        elif self.hidden is not None:
            state, condition = "missing", "damaged"
        problem = None if state == "complete" else f"{state}: {self.hidden or 'disk full'}"
        trust: Trust = "unproven"
        if self.verdict is not None:
            trust = "verified" if self.verdict == "proven" else "refuted"
        stored = StoredBackup(
            self.name,
            self.name,
            self.kind,
            condition,
            problem,
            self.at,
            "",
            1,
            (),
            self.is_held,
            None,
        )
        return Item(
            name=self.name,
            kind=self.kind,
            taken_at=self.at,
            trust=trust,
            verified_at=self.at if self.verdict == "proven" else None,
            restored_to=None,
            bytes=1,
            location="",
            storage_classes=(),
            is_held=self.is_held,
            replica=None,
            begins_at_wal=None,
            problem=problem,
            state=state,
            stored=None if self.hidden == "out of sight" else stored,
            entry=self._entry(state),
        )

    def _entry(self, state: State) -> Entry:
        entry = Entry(
            name=self.name,
            kind=self.kind,
            provider="barman",
            state=state,
            provider_id=self.name,
            point_at=self.at,
            objects=None,
            started_at=self.at,
            completed_at=self.at if self.was_completed else None,
            error=None,
            verified_at=None,
            restored_to=None,
            was_verified=self.was_verified,
            verdict=self.verdict,
        )
        if not self.is_given_up:
            return entry
        return replace(
            entry, acknowledged_at=self.at, acknowledged_by="somebody", acknowledgement="seen"
        )


@dataclass(slots=True)
class Life:
    """A store, a clock that may be wrong, and luck."""

    chance: random.Random
    luck: float
    store: dict[str, Backup] = field(default_factory=dict)
    skew: timedelta = timedelta()
    holes: tuple[str, ...] = ()
    deleted: int = 0

    def day(self, number: int) -> None:
        now = FIRST_NIGHT + timedelta(days=number)
        self._clock()
        self._take(now + self.skew, number)
        self._fate()
        self._drills()
        if not self._fails(0.2):
            self.retain(now + self.skew + timedelta(hours=5))

    def retain(self, now: datetime) -> None:
        before = dict(self.store)
        backups = sorted(before.values(), key=lambda backup: backup.at)
        inventory = Inventory(now, tuple(b.item() for b in backups), holes=self.holes)
        plan = plan_retention(inventory.candidates, RULES, now, holes=self.holes)
        gone = [before[d.item.name] for d in deletions(inventory, plan, RULES)]
        for backup in gone:
            del self.store[backup.name]
        self.deleted += len(gone)
        oracle(before.values(), self.store.values(), gone, now, has_holes=bool(self.holes))

    def _fails(self, probability: float) -> bool:
        return self.chance.random() < probability * self.luck

    def _clock(self) -> None:
        if self._fails(0.01):
            self.skew = timedelta(days=self.chance.choice([-400, -40, -2, 2, 40, 400]))
        elif self.chance.random() < 0.3:
            self.skew = timedelta()
        self.holes = ("WAL is missing: 0A",) if self._fails(0.05) else ()

    def _take(self, at: datetime, number: int) -> None:
        is_whole = not self._fails(0.25)
        self._add(Backup(f"full-{number}", "full", at, was_completed=is_whole))
        for hour in (6, 12):
            name = f"increment-{number}-{hour}"
            self._add(Backup(name, "increment", at + timedelta(hours=hour)))
        if at.day == 1 and not self._fails(0.5):
            self._add(Backup(f"dump-{number}", "dump", at, verdict="proven", was_verified=True))

    def _add(self, backup: Backup) -> None:
        self.store[backup.name] = backup

    def _fate(self) -> None:
        """Objects go out of sight and come back; people hold, release, look and give up."""
        for backup in self.store.values():
            if backup.hidden is not None and self.chance.random() < 0.1:
                backup.hidden = None
            elif self._fails(0.004):
                backup.hidden = self.chance.choice(["out of sight", "in GLACIER", "status late"])
            if self._fails(0.002):
                backup.is_held = not backup.is_held
            # What never was whole can't be given up: the command refuses it.
            is_odd = backup.was_completed and (
                backup.hidden is not None or backup.verdict == "refuted"
            )
            if is_odd and self._fails(0.02):
                backup.is_given_up = True
            elif not is_odd:
                backup.is_given_up = False

    def _drills(self) -> None:
        """The newest, and another at random. Many come to no verdict: nothing changes then."""
        fulls = [b for b in self.store.values() if b.kind == "full" and b.was_completed]
        whole = sorted((b for b in fulls if b.hidden is None), key=lambda backup: backup.at)
        for backup in {
            id(b): b for b in (*whole[-1:], *self.chance.sample(whole, min(1, len(whole))))
        }.values():
            if self._fails(0.4):
                continue
            backup.verdict = "refuted" if self._fails(0.02) else "proven"
            backup.was_verified |= backup.verdict == "proven"
            backup.is_given_up = False


def oracle(
    before: Iterable[Backup],
    after: Iterable[Backup],
    gone: list[Backup],
    now: datetime,
    *,
    has_holes: bool,
) -> None:
    """What must hold of a retention, whatever its reasons."""
    before, after = list(before), list(after)
    good_before, good_after = _good(before), _good(after)
    assert rungs(good_before) == rungs(good_after)
    assert len(good_after) >= min(len(good_before), RULES.floor)
    if good_before:
        assert max(good_before, key=lambda b: b.at) in good_after
    if any(b.kind == "dump" for b in before):
        assert any(b.kind == "dump" for b in after)
    dated = [b.at for b in good_before if b.at <= now + timedelta(hours=1)]
    if has_holes or not dated or now - max(dated) > RULES.stale:
        assert gone == []
    for backup in gone:
        assert not backup.is_held
        if backup.was_verified and not backup.is_good:
            assert backup.is_given_up, backup
        if backup.was_completed and (backup.hidden is not None or backup.verdict == "refuted"):
            assert backup.is_given_up, backup
        if not backup.was_completed:
            assert now - backup.at > timedelta(days=RULES.days)
        elif backup.kind == "full" and backup.verdict is None and not backup.is_given_up:
            # Were it good, it would take the place of none that is missing.
            assert rungs([*good_after, backup]) == rungs(good_after), backup


def _good(backups: Iterable[Backup]) -> list[Backup]:
    return [backup for backup in backups if backup.kind == "full" and backup.is_good]


def rungs(fulls: list[Backup]) -> set[str]:
    """The days, weeks and months that the ladder reaches, by walking every period there is."""
    found: set[str] = set()
    periods: list[tuple[int, Callable[[datetime], tuple[int, ...]]]] = [
        (RULES.days, lambda at: (at.year, at.month, at.day)),
        (RULES.weeks, lambda at: tuple(at.isocalendar())[:2]),
        (RULES.months, lambda at: (at.year, at.month)),
    ]
    for places, period in periods:
        have = sorted({period(full.at) for full in fulls}, reverse=True)
        found |= {f"{places}: {label}" for label in have[:places]}
    return found


def _live(seed: int, luck: float, days: int) -> Life:
    life = Life(random.Random(seed), luck)
    for number in range(days):
        life.day(number)
    return life


@pytest.mark.parametrize(("seed", "luck"), [(1, 0.3), (2, 1.0), (3, 2.0)])
def test_a_season_in_which_something_fails_every_night(seed: int, luck: float) -> None:
    assert _live(seed, luck, 120).deleted > 0


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1, 25))
def test_three_years_in_which_something_fails_every_night(seed: int) -> None:
    life = _live(seed, (0.2, 0.6, 1.0, 1.6)[seed % 4], 3 * 366)
    assert life.deleted > 0


def test_three_good_years_leave_a_full_ladder_and_no_more() -> None:
    life = _live(7, 0.0, 400)
    fulls = [b for b in life.store.values() if b.kind == "full"]
    assert 19 <= len(fulls) <= 24
    assert len(rungs(_good(fulls))) == RULES.days + RULES.weeks + RULES.months
