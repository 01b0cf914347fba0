"""Advice on settings comes from what the last weeks needed, with its evidence, and sets nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from ft_ops.clock import utc_now
from ft_ops.definitions import defs
from ft_ops.maintenance.tables.activity import (
    WEEKS,
    Activity,
    TableLook,
    activity,
    forget_activity,
    note_activity,
)
from ft_ops.maintenance.tables.correlation import correlation_advice, typical_factor
from ft_ops.maintenance.tables.settings_advice import SettingAdvice, settings_advice
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters

NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
ROWS = 10_000_000
LOOK = TableLook(
    oid=1,
    schema="public",
    name="letters",
    parent_name="",
    heap_bytes=10**9,
    fillfactor=100,
    threshold=50,
    scale=0.2,
    cost_limit=200,
    looked_at=NOW,
    live_rows=ROWS,
    dead_rows=0,
    updated=0,
    hot_updated=0,
    newpage_updated=0,
    deleted=0,
    autovacuums=0,
    vacuum_trigger=50 + 0.2 * ROWS,
    was_held_back=False,
)


def weeks(of: Callable[[int], dict[str, object]], *, days: int = 28) -> Activity:
    """A look a day, each with what ``of`` says of its day."""
    return Activity(
        tuple(
            replace(LOOK, looked_at=NOW + timedelta(days=day), **of(day))  # type: ignore[arg-type]
            for day in range(days + 1)
        )
    )


def rarely(day: int) -> dict[str, object]:
    """50,000 rows die a day, and autovacuum comes at 2 million."""
    return {"deleted": 50_000 * day, "dead_rows": 1_000_000 + 30_000 * day}


def behind(day: int) -> dict[str, object]:
    return {"autovacuums": day, "deleted": day, "dead_rows": 5_000_000}


def crowded(day: int) -> dict[str, object]:
    updated = 100_000 * day
    return {"updated": updated, "hot_updated": updated // 2, "newpage_updated": updated * 2 // 5}


def advised(*found: Activity) -> dict[str, SettingAdvice]:
    return {advice.setting: advice for advice in settings_advice(found)}


def test_a_table_that_autovacuum_comes_to_rarely_gets_a_scale_factor_for_a_day() -> None:
    advice = advised(weeks(rarely))["autovacuum_vacuum_scale_factor"]
    # 50,000 rows a day of 10 million.
    assert advice.statement == (
        'ALTER TABLE "public"."letters" SET (autovacuum_vacuum_scale_factor = 0.005)'
    )
    assert "50,000 rows a day died, autovacuum came 0 times in 28 days" in advice.evidence
    assert "16% of the rows were dead, 155 MB" in advice.evidence


@pytest.mark.parametrize(
    "other",
    [
        {"heap_bytes": 99 * 10**6},
        {"dead_rows": ROWS // 10},
        {"was_held_back": True},
        {"scale": 0.009},
    ],
)
def test_no_scale_factor_is_advised_where_it_is_not_at_fault(other: dict[str, object]) -> None:
    assert advised(weeks(lambda day: rarely(day) | other)) == {}
    assert advised(weeks(rarely)) != {}


@pytest.mark.parametrize(("times", "is_rare"), [(3, True), (4, False)])
def test_autovacuum_is_rare_when_it_does_not_come_each_week(times: int, is_rare: bool) -> None:
    found = weeks(lambda day: rarely(day) | {"autovacuums": times * day // 28})
    assert ("autovacuum_vacuum_scale_factor" in advised(found)) == is_rare


def test_less_than_two_weeks_are_no_evidence() -> None:
    for kind in (rarely, behind, crowded):
        assert advised(weeks(kind, days=13)) == {}
        assert advised(weeks(kind, days=14)) != {}


def test_a_table_that_autovacuum_does_not_get_done_gets_a_higher_cost_limit() -> None:
    advice = advised(weeks(behind))["autovacuum_vacuum_cost_limit"]
    assert advice.statement.endswith("SET (autovacuum_vacuum_cost_limit = 400)")
    assert "at 29 of 29 looks" in advice.evidence
    held = weeks(lambda day: behind(day) | {"was_held_back": True})
    assert advised(held) == {}
    at_most = weeks(lambda day: behind(day) | {"cost_limit": 10_000})
    assert advised(at_most) == {}
    mostly_done = weeks(lambda day: behind(day) | {"dead_rows": 5_000_000 * (day % 3 == 0)})
    assert advised(mostly_done) == {}


def test_a_table_whose_updates_find_no_room_gets_a_fillfactor() -> None:
    advice = advised(weeks(crowded))["fillfactor"]
    # 100 bytes a row: two more of them are 2 % of a page, and 5 % is the least.
    assert advice.statement.endswith("SET (fillfactor = 95)")
    wide = weeks(lambda day: crowded(day) | {"live_rows": 10**6})
    assert advised(wide)["fillfactor"].statement.endswith("SET (fillfactor = 76)")
    assert "50% were HOT, and 40% found no room" in advice.evidence


@pytest.mark.parametrize(
    "other",
    [
        # An index on what is updated is at fault, and no fillfactor helps.
        {"newpage_updated": 0},
        {"newpage_updated": None},
        {"fillfactor": 95},
    ],
)
def test_no_fillfactor_is_advised_where_room_would_not_help(other: dict[str, object]) -> None:
    assert advised(weeks(lambda day: crowded(day) | other)) == {}


def test_of_partitions_the_worst_stands_for_all() -> None:
    months = [
        replace(
            weeks(crowded),
            looks=tuple(
                replace(look, oid=n, name=f"letters_{n}", parent_name="letters")
                for look in weeks(crowded).looks
            ),
        )
        for n in range(3)
    ]
    [advice] = settings_advice(months)
    assert "likewise 2 more partitions of letters" in advice.evidence


def test_counters_that_began_anew_are_no_negative_evidence(connection: Connection) -> None:
    """After a crash the server counts from 0: only what came since is counted."""
    make_notes(connection, "notes")
    for day in range(10):
        note_activity(connection, NOW + timedelta(days=day))
    connection.execute(
        "UPDATE ops.table_activity SET updated = updated + 1000000"
        " WHERE looked_at < %s AND table_oid = 'notes'::regclass",
        (NOW + timedelta(days=4),),
    )
    [found] = [a for a in activity(connection, NOW + timedelta(days=9)) if a.last.name == "notes"]
    assert (found.days, found.updated) == (5, 0)


def test_looks_are_kept_for_as_long_as_they_are_asked_for(connection: Connection) -> None:
    make_notes(connection, "notes")
    now = utc_now()
    looks = {now - timedelta(days=days) for days in (60, 30, 0)}

    def kept() -> set[datetime]:
        rows = connection.execute("SELECT DISTINCT looked_at FROM ops.table_activity").fetchall()
        return {moment for (moment,) in rows}

    for look in [*looks, now]:
        note_activity(connection, look)
    for ahead in (-2 * WEEKS, 2 * WEEKS):
        # Nobody knows which clock is right.
        forget_activity(connection, now + ahead)
        assert kept() == looks
    forget_activity(connection, now)
    assert kept() == looks - {min(looks)}
    connection.execute("DROP TABLE notes")
    assert activity(connection, now) == []


def test_columns_that_depend_on_each_other_get_statistics_whatever_they_are_called(
    connection: Connection,
) -> None:
    make_notes(connection, 'no%te"s\nü')
    found, worked = correlation_advice(connection)
    assert not worked.failed
    [advice] = found
    assert advice.setting == 'statistics of to%wn" and country'
    assert "together 20 times as often" in advice.evidence
    # The advice is a statement as it stands, and then it is not given again.
    for command in advice.statement.split("; "):
        connection.execute(command.encode())
    assert correlation_advice(connection)[0] == []


def test_independent_and_rare_values_need_no_statistics() -> None:
    independent = [(25, 50, 50, 100)] * 4
    assert typical_factor(independent) == 1
    assert typical_factor([(50, 50, 50, 100)] * 2) == 2
    # Half of the rows have values too rare to judge.
    assert typical_factor([(50, 50, 50, 101)]) is None
    assert typical_factor([]) is None


def test_a_locked_table_is_named_and_hides_no_other(
    connection: Connection, database: Database
) -> None:
    make_notes(connection, "notes")
    make_notes(connection, "others")
    connection.execute("SET lock_timeout = '100ms'")
    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE others IN ACCESS EXCLUSIVE MODE")
        found, worked = correlation_advice(connection)
    assert [advice.table for advice in found] == ["public.notes"]
    [failed] = worked.failed
    assert failed.name == 'public.others (to%wn", country)'


def test_the_check_tells_what_to_set_and_sets_nothing(
    connection: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    before = checked()
    assert before.passed
    make_notes(connection, "notes")
    options = "SELECT reloptions FROM pg_class WHERE relname = 'notes'"
    set_before = connection.execute(options).fetchall()
    after = checked()
    assert not after.passed
    assert after.severity == dg.AssetCheckSeverity.WARN
    assert 'public.notes: statistics of to%wn" and country' in str(after.description)
    assert connection.execute(options).fetchall() == set_before
    assert connection.execute("SELECT count(*) FROM pg_statistic_ext").fetchone() == (0,)


def checked() -> dg.AssetCheckEvaluation:
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("check_maintenance").execute_in_process(instance=instance)
    assert result.success
    return next(
        c for c in result.get_asset_check_evaluations() if c.check_name == "settings_advice"
    )


def make_notes(connection: Connection, table: str) -> None:
    """20 towns, each in one country, in a table of some megabytes."""
    name = psycopg.sql.Identifier(table)
    column = psycopg.sql.Identifier('to%wn"')
    commands = """
        CREATE TABLE {0} ({1} integer, country integer, text text)
            WITH (autovacuum_enabled = off);
        CREATE INDEX ON {0} ({1}, country);
        INSERT INTO {0} SELECT g % 20, g % 20 + 100, repeat('x', 400)
        FROM generate_series(1, 20000) AS g
    """
    connection.execute(psycopg.sql.SQL(commands).format(name, column))
    flush_counters(connection)
    connection.execute(psycopg.sql.SQL("VACUUM (ANALYZE) {}").format(name))
