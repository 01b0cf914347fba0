"""Retention keeps a ladder of verified fulls, and never the last good backup's place empty."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_ops.backups.retention.deletion import refuse_undecided
from ft_ops.backups.retention.retention import (
    Candidate,
    RetentionPlan,
    Rules,
    Trust,
    kept_at_most_until,
    plan_retention,
)
from ft_ops.errors import Refused
from ft_ops.months import Month

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
    lax = replace(RULES, stale=timedelta(hours=5000))
    later = plan_retention(candidates, lax, _hours_after(59, 6000))
    assert later.refusal == (
        "the newest verified full, full-59, is 6000 h old, and 5000 h is the limit"
    )
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
    (verdict,) = [v for v in plan.decisions if v.candidate == unproven]
    assert verdict.reasons == (() if reason is None else (reason,))


def test_a_hole_in_the_log_stops_every_deletion() -> None:
    candidates = [_full(day) for day in range(60)]
    plan = plan_retention(candidates, RULES, _hours_after(59, 6), holes=["WAL is missing: 0A"])
    said = ". The check wal_continuity says what to do"
    assert plan.refusal == f"the log has a hole: WAL is missing: 0A{said}"
    two = plan_retention(candidates, RULES, _hours_after(59, 6), holes=["0A", "0C"])
    assert two.refusal == f"the log has a hole: 0A; 0C{said}"
    assert plan.deletable == []
    assert plan_retention(candidates, RULES, _hours_after(59, 6)).deletable
    blind = plan_retention(candidates, RULES, _hours_after(59, 6), lost_refutations=["8", "9"])
    assert (blind.deletable, blind.refusal) == ([], "a refutation is not recorded: 8; 9")
    with pytest.raises(Refused, match=r"^backup retention: \d+ backups .*: the log has a hole"):
        refuse_undecided(plan)
    refuse_undecided(plan_retention(candidates, RULES, _hours_after(59, 6)))
    # On the first days nothing would go, and a refusal keeps nothing.
    refuse_undecided(plan_retention([], RULES, _hours_after(0, 6)))
    refuse_undecided(plan_retention(candidates[:1], RULES, _hours_after(0, 6), holes=["0A"]))


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


def test_a_fortnight_dated_years_ahead_takes_no_place_of_the_nights_behind_it() -> None:
    """The clock stood ahead for a fortnight: what was taken then stays, and so does the rest."""
    nights = [_full(day) for day in range(500)]
    increments = [
        Candidate(f"increment-{day}", "increment", _hours_after(day, 12), "unproven")
        for day in range(490, 500)
    ]
    dump = Candidate("dump-now", "dump", _hours_after(480, 0), "verified")
    months = [
        Candidate(f"dump-{n}", "dump", _hours_after(3000 + 31 * n, 0), "verified")
        for n in range(14)
    ]
    ahead = [_full(day) for day in range(4000, 4014)]
    ahead += [
        Candidate(f"increment-{day}", "increment", _hours_after(day, 12), "unproven")
        for day in range(4000, 4014)
    ]
    now = _hours_after(499, 14)
    behind = _kept([*nights, *increments, dump], now)
    assert _kept([*nights, *increments, dump, *months, *ahead], now) == behind | {
        candidate.name for candidate in [*months, *ahead]
    }


def test_what_a_kept_backup_needs_stays() -> None:
    base = _full(0)
    fulls = [_full(day) for day in range(300, 730)]
    child = replace(_full(3, held=True), needs=(base.name,))
    grandchild = replace(_full(4), needs=("full-3",))
    assert {"full-0", "full-3"} <= _kept([base, child, *fulls], _hours_after(729, 6))
    assert "full-0" not in _kept([base, grandchild, *fulls], _hours_after(729, 6))


@pytest.mark.parametrize(("age_days", "is_kept"), [(1, True), (7, True), (8, False)])
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


SECOND = timedelta(seconds=1)
ONE_OF_EACH = Rules(days=1, weeks=1, months=1, floor=1, stale=timedelta(hours=48))


def _at(name: str, moment: str, trust: Trust = "verified") -> Candidate:
    return Candidate(name, "full", datetime.fromisoformat(f"{moment}+00:00"), trust)


def _why(plan: RetentionPlan) -> dict[str, tuple[str, ...]]:
    return {verdict.candidate.name: verdict.reasons for verdict in plan.decisions}


def test_a_week_belongs_to_the_year_that_most_of_it_is_in() -> None:
    """ISO weeks: the last days of December may be of the next year's first week."""
    monday = _at("monday", "2024-12-30 02:00")
    saturday = _at("saturday", "2027-01-02 02:00")
    for full, week in ((monday, "2025-W01"), (saturday, "2026-W53")):
        reasons = _why(plan_retention([full], RULES, full.taken_at))[full.name]
        assert f"first of week {week}" in reasons


def test_the_weeks_around_new_year_are_in_the_order_of_time() -> None:
    """By the calendar's year the newest week would sort as the oldest, and lose its place."""
    monday = _at("monday", "2024-12-30 02:00")
    before = [_at(f"december-{day}", f"2024-12-{day:02} 02:00") for day in (9, 16, 23)]
    after = _at("wednesday", "2025-01-01 02:00")
    plan = plan_retention(
        [*before, monday, after], replace(ONE_OF_EACH, weeks=2), _hours_after(366, 6)
    )
    assert _why(plan) == {
        "december-9": (),
        "december-16": (),
        "december-23": ("first of week 2024-W52",),
        "monday": ("first of week 2025-W01",),
        "wednesday": (
            "first of day 2025-01-01",
            "first of month 2025-01",
            "one of the newest 1 that are verified",
        ),
    }


def test_each_reason_for_which_one_stays_is_told() -> None:
    candidates = [
        _full(0, held=True),
        Candidate("dump", "dump", _hours_after(1, 1), "unproven"),
        Candidate("point", "increment", _hours_after(1, 2), "unproven"),
        replace(_full(1, "refuted"), is_acknowledged=True),
        _full(2, "refuted"),
        replace(_full(3), needs=("full-1", "gone")),
        _full(4, "unproven"),
    ]
    newest = "one of the newest 1 that are verified"
    seen = (
        "a drill refuted it: see what it found, then drill it again, or give it up by "
        "`ft-ops backup acknowledge`"
    )
    plan = plan_retention(candidates, ONE_OF_EACH, _hours_after(4, 1))
    assert _why(plan) == {
        "full-0": ("first of week 2024-W01", "first of month 2024-01", "held"),
        "dump": ("a dump of the last months",),
        "point": (),
        "full-1": ("full-3 needs it",),
        "full-2": (seen,),
        "full-3": ("first of day 2024-01-04", newest),
        "full-4": ("not restored yet",),
    }
    assert plan.refusal is None
    assert [candidate.name for candidate in plan.deletable] == ["point"]
    assert "point" not in {candidate.name for candidate in plan.kept}


@pytest.mark.parametrize(("over", "refusal"), [(timedelta(), False), (SECOND, True)])
def test_the_newest_verified_full_may_be_as_old_as_the_rules_say(
    over: timedelta, refusal: bool
) -> None:
    fulls = [_full(day) for day in range(30)]
    plan = plan_retention(fulls, RULES, fulls[-1].taken_at + RULES.stale + over)
    said = "the newest verified full, full-29, is 48 h old, and 48 h is the limit"
    assert plan.refusal == (said if refusal else None)
    assert bool(plan.deletable) != refusal


@pytest.mark.parametrize(
    ("verified", "refusal"),
    [
        (2, "2 verified fulls are left, and 3 is the floor"),
        (3, None),
    ],
)
def test_nothing_goes_with_fewer_verified_fulls_than_the_floor(
    verified: int, refusal: str | None
) -> None:
    # One that was not restored yet does not count.
    fulls = [*(_full(day) for day in range(verified)), _full(verified, "unproven")]
    gone = Candidate("point", "increment", _hours_after(-30, 0), "unproven")
    others = [
        Candidate(f"point-{day}", "increment", _hours_after(day, 12), "unproven")
        for day in range(-9, 0)
    ]
    plan = plan_retention([gone, *others, *fulls], RULES, _hours_after(verified, 6))
    assert plan.refusal == refusal
    assert gone not in plan.kept
    assert (gone in plan.deletable) == (refusal is None)


def test_the_newest_verified_fulls_stay_as_many_as_the_floor_says() -> None:
    """Three of one day: the ladder has a place for the first alone."""
    night = [replace(_full(9), name=f"at-{h}", taken_at=_hours_after(9, h)) for h in range(5)]
    plan = plan_retention([_full(8), *night], replace(RULES, floor=3), _hours_after(9, 6))
    assert [candidate.name for candidate in plan.deletable] == ["at-1"]
    assert _why(plan)["at-2"] == ("one of the newest 3 that are verified",)


@pytest.mark.parametrize(("over", "counts"), [(timedelta(), True), (SECOND, False)])
def test_a_clock_may_be_an_hour_ahead(over: timedelta, counts: bool) -> None:
    now = _hours_after(40, 0)
    ahead = Candidate("ahead", "full", now + timedelta(hours=1) + over, "verified")
    alone = plan_retention([ahead], replace(RULES, floor=1), now)
    assert alone.refusal == (
        None
        if counts
        else "the verified fulls are all dated after 2024-02-10 02:00:00Z: check the clocks"
    )
    told = "dated after 2024-02-10 02:00:00Z: check the clocks"
    assert (told in _why(alone)["ahead"]) == (not counts)
    stale = plan_retention([_full(30), ahead], replace(RULES, floor=1), now)
    assert stale.refusal == (
        None if counts else "the newest verified full, full-30, is 240 h old, and 48 h is the limit"
    )


def test_a_full_stays_at_most_as_many_months_as_the_ladder_has() -> None:
    assert kept_at_most_until(FIRST_NIGHT, RULES) == Month(2025, 1)
    assert kept_at_most_until(FIRST_NIGHT, replace(RULES, months=1)) == Month(2024, 2)


@pytest.mark.parametrize(("over", "is_kept"), [(timedelta(), True), (SECOND, False)])
def test_a_full_has_as_many_days_to_be_restored_as_the_ladder_has(
    over: timedelta, is_kept: bool
) -> None:
    waiting = replace(_full(20, "unproven"), name="waiting")
    fulls = [_full(day) for day in range(28)]
    plan = plan_retention([*fulls, waiting], RULES, _hours_after(27, 0) + over)
    assert plan.refusal is None
    assert _why(plan)["waiting"] == (("not restored yet",) if is_kept else ())


def test_the_newest_full_stays_however_long_nobody_restores_it() -> None:
    old = [_full(0), _full(1)]
    rules = replace(ONE_OF_EACH, stale=timedelta(days=1000))
    newest = replace(_full(1, "unproven"), name="newest", taken_at=_hours_after(1, 1))
    plan = plan_retention([*old, newest], rules, _hours_after(100, 0))
    assert _why(plan)["newest"] == ("not restored yet",)
    at_once = replace(newest, taken_at=old[-1].taken_at)
    assert _why(plan_retention([*old, at_once], rules, _hours_after(100, 0)))["newest"] == ()
    nothing_proven = plan_retention([newest], rules, _hours_after(100, 0))
    assert _why(nothing_proven)["newest"] == ("not restored yet",)


def test_a_day_with_nothing_but_a_dump_takes_no_increments_place() -> None:
    points = [
        Candidate(f"point-{day}", "increment", _hours_after(day, 3), "unproven") for day in range(8)
    ]
    dump = Candidate("dump", "dump", _hours_after(8, 1), "unproven")
    fulls = [_full(day) for day in (5, 6, 7)]
    plan = plan_retention([*points, dump, *fulls], RULES, _hours_after(8, 12))
    assert _why(plan)["point-0"] == ("an increment of the last days",)
    later = Candidate("point-8", "increment", _hours_after(8, 2), "unproven")
    plan = plan_retention([*points, later, *fulls], RULES, _hours_after(8, 12))
    assert _why(plan)["point-0"] == ()


def test_what_is_needed_by_what_is_needed_stays_too() -> None:
    base, child = _full(0), replace(_full(1), needs=("full-0",))
    grandchild = replace(_full(2, held=True), needs=("full-1", "full-0"))
    plan = plan_retention(
        [base, child, grandchild, *map(_full, range(300, 730))], RULES, _hours_after(729, 6)
    )
    assert _why(plan)["full-2"] == ("held",)
    assert _why(plan)["full-1"] == ("full-2 needs it",)
    assert set(_why(plan)["full-0"]) == {"full-1 needs it", "full-2 needs it"}


def test_a_refuted_backup_of_any_kind_waits_for_a_person() -> None:
    point = Candidate("point", "increment", _hours_after(-40, 0), "refuted")
    fulls = [_full(day) for day in range(30)]
    points = [
        Candidate(f"point-{day}", "increment", _hours_after(day, 12), "unproven")
        for day in range(30)
    ]
    assert "point" in _kept([point, *fulls, *points], _hours_after(29, 6))
    seen = replace(point, is_acknowledged=True)
    assert "point" not in _kept([seen, *fulls, *points], _hours_after(29, 6))


def test_backups_of_one_moment_are_judged_in_the_order_of_their_names() -> None:
    twins = [replace(_full(3), name=name) for name in ("b", "a")]
    plan = plan_retention(twins, ONE_OF_EACH, _hours_after(3, 1))
    assert list(_why(plan)) == ["a", "b"]
    assert [candidate.name for candidate in plan.kept] == ["a", "b"]


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
