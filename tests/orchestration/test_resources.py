"""Whatever a person can cause fails a run in one message, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from ft_ops.commands import session as commands
from ft_ops.errors import OpsError
from ft_ops.items import each
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection

ERRORS = [
    OpsError("bucket", cause="it is gone", next_step="make it again"),
    psycopg.OperationalError("server closed the connection unexpectedly"),
    psycopg.errors.UndefinedTable('relation "ops.archive" does not exist'),
    psycopg.errors.InsufficientPrivilege("permission denied for schema ops"),
    ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject"),
    EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
    PermissionError(13, "Permission denied", "/spool"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_persons_error_is_a_failure_that_says_what_to_do(error: Exception) -> None:
    with pytest.raises(dg.Failure) as failure, as_failure():
        raise error
    assert failure.value.metadata["next step"].value
    assert not failure.value.allow_retries


def test_no_row_that_a_server_quotes_is_in_the_event_log(connection: Connection) -> None:
    """PostgreSQL shows the row that breaks a rule, and Dagster the whole chain of errors."""
    quoted = []

    @dg.op
    def write() -> None:
        with as_failure():
            try:
                connection.execute(
                    "INSERT INTO users (clerk_id, email, display_name, subscription_tier)"
                    " VALUES ('x', 'ada@lovelace.example', 'Ada', 'none of them')"
                )
            except psycopg.Error as error:
                quoted.append(str(error))
                raise OpsError("users", cause="a row broke a rule", next_step="see") from error

    @dg.job
    def writes() -> None:
        write()

    result = writes.execute_in_process(raise_on_error=False)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    told = event.step_failure_data.error
    assert told is not None
    assert "ada@lovelace.example" in quoted[0]
    assert "violates check constraint" in told.to_string()
    assert "lovelace" not in told.to_string()


def test_what_a_server_says_of_locks_is_kept_whole() -> None:
    told = "deadlock detected\nDETAIL:  Process 7 waits for ShareLock on transaction 8"
    error = psycopg.errors.DeadlockDetected(told)
    with pytest.raises(dg.Failure), as_failure():
        raise error
    assert str(error) == told


def test_a_defect_of_ours_stays_what_it_is() -> None:
    with pytest.raises(KeyError), as_failure():
        raise KeyError("month")


def test_each_of_many_items_that_failed_has_a_row_of_its_own() -> None:
    def work(item: str) -> None:
        if item != "users":
            raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")

    with pytest.raises(dg.Failure, match="2 of 3 failed") as failure, as_failure():
        each(["users", "threads", "families"], work).refuse_failures("vacuum")
    shown = failure.value.metadata["failed"]
    assert isinstance(shown, dg.TableMetadataValue)
    rows = [record.data for record in shown.records]
    assert [row["name"] for row in rows] == ["threads", "families"]
    assert "pg_blocking_pids" in str(rows[0]["next step"])


@contextmanager
def replica(place: Path) -> Iterator[str]:
    """A server that waits for a primary, and answers what is read; its URL."""
    bin_dir = pg.reachable_binaries(pg.embedded_binaries(), place / "postgres")
    server = pg.Server(bin_dir, place / "data", place / "run")
    pg.initialise(server)
    (server.data_dir / "standby.signal").touch()
    with pg.running(server, stop_mode="immediate"):
        yield server.url()


def test_no_run_and_no_command_takes_a_replica_for_the_database(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has read there may be of an hour ago, and was green."""
    with replica(place) as url:
        monkeypatch.setenv("FT_DATABASE_URL", url)
        for opened in (DatabaseResource().connect("tests"), commands.database("tests")):
            with pytest.raises(OpsError, match="is a replica") as refused, opened:
                pass
            assert refused.value.next_step == "let FT_DATABASE_URL name the primary"
