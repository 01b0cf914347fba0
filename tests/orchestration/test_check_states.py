"""A check is known by its last evaluation that ended; one that crashed leaves nothing known."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)

from ft_ops.orchestration.check_states import CheckState, check_states
from ft_ops.standing import Status
from tests.fixtures.instances import one_file_instance

KEY = dg.AssetCheckKey(dg.AssetKey("months"), "whole")


class Health(dg.Config):
    """What becomes of the evaluation below."""

    crashes: bool = False
    passes: bool = True
    is_warning: bool = False
    dry_run: bool = False


@dg.asset(
    check_specs=[dg.AssetCheckSpec("whole", asset="months")],
    output_required=False,
)
def months(config: Health) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    if config.crashes:
        raise RuntimeError("no evaluation")
    if not config.dry_run:
        severity = dg.AssetCheckSeverity.WARN if config.is_warning else dg.AssetCheckSeverity.ERROR
        yield dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(passed=config.passes, severity=severity, description="2 of 3")
            ]
        )


DEFS = dg.Definitions(
    assets=[months],
    jobs=[dg.define_asset_job("move", selection=[months])],
    executor=dg.in_process_executor,
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with one_file_instance() as opened:
        yield opened


def run(instance: dg.DagsterInstance, **config: bool) -> str:
    result = DEFS.resolve_job_def("move").execute_in_process(
        instance=instance,
        run_config=dg.RunConfig(ops={"months": Health(**config)}),
        raise_on_error=False,
    )
    return result.run_id


def state(instance: dg.DagsterInstance) -> CheckState:
    [found] = check_states(instance, [KEY])
    return found


def test_a_check_that_was_never_evaluated_is_not_known(instance: dg.DagsterInstance) -> None:
    assert (state(instance).status, state(instance).run_id) == (Status.UNKNOWN, None)


@pytest.mark.parametrize(
    ("passes", "is_warning", "status"),
    [(True, False, Status.GOOD), (False, True, Status.WARNING), (False, False, Status.BAD)],
)
def test_the_last_evaluation_decides(
    instance: dg.DagsterInstance, passes: bool, is_warning: bool, status: Status
) -> None:
    run(instance, passes=not passes)
    run_id = run(instance, passes=passes, is_warning=is_warning)
    found = state(instance)
    assert (found.status, found.run_id, found.words) == (status, run_id, "2 of 3")


def test_a_crashed_evaluation_leaves_nothing_known_until_the_next_one(
    instance: dg.DagsterInstance,
) -> None:
    run(instance)
    known_at = state(instance).at
    crashed = run(instance, crashes=True)
    found = state(instance)
    assert (found.status, found.at) == (Status.UNKNOWN, known_at)
    assert found.words == f"run {crashed} failed without evaluating it"
    run(instance)
    assert state(instance).status == Status.GOOD


def test_what_was_red_stays_red_when_its_next_evaluation_crashes(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, passes=False)
    run(instance, crashes=True)
    run(instance, crashes=True)
    assert state(instance).status == Status.BAD
    assert "2 of 3; since then run" in state(instance).words


def test_while_an_evaluation_is_at_work_the_last_one_counts(instance: dg.DagsterInstance) -> None:
    run(instance, passes=False)
    planned(instance, dg.DagsterRunStatus.STARTED)
    assert (state(instance).status, state(instance).crashed) == (Status.BAD, None)


def test_a_cancelled_evaluation_is_not_taken_for_one_at_work(instance: dg.DagsterInstance) -> None:
    run(instance)
    planned(instance, dg.DagsterRunStatus.CANCELED)
    assert state(instance).status == Status.UNKNOWN
    assert "ended without evaluating it" in state(instance).words


def test_a_removed_run_leaves_unknown_what_it_was_to_evaluate(instance: dg.DagsterInstance) -> None:
    evaluated = run(instance)
    instance.delete_run(evaluated)
    assert state(instance).status == Status.GOOD
    removed = run(instance, crashes=True)
    instance.delete_run(removed)
    found = state(instance)
    words = f"run {removed}, which was to evaluate it, was removed"
    assert (found.status, found.words) == (Status.UNKNOWN, words)
    run(instance, passes=False)
    instance.delete_run(run(instance, crashes=True))
    assert (state(instance).status, state(instance).crashed) == (Status.BAD, None)


def test_a_dry_run_takes_nothing_away(instance: dg.DagsterInstance) -> None:
    run(instance)
    run(instance, dry_run=True)
    assert state(instance).status == Status.GOOD


def planned(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    """A run that plans the evaluation and gets no further."""
    job = DEFS.resolve_job_def("move")
    run_id = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        job_name="move",
        event_specific_data=AssetCheckEvaluationPlanned(
            asset_key=KEY.asset_key, check_name=KEY.name
        ),
    )
    instance.report_dagster_event(event, run_id=run_id)
    if status == dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
