"""The maintenance as Dagster runs it: jobs, launch config, metadata, checks, failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg
import psycopg
import pytest

from ft_ops.definitions import defs
from ft_ops.format import human_bytes
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters, index_bytes, make_letters, thin_out
from tests.maintenance.test_faults import cancel_rebuilds
from tests.maintenance.test_rebuild import holding, leave_leftover, rebuild


@pytest.fixture(scope="session")
def template(migrated: Database) -> Database:
    """Many months, of which some are long closed."""
    return migrated


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.setenv("FT_DATABASE_VOLUME_GB", "1000000")
    monkeypatch.setenv("FT_REINDEX_MIN_MB", "1")
    monkeypatch.setenv("FT_REINDEX_MIN_RECLAIM_MB", "1")


def run(
    instance: dg.DagsterInstance,
    job: str,
    ops: Mapping[str, Mapping[str, object]] | None = None,
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        run_config={
            "ops": {name: {"config": dict(config)} for name, config in (ops or {}).items()},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    [event] = result.asset_materializations_for_node(asset)
    return {
        key: value if isinstance(value, dg.TableMetadataValue) else value.value
        for key, value in event.metadata.items()
    }


def observed(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """What a run that did not materialize the asset has shown of it."""
    assert result.asset_materializations_for_node(asset) == []
    [event] = [
        event.asset_observation_data.asset_observation
        for event in result.all_node_events
        if event.is_asset_observation and event.node_name == asset
    ]
    return {
        key: value if isinstance(value, dg.TableMetadataValue) else value.value
        for key, value in event.metadata.items()
    }


def rows(table: object) -> dict[str, dict[str, object]]:
    assert isinstance(table, dg.TableMetadataValue)
    return {str(next(iter(record.data.values()))): dict(record.data) for record in table.records}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def test_vacuum_analyze(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    make_letters(connection)
    connection.execute("DELETE FROM letters WHERE sender % 2 = 0")
    flush_counters(connection)
    dry_run = run(
        instance,
        "vacuum_analyze",
        {"vacuumed_tables": {"dry_run": True}, "frozen_partitions": {"dry_run": True}},
    )
    assert dry_run.success
    told = rows(observed(dry_run, "vacuumed_tables")["tables"])["public.letters"]
    assert (told["result"], told["action"]) == ("planned", "vacuum and analyze")
    assert observed(dry_run, "frozen_partitions")["dry run"]

    result = run(instance, "vacuum_analyze")
    assert result.success
    told = rows(metadata(result, "vacuumed_tables")["tables"])["public.letters"]
    assert (told["result"], told["dead rows removed"]) == ("done", 10_000)
    assert metadata(result, "frozen_partitions")["nothing to do"] == len(
        rows(metadata(result, "frozen_partitions")["tables"])
    )
    assert checks(result)["wraparound"].passed


def test_frozen_partitions_of_every_closed_month_at_once(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    job = "freeze_closed_partitions"
    first = run(instance, job, {"frozen_partitions": {"still_hours": 0}})
    assert "public.audit_log_2024_01" in rows(metadata(first, "frozen_partitions")["tables"])
    done = metadata(first, "frozen_partitions")["done"]
    second = run(instance, job)
    assert metadata(second, "frozen_partitions")["nothing to do"] == done
    assert "done" not in metadata(second, "frozen_partitions")


def test_rebuild_bloated_indexes(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    make_letters(connection, rows=80_000)
    thin_out(connection)
    before = index_bytes(connection, "letters_pkey")
    job = "rebuild_bloated_indexes"
    dry_run = run(
        instance, job, {"index_bloat": {"dry_run": True}, "rebuilt_indexes": {"dry_run": True}}
    )
    assert dry_run.success
    assert observed(dry_run, "rebuilt_indexes")["planned"] == 2
    assert observed(dry_run, "index_bloat")["bloated"] == 2
    assert index_bytes(connection, "letters_pkey") == before

    result = run(instance, job)
    assert result.success
    bloat = metadata(result, "index_bloat")
    assert bloat["bloated"] == 2
    assert str(bloat["the largest"]).startswith("![index bloat](data:image/png;base64,")
    told = rows(metadata(result, "rebuilt_indexes")["indexes"])["public.letters_pkey"]
    assert told["result"] == "rebuilt"
    assert told["bytes before"] == human_bytes(before)
    assert told["bytes after"] == human_bytes(index_bytes(connection, "letters_pkey"))
    assert {name: check.passed for name, check in checks(result).items()} == {
        "estimates_are_accurate": True,
        "settings_advice": True,
        "no_bloated_tables": True,
        "index_advice": True,
        "no_invalid_indexes": True,
    }
    assert "rebuilt" not in metadata(run(instance, job), "rebuilt_indexes")


def test_check_maintenance_finds_invalid_indexes(
    instance: dg.DagsterInstance, connection: Connection, database: Database, settings: None
) -> None:
    make_letters(connection, rows=100)
    leave_leftover(database, "letters_sender")
    check = checks(run(instance, "check_maintenance"))["no_invalid_indexes"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    told = rows(check.metadata["invalid"])["public.letters_sender_ccnew"]
    assert told["to do"] == 'DROP INDEX CONCURRENTLY "public"."letters_sender_ccnew"'


def test_an_index_that_a_partition_lacks_is_invalid_too(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    connection.execute('CREATE INDEX "odd ""%s" ON ONLY audit_log (id)')
    check = checks(run(instance, "check_maintenance"))["no_invalid_indexes"]
    assert not check.passed
    told = rows(check.metadata["invalid"])['public.odd "%s']
    assert 'ALTER INDEX "public"."odd ""%s" ATTACH PARTITION' in str(told["to do"])


def test_leftovers_of_rebuilds_are_gone_the_next_day(
    instance: dg.DagsterInstance, connection: Connection, database: Database, settings: None
) -> None:
    make_letters(connection, rows=2000)
    connection.execute("SET lock_timeout = '300ms'")

    def cancel(line: str) -> None:
        if "waiting for readers before marking dead" in line:
            cancel_rebuilds(database)

    with (
        connect(database.url, application="watching") as beside,
        holding(database, "SELECT FROM letters LIMIT 1"),
    ):
        outcome = rebuild(connection, beside, ["letters_sender"], log=cancel)["letters_sender"]
        assert "letters_sender_ccold is left" in outcome.detail
        held = run(instance, "drop_rebuild_leftovers")
        assert "public.letters_sender_ccold" in failure(held)
    assert run(instance, "drop_rebuild_leftovers").success
    assert checks(run(instance, "check_maintenance"))["no_invalid_indexes"].passed


def test_what_was_done_is_shown_when_something_else_failed(
    instance: dg.DagsterInstance, connection: Connection, database: Database, settings: None
) -> None:
    for table in ("letters", "notes"):
        make_letters(connection, table)
        connection.execute(f"DELETE FROM {table} WHERE sender % 2 = 0")
    flush_counters(connection)
    with holding(database, "LOCK TABLE letters IN ACCESS EXCLUSIVE MODE"):
        result = run(instance, "vacuum_analyze")
    assert "vacuum of public.letters" in failure(result)
    told = rows(observed(result, "vacuumed_tables")["tables"])
    assert told["public.notes"]["result"] == "done"
    assert told["public.letters"]["result"] == "locked"


def test_the_emergency_names_what_it_did(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    result = run(
        instance, "vacuum_emergency", {"oldest_tables_vacuum": {"tables": ["pg_catalog.pg_proc"]}}
    )
    assert result.success
    unknown = run(instance, "vacuum_emergency", {"oldest_tables_vacuum": {"tables": ["nothing"]}})
    assert "no table of that name exists" in failure(unknown)


def test_an_unknown_name_fails_the_run_with_the_next_step(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    result = run(instance, "vacuum_analyze", {"vacuumed_tables": {"tables": ["thread"]}})
    assert "no table of that name exists. Next: name tables" in failure(result)


def test_a_table_and_its_indexes_out_of_reach_fail_the_run_with_what_lets_us_in(
    instance: dg.DagsterInstance, connection: Connection, database: Database, settings: None
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE theirs (id integer PRIMARY KEY)")
    result = run(instance, "rebuild_bloated_indexes")
    assert 'ALTER TABLE "public"."theirs" OWNER TO' in failure(result)
    assert "public.theirs_pkey" in failure(result)


def test_what_writing_a_table_anew_would_take_is_shown_where_the_server_cannot(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    make_letters(connection)
    config = {"tables": ["letters"], "dry_run": True}
    looked = run(instance, "repack_tables", {"repacked_tables": config})
    assert looked.success
    [output] = [
        event.step_output_data for event in looked.all_node_events if event.is_successful_output
    ]
    shown = output.metadata
    assert shown["would be refused"].value == "this database does not have the extension"
    assert rows(shown["tables"])["public.letters"]["detail"] == (
        "no backup was ever restored and verified"
    )
    refused = run(instance, "repack_tables", {"repacked_tables": {"tables": ["letters"]}})
    assert "CREATE EXTENSION pg_repack" in failure(refused)
