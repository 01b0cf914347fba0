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
    disaster_recovery_copy,
    inventory_promises,
    log_promises,
)
from ft_ops.backups.provider import Kind, LogState, Replica
from ft_ops.backups.retention.retention import Rules, Trust

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
        replica=Replica("s3://copy/", taken_at),
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
        replace(i, replica=Replica("s3://copy/", None, "data.tar missing or of another size"))
        if _day(i) == "2026-03-10" and i.kind == "full"
        else i
        for i in _good_items(20)
    ]
    assert (
        _broken(items, "disaster_recovery_copy")
        == "full-20260310t0200: data.tar missing or of another size"
    )


def test_no_other_region_is_a_warning() -> None:
    promise = _promises(_good_items(20), replicates=False)["disaster_recovery_copy"]
    assert not promise.is_kept
    assert promise.severity == "WARN"


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
    lag, continuity = log_promises(state, 900)
    assert lag.description.startswith("the archive ends at 2026-03-15 07:30:00Z, 1000 s ago")
    assert continuity.description == "WAL is missing: 0001"
    assert all(p.is_kept for p in log_promises(replace(state, lag_seconds=1, problems=()), 900))
    nothing = LogState(None, float("inf"), (), {})
    assert not log_promises(nothing, 900)[0].is_kept


def _day(item: Item) -> str:
    return f"{item.taken_at:%Y-%m-%d}"
