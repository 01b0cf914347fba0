"""Months come into being ahead of time, at the same bounds everywhere, and unnoticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, coverage, ensure_months
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.server import hand_over
from ft_ops.pg.sqlfiles import sql_root
from tests.fixtures.postgres import Database
from tests.schema.tenants import make_tenant

FUTURE = Month(2040, 1)


@pytest.mark.parametrize("parent", PARENTS)
def test_a_range_of_120_months_comes_in_one_call_and_only_once(
    connection: Connection, parent: str
) -> None:
    months = list(FUTURE.until(FUTURE.plus(119)))
    first = ensure_months(connection, parent, months)
    assert [(o.month, o.action) for o in first] == [(month, "created") for month in months]
    second = ensure_months(connection, parent, months)
    assert {outcome.action for outcome in second} == {"existing"}
    assert coverage(connection, parent, months).is_complete


@pytest.mark.parametrize("parent", PARENTS)
def test_a_created_partition_is_what_partition_of_would_have_made(
    connection: Connection, parent: str
) -> None:
    ensure_months(connection, parent, [FUTURE])
    connection.execute(
        sql.SQL(
            "CREATE TABLE twin PARTITION OF {} FOR VALUES FROM ('2041-01-01Z') TO ('2041-02-01Z')"
        ).format(sql.Identifier(parent))
    )
    # What PARTITION OF leaves out: nothing refuses a TRUNCATE of a partition but its own trigger.
    if parent == "content_segments":
        connection.execute(
            "CREATE TRIGGER keep_keys BEFORE TRUNCATE ON twin"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()"
        )
    assert _parts(connection, f"{parent}_2040_01") == _parts(connection, "twin")


def test_a_partition_lies_in_the_tablespace_that_its_parent_names(
    connection: Connection, database: Database
) -> None:
    """Somebody has given the months to come a disk of their own."""
    with TemporaryDirectory(prefix="ft-tablespace-") as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "data"
        place.mkdir()
        hand_over(place)
        _in_a_tablespace(connection, database, place)


def _in_a_tablespace(connection: Connection, database: Database, place: Path) -> None:
    space = f"slow {database.name}"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        named = sql.Identifier(space)
        admin.execute(
            sql.SQL("CREATE TABLESPACE {} OWNER ft_ops LOCATION {}").format(
                named, sql.Literal(str(place))
            )
        )
        try:
            connection.execute(sql.SQL("ALTER TABLE audit_log SET TABLESPACE {}").format(named))
            ensure_months(connection, "audit_log", [FUTURE])
            assert connection.execute(
                "SELECT tablespace FROM pg_tables WHERE tablename = 'audit_log_2040_01'"
            ).fetchone() == (space,)
        finally:
            connection.execute(
                "DROP TABLE IF EXISTS audit_log_2040_01;"
                " ALTER TABLE audit_log SET TABLESPACE pg_default"
            )
            admin.execute(sql.SQL("DROP TABLESPACE {}").format(named))


@pytest.mark.parametrize("parent", PARENTS)
def test_nobody_gets_at_a_partition_by_what_new_tables_grant_by_default(
    connection: Connection, parent: str
) -> None:
    """It would show every family: policies are the parent's."""
    connection.execute(
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;"
        " ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO ft_readonly"
    )
    ensure_months(connection, parent, [FUTURE])
    others = connection.execute(
        "SELECT a.* FROM pg_class AS c, aclexplode(c.relacl) AS a"
        " WHERE c.oid = %s::regclass AND a.grantee <> c.relowner",
        (f"{parent}_2040_01",),
    ).fetchall()
    assert others == []


@pytest.mark.parametrize("what", ["TABLE {} (a int)", "DOMAIN {} AS int"])
def test_what_bears_a_months_name_already_is_named_and_keeps_no_other_month_back(
    connection: Connection, what: str
) -> None:
    if what.startswith("TABLE"):
        ensure_months(connection, "audit_log", [FUTURE.plus(1)])
        connection.execute("ALTER TABLE audit_log_2040_02 RENAME TO audit_log_2040_01")
    else:
        connection.execute("CREATE " + what.format("audit_log_2040_01"))
    with pytest.raises(OpsError, match=r"something else bears that name.*rename it"):
        ensure_months(connection, "audit_log", [FUTURE, FUTURE.plus(2)])
    assert coverage(connection, "audit_log", [FUTURE, FUTURE.plus(2)]).missing == (FUTURE,)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_bounds_do_not_follow_a_servers_time_zone(empty_database: Database, zone: str) -> None:
    """Migrations by a plain client, months by us, both under that zone."""
    settings = {"TimeZone": zone}
    with connect(empty_database.url, application="tests", settings=settings) as connection:
        for file in sorted((sql_root() / "migrations").glob("*.up.sql")):
            connection.execute(file.read_text(encoding="utf-8"))
        assert connection.execute("SHOW TimeZone").fetchone() == (zone,)
        for parent in PARENTS:
            ensure_months(connection, parent, [FUTURE, Month(2020, 3)])
            partitions = partitions_of(connection, parent)
            assert all(partition.month is not None for partition in partitions)
            months = sorted(partition.month for partition in partitions if partition.month)
            assert months == [
                Month(2020, 3),
                *Month(2024, 1).until(months[-2]),
                FUTURE,
            ]


def test_the_first_migration_leaves_no_month_out(connection: Connection) -> None:
    """Past, current and coming months take rows from the first day."""
    row = connection.execute(
        "SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date"
    ).fetchone()
    assert row is not None
    now = Month.of(row[0])
    for parent in PARENTS:
        assert coverage(connection, parent, Month(2024, 1).until(now.plus(3))).is_complete


def test_writers_see_no_error_and_wait_for_no_lock_over_100_ms(
    database: Database, connection: Connection
) -> None:
    """A writer's lock_timeout turns each longer wait into an error, however busy the machine is."""
    tenants = [make_tenant(connection) for _ in range(3)]
    stop = Event()
    ready = [Event() for _ in tenants]

    def write(number: int) -> int:
        tenant, rounds = tenants[number], 0
        with psycopg.connect(
            database.app_url, autocommit=True, options="-c lock_timeout=100ms"
        ) as app:
            app.execute("SELECT set_config('app.current_user_id', %s, false)", (str(tenant.owner),))
            while not stop.is_set():
                with app.transaction():
                    app.execute(
                        "UPDATE users SET last_login_at = now() WHERE id = current_user_id()"
                    )
                    app.execute(
                        "INSERT INTO content_segments"
                        " (thread_id, user_id, content_type, sequence_number)"
                        " VALUES (%s, %s, 'text', %s)",
                        (tenant.thread, tenant.owner, 100 + rounds),
                    )
                    app.execute(
                        "INSERT INTO audit_log (user_id, action) VALUES (%s, 'test')",
                        (tenant.owner,),
                    )
                    app.execute(
                        "UPDATE threads SET last_segment_at = now(),"
                        " segment_count = segment_count + 1"
                    )
                rounds += 1
                ready[number].set()
                stop.wait(0.01)
        return rounds

    with ThreadPoolExecutor(len(ready)) as pool:
        writers = [pool.submit(write, number) for number in range(len(ready))]
        try:
            for event in ready:
                assert event.wait(30)
            for parent in PARENTS:
                ensure_months(connection, parent, FUTURE.until(FUTURE.plus(11)))
        finally:
            stop.set()
        assert all(writer.result() > 0 for writer in writers)


def test_a_long_transaction_makes_creation_wait_in_short_turns_and_nobody_else(
    database: Database, connection: Connection
) -> None:
    """While it holds threads, creation tries, gives way and sleeps; a second writer passes by.

    Asleep it holds nothing, not even the parent: somebody else's DDL would queue, and the
    application behind that.
    """
    tenant = make_tenant(connection)
    naps: list[float] = []

    with (
        connect(database.url, application="tests") as long,
        connect(database.url, application="tests", settings={"lock_timeout": "100ms"}) as writer,
    ):
        long.execute("BEGIN")
        long.execute("UPDATE threads SET title = 'busy'")

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            writer.execute("UPDATE users SET last_login_at = now() WHERE id = %s", (tenant.owner,))
            with writer.transaction():
                writer.execute("LOCK TABLE content_segments IN ACCESS EXCLUSIVE MODE")
            if len(naps) == 5:
                long.execute("COMMIT")

        (outcome,) = ensure_months(connection, "content_segments", [FUTURE], sleep=sleep)
    assert (outcome.action, len(naps)) == ("created", 5)


def test_beside_others_each_month_is_followed_by_a_rest_of_four_times_as_long(
    database: Database, connection: Connection
) -> None:
    rests: list[float] = []
    months = list(FUTURE.until(FUTURE.plus(3)))
    ensure_months(connection, "content_segments", months[:2], sleep=rests.append)
    assert rests == [], "alone"
    with psycopg.connect(database.app_url) as app:
        app.execute("SELECT 1")
        began = time.monotonic()
        ensure_months(connection, "content_segments", months, sleep=rests.append)
        worked = time.monotonic() - began
    assert len(rests) == 2, "months that were there already take no rest"
    assert 0 < sum(rests) < 4 * worked


def test_without_a_lock_creation_gives_up_and_leaves_nothing(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_ops.partitions.create.ATTACH_WAITS_MS", (40,) * 3)
    with connect(database.url, application="tests") as long, long.transaction():
        long.execute("LOCK TABLE threads IN ROW EXCLUSIVE MODE")
        with pytest.raises(OpsError, match="no lock within 3 attempts of up to 40 ms"):
            ensure_months(connection, "content_segments", [FUTURE], sleep=lambda seconds: None)
    left = connection.execute("SELECT to_regclass('content_segments_2040_01')").fetchone()
    assert left == (None,)


def test_readers_are_never_locked_out(database: Database, connection: Connection) -> None:
    """A reader in an open transaction, and a new reader, while a partition is created."""
    with _reading(database) as reader:
        ensure_months(connection, "content_segments", [FUTURE])
        assert reader.execute("SELECT count(*) FROM content_segments").fetchone() == (0,)


def test_one_bad_month_does_not_keep_the_others_back(connection: Connection) -> None:
    connection.execute("CREATE VIEW content_segments_2040_02 AS SELECT 1 AS one")
    with pytest.raises(OpsError, match=r"1 of 4 failed: content_segments_2040_02: .* it is a view"):
        ensure_months(connection, "content_segments", FUTURE.until(FUTURE.plus(3)))
    found = coverage(connection, "content_segments", FUTURE.until(FUTURE.plus(3)))
    assert found.missing == (Month(2040, 2),)


def test_a_default_partition_that_holds_the_month_is_named(connection: Connection) -> None:
    connection.execute("CREATE TABLE rest PARTITION OF audit_log DEFAULT")
    connection.execute(
        "INSERT INTO audit_log (user_id, action, created_at) VALUES (%s, 'late', '2040-01-05Z')",
        (uuid4(),),
    )
    with pytest.raises(OpsError, match='default partition "rest" would be violated'):
        ensure_months(connection, "audit_log", [FUTURE])
    (finding,) = coverage(connection, "audit_log", []).findings
    assert str(finding).startswith("rest: it is a default partition")


def test_what_is_shown_to_be_run_names_its_table_whatever_that_is_called(
    connection: Connection,
) -> None:
    connection.execute('CREATE TABLE "the ""rest"" of it" PARTITION OF audit_log DEFAULT')
    (finding,) = coverage(connection, "audit_log", []).findings
    _, _, shown = finding.next_step.partition("empty: ")
    connection.execute(shown.encode())
    assert coverage(connection, "audit_log", []).findings == ()


@contextmanager
def _reading(database: Database) -> Iterator[Connection]:
    with (
        connect(database.url, application="tests", settings={"lock_timeout": "100ms"}) as reader,
        reader.transaction(),
    ):
        reader.execute("SELECT count(*) FROM content_segments")
        yield reader


def _parts(connection: Connection, table: str) -> set[tuple[str, ...]]:
    """Columns, constraints, indexes and triggers of a table, but for their names."""
    rows = connection.execute(
        "SELECT 'column', attname, format_type(atttypid, atttypmod),"
        "  (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef"
        "   WHERE adrelid = attrelid AND adnum = attnum), attnotnull::text"
        " FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0"
        " UNION ALL"
        " SELECT 'constraint', CASE contype WHEN 'c' THEN conname END,"
        "  pg_get_constraintdef(oid), (conparentid <> 0)::text, convalidated::text"
        " FROM pg_constraint WHERE conrelid = %(table)s::regclass"
        " UNION ALL"
        " SELECT 'index', NULL, regexp_replace(pg_get_indexdef(indexrelid), ' \\S+ ON \\S+', ''),"
        "  (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = indexrelid), NULL"
        " FROM pg_index WHERE indrelid = %(table)s::regclass"
        " UNION ALL"
        " SELECT 'trigger', tgname, tgtype::text, tgfoid::regproc::text, (tgparentid <> 0)::text"
        " FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal",
        {"table": table},
    )
    return set(rows)
