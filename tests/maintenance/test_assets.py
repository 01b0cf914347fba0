"""The maintenance as Dagster runs it: jobs, launch config, metadata, checks, failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg
import psycopg
import pytest

from ft_ops.definitions import defs
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters, index_bytes, make_letters, thin_out
from tests.maintenance.test_rebuild import leave_leftover


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
    told = rows(metadata(dry_run, "vacuumed_tables")["tables"])["public.letters"]
    assert (told["result"], told["action"]) == ("planned", "vacuum and analyze")

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
    assert metadata(dry_run, "rebuilt_indexes")["planned"] == 2
    assert index_bytes(connection, "letters_pkey") == before

    result = run(instance, job)
    assert result.success
    bloat = metadata(result, "index_bloat")
    assert bloat["bloated"] == 2
    assert str(bloat["the largest"]).startswith("![index bloat](data:image/png;base64,")
    told = rows(metadata(result, "rebuilt_indexes")["indexes"])["public.letters_pkey"]
    assert told["result"] == "rebuilt"
    assert told["bytes before"] == before
    assert told["bytes after"] == index_bytes(connection, "letters_pkey")
    assert {name: check.passed for name, check in checks(result).items()} == {
        "estimates_are_accurate": True,
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
    assert told["to drop it"] == 'DROP INDEX CONCURRENTLY "public"."letters_sender_ccnew"'


def test_an_unknown_name_fails_the_run_with_the_next_step(
    instance: dg.DagsterInstance, connection: Connection, settings: None
) -> None:
    result = run(instance, "vacuum_analyze", {"vacuumed_tables": {"tables": ["thread"]}})
    assert "no table of that name exists. Next: name tables" in failure(result)


def test_a_table_and_its_indexes_out_of_reach_fail_the_run_with_the_grant(
    instance: dg.DagsterInstance, connection: Connection, database: Database, settings: None
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE theirs (id integer PRIMARY KEY)")
    result = run(instance, "rebuild_bloated_indexes")
    assert 'GRANT "' in failure(result)
    assert "public.theirs_pkey" in failure(result)
