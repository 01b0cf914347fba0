"""Figures over time: kept, read back, and forgotten in due course."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ft_ops.clock import utc_now
from ft_ops.health import Sample, current_samples, forget_samples, outlook, series, write_samples
from ft_ops.health.samples import latest_samples
from ft_ops.pg.connect import Connection
from ft_ops.schema import ensure_hypertable
from tests.fixtures.postgres import Database

NOW = datetime.now(UTC).replace(microsecond=0)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def fill(connection: Connection, days: int) -> None:
    for day in range(days):
        write_samples(
            connection,
            [Sample("table_bytes", "public.users", day), Sample("table_bytes", "other", 0)],
            NOW - day * DAY,
        )


def test_a_series_is_one_figure_oldest_first(connection: Connection) -> None:
    fill(connection, 5)
    points = series(connection, "table_bytes", "public.users", NOW, 2 * DAY)
    assert [(p.sampled_at, p.value) for p in points] == [
        (NOW - 2 * DAY, 2.0),
        (NOW - DAY, 1.0),
        (NOW, 0.0),
    ]


def test_the_latest_of_each_figure_is_found_unless_it_is_too_old(connection: Connection) -> None:
    fill(connection, 3)
    write_samples(connection, [Sample("old", "", 1)], NOW - 9 * DAY)
    write_samples(connection, [Sample("table_bytes", "public.users", 42)], NOW + DAY)
    found = latest_samples(connection, NOW + DAY, 8 * DAY)
    assert [(s.metric, s.subject, s.value, s.sampled_at) for s in found] == [
        ("table_bytes", "other", 0.0, NOW),
        ("table_bytes", "public.users", 42.0, NOW + DAY),
    ]


def test_what_is_gone_has_no_current_figure(connection: Connection) -> None:
    """A dropped slot's last figure is history; so is that of one of two."""
    slots = [Sample("slot_retained_bytes", name, 9e9) for name in ("kept", "dropped")]
    write_samples(connection, [Sample("connections", "used", 5), *slots], NOW - DAY)
    write_samples(connection, [Sample("connections", "used", 6), slots[0]], NOW)
    found = current_samples(connection, NOW, 7 * DAY)
    assert {(s.metric, s.subject) for s in found} == {
        ("connections", "used"),
        ("slot_retained_bytes", "kept"),
    }
    write_samples(connection, [Sample("connections", "used", 6)], NOW + DAY)
    assert [s.metric for s in current_samples(connection, NOW + DAY, 8 * DAY)] == ["connections"]


def test_a_plain_table_forgets_exactly_what_is_too_old(connection: Connection) -> None:
    fill(connection, 10)
    forgotten = forget_samples(connection, utc_now(), 3 * DAY + HOUR)
    assert (forgotten.number, forgotten.of) == (12, "rows")
    assert len(series(connection, "table_bytes", "other", NOW, 99 * DAY)) == 4


@pytest.mark.parametrize("off", [100 * DAY, -100 * DAY])
def test_nothing_is_forgotten_by_a_clock_that_disagrees_with_the_servers(
    connection: Connection, off: timedelta
) -> None:
    fill(connection, 10)
    forgotten = forget_samples(connection, utc_now() + off, 3 * DAY)
    assert str(forgotten).startswith("none: this machine's clock says")
    assert len(series(connection, "table_bytes", "other", NOW, 99 * DAY)) == 10


def test_what_a_clock_has_dated_ahead_hides_nothing_and_foretells_nothing(
    connection: Connection,
) -> None:
    """A disk that fills by a byte a day, and one figure of a machine that was 100 days ahead."""
    for day in range(30):
        write_samples(
            connection, [Sample("volume_bytes", "server", 100.0 + day)], NOW - (29 - day) * DAY
        )
    write_samples(connection, [Sample("volume_bytes", "server", 130.0)], NOW + 100 * DAY)
    ahead = outlook(connection, NOW)
    assert len(ahead.history) == 30
    assert ahead.forecast is not None
    assert ahead.forecast.daily_growth == pytest.approx(1)
    for now in (NOW, NOW + 3 * DAY):
        [current] = current_samples(connection, now, 7 * DAY)
        assert current.sampled_at == NOW


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), -1e200])
def test_what_is_no_number_is_no_figure(connection: Connection, strange: float) -> None:
    """Nor is it below any limit: the figure before it stands until it is too old."""
    write_samples(connection, [Sample("volume_bytes", "server", 5.0)], NOW - DAY)
    write_samples(connection, [Sample("volume_bytes", "server", strange)], NOW)
    [latest] = latest_samples(connection, NOW, 7 * DAY)
    assert (latest.value, latest.sampled_at) == (5.0, NOW - DAY)
    assert [point.value for point in outlook(connection, NOW).history] == [5.0]


def test_a_hypertable_forgets_whole_chunks(connection: Connection, database: Database) -> None:
    if ensure_hypertable(connection) != "hypertable":
        pytest.skip("this server has no TimescaleDB")
    fill(connection, 120)
    forgotten = forget_samples(connection, utc_now(), 60 * DAY)
    assert forgotten.of == "chunks"
    assert forgotten.number in {1, 2}
    kept = series(connection, "table_bytes", "other", NOW, 999 * DAY)
    assert kept[-1].sampled_at == NOW
    assert NOW - 90 * DAY <= kept[0].sampled_at <= NOW - 60 * DAY


def test_the_read_only_role_may_read_them(connection: Connection, database: Database) -> None:
    fill(connection, 1)
    with psycopg.connect(database.readonly_url) as reader:
        assert reader.execute("SELECT count(*) FROM ops.metric_samples").fetchone() == (2,)
