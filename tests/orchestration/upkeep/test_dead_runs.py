"""A run whose process is gone is ended within minutes, and one that lives is never."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import dagster as dg
import psycopg
import pytest

from ft_ops.orchestration.upkeep import alive
from ft_ops.orchestration.upkeep.alive import WATCHED_TAG, saying_alive, silent_runs
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
from tests.fixtures.postgres import Database

RUN = "11111111-2222-3333-4444-555555555555"
POOL = "heavy"


@dg.op
def work() -> None: ...


@dg.job
def job() -> None:
    work()


@dg.op
def listen(context: dg.OpExecutionContext) -> None:
    with connected(os.environ["FT_DATABASE_URL"], application="tests") as connection:
        until(lambda: silent_runs(connection, [context.run_id]) == [])


@dg.job(executor_def=watched_in_process_executor)
def listening() -> None:
    listen()


def started(instance: dg.DagsterInstance, *, watched: bool = True) -> str:
    """A run that its process has left started, with the pool's only slot."""
    instance.event_log_storage.set_concurrency_slots(POOL, 1)
    tags = {WATCHED_TAG: "true"} if watched else {}
    run_id = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id
    claim = instance.event_log_storage.claim_concurrency_slot(POOL, run_id, "work")
    assert claim.is_claimed
    return run_id


def slots_taken(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info(POOL).active_slot_count


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
        gone, kept = end_dead_runs_of(instance, lambda runs, n=look: silent(n), known, 60.0 * look)  # type: ignore[misc]
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
    ended, kept = end_dead_runs_of(deployed_instance, lambda runs: runs, known, 3600.0)
    assert (ended, kept) == ([], {run_id: Silence(0.0, 2)})
    assert LOOKS * 60 > SILENT_SECONDS


def test_a_silence_that_a_wrong_clock_dated_ahead_begins_anew(
    deployed_instance: dg.DagsterInstance,
) -> None:
    run_id = started(deployed_instance)
    known = {run_id: Silence(9e9, 9)}
    _, kept = end_dead_runs_of(deployed_instance, lambda runs: runs, known, 3600.0)
    assert kept == {run_id: Silence(3600.0, 1)}


def test_a_run_that_never_said_that_it_lives_is_left_alone(
    deployed_instance: dg.DagsterInstance,
) -> None:
    run_id = started(deployed_instance, watched=False)
    assert looks(deployed_instance, lambda look: [run_id], 9) == []


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
    with saying_alive(RUN, database.url):
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
        with saying_alive(RUN, database.url):
            until(lambda: silent_runs(connection, [RUN]) == [])


def test_a_process_that_is_killed_is_silent_at_once(
    database: Database, connection: Connection
) -> None:
    script = (
        "import sys, time\n"
        "from ft_ops.orchestration.upkeep.alive import saying_alive\n"
        "with saying_alive(sys.argv[1], sys.argv[2]):\n"
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
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert WATCHED_TAG in run.tags


def test_a_connection_that_is_cut_is_taken_up_again(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "LOOKED_AFTER_SECONDS", 0.2)
    with saying_alive(RUN, database.url):
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
    with saying_alive(RUN, "postgresql://ft_ops@127.0.0.1:1/familytales"):
        pass
    assert time.monotonic() - began < 5


def until(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to pass")
