"""Spans of runs and statements, at a real collector: whose they are, and what they don't say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest

from ft_ops import spans
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.orchestration.upkeep.run_spans import export_ended_runs
from ft_ops.pg.connect import connect, connected
from ft_ops.pg.sqlfiles import statement
from ft_ops.spans import TracedStep, of_statement
from tests.fixtures.collector import Collector
from tests.fixtures.postgres import Database

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dg.op
def asks(database: DatabaseResource) -> None:
    with as_failure(), database.connect("spans") as connection:
        connection.execute(statement("pg/others_at_work"))


@dg.op(ins={"start": dg.In(dg.Nothing)})
def fails(database: DatabaseResource) -> None:
    with as_failure(), database.connect("spans") as connection:
        connection.execute("SELECT %s::int", ("hunter2",))


@dg.job(resource_defs={"database": DatabaseResource()})
def asks_and_fails() -> None:
    fails(start=asks())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_run_its_steps_and_their_statements_are_one_trace(
    collector: Collector,
    database: Database,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    begun = utc_now().timestamp() - 1
    _, cursor = export_ended_runs(instance, VARIABLE, None, begun)
    ended = asks_and_fails.execute_in_process(instance=instance, raise_on_error=False)
    told, cursor = export_ended_runs(instance, VARIABLE, cursor, utc_now().timestamp())
    assert told == 1
    assert export_ended_runs(instance, VARIABLE, cursor, utc_now().timestamp())[0] == 0

    [run] = collector.named("asks_and_fails")
    [asking], [failing] = collector.named("asks"), collector.named("fails")
    [asked] = collector.named("pg/others_at_work")
    [refused] = [span for span in collector.named("SELECT") if span.status.code == 2]
    assert {span.trace_id for span in (run, asking, failing, asked, refused)} == {
        UUID(ended.run_id).bytes
    }
    assert not run.parent_span_id
    assert asking.parent_span_id == failing.parent_span_id == run.span_id
    assert asked.parent_span_id == asking.span_id
    assert refused.parent_span_id == failing.span_id
    assert run.start_time_unix_nano <= asked.start_time_unix_nano <= run.end_time_unix_nano
    assert (run.status.code, asking.status.code, failing.status.code) == (2, 1, 2)
    assert attributes(run)["dagster.job"] == "asks_and_fails"
    assert attributes(asked)["db.system.name"] == "postgresql"
    assert attributes(refused)["error.type"] == "22P02"
    assert collector.services == {"ft-ops"}


def test_no_span_holds_a_statement_a_parameter_or_an_errors_text(
    collector: Collector, database: Database
) -> None:
    with connected(database.url, application="spans") as connection:
        connection.execute("SELECT %s", ("parameter-81c4",))
        connection.execute("SELECT 'literal-81c4'")
        connection.execute(psycopg.sql.SQL("SELECT {}").format("composed-81c4"))
        with pytest.raises(psycopg.Error, match="refused-81c4"):
            connection.execute("SELECT %s::int", ("refused-81c4",))
        with connection.cursor("server_side") as cursor, connection.transaction():
            cursor.execute("SELECT %s", ("declared-81c4",))
        with connection.cursor().copy("COPY (SELECT 'copied-81c4') TO STDOUT") as copy:
            assert b"copied" in b"".join(bytes(part) for part in copy)
        connection.cursor().executemany("SELECT %s", [("many-81c4",), ("many-81c4",)])
        assert list(connection.cursor().stream("SELECT %s", ("stream-81c4",)))
    assert len(collector.named("SELECT")) >= 6
    assert len(collector.named("COPY")) == 1
    assert b"81c4" not in collector.received


def test_a_step_that_is_none_leaves_statements_where_they_were() -> None:
    outer = TracedStep("6a1c5c0e-0d4c-4f5e-9d0b-3d8c2a7d1b11", "outer")
    with spans.within_step(outer), spans.within_step(None):
        assert spans._step.get() == outer
    assert spans._step.get() is None


def test_without_a_collector_there_are_no_spans_and_no_other_cursors(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with connected(database.url, application="spans") as connection:
        assert connection.cursor_factory is psycopg.Cursor
    assert spans.provider.cache_info().currsize == 0


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"])
def test_opentelemetrys_own_switches_turn_it_off(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1")
    assert spans.are_wanted()
    monkeypatch.setenv(name, "true" if name == "OTEL_SDK_DISABLED" else "none")
    assert not spans.are_wanted()


def test_a_collector_that_refuses_makes_the_tick_fail_and_is_told_again(
    collector: Collector, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.job
    def nothing() -> None:
        """No step."""

    _, cursor = export_ended_runs(instance, VARIABLE, None, utc_now().timestamp() - 1)
    nothing.execute_in_process(instance=instance)
    collector.status = 400
    with pytest.raises(OpsError, match=VARIABLE) as caught:
        export_ended_runs(instance, VARIABLE, cursor, utc_now().timestamp())
    assert collector.url not in str(caught.value)
    collector.status = 200
    assert export_ended_runs(instance, VARIABLE, cursor, utc_now().timestamp())[0] == 1
    assert len(collector.named("nothing")) == 1


def test_what_ended_before_the_first_tick_is_history(
    collector: Collector, instance: dg.DagsterInstance
) -> None:
    @dg.job
    def nothing() -> None:
        """No step."""

    nothing.execute_in_process(instance=instance)
    told, cursor = export_ended_runs(instance, VARIABLE, None, utc_now().timestamp() + 5)
    assert told == 0
    assert export_ended_runs(instance, VARIABLE, cursor, utc_now().timestamp() + 5)[0] == 0
    assert not collector.spans
    # A clock that was ahead at the first tick keeps nothing from being told.
    _, ahead = export_ended_runs(instance, VARIABLE, None, utc_now().timestamp() + 9e6)
    now = utc_now().timestamp()
    nothing.execute_in_process(instance=instance)
    assert export_ended_runs(instance, VARIABLE, ahead, now)[0] >= 1


def test_a_dead_collector_neither_fails_a_statement_nor_keeps_a_process(
    database: Database,
) -> None:
    """Nobody listens there; the process ends within what it waits for a collector."""
    code = (
        "from ft_ops.pg.connect import connected\n"
        f"with connected({database.url!r}, application='spans') as connection:\n"
        "    print(connection.execute('SELECT 42').fetchone()[0])\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/usr/bin:/bin", VARIABLE: "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "42\n"
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 20


def test_a_defect_of_tracing_stops_nothing(
    collector: Collector, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    with connect(database.url, application="spans") as connection:
        with monkeypatch.context() as patch:
            patch.setattr(spans, "provider", broken)
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(KeyError), of_statement("x", {}):
            raise KeyError("mine")
