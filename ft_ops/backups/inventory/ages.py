"""How old a backup may be: every check, page, command and rule asks here.

Three questions are three ages. Whether backups are *taken*: the newest of each kind, by its
schedule. Whether one is *proven* every day: the last drill that passed. Whether there is one to
*rely on*: how much would be lost with the newest that was restored and found whole. A backup that a
clock has dated after now has no age, and answers none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from ft_ops.backups.provider import Kind
from ft_ops.standing import ONCE_A_DAY, stale_since

NEWEST_AGE: Final[Mapping[Kind, timedelta]] = {
    "full": timedelta(hours=26),
    "increment": timedelta(hours=6, minutes=30),
    "dump": timedelta(days=35),
}
"""How old the newest backup of a kind may be: the interval of its schedule, and how long it may
take."""

_TWO_DRILLS: Final = ONCE_A_DAY + timedelta(hours=3)
"""From one drill that passed at 04:00 to the end of the next day's."""


def is_late(kind: Kind, newest: datetime | None, now: datetime) -> bool:
    """Whether the next backup of a kind should be there: also when there is none at all."""
    return newest is None or stale_since(newest, now, NEWEST_AGE[kind]) is not None


def is_stale(newest_verified: datetime, now: datetime, limit: timedelta) -> bool:
    """Whether the newest verified full is too old to rely on, by the moment that it goes back to.

    ``limit`` is FT_BACKUP_STALE_HOURS.
    """
    return stale_since(newest_verified, now, limit) is not None


def is_without_proof(since: datetime, now: datetime) -> bool:
    """Whether a drill should have passed ``since`` then: that of today, which may take hours."""
    return stale_since(since, now, _TWO_DRILLS) is not None
