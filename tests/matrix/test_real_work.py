"""The jobs that delete, bring back or rebuild, with work to do, against each fault around them.

Two items are ready in each cell, and the fault strikes the first where it can strike one alone. The
other one is done, the first is named with what to do, nothing is lost, and the next run after the
fault does the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import dagster as dg
import pytest

from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.sample import make_sample
from tests.faults.world import World as Archive
from tests.fixtures.pgbouncer import PROGRAM, PoolMode, pooled
from tests.fixtures.postgres import Database
from tests.matrix.test_matrix import LONGEST_WAIT_MS, role_with_time_outs
from tests.matrix.work import WORKS, Asked, Retentions, Work, Yard, make_erasable
from tests.matrix.world import (
    SCHEDULES,
    Ended,
    connections_cut,
    gone,
    locked,
    looking_on,
    objects_damaged,
    objects_missing,
    revoked,
    run,
)

FIRST: Final = Month(2024, 1)
"""Where Dagster's months begin by default. Each cell of what purges some takes two; the last two
are those that all erasures and thaws are tried on. Two more are archived again and again."""
LAST: Final = Month.of(datetime.now(UTC)).plus(-13)
"""The last month that is due where content stays for a year."""


Surround: TypeAlias = Callable[["Work", Path], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """What surrounds the runs: one thing after the other, where nothing begins.

    ``strikes_one``: it is about the first item, where its table is its own. ``named`` is what the
    words of a failure must hold, ``may_fail`` whether there may be one at all.
    """

    name: str
    surround: Surround | tuple[Surround, ...]
    of: str = ""
    named: str = ""
    may_fail: bool = True
    nothing_begins: bool = False

    @property
    def surroundings(self) -> tuple[Surround, ...]:
        return self.surround if isinstance(self.surround, tuple) else (self.surround,)


def _pooler(mode: PoolMode) -> Surround:
    @contextmanager
    def through(work: Work, folder: Path) -> Iterator[None]:
        with (
            pooled(work.yard.database, folder, mode=mode, ignore="options") as url,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("FT_DATABASE_URL", url)
            yield

    return through


def _cut(after: float) -> Fault:
    return Fault(
        f"connections are cut after {after:g} s",
        lambda work, folder: connections_cut(work.yard.database.admin_url, after),
    )


FAULTS: Final = [
    Fault(
        "its table is locked",
        lambda work, folder: locked(work.yard.database.admin_url, work.table),
        of="table",
    ),
    Fault(
        "a reader of its table does not end",
        lambda work, folder: locked(work.yard.database.admin_url, work.table, "ACCESS SHARE"),
        of="table",
    ),
    Fault(
        "a table is gone",
        lambda work, folder: gone(work.yard.database.admin_url, work.gone),
    ),
    Fault(
        "its table is another's",
        lambda work, folder: revoked(work.yard.database.admin_url, work.table),
        of="table",
    ),
    _cut(0.05),
    _cut(1),
    Fault(
        "the role has time-outs",
        lambda work, folder: role_with_time_outs(work.yard.database),
        may_fail=False,
    ),
    Fault("its objects are missing", lambda work, folder: objects_missing(work.key), of="key"),
    Fault("its objects are damaged", lambda work, folder: objects_damaged(work.key), of="key"),
    Fault(
        "a pooler in session and in transaction mode",
        (_pooler("session"), _pooler("transaction")),
        named="pooler",
        nothing_begins=True,
    ),
]


MAY_STOP_BOTH: Final = Retentions
"""Barman deletes no backup while it can't read the record of one; and with one that it does not see
would go the log that this one needs: the run says which one it is."""

LOOKS: Final = "tests/matrix/test_matrix.py"
"""It deletes and moves nothing, or does in each cell there what the sandbox has for it."""

ELSEWHERE: Final = {
    "archive_audit_log": "tests/archive/test_audit_log.py",
    "archive_old_content": "tests/faults/test_processes.py",
    "chain_evidence": "tests/evidence/test_chain.py",
    "check_archive_bucket": LOOKS,
    "check_archive_records": LOOKS,
    "check_archive_replica": LOOKS,
    "check_connections": LOOKS,
    "check_health": LOOKS,
    "check_maintenance": LOOKS,
    "check_partition_coverage": LOOKS,
    "check_schema": LOOKS,
    "copy_archive_to_replica": "tests/archive/test_replica.py",
    "create_partitions": "tests/partitions/test_creation.py",
    "drill_archive": "tests/archive/test_archive_drill.py",
    "drill_restore": "tests/backups/test_drill.py",
    "drop_rebuild_leftovers": "tests/maintenance/test_faults.py",
    "freeze_closed_partitions": "tests/maintenance/test_freeze.py",
    "make_overview": "tests/overview/test_every_line.py",
    "prune_event_logs": "tests/orchestration/upkeep/test_event_log.py",
    "recompute_storage": "tests/storage/test_recompute.py",
    "rehearse_erasures": "tests/archive/test_rehearsal.py",
    "ship_archive_records": "tests/archive/test_adopt.py",
    "ship_wal": "tests/backups/test_wal.py",
    "take_full_backup": LOOKS,
    "take_incremental_backup": LOOKS,
    "take_monthly_dump": LOOKS,
    "vacuum_analyze": "tests/maintenance/test_locked_tables.py",
    "verify_backups": LOOKS,
}
"""Scheduled jobs without a cell here, and where they meet faults with work to do."""


def test_each_scheduled_job_has_real_work_or_is_tried_with_it_elsewhere() -> None:
    scheduled = {schedule.job_name for schedule in SCHEDULES.values()}
    assert scheduled - WORKS.keys() == ELSEWHERE.keys()
    root = Path(__file__).parents[2]
    assert [place for place in ELSEWHERE.values() if not (root / place).is_file()] == []


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox of its own, whose environment is this process's for these tests."""
    before = dict(os.environ)
    with sandbox(announce=lambda line: None) as opened:
        os.environ.update(opened.environment())
        # The other cells' sandbox, which may be there still, has a second bucket.
        os.environ.pop("FT_ARCHIVE_REPLICA_BUCKET", None)
        os.environ.update(
            {
                "FT_FIRST_MONTH": str(FIRST),
                "FT_RETENTION_YEARS": "1",
                "FT_PURGE_ENABLED": "true",
                "FT_PURGE_GRACE_DAYS": "0",
                "FT_BACKUP_RETENTION_APPLY": "true",
                "FT_BACKUP_FLOOR": "1",
                "FT_BACKUP_KEEP_DAYS": "1",
                "FT_BACKUP_KEEP_WEEKS": "1",
                "FT_BACKUP_KEEP_MONTHS": "1",
                "FT_REINDEX_MIN_MB": "1",
                "FT_REINDEX_MIN_RECLAIM_MB": "1",
                "FT_DATABASE_VOLUME_GB": "1000000",
            }
        )
        try:
            yield opened
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="module")
def yard(box: Sandbox) -> Yard:
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(instance, "initial_schema").success
    with connect(box.database_url, application="tests") as connection:
        make_sample(
            connection,
            families=2,
            first=FIRST,
            last=LAST,
            segments_per_month=20,
            seed=1,
            progress=lambda line: None,
        )
    database = Database("familytales", box.admin_url)
    first, second, *rest = FIRST.until(LAST)
    archive = Archive(database, box.archive_bucket, {})
    made = Yard(box, database, [first, second, *rest[2:]], archive, [], (first, second), rest[:2])
    make_erasable(made)
    made.archive = Archive(database, box.archive_bucket, archive.rows())
    return made


def cell(job: str, fault: Fault) -> object:
    marks = [pytest.mark.chaos, pytest.mark.timeout(600)]
    if fault.nothing_begins:
        marks.append(pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed"))
    return pytest.param(WORKS[job], fault, marks=marks, id=f"{job}: {fault.name}")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        cell(job, fault)
        for job in WORKS
        for fault in FAULTS
        if not (job == "rebuild_bloated_indexes" and fault.of == "key")
    ],
)
def test_real_work_survives_its_surroundings(
    kind: type[Work], fault: Fault, yard: Yard, instance: dg.DagsterInstance, place: Path
) -> None:
    work = kind(yard)
    assert work.done() == (False, False)
    for number, surround in enumerate(fault.surroundings):
        folder = place / str(number)
        folder.mkdir()
        with looking_on(yard.database.admin_url) as onlooker, surround(work, folder):
            asked, refusal = _ticked(work, instance)
            ended = [run(instance, job, request) for job, request in asked]
        assert onlooker.looks > 0
        assert onlooker.longest_ms <= LONGEST_WAIT_MS, onlooker.where
        _is_told(work, fault, refusal, ended)
    assert work.lost() == []
    asked, refusal = _ticked(work, instance)
    assert refusal is None
    for job, request in asked:
        again = run(instance, job, request)
        assert again.success, again.words
    assert work.done() == (True, True)
    assert work.lost() == []
    work.clear()


def _ticked(work: Work, instance: dg.DagsterInstance) -> tuple[list[Asked], dg.Failure | None]:
    """What the daemon asks for, or why it could not ask."""
    try:
        return work.asked(instance), None
    except dg.Failure as error:
        return [], error
    except dg.DagsterError as error:
        if not isinstance(error.__cause__, dg.Failure):
            raise
        return [], error.__cause__


def _names_first(work: Work, said: str) -> bool:
    """Whether the first item is named, by its name, its table, or the keys of its objects."""
    names = (work.names[0], work.table.removeprefix("public."), work.key)
    return any(name and name in said for name in names)


def _is_told(work: Work, fault: Fault, refusal: dg.Failure | None, ended: list[Ended]) -> None:
    words = [failure.words for one in ended for failure in one.failures]
    if refusal is not None:
        assert "next step" in refusal.metadata
        words.append(refusal.description or "")
    assert fault.may_fail or not words, words
    for one in ended:
        for failure in one.failures:
            assert failure.next_step, failure.words
    for said in words:
        assert fault.named in said
    first, second = work.done()
    if fault.nothing_begins:
        assert words
        assert (first, second) == (False, False)
        return
    if not fault.may_fail:
        assert (first, second) == (True, True)
    strikes_one = fault.of == "key" or (fault.of == "table" and work.own_table)
    if strikes_one:
        assert refusal is None, words
        may_stop_both = isinstance(work, MAY_STOP_BOTH) and fault.of == "key"
        assert second or may_stop_both, "; ".join(words)
    if strikes_one and not first:
        everything = "; ".join([*words, work.told(), *(one.words + one.shown for one in ended)])
        assert _names_first(work, everything), everything
        items = [item for one in ended for f in one.failures for item in f.items]
        assert not (second and any(work.names[1] in item for item in items)), items
    if not strikes_one and not (first and second):
        assert words
