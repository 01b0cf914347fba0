"""Advice on settings comes from what the last weeks needed, with its evidence, and sets nothing."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from ft_ops.clock import utc_now
from ft_ops.definitions import defs
from ft_ops.maintenance.indexes.catalog import index_states
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
from ft_ops.maintenance.tables.table_bloat import table_states
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters
from tests.maintenance.test_wraparound import burn_transaction_ids

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
    off_by="",
    rests=True,
    vacuum_settings="as they are",
    fillfactor_then=100,
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
    assert advice.evidence.endswith("with this it comes about once a day")


def test_no_daily_autovacuum_is_promised_where_few_rows_die() -> None:
    """The least factor that is advised is a thousandth of the table."""
    few = advised(weeks(lambda day: rarely(day) | {"deleted": 100 * day}))
    advice = few["autovacuum_vacuum_scale_factor"]
    assert advice.statement.endswith("SET (autovacuum_vacuum_scale_factor = 0.001)")
    assert advice.evidence.endswith("with this it comes after 10,050 dead rows")


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


def test_a_threshold_that_is_most_of_the_trigger_goes_down_itself() -> None:
    late = {"threshold": 3_000_000, "scale": 0.0}
    advice = advised(weeks(lambda day: rarely(day) | late))["autovacuum_vacuum_threshold"]
    assert advice.statement.endswith("SET (autovacuum_vacuum_threshold = 25000)")
    [both] = advised(weeks(lambda day: rarely(day) | late | {"scale": 0.2})).values()
    assert both.statement.endswith(
        "(autovacuum_vacuum_threshold = 25000, autovacuum_vacuum_scale_factor = 0.0025)"
    )
    low = {"threshold": 25_000, "scale": 0.004}
    assert advised(weeks(lambda day: rarely(day) | low)) == {}


def test_where_autovacuum_is_kept_away_nothing_else_is_advised() -> None:
    [advice] = advised(weeks(lambda day: rarely(day) | {"off_by": "autovacuum_enabled"})).values()
    assert advice.statement.endswith('"letters" SET (autovacuum_enabled = on)')
    [server] = advised(weeks(lambda day: rarely(day) | {"off_by": "track_counts"})).values()
    assert server.statement == "ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()"
    few = weeks(lambda day: {"dead_rows": 1, "off_by": "autovacuum"})
    assert advised(few) == {}


@pytest.mark.parametrize(
    ("kind", "setting"),
    [(rarely, "vacuum_settings"), (behind, "vacuum_settings"), (crowded, "fillfactor_then")],
)
def test_what_was_before_a_change_is_no_evidence_for_another(
    kind: Callable[[int], dict[str, object]], setting: str
) -> None:
    for changed, is_known in ((15, False), (14, True)):
        then: list[object] = [None] * changed + ["100"] * 29
        found = weeks(lambda day, then=then: kind(day) | {setting: then[day]})  # type: ignore[misc]
        assert (advised(found) != {}) == is_known


def test_a_table_that_autovacuum_does_not_get_done_gets_a_higher_cost_limit() -> None:
    advice = advised(weeks(behind))["autovacuum_vacuum_cost_limit"]
    assert advice.statement.endswith("SET (autovacuum_vacuum_cost_limit = 400)")
    assert "at 29 of 29 looks" in advice.evidence
    held = weeks(lambda day: behind(day) | {"was_held_back": True})
    assert advised(held) == {}
    for other in ({"cost_limit": 10_000}, {"rests": False}, {"off_by": "autovacuum"}):
        found = weeks(lambda day, other=other: behind(day) | other)  # type: ignore[misc]
        assert "autovacuum_vacuum_cost_limit" not in advised(found)
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


def test_a_replica_that_keeps_up_holds_nothing_back(connection: Connection, server: str) -> None:
    """It always holds some id. An hour is told by how many ids an hour takes."""
    make_notes(connection, "notes")
    with asking_replica(connection, server) as ask:
        for day, age, is_held in ((0, 0, True), (1, 3, False), (2, 3000, True), (3, 3, False)):
            burn_transaction_ids(connection, 3000)
            ask(age)
            note_activity(connection, NOW + timedelta(days=day))
            [[told]] = connection.execute(
                "SELECT was_held_back FROM ops.table_activity JOIN pg_class ON oid = table_oid"
                " WHERE relname = 'notes' AND looked_at = %s",
                (NOW + timedelta(days=day),),
            ).fetchall()
            assert told == is_held, day


@contextmanager
def asking_replica(connection: Connection, server: str) -> Iterator[Callable[[int], None]]:
    """Somebody reads the log through a slot, and says how old the oldest id is that he needs."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("SELECT pg_create_physical_replication_slot('replica', true)")
        [[position]] = admin.execute("SELECT pg_current_wal_lsn()::text").fetchall()
    url = psycopg.conninfo.make_conninfo(server, replication="true", application_name="replica")
    reader = psycopg.pq.PGconn.connect(url.encode())

    def ask(age: int) -> None:
        [[now]] = connection.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        ).fetchall()
        epoch, xmin = divmod(now - age, 1 << 32)
        reader.put_copy_data(b"h" + struct.pack(">qIIII", 0, xmin, epoch, 0, 0))
        while reader.flush():
            pass
        for _ in range(100):
            held = connection.execute(
                "SELECT xmin::text FROM pg_replication_slots WHERE slot_name = 'replica'"
            ).fetchone()
            if held == (str(xmin),):
                return
            time.sleep(0.05)
        raise AssertionError(held)

    try:
        started = reader.exec_(f"START_REPLICATION SLOT replica PHYSICAL {position}".encode())
        assert started.status == psycopg.pq.ExecStatus.COPY_BOTH, started.error_message
        yield ask
    finally:
        reader.finish()
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                " WHERE slot_name = 'replica'"
            )
            for _ in range(100):
                [[active]] = admin.execute(
                    "SELECT active FROM pg_replication_slots WHERE slot_name = 'replica'"
                ).fetchall()
                if not active:
                    break
                time.sleep(0.05)
            admin.execute("SELECT pg_drop_replication_slot('replica')")


def test_numbers_are_understood_however_they_are_written(connection: Connection) -> None:
    make_notes(connection, "notes")
    connection.execute(
        "ALTER TABLE notes SET (autovacuum_vacuum_scale_factor = '1e-3', fillfactor = '9e1',"
        " autovacuum_vacuum_cost_delay = '.5', autovacuum_vacuum_cost_limit = ' 0x64')"
    )
    note_activity(connection, NOW)
    [found] = [a.last for a in activity(connection, NOW) if a.last.name == "notes"]
    assert (found.scale, found.fillfactor, found.cost_limit) == (0.001, 90, 100)
    assert (found.off_by, found.rests, found.fillfactor_then) == ("autovacuum_enabled", True, 90)
    assert found.vacuum_trigger == pytest.approx(50 + 0.001 * 20_000)
    assert found.vacuum_settings == "autovacuum_enabled 50 0.001 100 t"
    connection.execute("ALTER TABLE notes SET (toast_tuple_target = '1e3')")
    connection.execute("CREATE INDEX notes_again ON notes ((1)) WITH (fillfactor = '8e1')")
    [files] = [table for table in table_states(connection) if table.name == "notes"]
    assert (files.fillfactor, files.toast_target) == (90, 1000)
    [again] = [index for index in index_states(connection) if index.name == "notes_again"]
    assert again.fillfactor == 80


def test_columns_that_depend_on_each_other_get_statistics_whatever_they_are_called(
    connection: Connection,
) -> None:
    make_notes(connection, 'no%te"s\nü')
    found, worked = correlation_advice(connection)
    assert not worked.failed
    [advice] = found
    assert advice.setting == 'statistics of to%wn" and country'
    assert "together 20 times as often" in advice.evidence
    # Before version 16 statistics have to have a name; one that is too long is cut.
    assert 'CREATE STATISTICS "public"."no%te""s\nü_to%wn""_country_stat" ON' in advice.statement
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
