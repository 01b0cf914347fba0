"""The page says first what needs somebody, and never that something is well when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from psycopg.types.json import Jsonb

from ft_ops.health import Sample, outlook, write_samples
from ft_ops.health.samples import TimedSample
from ft_ops.months import Month
from ft_ops.overview import Line, Picture, Status, page
from ft_ops.overview.content_lines import archive_lines, coverage_lines, storage_lines
from ft_ops.overview.health_lines import capacity_lines, connection_lines, latency_lines
from ft_ops.overview.server_lines import backup_lines, bloat_lines, wraparound_lines
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings

POLICY = Settings()
NOW = datetime.now(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_numbers = count(1)


def by_name(lines: Iterator[Line]) -> dict[str, Line]:
    return {line.what: line for line in lines}


def test_the_worst_comes_first_and_the_verdict_counts_it() -> None:
    lines = [
        Line("a", Status.GOOD, "fine", "1"),
        Line("a", Status.UNKNOWN, "dark", "?"),
        Line("a", Status.WARNING, "odd", "2", runbook="docs/runbook.md#odd"),
        Line("a", Status.BAD, "broken", "3", "why", "https://docs.example.org/a.md#broken"),
    ]
    text = page(lines, [Picture("Size", "data:image/png;base64,xyz")], NOW)
    order = [text.index(word) for word in ("broken", "odd", "In order", "fine", "dark", "### Size")]
    assert order == sorted(order)
    assert text.startswith("🔴 **one thing needs a person now**, 1 more will.")
    assert "[what to do](https://docs.example.org/a.md#broken)" in text
    assert "`docs/runbook.md#odd`" in text


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([Status.GOOD, Status.UNKNOWN], "🟢 All is well."),
        ([Status.GOOD, Status.WARNING], "🟡 Nothing is broken, one thing needs a look."),
        ([Status.BAD, Status.BAD], "🔴 **2 things need a person now**, 0 more will."),
    ],
)
def test_the_verdict(statuses: list[Status], verdict: str) -> None:
    lines = [Line("a", status, "b", "c") for status in statuses]
    assert page(lines, [], NOW).startswith(verdict)


def test_words_from_errors_stay_in_their_cell() -> None:
    """An error's text may hold line breaks, bars and markup."""
    text = page([Line("a", Status.GOOD, "b", "c", "one | two\n<script> [x](y) `z`")], [], NOW)
    [row] = [line for line in text.splitlines() if "one" in line]
    assert row.count(" | ") == 5
    assert "\\<script\\>" in row
    assert "\\[x\\](y)" in row


def test_missing_months_are_bad(connection: Connection) -> None:
    last = Month.of(NOW).plus(POLICY.partition_lookahead_months)
    for parent in PARENTS:
        ensure_months(connection, parent, POLICY.first_month.until(last))
    lines = by_name(coverage_lines(connection, POLICY, NOW))
    assert {line.status for line in lines.values()} == {Status.GOOD}
    connection.execute("DROP TABLE audit_log_2024_02")
    lines = by_name(coverage_lines(connection, POLICY, NOW))
    assert lines["months of audit_log"].status == Status.BAD
    assert lines["months of audit_log"].detail == "1 months missing"
    assert lines["months of content_segments"].status == Status.GOOD


def test_a_month_that_should_have_been_archived_is_bad(connection: Connection) -> None:
    settings = Settings(retention_years=1)
    due = Month(2024, 1).plus(12).end
    name = "months past their retention"
    fresh = by_name(archive_lines(connection, settings, due + DAY))[name]
    assert (fresh.status, fresh.figure) == (Status.GOOD, "1")
    overdue = by_name(archive_lines(connection, settings, due + 4 * DAY))[name]
    assert (overdue.status, overdue.detail) == (
        Status.BAD,
        "2024-01 should have been archived",
    )


def test_the_oldest_unproven_archive_is_told(connection: Connection) -> None:
    archived(connection, Month(2017, 1), "frozen", NOW - 30 * DAY, proven=True)
    archived(connection, Month(2017, 3), "exported", NOW - DAY)
    archived(connection, Month(2017, 2), "archived", NOW - 4 * DAY, error="bucket: 503")
    lines = by_name(archive_lines(connection, POLICY, NOW))
    unproven = lines["oldest unproven archive"]
    assert (unproven.status, unproven.figure, unproven.detail) == (
        Status.BAD,
        "2017-02",
        "archived for 4 days",
    )
    assert lines["months stopped by an error"].detail == "2017-02: bucket: 503"
    assert lines["months in the archive"].detail == "1 archived, 1 exported, 1 frozen"


def test_an_archive_under_way_is_no_alarm(connection: Connection) -> None:
    archived(connection, Month(2017, 3), "exported", NOW - HOUR)
    line = by_name(archive_lines(connection, POLICY, NOW))["oldest unproven archive"]
    assert line.status == Status.WARNING


def test_without_a_restored_backup_nothing_is_good(connection: Connection) -> None:
    backup(connection, "full-a", NOW - HOUR)
    lines = by_name(backup_lines(connection, POLICY, NOW))
    assert lines["newest full"].status == Status.GOOD
    assert lines["last good backup"].status == Status.BAD
    assert lines["last restore drill"].status == Status.BAD


def test_a_backup_that_was_restored_is_good_until_its_drill_is_old(
    connection: Connection,
) -> None:
    backup(connection, "full-a", NOW - 3 * HOUR)
    drill(connection, "full-a", NOW - 2 * HOUR, recovery_seconds=600)
    lines = by_name(backup_lines(connection, POLICY, NOW))
    assert {line.status for line in lines.values()} == {Status.GOOD}
    assert lines["last restore drill"].figure == "back in 10 min"
    later = by_name(backup_lines(connection, POLICY, NOW + 2 * DAY))
    assert later["last good backup"].status == Status.BAD
    assert later["newest full"].status == Status.BAD


def test_a_failed_drill_is_bad_and_says_why(connection: Connection) -> None:
    backup(connection, "full-a", NOW - 3 * HOUR)
    drill(connection, "full-a", NOW - 2 * HOUR, recovery_seconds=600)
    drill(connection, "full-a", NOW - HOUR, error="amcheck found rot")
    lines = by_name(backup_lines(connection, POLICY, NOW))
    assert lines["last good backup"].figure == "none"
    assert (lines["last restore drill"].status, lines["last restore drill"].detail) == (
        Status.BAD,
        "amcheck found rot",
    )


def test_what_no_room_has_computed_is_unknown(connection: Connection) -> None:
    lines = [*storage_lines(connection, POLICY, NOW), *bloat_lines(connection, POLICY, NOW)]
    assert lines
    assert all(line.status != Status.GOOD for line in lines)


def test_a_young_server_is_far_from_wraparound(connection: Connection) -> None:
    lines = list(wraparound_lines(connection, POLICY))
    assert [line.status for line in lines] == [Status.GOOD, Status.GOOD]


def test_latency_is_bad_beyond_its_target_and_when_it_is_old(connection: Connection) -> None:
    def line(value: float, at: datetime) -> Line:
        figures = {("screen_p95_ms", "thread"): TimedSample("screen_p95_ms", "thread", value, at)}
        write_samples(connection, [Sample("screen_p95_ms", "thread", value)], at)
        return by_name(latency_lines(connection, figures, POLICY, NOW))["thread"]

    assert line(49.9, NOW).status == Status.GOOD
    assert line(50.0, NOW - HOUR).status == Status.BAD
    stale = line(10.0, NOW - 3 * DAY)
    assert (stale.status, stale.detail) == (Status.BAD, "target 50 ms, measured 3 days ago")


def test_what_was_never_measured_is_not_good(connection: Connection) -> None:
    ahead = outlook(connection, NOW)
    lines = [
        *latency_lines(connection, {}, POLICY, NOW),
        *capacity_lines({}, ahead, POLICY, NOW),
        *connection_lines({}, POLICY, NOW),
    ]
    assert all(line.status == Status.WARNING for line in lines)


@pytest.mark.parametrize(
    ("database_volume_gb", "status"),
    [(0.9, Status.BAD), (1.02, Status.BAD), (1.06, Status.WARNING), (5.0, Status.GOOD)],
)
def test_the_disk_is_bad_when_it_is_full_or_soon_will_be(
    connection: Connection, database_volume_gb: float, status: Status
) -> None:
    """The database grows by a thousandth of a gigabyte a day, and has one."""
    for day in range(40):
        value = 1e9 - day * 1e6
        write_samples(connection, [Sample("database_bytes", "", value)], NOW - day * DAY)
    figures = {("database_bytes", ""): TimedSample("database_bytes", "", 1e9, NOW)}
    settings = Settings(database_volume_gb=database_volume_gb)
    lines = by_name(capacity_lines(figures, outlook(connection, NOW), settings, NOW))
    assert lines["disk"].status == status
    assert lines["database"].detail == "1.0 MB a day"


def archived(
    connection: Connection,
    month: Month,
    state: str,
    at: datetime,
    *,
    proven: bool = False,
    error: str | None = None,
) -> None:
    connection.execute(
        "INSERT INTO ops.archive (month, generation, state, archived_at, proven_at, error)"
        " VALUES (%s, 1, %s, %s, %s, %s)",
        (month.first_day, state, at, at if proven else None, error),
    )


def backup(connection: Connection, name: str, at: datetime) -> None:
    connection.execute(
        "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
        " completed_at) VALUES (%s, 'full', 'barman', 'complete', 'x', %s, '{}', %s)",
        (name, at, at),
    )


def drill(
    connection: Connection,
    name: str,
    at: datetime,
    *,
    recovery_seconds: float | None = None,
    error: str | None = None,
) -> None:
    passed = error is None
    connection.execute(
        "INSERT INTO ops.restore_drills (backup, target, state, restored_to, recovery_seconds,"
        " loss_seconds, certificate, started_at, finished_at, error)"
        " VALUES (%s, %s, %s, %s, %s, 0, %s, %s, %s, %s)",
        (
            name,
            name,
            "passed" if passed else "failed",
            at - HOUR if passed else None,
            recovery_seconds,
            Jsonb({}) if passed else None,
            at - HOUR,
            at,
            error,
        ),
    )
