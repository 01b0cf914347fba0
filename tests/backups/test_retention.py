"""Retention keeps a ladder of verified fulls, and never the last good backup's place empty."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_ops.backups.retention.retention import Candidate, Rules, Trust, plan_retention

RULES = Rules(days=7, weeks=4, months=12, floor=3, stale=timedelta(hours=48))
FIRST_NIGHT = datetime(2024, 1, 1, 2, tzinfo=UTC)


def _full(day: int, trust: Trust = "verified", *, held: bool = False) -> Candidate:
    return Candidate(f"full-{day}", "full", FIRST_NIGHT + timedelta(days=day), trust, held)


def _kept(candidates: list[Candidate], now: datetime, rules: Rules = RULES) -> set[str]:
    plan = plan_retention(candidates, rules, now)
    assert plan.refusal is None
    return {candidate.name for candidate in plan.kept}


def _hours_after(day: int, hours: float) -> datetime:
    return FIRST_NIGHT + timedelta(days=day, hours=hours)


def test_a_year_of_good_nights_leaves_days_weeks_and_months() -> None:
    candidates = [_full(day) for day in range(500)]
    kept = plan_retention(candidates, RULES, _hours_after(499, 6)).kept
    assert 21 <= len(kept) <= 22
    span = (kept[-1].taken_at - kept[0].taken_at).days
    assert 334 <= span <= 366
    days = [candidate.taken_at.date() for candidate in kept]
    newest = date(2025, 5, 14)
    assert days[-7:] == [newest - timedelta(days=back) for back in range(6, -1, -1)]
    mondays = [day for day in days if day.weekday() == 0]
    assert len([day for day in mondays if newest - day < timedelta(days=28)]) == 4
    assert len({(day.year, day.month) for day in days if day.day == 1}) == 12


def test_only_verified_fulls_take_a_place() -> None:
    good, bad = _full(0), _full(1, "unproven")
    # The day's second full stands for the day, because the first was never restored.
    second = replace(_full(1), name="full-1b", taken_at=_hours_after(1, 3))
    later = [_full(day) for day in range(20, 30)]
    kept = _kept([good, bad, second, *later], _hours_after(29, 6))
    assert "full-1" not in kept


def test_failed_nights_do_not_empty_the_ladder() -> None:
    candidates = [_full(day) for day in range(60)]
    plan = plan_retention(candidates, RULES, _hours_after(75, 6))
    # An age rule of 7 days would keep none of them.
    assert plan.refusal is not None
    assert "is 390 h old, and 48 h is the limit" in plan.refusal
    assert len(plan.kept) >= 10
    assert plan.deletable == []


def test_without_a_verified_full_nothing_goes() -> None:
    plan = plan_retention([_full(day, "unproven") for day in range(30)], RULES, _hours_after(29, 1))
    assert plan.refusal == "no full backup is verified"
    assert plan.deletable == []


def test_below_the_floor_nothing_goes() -> None:
    old = replace(_full(0, "refuted"), is_acknowledged=True)
    candidates = [old, _full(60), _full(61)]
    assert plan_retention(candidates, RULES, _hours_after(61, 1)).deletable == []
    two = replace(RULES, floor=2)
    assert plan_retention(candidates, two, _hours_after(61, 1)).deletable == [old]


def test_a_held_backup_stays_for_ever() -> None:
    candidates = [_full(0, held=True), *(_full(day) for day in range(700, 730))]
    assert "full-0" in _kept(candidates, _hours_after(729, 6))


def test_a_full_that_nobody_restored_yet_stays_until_it_is() -> None:
    candidates = [*(_full(day) for day in range(30)), _full(30, "unproven")]
    assert "full-30" in _kept(candidates, _hours_after(30, 1))
    assert "full-5" not in _kept(
        [_full(5, "unproven"), *(_full(day) for day in range(6, 31))], _hours_after(30, 1)
    )


@pytest.mark.parametrize("day", [0, 10, 39])
def test_a_refuted_backup_stays_until_a_person_has_looked_at_it(day: int) -> None:
    """The oldest one, too: no younger one that stays makes up for what nobody has looked at."""
    others = [_full(other) for other in range(40) if other != day]
    refuted = _full(day, "refuted")
    assert refuted.name in _kept([*others, refuted], _hours_after(39, 6))
    given_up = replace(refuted, is_acknowledged=True)
    assert refuted.name not in _kept([*others, given_up], _hours_after(39, 6))


@pytest.mark.parametrize(
    ("verified", "reason"),
    [
        # The month's first is another one's, and the week is out of the ladder's reach.
        ([2, *range(6, 120)], None),
        # Of its month there is no other.
        ([*range(31, 120)], "it may be the only one of month 2024-01: drill it by its name"),
    ],
)
def test_an_unproven_full_goes_only_when_it_would_go_proven(
    verified: list[int], reason: str | None
) -> None:
    unproven = _full(5, "unproven")
    plan = plan_retention([unproven, *map(_full, verified)], RULES, _hours_after(119, 6))
    (verdict,) = [v for v in plan.verdicts if v.candidate == unproven]
    assert verdict.reasons == (() if reason is None else (reason,))


def test_a_hole_in_the_log_stops_every_deletion() -> None:
    candidates = [_full(day) for day in range(60)]
    plan = plan_retention(candidates, RULES, _hours_after(59, 6), holes=["WAL is missing: 0A"])
    assert plan.refusal == "the log has a hole: WAL is missing: 0A"
    assert plan.deletable == []
    assert plan_retention(candidates, RULES, _hours_after(59, 6)).deletable


def test_the_last_dump_is_never_deleted_by_its_age() -> None:
    """Dumps have failed for years, or a clock has jumped: the last one stays."""
    old = Candidate("dump-only", "dump", _hours_after(7, 3), "verified")
    fulls = [_full(day) for day in range(1000)]
    assert "dump-only" in _kept([*fulls, old], _hours_after(999, 6))


def test_a_clock_that_jumps_takes_no_more_than_a_night_would() -> None:
    """A full dated years ahead takes one place of each rung, and hides no stale night."""
    night = [_full(day) for day in range(500)]
    kept = {c.name for c in plan_retention(night, RULES, _hours_after(499, 6)).kept}
    ahead = Candidate("full-ahead", "full", _hours_after(2000, 0), "verified")
    increment = Candidate("increment-now", "increment", _hours_after(499, 12), "unproven")
    jumped = plan_retention([*night, ahead, increment], RULES, _hours_after(2000, 6))
    assert len(kept - {c.name for c in jumped.kept}) <= 3
    assert increment in jumped.kept
    back = plan_retention([*night, ahead], RULES, _hours_after(503, 6))
    assert back.refusal is not None
    assert "full-499, is 102 h old" in back.refusal


def test_what_a_kept_backup_needs_stays() -> None:
    base = _full(0)
    fulls = [_full(day) for day in range(300, 730)]
    child = replace(_full(3, held=True), needs=(base.name,))
    grandchild = replace(_full(4), needs=("full-3",))
    assert {"full-0", "full-3"} <= _kept([base, child, *fulls], _hours_after(729, 6))
    assert "full-0" not in _kept([base, grandchild, *fulls], _hours_after(729, 6))


@pytest.mark.parametrize(("age_days", "is_kept"), [(1, True), (6, True), (8, False)])
def test_increments_live_as_long_as_the_days(age_days: int, is_kept: bool) -> None:
    now = _hours_after(60, 6)
    increment = Candidate("increment", "increment", now - timedelta(days=age_days), "unproven")
    fulls = [_full(day) for day in range(61)]
    assert ("increment" in _kept([*fulls, increment], now)) == is_kept


def test_an_increment_without_a_full_before_it_lives_as_long_as_any_other() -> None:
    """Its full may only be out of sight: that is no reason to delete a point."""
    orphan = Candidate("orphan", "increment", _hours_after(-1, 6), "unproven")
    assert "orphan" in _kept([orphan, _full(0), _full(1), _full(2)], _hours_after(2, 6))
    fulls = [_full(day) for day in range(9)]
    assert "orphan" not in _kept([orphan, *fulls], _hours_after(8, 6))


def test_dumps_stay_as_long_as_the_months() -> None:
    fulls = [_full(day) for day in range(500)]
    dumps = [
        Candidate(f"dump-{back}", "dump", _hours_after(499 - 30 * back, 3), "verified")
        for back in range(16)
    ]
    kept = _kept([*fulls, *dumps], _hours_after(499, 6))
    assert {name for name in kept if name.startswith("dump")} == {
        f"dump-{back}" for back in range(13)
    }


_failures = given(
    seed=st.integers(0, 2**32),
    backup_fails=st.floats(0, 0.7),
    drill_fails=st.floats(0, 0.5),
    retention_skips=st.floats(0, 0.9),
    outage_days=st.integers(0, 60),
)


@settings(max_examples=3, deadline=None)
@_failures
def test_the_last_good_backup_survives_800_days_of_failures(
    seed: int,
    backup_fails: float,
    drill_fails: float,
    retention_skips: float,
    outage_days: int,
) -> None:
    _live_800_days(random.Random(seed), backup_fails, drill_fails, retention_skips, outage_days)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@settings(max_examples=60, deadline=None)
@_failures
def test_the_last_good_backup_survives_many_lives_of_800_days(
    seed: int,
    backup_fails: float,
    drill_fails: float,
    retention_skips: float,
    outage_days: int,
) -> None:
    _live_800_days(random.Random(seed), backup_fails, drill_fails, retention_skips, outage_days)


def _live_800_days(
    chance: random.Random,
    backup_fails: float,
    drill_fails: float,
    retention_skips: float,
    outage_days: int,
) -> None:
    outage_at = chance.randrange(800)
    stock: dict[str, Candidate] = {}
    for day in range(800):
        night = FIRST_NIGHT + timedelta(days=day)
        out = outage_at <= day < outage_at + outage_days
        if not out and chance.random() >= backup_fails:
            stock[f"full-{day}"] = _full(day, "unproven")
        name = f"increment-{day}"
        stock[name] = Candidate(name, "increment", night.replace(hour=12), "unproven")
        if chance.random() < 0.01:
            name = chance.choice(sorted(stock))
            stock[name] = replace(stock[name], is_held=not stock[name].is_held)
        _drill(stock, chance, drill_fails)
        if chance.random() >= retention_skips:
            _retain(stock, night + timedelta(hours=6))


def _drill(stock: dict[str, Candidate], chance: random.Random, fails: float) -> None:
    """The newest full, and a random older one, as the schedules do."""
    fulls = sorted((c for c in stock.values() if c.kind == "full"), key=lambda c: c.taken_at)
    for full in dict.fromkeys((fulls[-1], chance.choice(fulls))) if fulls else ():
        trust: Trust = "refuted" if chance.random() < fails else "verified"
        stock[full.name] = replace(full, trust=trust, is_acknowledged=chance.random() < 0.2)


def _retain(stock: dict[str, Candidate], now: datetime) -> None:
    verified = [c for c in stock.values() if c.kind == "full" and c.trust == "verified"]
    newest = max(verified, key=lambda c: c.taken_at, default=None)
    held = {c.name for c in stock.values() if c.is_held}
    unseen = {c.name for c in stock.values() if c.trust == "refuted" and not c.is_acknowledged}
    plan = plan_retention(stock.values(), RULES, now)
    for candidate in plan.deletable:
        del stock[candidate.name]
    left = [c for c in stock.values() if c.kind == "full" and c.trust == "verified"]
    assert newest is None or newest in left
    assert len(left) >= min(len(verified), RULES.floor)
    assert held | unseen <= stock.keys()
    if newest is None or now - newest.taken_at > RULES.stale:
        assert plan.deletable == []
    if plan.deletable:
        # A second look deletes nothing more.
        assert plan_retention(stock.values(), RULES, now).deletable == []
