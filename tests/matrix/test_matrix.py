"""Each scheduled job against each fault of its surroundings.

Whatever fails is named with its next step, nobody sees a stack trace, nothing of ours stands in the
application's way for longer than it may notice, and once the fault is over the job succeeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from ft_ops.definitions import defs
from tests.fixtures.pgbouncer import PoolMode, needs_pgbouncer, pooled
from tests.fixtures.postgres import Database
from tests.matrix.conftest import LAST
from tests.matrix.world import (
    SCHEDULES,
    Ended,
    connections_cut,
    gone,
    locked,
    looking_on,
    objects_damaged,
    objects_missing,
    requests,
    revoked,
    run,
    tables_coming_and_going,
    taken_for_nothing,
)

LONGEST_WAIT_MS: Final = 100.0
LONGEST_RUN_SECONDS: Final = 150.0
A_MONTH: Final = f"content_segments_{LAST.plus(-2).suffix}"


@dataclass(frozen=True)
class Fault:
    """What surrounds a run. ``named`` is what the words of a failure must hold.

    ``is_an_item``: of many things, the one that fails is it. Otherwise others need it.
    """

    name: str
    surround: Callable[[Database], AbstractContextManager[None]]
    named: str | None = None
    may_fail: bool = True
    is_an_item: bool = True


@contextmanager
def role_with_time_outs(database: Database) -> Iterator[None]:
    """A role as an application has it: short statements, no idle sessions, and odd formats."""
    settings = {
        "statement_timeout": "20ms",
        "idle_session_timeout": "100ms",
        "idle_in_transaction_session_timeout": "50ms",
        "lock_timeout": "1ms",
        "search_path": "ops",
        "synchronous_commit": "off",
        "DateStyle": "German",
        "TimeZone": "Asia/Kathmandu",
        "bytea_output": "escape",
        "array_nulls": "off",
        "row_security": "on",
        "client_encoding": "LATIN1",
        "default_transaction_isolation": "serializable",
        "client_min_messages": "error",
    }

    def alter(words: str) -> None:
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            for name, value in settings.items():
                admin.execute(
                    sql.SQL("ALTER ROLE ft_ops IN DATABASE {} " + words).format(
                        sql.Identifier(database.name),
                        sql.Identifier(name),
                        *([sql.Literal(value)] if "SET {} =" in words else []),
                    )
                )

    alter("SET {} = {}")
    try:
        yield
    finally:
        alter("RESET {}")


FAULTS: Final = [
    Fault("a table is locked", lambda db: locked(db.admin_url, "users"), named="users"),
    Fault("a month is locked", lambda db: locked(db.admin_url, A_MONTH), named=A_MONTH),
    Fault(
        "a reader does not end",
        lambda db: locked(db.admin_url, "users, threads, content_segments", "ACCESS SHARE"),
    ),
    Fault("tables come and go", lambda db: tables_coming_and_going(db.url), may_fail=False),
    Fault(
        "a table is gone",
        lambda db: gone(db.admin_url, "audit_log"),
        named="audit_log",
        is_an_item=False,
    ),
    Fault(
        "a table is another's",
        lambda db: revoked(db.admin_url, "users"),
        named="users",
        is_an_item=False,
    ),
    Fault("connections are cut", lambda db: connections_cut(db.admin_url, 0.05)),
    Fault("the role has time-outs", role_with_time_outs, may_fail=False),
    Fault("objects are missing", lambda db: objects_missing()),
    Fault("objects are damaged", lambda db: objects_damaged()),
]

CELLS: Final = [(schedule, fault) for schedule in sorted(SCHEDULES) for fault in FAULTS]
QUICK: Final = {
    ("check_schema_daily", "a table is locked"),
    ("check_schema_daily", "tables come and go"),
    ("check_partition_coverage_daily", "a month is locked"),
    ("check_connections_hourly", "a table is gone"),
    ("check_partition_coverage_daily", "a table is another's"),
    ("create_partitions_monthly", "a reader does not end"),
    ("make_overview_daily", "connections are cut"),
    ("check_connections_hourly", "the role has time-outs"),
    ("check_archive_bucket_daily", "objects are missing"),
    ("ship_wal_quarter_hourly", "objects are damaged"),
}
"""One cell or two of each fault, of jobs that take a second: the others are for `make chaos`."""


NEEDED: Final = {
    "finish_archives_daily": "unfinished",
    "drill_archive_daily": "drillable",
    "rehearse_erasures_weekly": "backed_up",
    "purge_archived_content_daily": "purgeable",
    "incremental_backup_six_hourly": "backed_up",
    "restore_drill_daily": "backed_up",
    "restore_drill_of_an_older_one": "backed_up",
}
"""What must be there before, for a job to have something to do."""

DUMPED: Final = ("monthly_dump_on_the_first", "tables come and go")
"""pg_dump reads the catalog, then locks what it found there: it fails where a table is gone by
then, and says which. The next one is made again."""


def cell(schedule: str, fault: Fault) -> object:
    is_quick = (schedule, fault.name) in QUICK
    marks = [] if is_quick else [pytest.mark.chaos]
    return pytest.param(schedule, fault, marks=marks, id=f"{schedule}: {fault.name}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("schedule", "fault"), [cell(*pair) for pair in CELLS])
def test_a_scheduled_job_survives_its_surroundings(
    schedule: str,
    fault: Fault,
    database: Database,
    instance: dg.DagsterInstance,
    request: pytest.FixtureRequest,
) -> None:
    if schedule in NEEDED:
        request.getfixturevalue(NEEDED[schedule])
    job = SCHEDULES[schedule].job_name
    fault = replace(fault, may_fail=fault.may_fail or (schedule, fault.name) == DUMPED)
    with (
        taken_for_nothing(database),
        looking_on(database.admin_url) as onlooker,
        fault.surround(database),
    ):
        asked = list(_asked(schedule, fault))
        ended = [run(instance, job, one) for one in asked[:1]]
    for result in ended:
        _is_told(result, fault)
    assert onlooker.looks > 0
    assert onlooker.longest_ms <= LONGEST_WAIT_MS, onlooker.where
    for one in asked[:1]:
        again = run(instance, job, one)
        assert again.success, again.words


def _asked(schedule: str, fault: Fault) -> list[dg.RunRequest]:
    """What a tick asks for; one that can't ask says why, and the next one asks."""
    asked, refusal = _ticked(schedule)
    if refusal is not None:
        assert fault.may_fail, refusal
        failure = refusal.__cause__ if isinstance(refusal, dg.DagsterError) else refusal
        assert isinstance(failure, dg.Failure), refusal
        assert "next step" in failure.metadata
        asked, refusal = _ticked(schedule)
        assert refusal is None
    return asked


def _ticked(schedule: str) -> tuple[list[dg.RunRequest], Exception | None]:
    try:
        return requests(schedule), None
    except (dg.Failure, dg.DagsterError) as error:
        return [], error


def _is_told(ended: Ended, fault: Fault) -> None:
    assert ended.success or fault.may_fail, ended.words
    for failure in ended.failures:
        assert failure.next_step, failure.words
        if fault.named is not None:
            assert fault.named in failure.words
            assert not fault.is_an_item or all(fault.named in item for item in failure.items)


@needs_pgbouncer
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mode", "ignore"),
    [("session", "options"), ("transaction", "options"), ("statement", "options"), ("session", "")],
)
@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(name, marks=[] if name == "check_connections_hourly" else [pytest.mark.chaos])
        for name in sorted(SCHEDULES)
        if name != "prune_event_logs_daily"
    ],
)
def test_behind_a_pooler_nothing_is_begun_and_the_word_is_said(
    schedule: str,
    mode: PoolMode,
    ignore: str,
    database: Database,
    instance: dg.DagsterInstance,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        pooled(database, place, mode=mode, ignore=ignore) as url,
        looking_on(database.admin_url) as onlooker,
    ):
        monkeypatch.setenv("FT_DATABASE_URL", url)
        began = time.monotonic()
        ended = run(instance, SCHEDULES[schedule].job_name, _anything(schedule))
        assert time.monotonic() - began < LONGEST_RUN_SECONDS
    assert onlooker.looks > 0
    assert onlooker.longest_ms <= LONGEST_WAIT_MS, onlooker.where
    # What asks the bucket alone, and the page that tells of it, need no database.
    if ended.success:
        assert schedule in {"check_archive_bucket_daily", "make_overview_daily"}
        return
    for failure in ended.failures:
        assert failure.next_step, failure.words
    assert "pooler" in ended.words


def _anything(schedule: str) -> dg.RunRequest | None:
    """A request for one month where the job works on months."""
    job = defs.resolve_job_def(SCHEDULES[schedule].job_name)
    month = LAST.plus(-14).key
    return dg.RunRequest(partition_key=month) if job.partitions_def is not None else None
