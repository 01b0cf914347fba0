"""What is known of storage: when it was recomputed, of which sizes, who is beyond a limit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ft_ops.format import human_bytes
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status, age_in_words, asked, stale_since
from ft_ops.storage.report import families_over_limit

_AREA: Final = "storage"
_PATIENCE: Final = timedelta(hours=26)
"""It is recomputed every day at 01:00, and may take an hour or two."""
_INVENTORY: Final = timedelta(days=9)
"""S3 delivers a weekly inventory within two days."""


def standings(connection: Connection, settings: Settings, now: datetime) -> list[Standing]:
    """When storage was recomputed, how old the media's sizes are, and who is near a limit."""
    section = "recompute_storage"
    found = asked(
        _AREA, "storage recomputed", partial(_totals, connection, settings, now), section=section
    )
    if settings.media_inventory is not None:
        media = partial(_media, connection, settings.media_inventory, now)
        found += asked(_AREA, "media sizes", media, section=section)
    return found


def content_bytes(connection: Connection, first: Month) -> dict[Month, int]:
    """Bytes of content by month from ``first`` on, as the last recomputation left them."""
    rows = connection.execute(
        statement("storage/content_bytes"), {"first": first.first_day}
    ).fetchall()
    return {Month.of(month): size for month, size in rows}


def _media(connection: Connection, location: str, now: datetime) -> Iterator[Standing]:
    """How old the sizes are that FT_MEDIA_INVENTORY tells: an inventory may have ended."""
    row = connection.execute(statement("storage/latest_inventory")).fetchone()
    source, taken_at, objects, size, *_ = row or (None, None, 0, 0)
    if taken_at is None or source != location:
        yield Standing(
            _AREA,
            "media sizes",
            Status.UNKNOWN,
            "never loaded",
            "FT_MEDIA_INVENTORY was not read yet",
            section="recompute_storage",
        )
        return
    since = stale_since(taken_at, now, _INVENTORY)
    yield Standing(
        _AREA,
        "media sizes",
        Status.UNKNOWN if since else Status.GOOD,
        f"{human_bytes(size)} of {objects:,} objects",
        "no newer inventory has come" if since else "",
        since=since,
        section="recompute_storage",
    )


def _totals(connection: Connection, settings: Settings, now: datetime) -> Iterator[Standing]:
    row = one_row(connection.execute(statement("storage/storage_at_a_glance")))
    recomputed_at, families, size = row
    if recomputed_at is None:
        yield Standing(
            _AREA, "storage recomputed", Status.UNKNOWN, "never yet", section="recompute_storage"
        )
        return
    since = stale_since(recomputed_at, now, _PATIENCE)
    yield Standing(
        _AREA,
        "storage recomputed",
        Status.BAD if since else Status.GOOD,
        age_in_words(recomputed_at, now),
        f"{human_bytes(size)} of {families:,} families",
        since=since,
        section="recompute_storage",
    )
    percent = settings.storage_warn_percent
    over = families_over_limit(connection, warn_percent=percent, most=1)
    limits = Status.WARNING if over.above_limit else Status.GOOD
    yield Standing(
        _AREA,
        "families beyond their limit",
        Status.UNKNOWN if since else limits,
        f"{over.above_limit:,}",
        f"{over.above_warning:,} use more than {percent} % of it",
        since=since,
        section="families_within_limits",
    )
