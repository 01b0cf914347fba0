"""What a person should look at of a backup is said until a person has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.backups.inventory.doubts import doubts
from ft_ops.backups.inventory.ledger import Entry

NOW = datetime(2026, 3, 15, 7, 30, tzinfo=UTC)
GOOD = Entry(
    "full-1", "full", "barman", "complete", "full-1", NOW, None, NOW, NOW, None, NOW, NOW,
    was_verified=True, verdict="proven", judged_at=NOW,
)  # fmt: skip
REFUTED = replace(GOOD, verdict="refuted", finding="a row is missing")
SAID_REFUTED = (
    "full-1 was refuted by its last drill: a row is missing. Nothing deletes it until it is "
    "drilled again or acknowledged"
)
SAID_LOST = (
    "full-1 was verified once, and now: data.tar is gone. Nothing deletes it until it is whole "
    "again or acknowledged"
)


def test_a_good_backup_and_one_that_nobody_proved_yet_are_no_doubt() -> None:
    assert doubts(GOOD, None) == []
    unproven = replace(GOOD, was_verified=False, verdict=None)
    assert doubts(unproven, None) == doubts(unproven, "data.tar is gone") == []


def test_a_refutation_and_a_loss_are_told_and_never_twice() -> None:
    assert doubts(REFUTED, None) == doubts(REFUTED, "data.tar is gone") == [SAID_REFUTED]
    assert doubts(GOOD, "data.tar is gone") == [SAID_LOST]


@pytest.mark.parametrize(("later", "is_seen"), [(0, True), (-1, False)])
def test_a_person_has_to_look_after_the_last_verdict(later: int, is_seen: bool) -> None:
    seen_at = NOW + timedelta(seconds=later)
    assert (doubts(replace(REFUTED, acknowledged_at=seen_at), None) == []) == is_seen
    assert (doubts(replace(GOOD, acknowledged_at=seen_at), "data.tar is gone") == []) == is_seen


def test_what_was_never_taken_whole_is_no_doubt_about_a_backup() -> None:
    failed = replace(REFUTED, state="failed", undecided="no room", log_finding="0A is damaged")
    assert doubts(failed, "disk full") == []


def test_a_drill_without_a_verdict_and_a_damaged_log_stay_said_though_it_was_looked_at() -> None:
    entry = replace(
        REFUTED,
        undecided="no room",
        log_finding="0A is damaged",
        unread_refutation="refutations/1 is not read",
        acknowledged_at=NOW,
    )
    assert doubts(entry, None) == [
        "the way behind full-1 was refuted: 0A is damaged",
        "refutations/1 is not read",
        "the last drill of full-1 came to no verdict: no room",
    ]
    assert doubts(replace(entry, acknowledged_at=None), None)[0] == SAID_REFUTED
