"""`initial_schema` sets a database up, says what it found, and can be run again."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest
from psycopg import conninfo, sql

from ft_ops.definitions import defs
from ft_ops.orchestration.partitions import monthly
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection, connect
from ft_ops.schema import (
    differences,
    ensure_hypertable,
    expected_fingerprint,
    install_extensions,
    load_migrations,
    read_fingerprint,
    server_facts,
)
from tests.fixtures.postgres import Database


def run(job: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    failed = event.step_failure_data.user_failure_data
    assert failed is not None
    return str(failed.description)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = (e for e in result.asset_materializations_for_node("schema") if e.partition is None)
    return {name: value.value for name, value in event.metadata.items()}


def test_a_new_database_gets_schema_extensions_and_every_month(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("initial_schema", empty_database, monkeypatch)
    assert result.success
    told = metadata(result)
    assert told["version"] == load_migrations()[-1].version
    assert len(told["applied now"]) == len(load_migrations())  # type: ignore[arg-type]
    partitions = {
        (event.asset_key.to_user_string(), event.partition)
        for event in result.asset_materializations_for_node("schema")
        if event.partition
    }
    assert partitions == {
        (f"{parent}_partitions", key)
        for parent in ("content_segments", "audit_log")
        for key in monthly.get_partition_keys()
    }
    with connect(empty_database.url, application="tests") as connection:
        for parent in ("content_segments", "audit_log"):
            months = [partition.month for partition in partitions_of(connection, parent)]
            assert [month.key for month in months if month] == monthly.get_partition_keys()


def test_a_second_run_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run("initial_schema", database, monkeypatch)
    told = metadata(run("initial_schema", database, monkeypatch))
    assert (told["applied now"], told["partitions created"]) == ([], 0)


def test_the_samples_are_a_hypertable_exactly_where_timescaledb_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(database.url, application="tests") as connection:
        connection.execute(
            "INSERT INTO ops.metric_samples VALUES (now(), 'table_bytes', 'users', 8192)"
        )
        assert ensure_hypertable(connection) == ensure_hypertable(connection)
        has_extension = "timescaledb" in _installed(connection)
        assert (ensure_hypertable(connection) == "hypertable") == has_extension
        if has_extension:
            chunks = connection.execute("SELECT count(*) FROM show_chunks('ops.metric_samples')")
            assert chunks.fetchone() == (1,)
        assert connection.execute("SELECT value FROM ops.metric_samples").fetchone() == (8192,)
        assert differences(read_fingerprint(connection), expected_fingerprint()) == []


def test_a_required_extension_that_is_missing_fails_the_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_REQUIRE_EXTENSIONS", "plpgsql, no_such_extension")
    told = failure(run("initial_schema", database, monkeypatch))
    assert told.startswith("extensions: no_such_extension is not offered. Next: install them")


def test_a_late_uuid_ossp_is_reported_and_does_no_harm(
    empty_database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in of uuid_generate_v4() is in use by then and keeps its name."""
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        if "uuid-ossp" not in _installed(admin):
            pytest.skip("this server does not offer uuid-ossp")
        admin.execute('DROP EXTENSION "uuid-ossp"')
        admin.execute(
            "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql RETURN gen_random_uuid()"
        )
        outcomes = {outcome.name: outcome for outcome in install_extensions(admin)}
    assert outcomes["uuid-ossp"].state == "refused"
    assert 'function "uuid_generate_v4" already exists' in str(outcomes["uuid-ossp"])


def test_a_database_that_could_not_hold_the_texts_is_refused_untouched(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{empty_database.name}_ascii"
    ascii_database = Database(name, empty_database.server_url)
    with psycopg.connect(empty_database.server_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' OWNER ft_ops"
            ).format(sql.Identifier(name))
        )
        try:
            told = failure(run("initial_schema", ascii_database, monkeypatch))
            assert told.startswith("database: its encoding is SQL_ASCII")
            with connect(ascii_database.url, application="tests") as connection:
                assert read_fingerprint(connection).keys() <= {"schema public"}
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_the_drift_check_names_what_differs(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drift() -> dg.AssetCheckEvaluation:
        result = run("check_schema", database, monkeypatch)
        return next(
            e for e in result.get_asset_check_evaluations() if e.check_name == "schema_drift"
        )

    assert drift().passed
    connection.execute("CREATE TABLE extra (id int PRIMARY KEY)")
    found = drift()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    connection.execute("DROP INDEX idx_users_created_at")
    found = drift()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.metadata["differences"].value == [
        "index idx_users_created_at of users is missing",
        "table extra is in no migration",
    ]


def test_the_servers_facts_are_others_not_our_sessions(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET TimeZone = 'Asia/Tokyo'").format(
            sql.Identifier(database.name)
        )
    )
    facts = server_facts(connection)
    assert (facts.time_zone, facts.encoding, facts.unusable) == ("Asia/Tokyo", "UTF8", None)
    assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)
    result = run("check_schema", database, monkeypatch)
    settings = next(
        e for e in result.get_asset_check_evaluations() if e.check_name == "server_settings"
    )
    assert settings.passed


def test_a_server_that_counts_nothing_is_warned_of(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET track_counts = off").format(
                sql.Identifier(database.name)
            )
        )
    found = next(
        e
        for e in run("check_schema", database, monkeypatch).get_asset_check_evaluations()
        if e.check_name == "server_settings"
    )
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "track_counts of the server is off" in str(found.description)


def test_a_password_in_the_url_does_not_reach_a_failure(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Database("no_such_database", conninfo.make_conninfo(database.server_url))
    monkeypatch.setenv("PGPASSWORD", "unused")
    url = conninfo.make_conninfo(broken.url, password="planted-secret")
    monkeypatch.setattr(Database, "url", property(lambda self: url))
    assert "planted-secret" not in failure(run("initial_schema", broken, monkeypatch))


def _installed(connection: Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT extname FROM pg_extension")}
