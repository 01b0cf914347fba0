"""How old a backup may be has one owner, and its limits are where they are said to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.backups.inventory.ages import is_late, is_stale, is_without_proof
from ft_ops.backups.provider import Kind

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("full", timedelta(hours=26)),
        ("increment", timedelta(hours=6, minutes=30)),
        ("dump", timedelta(days=35)),
    ],
)
def test_the_next_backup_is_late_beyond_its_schedule(kind: Kind, limit: timedelta) -> None:
    assert not is_late(kind, NOW - limit, NOW)
    assert is_late(kind, NOW - limit - SECOND, NOW)
    assert is_late(kind, None, NOW)


def test_what_a_clock_has_dated_ahead_has_no_age() -> None:
    """It would be the newest for as long as the clock was ahead."""
    ahead, limit = NOW + timedelta(hours=1), timedelta(hours=48)
    for moment, is_old in ((ahead, False), (ahead + SECOND, True)):
        assert is_late("full", moment, NOW) == is_old
        assert is_stale(moment, NOW, limit) == is_old
        assert is_without_proof(moment, NOW) == is_old


def test_a_drill_passes_every_day() -> None:
    limit = timedelta(hours=27, minutes=15)
    assert not is_without_proof(NOW - limit, NOW)
    assert is_without_proof(NOW - limit - SECOND, NOW)


def test_a_verified_full_is_relied_on_up_to_the_limit() -> None:
    limit = timedelta(hours=48)
    assert not is_stale(NOW - limit, NOW, limit)
    assert is_stale(NOW - limit - SECOND, NOW, limit)
