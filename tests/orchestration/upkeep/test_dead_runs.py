"""A run whose process is gone is ended within minutes, and one that lives is never."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

import dagster as dg
import psycopg
import pytest

from ft_ops.orchestration.internals import MAX_RUNTIME_SECONDS_TAG
from ft_ops.orchestration.jobs import longest_run
from ft_ops.orchestration.upkeep import alive, ended
from ft_ops.orchestration.upkeep.alive import (
    WATCHED_IN_TAG,
    WATCHED_TAG,
    database_of_run,
    saying_alive,
    silent_runs,
)
from ft_ops.orchestration.upkeep.dead_runs import (
    LOOKS,
    SILENT_SECONDS,
    Silence,
    end_dead_runs_of,
    silences_from_json,
    silences_to_json,
)
from ft_ops.orchestration.upkeep.executor import watched_in_process_executor
from ft_ops.pg.connect import Connection, connected
from ft_ops.settings import load_settings
from tests.fixtures.postgres import Database

RUN = "11111111-2222-3333-4444-555555555555"
POOL = "heavy"
HERE = "7000000000000000001/16384"


@dg.op
def work() -> None: ...


@dg.job
def job() -> None:
    work()


@dg.job(executor_def=watched_in_process_executor)
def idle() -> None:
    work()


@dg.op
def listen(context: dg.OpExecutionContext) -> None:
    with connected(os.environ["FT_DATABASE_URL"], application="tests") as connection:
        until(lambda: silent_runs(connection, [context.run_id]) == [])
        here = database_of_run(connection)
    assert here is not None
    until(lambda: tags_of(context.instance, context.run_id).get(WATCHED_IN_TAG) == here)


@dg.job(executor_def=watched_in_process_executor)
def listening() -> None:
    listen()


def started(
    instance: dg.DagsterInstance, *, watched: bool = True, database: str | None = None
) -> str:
    """A run that its process has left started, with the pool's only slot."""
    instance.event_log_storage.set_concurrency_slots(POOL, 1)
    tags = {WATCHED_TAG: "true"} if watched else {}
    tags |= {WATCHED_IN_TAG: database} if database is not None else {}
    run_id = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id
    claim = instance.event_log_storage.claim_concurrency_slot(POOL, run_id, "work")
    assert claim.is_claimed
    return run_id


def slots_taken(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info(POOL).active_slot_count


def tags_of(instance: dg.DagsterInstance, run_id: str) -> Mapping[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.tags


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def looks(
    instance: dg.DagsterInstance, silent: Callable[[int], list[str]], number: int
) -> list[str]:
    """So many looks, a minute from each other; what they ended. What is known is kept as text."""
    ended: list[str] = []
    text: str | None = None
    for look in range(number):
        known = silences_from_json(text)
        gone, kept = end_dead_runs_of(
            instance,
            lambda runs, n=look: silent(n),  # type: ignore[misc]
            known,
            60.0 * look,
            HERE,
        )
        text = silences_to_json(kept)
        ended += gone
    return ended


def test_a_run_that_is_silent_for_minutes_is_ended_and_its_slot_is_free(
    deployed_instance: dg.DagsterInstance,
) -> None:
    run_id = started(deployed_instance)
    assert looks(deployed_instance, lambda look: [run_id], 3) == []
    assert slots_taken(deployed_instance) == 1
    assert looks(deployed_instance, lambda look: [run_id], 4) == [run_id]
    assert status(deployed_instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert slots_taken(deployed_instance) == 0
    next_run = deployed_instance.create_run_for_job(job).run_id
    claim = deployed_instance.event_log_storage.claim_concurrency_slot(POOL, next_run, "work")
    assert claim.is_claimed


def test_a_run_that_is_heard_in_between_lives(deployed_instance: dg.DagsterInstance) -> None:
    run_id = started(deployed_instance)
    assert looks(deployed_instance, lambda look: [] if look == 2 else [run_id], 5) == []
    assert status(deployed_instance, run_id) == dg.DagsterRunStatus.STARTED


def test_a_long_silence_seen_once_is_not_enough(deployed_instance: dg.DagsterInstance) -> None:
    """The sensor itself may have been away for an hour."""
    run_id = started(deployed_instance)
    known = {run_id: Silence(0.0, 1)}
    ended, kept = end_dead_runs_of(deployed_instance, lambda runs: runs, known, 3600.0, HERE)
    assert (ended, kept) == ([], {run_id: Silence(0.0, 2)})
    assert LOOKS * 60 > SILENT_SECONDS


def test_a_silence_that_a_wrong_clock_dated_ahead_begins_anew(
    deployed_instance: dg.DagsterInstance,
) -> None:
    run_id = started(deployed_instance)
    known = {run_id: Silence(9e9, 9)}
    _, kept = end_dead_runs_of(deployed_instance, lambda runs: runs, known, 3600.0, HERE)
    assert kept == {run_id: Silence(3600.0, 1)}


def test_a_run_that_never_said_that_it_lives_is_left_alone(
    deployed_instance: dg.DagsterInstance,
) -> None:
    run_id = started(deployed_instance, watched=False)
    assert looks(deployed_instance, lambda look: [run_id], 9) == []


@pytest.mark.parametrize(
    ("said_in", "looked_in", "is_ended"),
    [
        (HERE, HERE, True),
        ("another/1", HERE, False),
        ("another/1", None, False),
        ("", None, True),
    ],
)
def test_a_run_is_judged_only_in_the_database_in_which_it_says_that_it_lives(
    deployed_instance: dg.DagsterInstance,
    said_in: str | None,
    looked_in: str | None,
    is_ended: bool,
) -> None:
    """Two code locations may share Dagster's storage, and FT_DATABASE_URL may change."""
    run_id = started(deployed_instance, database=said_in)
    known = {run_id: Silence(0.0, LOOKS)}
    ended, _ = end_dead_runs_of(deployed_instance, lambda runs: runs, known, 3600.0, looked_in)
    assert ended == ([run_id] if is_ended else [])


def test_an_answer_that_did_not_come_counts_for_nothing(
    deployed_instance: dg.DagsterInstance,
) -> None:
    started(deployed_instance)

    def unanswered(look: int) -> list[str]:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with pytest.raises(psycopg.OperationalError):
        looks(deployed_instance, unanswered, 1)


def test_a_process_is_heard_until_it_ends(database: Database, connection: Connection) -> None:
    assert silent_runs(connection, [RUN]) == [RUN]
    with saying_alive(RUN, database.url, print):
        until(lambda: silent_runs(connection, [RUN]) == [])
        assert silent_runs(connection, [RUN, "another"]) == ["another"]
    until(lambda: silent_runs(connection, [RUN]) == [RUN])


def test_a_stranger_s_lock_neither_speaks_for_a_run_nor_silences_it(
    database: Database, connection: Connection
) -> None:
    key = "hashtextextended('ft-ops run ' || %s, 0)"
    name = f"ft-ops run {RUN[:8]}"
    with psycopg.connect(database.readonly_url, application_name=name) as stranger:
        stranger.execute(f"SELECT pg_advisory_lock({key})", (RUN,))
        assert silent_runs(connection, [RUN]) == [RUN]
        with saying_alive(RUN, database.url, print):
            until(lambda: silent_runs(connection, [RUN]) == [])


def test_a_process_that_is_killed_is_silent_at_once(
    database: Database, connection: Connection
) -> None:
    script = (
        "import sys, time\n"
        "from ft_ops.orchestration.upkeep.alive import saying_alive\n"
        "with saying_alive(sys.argv[1], sys.argv[2], print):\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, RUN, database.url]) as process:
        until(lambda: silent_runs(connection, [RUN]) == [])
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: silent_runs(connection, [RUN]) == [RUN])


def test_every_run_is_heard_while_its_steps_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    with dg.instance_for_test() as instance:
        result = dg.execute_job(dg.reconstructable(listening), instance=instance)
        assert result.success
        tags = tags_of(instance, result.run_id)
        assert WATCHED_TAG in tags
        # It was launched without a bound, as from an asset's page, and has that of every job.
        bound = longest_run(load_settings()).total_seconds()
        assert tags[MAX_RUNTIME_SECONDS_TAG] == f"{bound:.0f}"


def test_a_connection_that_is_cut_is_taken_up_again(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "LOOKED_AFTER_SECONDS", 0.2)
    with saying_alive(RUN, database.url, print):
        until(lambda: silent_runs(connection, [RUN]) == [])
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'ft-ops run %' AND datname = current_database()"
            )
            admin.execute("SELECT pg_sleep(0.1)")
        until(lambda: silent_runs(connection, [RUN]) == [])


def test_a_database_that_does_not_answer_keeps_no_run_from_working() -> None:
    began = time.monotonic()
    with saying_alive(RUN, "postgresql://ft_ops@127.0.0.1:1/familytales", print):
        pass
    assert time.monotonic() - began < 5


@dg.op
def be_ended_by_force(context: dg.OpExecutionContext) -> None:
    """Somebody terminates the run by force, and nobody reaches its process."""
    context.instance.report_run_canceled(context.run)
    time.sleep(20)
    raise AssertionError("it has worked to its end")


@dg.job(executor_def=watched_in_process_executor)
def unreached() -> None:
    be_ended_by_force()


def test_a_run_that_was_ended_from_outside_ends_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ended, "LOOKED_AFTER_SECONDS", 0.1)
    monkeypatch.delenv("FT_DATABASE_URL", raising=False)
    began = time.monotonic()
    with dg.instance_for_test() as instance:
        result = dg.execute_job(dg.reconstructable(unreached), instance=instance)
        assert time.monotonic() - began < 15
        assert status(instance, result.run_id) == dg.DagsterRunStatus.CANCELED


CLEANED_UP = list[str]()


@dg.op
def be_reached_by_force(context: dg.OpExecutionContext) -> None:
    """Somebody terminates the run by force, and Dagster's launcher reaches its process."""

    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        context.instance.report_run_canceled(context.run)

    threading.Timer(0.2, terminate).start()
    try:
        time.sleep(20)
    finally:
        time.sleep(1)
        CLEANED_UP.append(context.run_id)


@dg.job(executor_def=watched_in_process_executor)
def reached() -> None:
    be_reached_by_force()


def test_a_step_that_cleans_up_already_is_not_interrupted_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stops the server of a restored copy, say, which would be left running."""
    monkeypatch.setattr(ended, "LOOKED_AFTER_SECONDS", 0.1)
    monkeypatch.delenv("FT_DATABASE_URL", raising=False)
    with dg.instance_for_test() as instance:
        result = dg.execute_job(dg.reconstructable(reached), instance=instance)
        assert [result.run_id] == CLEANED_UP
        assert status(instance, result.run_id) == dg.DagsterRunStatus.CANCELED


def test_a_run_that_is_executed_anew_says_of_itself_whether_and_where_it_can_be_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It bears the tags of the run before, and would be ended for a lock that it never takes."""
    monkeypatch.delenv("FT_DATABASE_URL", raising=False)
    copied = {WATCHED_TAG: "true", WATCHED_IN_TAG: "another/1"}
    with dg.instance_for_test() as instance:
        result = dg.execute_job(dg.reconstructable(idle), instance=instance, tags=copied)
        tags = tags_of(instance, result.run_id)
        assert (tags[WATCHED_TAG], tags[WATCHED_IN_TAG]) == ("false", "")


def until(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to pass")
