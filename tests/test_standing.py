"""A question that could not be asked is answered by unknown, with the reason, and never by good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.standing import ONCE_A_DAY, Standing, Status, age_in_words, asked, stale_since

NOW = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)


def test_what_needs_somebody_more_is_higher() -> None:
    assert Status.GOOD < Status.WARNING < Status.UNKNOWN < Status.BAD


def test_answers_are_passed_on_as_they_are() -> None:
    answers = [
        Standing("backups", "full", Status.GOOD, "3 h old"),
        Standing("backups", "dump", Status.BAD, "none"),
    ]
    assert asked("backups", "backups", lambda: iter(answers), section="backups") == answers


def test_what_could_not_be_asked_is_unknown_with_cause_next_step_and_section() -> None:
    def question() -> list[Standing]:
        raise OpsError("inventory", cause="the bucket is gone", next_step="see FT_BACKUP_BUCKET")

    assert asked("backups", "the inventory", question, section="backup_inventory") == [
        Standing(
            "backups",
            "the inventory",
            Status.UNKNOWN,
            "not known",
            "the bucket is gone. Next: see FT_BACKUP_BUCKET",
            section="backup_inventory",
        )
    ]


def test_an_answer_that_breaks_off_half_way_is_unknown_in_its_own_words() -> None:
    def question() -> Iterator[Standing]:
        yield Standing("backups", "full", Status.GOOD, "3 h old")
        raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")

    [unknown] = asked("backups", "the ledger", question)
    assert (unknown.status, unknown.section) == (Status.UNKNOWN, None)
    assert unknown.reason.startswith("it is locked by another session: canceling statement")


def test_a_defect_of_ours_is_no_answer() -> None:
    def question() -> list[Standing]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asked("backups", "the ledger", question)


def test_a_figure_is_stale_once_it_is_older_than_the_patience_with_it() -> None:
    known_at = NOW - timedelta(hours=2)
    assert stale_since(known_at, NOW, timedelta(hours=2)) is None
    assert stale_since(known_at, NOW, timedelta(hours=2, seconds=-1)) == known_at
    ahead = NOW + timedelta(hours=1)
    assert stale_since(ahead, NOW, timedelta(hours=2)) is None
    wrong = ahead + timedelta(seconds=1)
    assert stale_since(wrong, NOW, timedelta(hours=2)) == wrong


def test_what_is_done_daily_before_the_page_is_missed_by_the_page_of_the_same_morning() -> None:
    """The last of it is due at six; a day later, at half past six, it was not done today."""
    assert stale_since(NOW - timedelta(hours=24, minutes=30), NOW, ONCE_A_DAY) is not None
    assert stale_since(NOW - timedelta(hours=24, minutes=15), NOW, ONCE_A_DAY) is None


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(minutes=4), "4 min ago"),
        (timedelta(seconds=1), "1 s ago"),
        (timedelta(), "0 s ago"),
        (timedelta(minutes=-4), "0 s ago"),
    ],
)
def test_an_age_is_never_negative(ago: timedelta, words: str) -> None:
    assert age_in_words(NOW - ago, NOW) == words
