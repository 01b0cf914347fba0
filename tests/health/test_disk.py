"""A volume is judged by all that is on it, now and in the months ahead."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

from ft_ops.backups import ProvidedStorage
from ft_ops.health import Sample, outlook, standings, volume_size, write_samples
from ft_ops.health.capacity.disk import DiskState, judge_disk, measure_volumes, volume_samples
from ft_ops.health.capacity.forecast import Forecast, forecast
from ft_ops.maintenance.gates import free_disk_here
from ft_ops.pg.connect import Connection
from ft_ops.pg.disk import LogFiles, ServerFiles, Tablespace, volume_here, volumes
from ft_ops.pg.server import hand_over
from ft_ops.settings import Settings
from ft_ops.standing import Point, Status
from tests.fixtures.postgres import Database

TODAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def growing(a_day: float, last: float) -> Forecast:
    """The forecast of a size that grew steadily to ``last`` yesterday."""
    found = forecast([Point(NOW - (60 - n) * DAY, last - (59 - n) * a_day) for n in range(60)])
    assert found is not None
    return found


def verdict(used: float, ahead: Forecast | None = None, days: int = 90) -> DiskState:
    return judge_disk("server", used, 1000.0, ahead, today=TODAY, warning_days=days)


@pytest.mark.parametrize(
    ("used", "status"),
    [
        (799.0, Status.GOOD),
        (800.0, Status.WARNING),
        (949.0, Status.WARNING),
        (950.0, Status.BAD),
        (1200.0, Status.BAD),
    ],
)
def test_what_is_used_now_counts_without_any_history(used: float, status: Status) -> None:
    assert verdict(used).status == status


@pytest.mark.parametrize(
    ("days_left", "status"),
    [(28, Status.BAD), (33, Status.WARNING), (85, Status.WARNING), (100, Status.GOOD)],
)
def test_what_is_ahead_counts_while_there_is_room(days_left: int, status: Status) -> None:
    """A warning from 90 days on, and an error within 30."""
    found = verdict(700.0, growing(300.0 / days_left, 700.0))
    assert found.status == status
    assert "full" in found.reason


def test_the_words_name_a_day_whenever_the_status_fears_one() -> None:
    assert verdict(700.0, growing(-1.0, 700.0)).reason == "it shrinks by 1 B a day"
    flat = Forecast(TODAY, (700.0,) * 400, (700.0,) * 400, (1001.0,) * 400, 0.0)
    found = verdict(700.0, flat)
    assert found.status == Status.WARNING
    assert "may be full on 2026-03-01 at the earliest" in found.reason


def test_what_only_the_last_week_foretells_is_told_and_not_yet_warned_of() -> None:
    flat = Forecast(TODAY, (700.0,) * 400, (700.0,) * 400, (700.0,) * 400, 0.0)
    rising = tuple(700.0 + 5 * day for day in range(400))
    found = verdict(700.0, Forecast(TODAY, rising, rising, rising, 5.0, before=flat))
    assert found.status == Status.GOOD
    assert found.reason.endswith("is full about 2026-04-30 if it goes on as in the last week")
    soon = tuple(700.0 + 20 * day for day in range(400))
    assert verdict(700.0, Forecast(TODAY, soon, soon, soon, 5.0, before=flat)).status == Status.BAD


@pytest.mark.parametrize("size", [None, 0.0])
def test_a_volume_of_unknown_size_is_unknown_and_says_what_to_set(size: float | None) -> None:
    """Some file systems say that they have no blocks."""
    found = judge_disk("server", 5e9, size, None, today=TODAY, warning_days=90)
    assert found.status == Status.UNKNOWN
    assert "set FT_DATABASE_VOLUME_GB" in found.words


def test_a_size_that_is_not_known_any_more_makes_the_page_say_so(connection: Connection) -> None:
    used, size = Sample("volume_bytes", "server", 5e9), Sample("volume_size_bytes", "server", 9e9)
    database = Sample("database_bytes", "", 4e9)

    def disk(now: datetime) -> Status:
        [found] = [s for s in standings(connection, Settings(), now) if s.what == "disk"]
        return found.status

    write_samples(connection, [database, used, size], NOW)
    assert disk(NOW) == Status.GOOD
    write_samples(connection, [database, used], NOW + DAY)
    assert disk(NOW + DAY) == Status.UNKNOWN


def test_a_server_on_this_machine_shows_its_volume(connection: Connection) -> None:
    [main] = measure_volumes(connection, Settings())
    assert main.size_bytes is not None
    assert 0 < main.used_bytes < main.size_bytes
    write_samples(connection, volume_samples([main]), NOW)
    assert volume_size(connection, NOW) == main.size_bytes


def test_a_tablespace_on_another_volume_of_this_machine_is_judged_by_that(
    connection: Connection, database: Database
) -> None:
    row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    home = Path(row[0]).parent
    elsewhere = [
        place
        for place in (Path("/dev/shm"), Path("/tmp"))
        if home.is_dir() and place.is_dir() and place.stat().st_dev != home.stat().st_dev
    ]
    if not elsewhere:
        pytest.skip("the server is on another machine, or there is one volume here")
    with TemporaryDirectory(prefix="ft-tablespace-", dir=elsewhere[0]) as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "data").mkdir()
        hand_over(place / "data")
        name = f"fast_{connection.info.dbname}"
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            made = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
            admin.execute(made.format(sql.Identifier(name), f"{place}/data"))
            try:
                main, *others = measure_volumes(connection, Settings())
                rename = sql.SQL("ALTER TABLESPACE {} RENAME TO server")
                admin.execute(rename.format(sql.Identifier(name)))
                name = "server"
                room_here = volume_here(connection)
                left = free_disk_here()(connection)
            finally:
                admin.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))
        [fast] = [volume for volume in others if volume.name.startswith("fast_")]
        room = os.statvfs(place)
    size, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    assert fast.size_bytes == size != main.size_bytes
    # Others write there meanwhile; the tablespace itself is empty.
    assert fast.used_bytes == pytest.approx(size - free, abs=10**9)
    assert fast.used_bytes > 10**6
    # Under the main volume's name it is no other volume, and not the main one either.
    assert room_here is not None
    assert left["server"] == pytest.approx(room_here[1], abs=10**9)


def test_a_tablespace_that_bears_the_main_volumes_name_is_counted_there() -> None:
    spaces = (Tablespace("pg_default", 5, 0), Tablespace("server", 3, 0), Tablespace("fast", 2, 0))
    files = ServerFiles({}, spaces, LogFiles(1, 0, ()))
    found = volumes(files, 100, {"server": 50, "fast": 50})
    assert [(volume.name, volume.used_bytes) for volume in found] == [("server", 9), ("fast", 2)]


def test_the_forecast_goes_on_from_the_databases_own_figures(connection: Connection) -> None:
    """Days on which only the database was measured, raised by what else is on the volume."""
    for day in range(30):
        samples = [Sample("database_bytes", "", 100.0 + day)]
        if day >= 25:
            samples.append(Sample("volume_bytes", "server", 500.0 + day))
        write_samples(connection, samples, NOW + day * DAY)
    found = outlook(connection, NOW + 30 * DAY)
    assert [point.value for point in found.history] == [500.0 + day for day in range(30)]
    assert found.forecast is not None
    assert found.forecast.daily_growth == pytest.approx(1)


def test_the_size_that_the_provider_tells_counts(connection: Connection) -> None:
    def main(settings: Settings, provided: ProvidedStorage) -> int | None:
        return measure_volumes(connection, settings, provided)[0].size_bytes

    provided = ProvidedStorage(allocated_bytes=20 << 30, most_bytes=100 << 30, log_bytes=None)
    assert main(Settings(), provided) == 100 << 30
    # Somebody who says another size knows why.
    assert main(Settings(database_volume_gb=5), provided) == 5_000_000_000
    # It should have been enlarged long before it was so full: what is there counts.
    assert [provided.size_for(int(share * (20 << 30))) >> 30 for share in (0.94, 0.96)] == [100, 20]
    [volume, log] = measure_volumes(connection, Settings(), replace(provided, log_bytes=9))
    assert (log.name, log.size_bytes) == ("pg_wal", 9)
    assert not any("log" in words for words in volume.words)
