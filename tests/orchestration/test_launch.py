"""What is typed into a launch and makes no sense is refused in one message."""

import dagster as dg
import pytest

from ft_ops.errors import Refused
from ft_ops.orchestration.launch import at_least, uuid_of
from ft_ops.orchestration.upkeep.executor import watched_in_process_executor

ID = "6c0d7f2a-0000-4000-8000-000000000000"
MONTHS = dg.MonthlyPartitionsDefinition("2017-01-01", end_date="2017-04-01")


@dg.asset(partitions_def=MONTHS)
def moved(context: dg.AssetExecutionContext) -> None:
    context.log.info(context.partition_key)


@dg.asset
def page() -> None: ...


DEFS = dg.Definitions(
    assets=[moved, page],
    jobs=[dg.define_asset_job("move", [moved]), dg.define_asset_job("write", [page])],
    executor=watched_in_process_executor,
)


def move() -> dg.JobDefinition:
    return DEFS.resolve_job_def("move")


def write() -> dg.JobDefinition:
    return DEFS.resolve_job_def("write")


def test_an_id_is_a_uuid_or_empty() -> None:
    assert str(uuid_of("family_id", f" {ID} ")) == ID
    assert uuid_of("family_id", "") is None
    with pytest.raises(Refused, match="family_id of the launch: 'abc' is no id"):
        uuid_of("family_id", "abc")


def test_a_number_has_its_least_value() -> None:
    assert at_least("days", 0, 0) == 0
    with pytest.raises(Refused, match="it is -1"):
        at_least("days", -1, 0)


def test_a_job_on_months_says_that_it_needs_one_and_how_to_give_it() -> None:
    with dg.instance_for_test() as instance:
        job = dg.reconstructable(move)
        result = dg.execute_job(job, instance=instance)
        assert not result.success
        [failure] = instance.get_records_for_run(
            result.run_id, of_type=dg.DagsterEventType.RUN_FAILURE
        ).records
        event = failure.event_log_entry.dagster_event
        assert event is not None
        assert event.job_failure_data.error is not None
        said = event.job_failure_data.error.message
        assert "move works on months, and this launch names none" in said
        assert "dagster/partition" in said
        assert dg.execute_job(job, instance, tags={"dagster/partition": "2017-03-01"}).success


def test_a_job_without_months_needs_none() -> None:
    with dg.instance_for_test() as instance:
        assert dg.execute_job(dg.reconstructable(write), instance=instance).success
