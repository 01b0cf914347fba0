"""Whether the server's volumes have room: how full they are now, and where they are going.

One function decides, for the check and for the page; its words and its status are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from ft_ops.backups import ProvidedStorage
from ft_ops.format import human_bytes
from ft_ops.health.capacity.forecast import Forecast, forecast
from ft_ops.health.samples import Sample, series
from ft_ops.pg.connect import Connection
from ft_ops.pg.disk import (
    LOG,
    SERVER,
    Volume,
    other_volumes_here,
    server_files,
    volume_here,
    volumes,
)
from ft_ops.settings import Settings
from ft_ops.standing import Point, Status

USED_METRIC: Final = "volume_bytes"
SIZE_METRIC: Final = "volume_size_bytes"
MAIN: Final = SERVER
NEARLY_FULL: Final = 0.8
FULL: Final = 0.95
"""PostgreSQL stops when it can't write its log: the last twentieth is for whoever makes room."""
SOON: Final = timedelta(days=30)
_HISTORY: Final = timedelta(days=400)
UNKNOWN_SIZE: Final = "the volume's size is not known: set FT_DATABASE_VOLUME_GB"


@dataclass(frozen=True, slots=True)
class Outlook:
    """A size over time and where it is going. None where history is too short."""

    history: tuple[Point, ...]
    forecast: Forecast | None


@dataclass(frozen=True, slots=True)
class DiskState:
    """How a volume is, in a word or two, and why."""

    volume: str
    status: Status
    figure: str
    reason: str

    @property
    def words(self) -> str:
        return f"{self.volume}: {self.figure}; {self.reason}"


def measure_volumes(
    connection: Connection, settings: Settings, provided: ProvidedStorage | None = None
) -> list[Volume]:
    """What every volume of the server holds.

    How large the main one is, FT_DATABASE_VOLUME_GB says; else whoever provides it; else a server
    on this machine shows it, and how full it is, and the other volumes on which it has files. Of
    one elsewhere only its files are known.
    """
    files = server_files(connection)
    others = settings.other_volumes_bytes
    if settings.database_volume_gb is not None:
        return volumes(files, round(1e9 * settings.database_volume_gb), others)
    if provided is not None:
        if provided.log_bytes is not None:
            others = {LOG: provided.log_bytes} | others
        main, *rest = volumes(files, None, others)
        size = provided.size_for(main.used_bytes)
        return [Volume(main.name, main.used_bytes, size, main.words), *rest]
    here = volume_here(connection)
    if here is None:
        return volumes(files, None, others)
    seen = {
        name: room for name, room in other_volumes_here(connection).items() if name not in others
    }
    main, *rest = volumes(files, None, others | {name: size for name, (size, _) in seen.items()})
    # What is not the server's takes room there, too.
    taken = {name: size - free for name, (size, free) in seen.items()}
    taken[main.name] = here[0] - here[1]
    return [
        replace(volume, used_bytes=taken.get(volume.name, volume.used_bytes))
        for volume in (replace(main, size_bytes=here[0]), *rest)
    ]


def volume_samples(found: Sequence[Volume]) -> list[Sample]:
    """What of it is kept in ops.metric_samples."""
    return [
        *(Sample(USED_METRIC, volume.name, volume.used_bytes) for volume in found),
        *(
            Sample(SIZE_METRIC, volume.name, volume.size_bytes)
            for volume in found
            if volume.size_bytes is not None
        ),
    ]


def outlook(connection: Connection, now: datetime, volume: str = MAIN) -> Outlook:
    """The recorded sizes of a volume, and their forecast.

    Before volumes were measured the database alone was: where its figures end and the volume's
    begin, they are raised to meet.
    """
    history = series(connection, USED_METRIC, volume, now, _HISTORY)
    if volume == MAIN:
        history = _continued(series(connection, "database_bytes", "", now, _HISTORY), history)
    return Outlook(tuple(history), forecast(history))


def volume_size(connection: Connection, now: datetime, volume: str = MAIN) -> float | None:
    """A volume's size, as it was last measured."""
    sizes = series(connection, SIZE_METRIC, volume, now, _HISTORY)
    return sizes[-1].value if sizes else None


def judge_disk(
    volume: str,
    used_bytes: float,
    size_bytes: float | None,
    ahead: Forecast | None,
    *,
    today: date,
    warning_days: int,
) -> DiskState:
    """Whether a volume has room, now and for the next ``warning_days``."""
    growth = _growth_words(ahead)
    if not size_bytes:
        used = f"{human_bytes(used_bytes)} used"
        return DiskState(volume, Status.UNKNOWN, used, f"{UNKNOWN_SIZE}; {growth}")
    expected = ahead.reaches(size_bytes) if ahead is not None else None
    earliest = ahead.may_reach(size_bytes) if ahead is not None else None
    share = used_bytes / size_bytes
    status = Status.GOOD
    if share >= NEARLY_FULL or _within(earliest, today, timedelta(days=warning_days)):
        status = Status.WARNING
    if share >= FULL or _within(expected, today, SOON):
        status = Status.BAD
    figure = f"{share:.0%} of {human_bytes(size_bytes)} used"
    return DiskState(volume, status, figure, f"{growth}{_full_words(expected, earliest)}")


def _within(day: date | None, today: date, span: timedelta) -> bool:
    return day is not None and day - today <= span


def _growth_words(ahead: Forecast | None) -> str:
    if ahead is None:
        return "too little history for a forecast"
    verb = "shrinks" if ahead.daily_growth < 0 else "grows"
    return f"it {verb} by {human_bytes(abs(ahead.daily_growth))} a day"


def _full_words(expected: date | None, earliest: date | None) -> str:
    """When it is full; nothing of what is further off than a forecast reaches."""
    if expected is not None and (earliest is None or earliest > expected):
        return f", and is full about {expected} if it goes on as in the last week"
    if earliest is None:
        return ""
    if expected is None:
        return f", and may be full on {earliest} at the earliest"
    return f", and is full about {expected}, on {earliest} at the earliest"


def _continued(before: Sequence[Point], history: Sequence[Point]) -> list[Point]:
    if not history:
        return list(before)
    first = history[0]
    older = [point for point in before if point.sampled_at < first.sampled_at]
    if not older:
        return list(history)
    joint = min(before, key=lambda point: abs(point.sampled_at - first.sampled_at))
    offset = first.value - joint.value
    return [*(Point(p.sampled_at, p.value + offset) for p in older), *history]
