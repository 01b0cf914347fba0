"""Real work for the jobs that delete, bring back or rebuild: two items each.

A fault strikes the first. Each kind of work makes both ready, says what the daemon would ask for,
and looks whether they are done and whether anything is lost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, Final, TypeAlias
from uuid import UUID, uuid4

import dagster as dg
import psycopg

from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.erase.superseded import superseded_objects
from ft_ops.archive.month.content import archived_name
from ft_ops.archive.month.ledger import generations, supersede
from ft_ops.archive.month.thaws import Purpose, open_thaw
from ft_ops.archive.resources import DryRunOn
from ft_ops.archive.run import archive_run
from ft_ops.archive.thaw.thaw import ThawRequest, begin
from ft_ops.archive.thaw_jobs import thaws_in_progress
from ft_ops.backups.inventory import verdicts
from ft_ops.backups.provider import Taken
from ft_ops.clock import utc_now
from ft_ops.definitions import defs
from ft_ops.maintenance.indexes.candidates import LEFTOVER_NAME
from ft_ops.months import Month
from ft_ops.orchestration.resources import DatabaseResource
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.objects import objects
from ft_ops.sandbox import Sandbox
from ft_ops.settings import load_settings
from tests.backups.world import World as Backups
from tests.backups.world import open_world
from tests.faults.world import World as Archive
from tests.fixtures.postgres import Database
from tests.maintenance.tables import index_bytes, make_letters, thin_out
from tests.matrix.world import SCHEDULES, requests, run

ERASABLE: Final = 24
"""Threads with content in both months that erasures are tried on."""

RECORDED: Final = "full-recorded"
"""A backup that purges rely on, by the ledger alone."""

Asked: TypeAlias = tuple[str, dg.RunRequest]
"""A job, and a request for a run of it."""


@dataclass(slots=True)
class Yard:
    """A deployment with content of many months; ``months`` are due, and nobody has purged them.

    The last of them that is purged are ``shared``. ``replaced`` are archived again and again.
    """

    box: Sandbox
    database: Database
    months: list[Month]
    archive: Archive
    threads: list[UUID]
    """What each erasure takes one of; all have content in ``shared``."""
    shared: tuple[Month, Month]
    replaced: list[Month]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    is_purged: bool = False
    full: Taken | None = None

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        with connect(self.database.url, application="tests") as connection:
            yield connection

    def execute(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """As the superuser."""
        with psycopg.connect(self.database.admin_url, autocommit=True) as admin:
            cursor = admin.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def archived(self, months: Sequence[Month]) -> None:
        """Months that are proven and frozen, and a backup after them that was restored."""
        for month in months:
            _ended_well("archive_old_content", dg.RunRequest(partition_key=month.key))
        self.forget_backup()
        self.execute(
            "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
            " completed_at) VALUES (%s, 'full', 'barman', 'complete', 'x', clock_timestamp(), '{}',"
            " clock_timestamp())",
            RECORDED,
        )
        self.execute(
            "INSERT INTO ops.restore_drills (backup, target, state, restored_to, recovery_seconds,"
            " loss_seconds, certificate, finished_at) VALUES (%s, %s, 'passed', clock_timestamp(),"
            " 1, 1, '{}', clock_timestamp())",
            RECORDED,
            RECORDED,
        )

    def forget_backup(self) -> None:
        self.execute("DELETE FROM ops.restore_drills WHERE backup = %s", RECORDED)
        self.execute("DELETE FROM ops.backups WHERE name = %s", RECORDED)

    def purged(self) -> tuple[Month, Month]:
        """Two months that are in the archive alone."""
        if not self.is_purged:
            self.months = [month for month in self.months if month not in self.shared]
            self.archived(self.shared)
            for _, request in _of_schedule("purge_archived_content_daily"):
                _ended_well("purge_archived_content", request)
            self.forget_backup()
            self.is_purged = True
        return self.shared


class Work(ABC):
    """What a job has to do: two items, of which a fault strikes the first."""

    own_table: ClassVar[bool] = False
    """Whether ``table`` is the first item's alone."""
    run_each: ClassVar[bool] = False
    """Whether each item has a run of its own."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.table = ""
        self.gone = "public.audit_log"
        self.key = ""
        self.names: tuple[str, str] = ("", "")
        self.prepare()

    @abstractmethod
    def prepare(self) -> None: ...

    @abstractmethod
    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        """What the daemon asks for."""

    @abstractmethod
    def done(self) -> tuple[bool, bool]: ...

    def told(self) -> str:
        """What is said of them elsewhere than in a run."""
        return ""

    def lost(self) -> list[str]:
        """Rows that are nowhere, or twice."""
        return [*self.yard.archive.lost(), *self.yard.archive.duplicated()]

    @abstractmethod
    def clear(self) -> None:
        """Make room for the next, once both items are done."""


class Purges(Work):
    """Two months with every gate open."""

    own_table = True
    run_each = True

    def prepare(self) -> None:
        first, second = self.items = (self.yard.months.pop(), self.yard.months.pop())
        self.yard.archived(self.items)
        self.names = (str(first), str(second))
        self.table = f"public.{archived_name(first)}"
        self.key = _folder(first)

    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        found = _of_schedule("purge_archived_content_daily")
        return sorted(found, key=lambda asked: asked[1].partition_key != self.items[0].key)

    def done(self) -> tuple[bool, bool]:
        return _both(self._is_done(month) for month in self.items)

    def _is_done(self, month: Month) -> bool:
        with self.yard.connected() as connection:
            states = [g.state for g in generations(connection, month)]
        [(table,)] = self.yard.execute("SELECT to_regclass(%s)", archived_name(month))
        return states == ["purged"] and table is None

    def clear(self) -> None:
        self.yard.is_purged |= set(self.items) == set(self.yard.shared)
        self.yard.forget_backup()


class _AskedBack(Work):
    """Two months of the archive that Glacier has brought back, for a purpose."""

    purpose: ClassVar[Purpose]

    def prepare(self) -> None:
        first, second = self.items = self.yard.purged()
        self.names = (str(first), str(second))
        self.table = "public.threads"
        self.key = _folder(first)
        self.ask()

    def ask(self) -> None:
        with self.yard.connected() as connection:
            asking = archive_run(connection, load_settings(), "tests")
            for month in self.items:
                request = ThawRequest(month, None, "Bulk", 7)
                begin(asking, request, load_prices(None), purpose=self.purpose)

    def told(self) -> str:
        found = self.yard.execute(
            "SELECT month::text || ': ' || error FROM ops.thaws WHERE error IS NOT NULL"
        )
        return "; ".join(str(words) for (words,) in found)

    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        with dg.build_sensor_context(
            instance=instance,
            resources={"database": DatabaseResource(), "settings": load_settings()},
            repository_def=defs.get_repository_def(),
        ) as context:
            found = thaws_in_progress.evaluate_tick(context).run_requests or []
        return [(str(request.job_name), request) for request in found]


class Thaws(_AskedBack):
    """Two months that somebody wants to read."""

    purpose = "thaw"
    run_each = True

    def done(self) -> tuple[bool, bool]:
        return _both(self._is_done(month) for month in self.items)

    def _is_done(self, month: Month) -> bool:
        with self.yard.connected() as connection:
            thaw = open_thaw(connection, month)
        if thaw is None or thaw.state != "thawed":
            return False
        rows = self.yard.archive.rows()["content_segments"]
        archive = self.yard.archive
        return all(
            row in rows or any(erased in row for erased in archive.erased)
            for row in archive.original["content_segments"]
            if f'"created_at": "{month}-' in row
        )

    def clear(self) -> None:
        config = dg.RunConfig(ops={"refrozen_content_segments": DryRunOn(dry_run=False)})
        for month in self.items:
            request = dg.RunRequest(partition_key=month.key, run_config=config)
            _ended_well("refreeze_thawed_content", request)


class Erasures(_AskedBack):
    """Two months whose archives hold what somebody has erased."""

    purpose = "erasure"

    def ask(self) -> None:
        thread = self.yard.threads.pop()
        self.yard.archive.erased.add(str(thread))
        self.yard.execute("DELETE FROM threads WHERE id = %s", thread)
        assert len(self._plans()) == len(self.items)
        super().ask()

    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        # One run does what is left of both.
        return super().asked(instance)[:1]

    def done(self) -> tuple[bool, bool]:
        left = self._plans()
        return _both(month not in left for month in self.items)

    def clear(self) -> None:
        """Nothing: the next one erases another thread."""

    def _plans(self) -> list[Month]:
        with self.yard.connected() as connection:
            bucket = open_bucket(self.yard.box.archive_bucket)
            return [plan.month for plan in plan_erasures(connection, bucket)]


class Removals(Work):
    """Two months that were archived again, and what lies in the bucket of the first time."""

    def prepare(self) -> None:
        first, second = self.items = self.yard.replaced
        self.yard.archived(self.items)
        for month in self.items:
            with self.yard.connected() as connection:
                supersede(connection, generations(connection, month)[-1], "for the tests", "tests")
            _ended_well("archive_old_content", dg.RunRequest(partition_key=month.key))
        self.names = (str(first), str(second))
        self.table = self.gone = "ops.archive"
        self.key = _folder(first)

    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        return _of_schedule("remove_superseded_content_daily")

    def done(self) -> tuple[bool, bool]:
        with self.yard.connected() as connection:
            left = {replaced.month for replaced, _ in superseded_objects(connection)}
        return _both(month not in left for month in self.items)

    def clear(self) -> None:
        self.yard.forget_backup()


class Retentions(Work):
    """Two full backups that no rule keeps, beside one that is kept."""

    def prepare(self) -> None:
        with self.yard.connected() as connection:
            backups = self._open(connection)
            old = [backups.full(), backups.full()]
            self._believe(connection, old)
            if self.yard.full is None:
                self.yard.full = backups.full()
                self._believe(connection, [self.yard.full])
        self.items = (old[0].point.name, old[1].point.name)
        self.ids = tuple(taken.stored.provider_id for taken in old)
        self.yard.execute(
            "UPDATE ops.backups SET point_at = point_at - interval '100 days',"
            " started_at = started_at - interval '100 days' WHERE name = ANY (%s)",
            list(self.items),
        )
        self.names = self.items
        self.table = self.gone = "ops.backups"
        self.key = f"/base/{self.ids[0]}/"

    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        return _of_schedule("backup_retention_daily")

    def done(self) -> tuple[bool, bool]:
        found = self.yard.execute("SELECT name FROM ops.backups WHERE state = 'deleted'")
        bucket = open_bucket(self.yard.box.backup_bucket)
        stored = {
            o.key.split("/base/")[1].split("/")[0]
            for o in objects(bucket, "barman/")
            if "/base/" in o.key
        }
        return _both(
            (name,) in found and provider_id not in stored
            for name, provider_id in zip(self.items, self.ids, strict=True)
        )

    def lost(self) -> list[str]:
        """The backup that is kept, if it is not whole any more."""
        assert self.yard.full is not None
        name = self.yard.full.point.name
        with self.yard.connected() as connection:
            stored = {b.name: b for b in self._open(connection).provider.stored_backups()}
        whole = name in stored and stored[name].condition == "complete"
        return [] if whole else [name]

    def clear(self) -> None:
        self.yard.execute(
            "DELETE FROM ops.restore_drills WHERE backup = ANY (%s)", list(self.items)
        )
        self.yard.execute("DELETE FROM ops.backups WHERE name = ANY (%s)", list(self.items))

    def _open(self, connection: Connection) -> Backups:
        bucket = open_bucket(self.yard.box.backup_bucket)
        world = open_world(connection, self.yard.database.url, bucket)
        world.clock = utc_now()
        return world

    def _believe(self, connection: Connection, taken: Sequence[Taken]) -> None:
        for one in taken:
            name = one.point.name
            verdicts.pass_drill(
                connection,
                verdicts.begin_drill(connection, name, name, "tests"),
                restored_to=one.point.at,
                recovery_seconds=1,
                loss_seconds=1,
                certificate={},
            )


class Rebuilds(Work):
    """Two tables whose indexes are four fifths empty."""

    own_table = True

    def prepare(self) -> None:
        number = next(self.yard.numbers)
        self.items = (f"letters_{number}_a", f"letters_{number}_b")
        with self.yard.connected() as connection:
            for table in self.items:
                make_letters(connection, table, rows=60_000)
                thin_out(connection, table)
            self.before = {name: index_bytes(connection, name) for name in self._indexes()}
        self.names = self.items
        self.table = self.gone = f"public.{self.items[0]}"

    def asked(self, instance: dg.DagsterInstance) -> list[Asked]:
        return _of_schedule("rebuild_bloated_indexes_weekly")

    def done(self) -> tuple[bool, bool]:
        left = self._invalid()
        with self.yard.connected() as connection:
            now = {name: index_bytes(connection, name) for name in self._indexes()}
        return _both(
            all(now[n] < self.before[n] / 2 for n in now if n.startswith(table))
            and not any(name.startswith(table) for name in left)
            for table in self.items
        )

    def lost(self) -> list[str]:
        """Indexes that nobody can use any more; not what a rebuild leaves to the next run."""
        return [name for name in self._invalid() if LEFTOVER_NAME.fullmatch(name) is None]

    def _invalid(self) -> list[str]:
        query = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        return [str(name) for (name,) in self.yard.execute(query)]

    def clear(self) -> None:
        for table in self.items:
            self.yard.execute(f"DROP TABLE {table}")

    def _indexes(self) -> list[str]:
        return [f"{table}_{end}" for table in self.items for end in ("pkey", "sender")]


WORKS: Final[dict[str, type[Work]]] = {
    "purge_archived_content": Purges,
    "retain_backups": Retentions,
    "erase_archived_content": Erasures,
    "remove_superseded_content": Removals,
    "thaw_archived_content": Thaws,
    "rebuild_bloated_indexes": Rebuilds,
}


def make_erasable(yard: Yard) -> None:
    """Threads with a segment in each of the months that erasures are tried on."""
    for _ in range(ERASABLE):
        thread = uuid4()
        yard.execute(
            "INSERT INTO threads (id, memory_book_id, started_by)"
            " SELECT %s, id, created_by FROM memory_books ORDER BY id LIMIT 1",
            thread,
        )
        for number, month in enumerate(yard.shared, start=1):
            yard.execute(
                "INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number,"
                " text_content, created_at)"
                " SELECT id, started_by, 'text', %s, 'once upon a time', %s FROM threads"
                " WHERE id = %s",
                number,
                month.start,
                thread,
            )
        yard.threads.append(thread)


def _folder(month: Month) -> str:
    """What the keys of a month's objects have in common."""
    return f"/year={month.year}/month={month.month:02}/"


def _of_schedule(schedule: str) -> list[Asked]:
    return [(SCHEDULES[schedule].job_name, request) for request in requests(schedule)]


def _ended_well(job: str, request: dg.RunRequest) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ended = run(instance, job, request)
    assert ended.success, ended.words


def _both(found: Iterator[bool]) -> tuple[bool, bool]:
    first, second = found
    return first, second
