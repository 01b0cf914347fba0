"""Each promise of the specification is held against the inventory, and a broken one is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.backups.inventory.copy import Gap
from ft_ops.backups.inventory.inventory import Inventory, Item
from ft_ops.backups.inventory.ledger import Entry
from ft_ops.backups.inventory.objectives import (
    Promise,
    backups_verified,
    disaster_recovery_copy,
    full_backup_daily,
    glacier_tier,
    increment_every_six_hours,
    inventory_promises,
    log_promises,
    retention_ladder,
)
from ft_ops.backups.provider import Kind, LogState, Replica
from ft_ops.backups.retention.retention import Rules, Trust
from ft_ops.items import Failed

RULES = Rules(days=7, weeks=4, months=12, floor=3, stale=timedelta(hours=48))
NOW = datetime(2026, 3, 15, 7, 30, tzinfo=UTC)


def _item(hours: float, kind: Kind = "full") -> Item:
    """One that is whole, verified and copied, so many hours before now."""
    taken_at = NOW - timedelta(hours=hours)
    return Item(
        name=f"{kind}-{taken_at:%Y%m%dt%H%M}",
        kind=kind,
        taken_at=taken_at,
        trust="verified" if kind == "full" else "unproven",
        verified_at=taken_at,
        restored_to=taken_at,
        bytes=1,
        location="",
        storage_classes=("DEEP_ARCHIVE", "STANDARD") if kind == "dump" else ("STANDARD",),
        is_held=False,
        replica=Replica("s3://copy/"),
        begins_at_wal=None,
        problem=None,
        state="complete",
        stored=None,
    )


def _good_items(days: int) -> list[Item]:
    """A full each night at 02:00 and a point every six hours, for so many days; monthly dumps."""
    items = [_item(5.5 + 24 * back) for back in range(days)]
    items += [_item(1.5 + 6 * back, "increment") for back in range(days * 4)]
    firsts = [NOW - timedelta(days=back) for back in range(days)]
    items += [_item(24.0 * (NOW - day).days, "dump") for day in firsts if day.day == 1]
    return sorted(items, key=lambda item: item.taken_at or NOW)


def _promises(items: list[Item], *, replicates: bool = True) -> dict[str, Promise]:
    inventory = Inventory(NOW, tuple(items))
    found = inventory_promises(
        inventory, RULES, replicates=replicates, replica_lag=timedelta(hours=26)
    )
    return {promise.name: promise for promise in found}


def _broken(items: list[Item], name: str) -> str:
    promises = _promises(items)
    promise = promises.pop(name)
    assert not promise.is_kept
    return promise.description


@pytest.mark.parametrize("days", [1, 5, 20, 400])
def test_good_days_keep_every_promise(days: int) -> None:
    broken = [p.description for p in _promises(_good_items(days)).values() if not p.is_kept]
    assert broken == []


def test_without_any_backup_every_promise_is_broken() -> None:
    promises = _promises([])
    for name in ("full_backup_daily", "increment_every_six_hours", "backups_verified"):
        assert not promises[name].is_kept


def test_a_missing_day_is_named() -> None:
    items = [i for i in _good_items(20) if i.kind != "full" or _day(i) != "2026-03-12"]
    assert _broken(items, "full_backup_daily") == "no full backup of 2026-03-12"
    assert _broken(items, "retention_ladder") == "no verified full of day 2026-03-12"


def test_a_stale_newest_full_is_named() -> None:
    items = [i for i in _good_items(20) if i.kind != "full" or _day(i) < "2026-03-13"]
    assert "full-20260312t0200, is 77.5 h old" in _broken(items, "full_backup_daily")
    assert "full-20260312t0200, is 77.5 h old" in _broken(items, "backups_verified")
    assert "the newest copy, full-20260312t0200" in _broken(items, "disaster_recovery_copy")


def test_a_refutation_that_is_not_recorded_is_told_once() -> None:
    lost = Failed("refutations/1", "it is not recorded", "read it")
    told = Failed("refutations/2", "it is not read", "let it be read")
    newest = _item(5.5)
    entry = Entry(
        newest.name, "full", "barman", "complete", newest.name, NOW, None, NOW, NOW, None, NOW, NOW,
        was_verified=True, verdict="proven", judged_at=NOW, unread_refutation=str(told),
    )  # fmt: skip
    inventory = Inventory(NOW, (replace(newest, entry=entry),), lost_refutations=(lost, told))
    assert backups_verified(inventory, RULES).broken == (str(told), str(lost))


def test_a_backup_that_does_not_count_is_a_missing_one() -> None:
    items = [
        replace(i, problem="failed: disk full")
        if _day(i) == "2026-03-12" and i.kind == "full"
        else i
        for i in _good_items(20)
    ]
    assert _broken(items, "full_backup_daily") == "no full backup of 2026-03-12"
    assert "full-20260312t0200: failed: disk full" in _broken(items, "only_whole_backups")


def test_a_missing_increment_is_named() -> None:
    items = [i for i in _good_items(20) if i.taken_at != NOW - timedelta(hours=7.5)]
    items = [i for i in items if i.taken_at != NOW - timedelta(hours=5.5)]
    assert (
        _broken(items, "increment_every_six_hours")
        == "no point between 2026-03-14 18:00:00Z and 2026-03-15 06:00:00Z"
    )


def _entry(item: Item, **what: object) -> Item:
    """The item with a row of the ledger that says so."""
    assert item.taken_at is not None
    row = Entry(
        item.name, item.kind, "barman", "complete", item.name, item.taken_at, None, item.taken_at,
        item.taken_at, None, None, None, was_verified=True,
    )  # fmt: skip
    return replace(item, entry=replace(row, **what))  # type: ignore[arg-type]  # by its fields


@pytest.mark.parametrize(
    ("trust", "problem", "what", "said"),
    [
        (
            "refuted",
            None,
            {"verdict": "refuted", "finding": "a row is missing"},
            "was refuted by its last drill: a row",
        ),
        ("verified", "data.tar is missing", {}, "was verified once, and now: data.tar is missing"),
        ("verified", None, {"undecided": "no space"}, "came to no verdict: no space"),
        ("verified", None, {"log_finding": "0A is damaged"}, "the way behind full-20260301t0200"),
    ],
)
def test_what_a_person_has_to_look_at_is_named(
    trust: Trust, problem: str | None, what: dict[str, object], said: str
) -> None:
    items = _good_items(20)
    odd = next(item for item in items if item.kind == "full" and _day(item) == "2026-03-01")
    items[items.index(odd)] = _entry(replace(odd, trust=trust, problem=problem), **what)
    assert said in _broken(items, "backups_verified")
    if "log_finding" in what or "undecided" in what:
        return  # a drill that comes through answers for these
    acknowledged = {"acknowledged_at": NOW, "acknowledged_by": "me", "acknowledgement": "seen"}
    items = [i if i.entry is None else _entry(i, **what, **acknowledged) for i in items]
    assert _promises(items)["backups_verified"].is_kept


def test_every_doubt_is_told_beside_the_age() -> None:
    fulls = [replace(_item(hours), trust="refuted") for hours in (1, 30)]
    refuted = [_entry(full, verdict="refuted", finding="a row is missing") for full in fulls]
    broken = backups_verified(_inventory(*refuted), RULES).broken
    assert broken[0].startswith("no full backup was ever restored")
    assert [said.partition(" was refuted")[0] for said in broken[1:]] == [
        "full-20260314t0130",
        "full-20260315t0630",
    ]


def test_without_any_proof_the_backups_are_not_verified() -> None:
    unproven = [replace(i, trust="unproven") for i in _good_items(3)]
    assert "no full backup was ever restored" in _broken(unproven, "backups_verified")


def test_what_the_copy_lacks_for_longer_than_the_lag_is_named() -> None:
    def broken(hours: float) -> str:
        gaps = (
            Gap("points/increment-a.json", NOW - timedelta(hours=hours), "is missing there"),
            Gap("points/increment-b.json", NOW - timedelta(hours=hours), "is missing there"),
        )
        inventory = Inventory(NOW, tuple(_good_items(20)), copy_gaps=gaps)
        lag = timedelta(hours=26)
        return disaster_recovery_copy(inventory, replicates=True, lag=lag).description

    assert "points/increment-a.json is missing there, and 1 more of points" in broken(27)
    assert "points" not in broken(25)


def test_a_week_and_a_month_without_a_verified_full_are_named() -> None:
    items = [i for i in _good_items(100) if not "2026-02-16" <= _day(i) <= "2026-02-22"]
    assert "no verified full of week 2026-W08" in _broken(items, "retention_ladder")
    items = [i for i in _good_items(100) if not _day(i).startswith("2026-01")]
    assert "no verified full of month 2026-01" in _broken(items, "retention_ladder")


def test_a_failed_copy_is_named() -> None:
    items = [
        replace(i, replica=Replica("s3://copy/", "data.tar missing or of another size"))
        if _day(i) == "2026-03-10" and i.kind == "full"
        else i
        for i in _good_items(20)
    ]
    assert (
        _broken(items, "disaster_recovery_copy")
        == "full-20260310t0200: data.tar missing or of another size"
    )


def test_no_other_region_is_a_warning() -> None:
    assert _promises(_good_items(20), replicates=False)["disaster_recovery_copy"] == Promise(
        "disaster_recovery_copy",
        kept="",
        broken=("no copy is kept in another region: set FT_DR_BUCKET (or FT_DR_REGION on RDS)",),
        severity="WARN",
    )


def test_a_month_without_a_dump_in_glacier_is_named() -> None:
    items = [i for i in _good_items(100) if i.kind != "dump" or _day(i)[:7] != "2026-01"]
    assert _broken(items, "glacier_tier") == "no dump of 2026-01"
    items = [
        replace(i, storage_classes=("STANDARD",))
        if i.kind == "dump" and _day(i) > "2026-02-20"
        else i
        for i in _good_items(100)
    ]
    assert "is in STANDARD" in _broken(items, "glacier_tier")


def test_a_log_that_lags_or_has_holes_is_named() -> None:
    state = LogState(NOW, 1000.0, ("WAL is missing: 0001",), {})
    lag, continuity = log_promises(state, 900, has_backups=True)
    assert lag.description.startswith("the archive ends at 2026-03-15 07:30:00Z, 1000 s ago")
    assert continuity.description == "WAL is missing: 0001"
    good = replace(state, lag_seconds=1, problems=())
    assert all(p.is_kept for p in log_promises(good, 900, has_backups=True))


def test_a_log_that_never_arrived_is_missed_from_the_first_backup_on() -> None:
    nothing = LogState(None, float("inf"), (), {})
    assert not log_promises(nothing, 900, has_backups=True)[0].is_kept
    [lag, _] = log_promises(nothing, 900, has_backups=False)
    assert lag.is_kept
    assert lag.kept == "nothing of the log is in the archive yet, and no backup needs it"
    assert not log_promises(LogState(NOW, 901, (), {}), 900, has_backups=False)[0].is_kept


SECOND = 1 / 3600
"""In hours."""
LAG = timedelta(hours=26)


def _inventory(*items: Item) -> Inventory:
    return Inventory(NOW, tuple(sorted(items, key=lambda item: item.taken_at or NOW)))


def _unverified(item: Item) -> Item:
    return replace(item, trust="unproven", verified_at=None, restored_to=None)


def test_what_is_kept_is_told_with_its_figures() -> None:
    promises = _promises(_good_items(20)).values()
    assert {p.name: p.description for p in promises} == {
        "full_backup_daily": "the newest is 5.5 h old, and no day is missing",
        "increment_every_six_hours": "the newest point is 1.5 h old, and none is missing since "
        "yesterday",
        "backups_verified": "20 fulls are verified, the newest is 5.5 h old",
        "retention_ladder": "the ladder holds 7 of 7 days, 3 of 4 weeks, 2 of 12 months",
        "disaster_recovery_copy": "20 of 20 fulls have their copy, the newest is 5.5 h old",
        "glacier_tier": "1 monthly dumps are in Glacier",
        "only_whole_backups": "101 backups, all whole",
        "compared_by_drills": "every table, sequence and role is compared",
    }
    warnings = {p.name for p in promises if p.severity == "WARN"}
    assert warnings == {"only_whole_backups", "compared_by_drills"}


@pytest.mark.parametrize(
    ("hours", "broken"),
    [(26, ()), (26 + SECOND, ("the newest, full-20260314t0529, is 26.0 h old",))],
)
def test_the_newest_full_may_be_26_hours_old(hours: float, broken: tuple[str, ...]) -> None:
    fulls = [_item(hours + 24 * back) for back in range(20)]
    assert full_backup_daily(_inventory(*fulls), RULES).broken == broken


def test_todays_full_may_still_come_and_yesterdays_may_not() -> None:
    """Yesterday's is the newest day that must have one, and six days back the oldest."""

    def broken(*missing: str) -> tuple[str, ...]:
        fulls = [_item(5.5 + 24 * back) for back in range(20)]
        kept = [full for full in fulls if _day(full) not in missing]
        return full_backup_daily(_inventory(*kept, _item(1)), RULES).broken

    assert broken("2026-03-15") == ()
    assert broken("2026-03-14") == ("no full backup of 2026-03-14",)
    assert broken("2026-03-09") == ("no full backup of 2026-03-09",)
    assert broken("2026-03-08") == ()
    assert broken("2026-03-13", "2026-03-12") == (
        "no full backup of 2026-03-12",
        "no full backup of 2026-03-13",
    )


def test_no_day_before_the_first_full_is_missed() -> None:
    """A day counts from the same time of the day at which the first full was taken."""
    first = [_item(5.5), _item(72)]
    assert full_backup_daily(_inventory(*first), RULES).broken == (
        "no full backup of 2026-03-13",
        "no full backup of 2026-03-14",
    )
    increments_before = [_item(hours, "increment") for hours in (200, 100)]
    assert full_backup_daily(_inventory(_item(1), *increments_before), RULES).broken == ()


def test_without_a_full_that_alone_is_said() -> None:
    promise = full_backup_daily(_inventory(_item(1, "dump"), _item(1, "increment")), RULES)
    assert promise.broken == ("there is no full backup: run full_backup",)


@pytest.mark.parametrize(
    ("points", "broken"),
    [
        ([6.5], ()),
        ([6.5 + SECOND], ("no point between 2026-03-15 00:59:59Z and 2026-03-15 07:30:00Z",)),
        ([1, 7.5, 14, 20.5], ()),
        ([1, 7.5 + SECOND], ("no point between 2026-03-14 23:59:59Z and 2026-03-15 06:30:00Z",)),
        # What happened before yesterday is over, but for the way from its last point.
        ([1, 7, 13, 19, 25, 50], ()),
        (
            [1, 7, 13, 19, 26, 27],
            ("no point between 2026-03-14 05:30:00Z and 2026-03-14 12:30:00Z",),
        ),
        # A point of this very time yesterday is one of both: of the day, and of the way to it.
        ([1, 6, 12, 18, 24, 30], ()),
        (
            [1, 6, 12, 18, 24, 31],
            ("no point between 2026-03-14 00:30:00Z and 2026-03-14 07:30:00Z",),
        ),
        ([30], ("no point between 2026-03-14 01:30:00Z and 2026-03-15 07:30:00Z",)),
        ([], ("there is no point to restore to: run incremental_backup",)),
    ],
)
@pytest.mark.parametrize("kind", ["increment", "full"])
def test_two_points_of_the_last_day_may_be_six_and_a_half_hours_apart(
    kind: Kind, points: list[float], broken: tuple[str, ...]
) -> None:
    items = [_item(hours, kind) for hours in points]
    # A monthly dump leads to no point.
    inventory = _inventory(*items, _item(0.5, "dump"))
    assert increment_every_six_hours(inventory).broken == broken


@pytest.mark.parametrize(
    ("hours", "broken"),
    [
        (48, ()),
        (48 + SECOND, ("the newest verified full, full-20260313t0729, is 48.0 h old",)),
        (240, ("the newest verified full, full-20260305t0730, is 240.0 h old",)),
    ],
)
def test_the_newest_verified_full_may_be_as_old_as_the_rules_say(
    hours: float, broken: tuple[str, ...]
) -> None:
    # One that nobody restored yet, and a dump, make up for nothing.
    inventory = _inventory(_item(hours), _unverified(_item(1)), _item(0.5, "dump"))
    assert backups_verified(inventory, RULES).broken == broken


def test_without_a_verified_full_the_age_is_none() -> None:
    promise = backups_verified(_inventory(_unverified(_item(1))), RULES)
    assert promise.broken == (
        "no full backup was ever restored and found whole: run restore_drill",
    )
    assert promise.kept == "0 fulls are verified, the newest is (none) old"


def test_a_ladder_that_is_full_reaches_back_no_further() -> None:
    """Eight days before yesterday, one without a proof: seven younger ones take the places."""
    fulls = [_item(5.5 + 24 * back) for back in range(9)]
    oldest_unproven = [*fulls[:7], _unverified(fulls[7]), fulls[8]]
    few = replace(RULES, weeks=1, months=1)
    promise = retention_ladder(_inventory(*oldest_unproven), few)
    assert promise.kept == "the ladder holds 7 of 7 days, 1 of 1 weeks, 1 of 1 months"
    assert promise.broken == ()
    promise = retention_ladder(_inventory(*fulls[:5], *map(_unverified, fulls[5:])), few)
    assert promise.broken == (
        "no verified full of day 2026-03-08",
        "no verified full of day 2026-03-09",
        "no verified full of day 2026-03-10",
    )


@pytest.mark.parametrize(("hours", "is_wanted"), [(48, True), (48 - SECOND, False)])
def test_a_day_has_to_have_a_proof_from_the_time_of_the_day_of_the_first_full(
    hours: float, is_wanted: bool
) -> None:
    inventory = _inventory(_unverified(_item(hours)), _item(24))
    broken = retention_ladder(inventory, RULES).broken
    assert broken == (("no verified full of day 2026-03-13",) if is_wanted else ())


def test_a_dump_takes_no_place_in_the_ladder() -> None:
    dump = replace(_item(1, "dump"), trust="verified")
    promise = retention_ladder(_inventory(dump), RULES)
    assert promise.kept == "the ladder holds 0 of 7 days, 0 of 4 weeks, 0 of 12 months"


@pytest.mark.parametrize(
    ("hours", "broken"), [(26, ()), (26 + SECOND, ("full-20260314t0529: it has no copy",))]
)
def test_a_full_may_be_without_a_copy_for_the_lag(hours: float, broken: tuple[str, ...]) -> None:
    inventory = _inventory(_item(1), replace(_item(hours), replica=None), _item(100))
    promise = disaster_recovery_copy(inventory, replicates=True, lag=LAG)
    assert promise.broken == broken
    assert promise.kept == "2 of 3 fulls have their copy, the newest is 1.0 h old"


@pytest.mark.parametrize(
    ("hours", "broken"),
    [(26, ()), (26 + SECOND, ("the newest copy, full-20260314t0529, is 26.0 h old",))],
)
def test_the_newest_copy_may_be_as_old_as_the_lag(hours: float, broken: tuple[str, ...]) -> None:
    inventory = _inventory(_item(hours), _item(100), replace(_item(1), replica=None))
    assert disaster_recovery_copy(inventory, replicates=True, lag=LAG).broken == broken


def test_no_copy_at_all_is_never_kept() -> None:
    """Not on the first day either, when each full is younger than the lag."""
    young = replace(_item(1), replica=None)
    promise = disaster_recovery_copy(_inventory(young), replicates=True, lag=LAG)
    assert promise.broken == ("no full backup has a copy yet",)
    assert promise.severity == "ERROR"
    promise = disaster_recovery_copy(_inventory(_item(1, "dump")), replicates=True, lag=LAG)
    assert promise.broken == ("there is no full backup",)
    old = replace(_item(30), replica=None)
    promise = disaster_recovery_copy(_inventory(old), replicates=True, lag=LAG)
    assert promise.broken == ("full-20260314t0130: it has no copy",)


@pytest.mark.parametrize(("hours", "is_kept"), [(26, True), (26 + SECOND, False)])
def test_an_object_may_be_without_its_copy_for_the_lag(hours: float, is_kept: bool) -> None:
    since = NOW - timedelta(hours=hours)
    gaps = (
        Gap("wal/00000001/000000010000000000000002", since, "is missing there"),
        Gap("points/full-a.json", since, "has 1 bytes there, and 2 here"),
        Gap("wal/00000001/000000010000000000000001", since, "is missing there"),
        Gap("wal/00000001/000000010000000000000003", since, "is missing there"),
    )
    inventory = replace(_inventory(_item(1)), copy_gaps=gaps)
    broken = disaster_recovery_copy(inventory, replicates=True, lag=LAG).broken
    # A folder is told once, by its first object.
    assert broken == (
        ()
        if is_kept
        else (
            "points/full-a.json has 1 bytes there, and 2 here",
            "wal/00000001/000000010000000000000001 is missing there, and 2 more of wal/00000001",
        )
    )


def test_a_dump_may_be_missing_in_this_month_and_in_that_of_the_first_full() -> None:
    """Dumps are of a month's first day, and the backups may have begun after it."""
    fulls = [_item(5.5 + 24 * back) for back in range(100)]

    def broken(*months: str, rules: Rules = RULES) -> tuple[str, ...]:
        moments = [datetime.fromisoformat(f"{month}-01T03:00+00:00") for month in months]
        dumps = [_item((NOW - moment) / timedelta(hours=1), "dump") for moment in moments]
        return glacier_tier(_inventory(*fulls, *dumps), rules).broken

    assert broken("2026-01", "2026-02") == ()
    assert broken() == ("no dump of 2026-01", "no dump of 2026-02")
    assert broken("2025-12", "2026-02", "2026-03") == ("no dump of 2026-01",)
    # What is further back than the months that are kept is not asked for; the oldest of those is
    # one that may have begun late.
    assert broken(rules=replace(RULES, months=3)) == ("no dump of 2026-02",)
    assert broken(rules=replace(RULES, months=2)) == ()


@pytest.mark.parametrize(
    ("storage_class", "is_kept"),
    [
        ("GLACIER_IR", True),
        ("GLACIER", True),
        ("DEEP_ARCHIVE", True),
        ("STANDARD_IA", False),
        ("INTELLIGENT_TIERING", False),
    ],
)
def test_a_dump_is_in_one_of_the_glacier_classes(storage_class: str, is_kept: bool) -> None:
    dump = replace(_item(1, "dump"), storage_classes=("STANDARD", storage_class))
    broken = glacier_tier(_inventory(dump), RULES).broken
    assert broken == (() if is_kept else (f"{dump.name} is in STANDARD, {storage_class}",))


@pytest.mark.parametrize(("seconds", "is_kept"), [(900, True), (900.5, False)])
def test_the_log_may_be_as_late_as_is_allowed(seconds: float, is_kept: bool) -> None:
    lag, continuity = log_promises(LogState(NOW, seconds, (), {}), 900, has_backups=True)
    assert (lag.name, lag.severity, lag.is_kept) == ("wal_lag", "ERROR", is_kept)
    assert lag.kept == f"{seconds:.0f} s behind"
    assert (continuity.name, continuity.severity) == ("wal_continuity", "ERROR")
    assert continuity.description == "no hole, no stray timeline"


def test_a_log_of_which_nothing_is_there_is_told_as_that() -> None:
    lag, _ = log_promises(LogState(None, 0.0, (), {}), 900, has_backups=True)
    assert lag.broken == ("nothing of the log is in the archive",)


def _day(item: Item) -> str:
    return f"{item.taken_at:%Y-%m-%d}"


def test_what_no_drill_compares_is_a_warning_that_names_it() -> None:
    inventory = replace(
        _inventory(), uncompared=("public.busy: changed",), databases=("dagster", "reports")
    )
    (promise,) = [p for p in _all(inventory) if p.name == "compared_by_drills"]
    assert (promise.broken, promise.severity) == (("public.busy: changed",), "WARN")
    (promise,) = [p for p in _all(replace(inventory, uncompared=())) if p.name == promise.name]
    assert promise.is_kept
    assert (
        "of dagster, reports no rows, but indexes and tables with each other" in promise.description
    )


def _all(inventory: Inventory) -> list[Promise]:
    return inventory_promises(inventory, RULES, replicates=True, replica_lag=timedelta(hours=26))
