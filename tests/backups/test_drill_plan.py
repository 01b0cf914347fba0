"""What a drill restores, and to whose point, for every stock of backups."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.backups.drill.plan import (
    DrillPlan,
    files_plan,
    moment_plan,
    named_plan,
    newest_plan,
    older_plan,
)
from ft_ops.backups.inventory.ledger import Entry, State
from ft_ops.backups.provider import Kind
from ft_ops.errors import Refused

FIRST_NIGHT = datetime(2026, 3, 1, 2, tzinfo=UTC)


def entry(name: str, hours: int, state: State = "complete") -> Entry:
    """One of the kind that its name begins with, so many hours after the first night."""
    kinds: dict[str, Kind] = {"full": "full", "increment": "increment", "dump": "dump"}
    at = FIRST_NIGHT + timedelta(hours=hours)
    return Entry(
        name, kinds[name.partition("-")[0]], "barman", state, name, at, None, at, at, None, None,
        None, was_verified=False,
    )  # fmt: skip


FULL_1, POINT_1 = entry("full-1", 0), entry("increment-1", 6)
FULL_2, POINT_2 = entry("full-2", 24), entry("increment-2", 30)
FAILED, LOST = entry("full-failed", 48, "failed"), entry("increment-lost", 49, "missing")
DUMP = entry("dump-1", 50)
STOCK = [FULL_1, POINT_1, FULL_2, POINT_2, FAILED, LOST, DUMP]


def test_the_newest_full_is_restored_to_the_newest_point() -> None:
    assert newest_plan([entry("full-0", -24), *STOCK]) == DrillPlan(FULL_2, POINT_2)
    assert newest_plan([FULL_1, FULL_2]) == DrillPlan(FULL_2, FULL_2)


def test_where_no_log_leads_from_it_to_its_own_point() -> None:
    assert newest_plan(STOCK, by_log=False) == DrillPlan(FULL_2, FULL_2)


def test_a_moment_is_reached_by_what_is_usable_or_not_at_all() -> None:
    assert moment_plan([entry("full-0", -24), entry("increment-0", -18), *STOCK]) == DrillPlan(
        FULL_2, POINT_2
    )
    assert moment_plan([FULL_1, FULL_2, LOST]) is None
    assert moment_plan([POINT_1, FAILED]) is None


def test_an_older_full_is_any_but_the_newest_and_that_one_only_when_alone() -> None:
    full_3 = entry("full-3", 60)
    chosen = {older_plan([*STOCK, full_3], random.Random(seed)).backup.name for seed in range(20)}
    assert chosen == {"full-1", "full-2"}
    assert older_plan([FULL_2, POINT_2], random.Random(0)) == DrillPlan(FULL_2, FULL_2)
    assert older_plan(STOCK, random.Random(0)) == DrillPlan(FULL_1, FULL_1)


def test_a_name_is_restored_by_the_last_full_before_it() -> None:
    assert named_plan(STOCK, "full-1") == DrillPlan(FULL_1, FULL_1)
    assert named_plan(STOCK, "increment-1") == DrillPlan(FULL_1, POINT_1)
    assert named_plan(STOCK, "increment-2") == DrillPlan(FULL_2, POINT_2)
    after_a_failure = entry("increment-3", 51)
    assert named_plan([*STOCK, after_a_failure], "increment-3").backup == FULL_2


def test_a_name_is_restored_alone_where_no_log_leads_from_a_full() -> None:
    assert named_plan(STOCK, "increment-1", by_log=False) == DrillPlan(POINT_1, POINT_1)


def test_an_increment_with_files_of_its_own_is_restored_by_those() -> None:
    """The log from a full leads to its point as well, and shows nothing of its files."""
    own = replace(entry("increment-3", 36), needs=("full-2",))
    stock = [*STOCK, own, replace(entry("increment-4", 42, "missing"), needs=("full-2",))]
    assert files_plan(stock) == DrillPlan(own, own)
    assert files_plan(STOCK) is None
    assert named_plan(stock, "increment-3") == DrillPlan(own, own)
    assert named_plan(stock, "increment-2") == DrillPlan(FULL_2, POINT_2)
    assert newest_plan(stock) == DrillPlan(FULL_2, own)


@pytest.mark.parametrize("name", ["dump-1", "full-failed", "increment-lost", "full-9"])
def test_what_is_no_full_or_increment_or_not_whole_is_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        named_plan(STOCK, name)
    assert refused.value.what == f"restore drill of {name}"
    assert refused.value.cause == "there is no complete full backup or increment of that name"


def test_an_increment_whose_full_is_gone_is_refused() -> None:
    gone = replace(FULL_1, state="missing")
    with pytest.raises(Refused, match="restore drill of increment-1: the full backups before it"):
        named_plan([gone, POINT_1, FULL_2], "increment-1")


@pytest.mark.parametrize("stock", [[], [POINT_1, DUMP], [FAILED]])
def test_without_a_full_there_is_nothing_to_drill(stock: list[Entry]) -> None:
    for plan in (newest_plan, lambda entries: older_plan(entries, random.Random(0))):
        with pytest.raises(Refused, match="restore drill: there is no complete full backup"):
            plan(stock)
