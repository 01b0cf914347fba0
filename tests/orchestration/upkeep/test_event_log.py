"""Old events go, and the pages of assets and checks show what they showed."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from ft_ops.clock import utc_now
from ft_ops.orchestration.check_states import check_states
from ft_ops.orchestration.upkeep.event_log import Pruned, prune
from ft_ops.orchestration.upkeep.jobs import remove_old_events
from ft_ops.settings import Settings
from tests.fixtures.postgres import Database

MONTHS = dg.StaticPartitionsDefinition(["2017-03", "2017-04"])


class Health(dg.Config):
    passes: bool = True


@dg.asset(partitions_def=MONTHS)
def months(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
    context.log_event(dg.AssetObservation(asset_key="months", partition=context.partition_key))
    return dg.MaterializeResult(metadata={"rows": 3}, tags={"kind": "test"})


@dg.asset(check_specs=[dg.AssetCheckSpec("whole", asset="page")])
def page(config: Health) -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=config.passes)])


DEFS = dg.Definitions(
    assets=[months, page],
    jobs=[
        dg.define_asset_job("move", selection=[months]),
        dg.define_asset_job("write", selection=[page]),
    ],
    executor=dg.in_process_executor,
)
CHECK = dg.AssetCheckKey(page.key, "whole")


def run(
    instance: dg.DagsterInstance, job: str, partition: str | None = None, *, passes: bool = True
) -> str:
    config = dg.RunConfig(ops={"page": Health(passes=passes)}) if job == "write" else None
    result = DEFS.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=partition, run_config=config
    )
    return result.run_id


@pytest.fixture
def aged(deployed_instance: dg.DagsterInstance, empty_database: Database) -> dg.DagsterInstance:
    """Three runs of each kind, all of them a hundred days ago."""
    for _ in range(2):
        run(deployed_instance, "move", "2017-03")
        run(deployed_instance, "write", passes=True)
    run(deployed_instance, "move", "2017-04")
    run(deployed_instance, "write", passes=False)
    with psycopg.connect(empty_database.admin_url, autocommit=True) as connection:
        connection.execute("UPDATE event_logs SET timestamp = timestamp - interval '100 days'")
        connection.execute(
            "UPDATE asset_check_executions"
            " SET create_timestamp = create_timestamp - interval '100 days'"
        )
    return deployed_instance


def events(database: Database) -> int:
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute("SELECT count(*) FROM event_logs").fetchone()
    assert row is not None
    return int(row[0])


def shown(instance: dg.DagsterInstance) -> tuple[object, ...]:
    """What the pages say of the assets, their partitions and the check."""
    return (
        instance.get_materialized_partitions(months.key),
        instance.get_latest_materialization_event(months.key),
        instance.get_latest_materialization_event(page.key),
        [
            instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=months.key, asset_partitions=[key]), limit=1
            ).records
            for key in MONTHS.get_partition_keys()
        ],
        instance.fetch_observations(months.key, limit=1).records,
        [(state.status, state.words) for state in check_states(instance, [CHECK])],
    )


def test_old_events_go_and_what_the_pages_show_stays(
    aged: dg.DagsterInstance, empty_database: Database
) -> None:
    before, number = shown(aged), events(empty_database)
    pruned = prune(aged, utc_now() - timedelta(days=90), log=print)
    assert pruned is not None
    assert pruned.events == number - events(empty_database)
    assert events(empty_database) < number / 3
    assert pruned.evaluations == 2
    assert shown(aged) == before
    with psycopg.connect(empty_database.admin_url) as connection:
        row = connection.execute(
            "SELECT count(*), count(e.id) FROM asset_event_tags AS t"
            " LEFT JOIN event_logs AS e ON e.id = t.event_id"
        ).fetchone()
    assert row is not None
    assert row[0] == row[1] > 0, "no tag of an event that is gone is left"
    assert prune(aged, utc_now() - timedelta(days=90), log=print) == Pruned(0, 0)


def test_what_is_younger_stays(aged: dg.DagsterInstance, empty_database: Database) -> None:
    young = run(aged, "write", passes=True)
    before = aged.all_logs(young)
    prune(aged, utc_now() - timedelta(days=90), log=print)
    assert aged.all_logs(young) == before
    assert prune(aged, datetime(2020, 1, 1, tzinfo=UTC), log=print) == Pruned(0, 0)


def test_nothing_goes_by_a_clock_that_disagrees_with_that_of_the_storage(
    aged: dg.DagsterInstance, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = events(empty_database)

    def remove(ahead: timedelta) -> None:
        with monkeypatch.context() as clock:
            clock.setattr("ft_ops.orchestration.upkeep.jobs.utc_now", lambda: utc_now() + ahead)
            remove_old_events(dg.build_op_context(instance=aged), settings=Settings())

    for ahead in (timedelta(minutes=65), timedelta(minutes=-65)):
        with pytest.raises(dg.Failure, match="Dagster's database server"):
            remove(ahead)
        assert events(empty_database) == number
    remove(timedelta(minutes=55))
    assert events(empty_database) < number


def test_a_storage_that_is_not_of_rows_is_left_alone() -> None:
    with dg.instance_for_test() as instance:
        assert prune(instance, utc_now(), log=print) is None
