"""A sandbox, the runs of schedules as the daemon would ask for them, faults, and an onlooker."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

import dagster as dg
import psycopg

from ft_ops.backups.points.bucket_records import hide_point
from ft_ops.definitions import defs
from ft_ops.orchestration.deadlines import schedules_of
from ft_ops.orchestration.resources import DatabaseResource
from ft_ops.s3.bucket import open_bucket
from ft_ops.s3.objects import hide, objects
from ft_ops.settings import load_settings
from tests.faults.proxy import Answer, Plan, proxy
from tests.fixtures.postgres import Database

QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SCHEDULES: Final = {schedule.name: schedule for schedule in schedules_of(defs)}

STRONG: Final = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
"""The application's reads and writes queue behind a request for one of these."""


@dataclass(frozen=True)
class Ended:
    """What became of one run: each failed step's words and metadata, and what it evaluated."""

    success: bool
    failures: tuple[Failure, ...]
    evaluations: Mapping[str, dg.AssetCheckEvaluation]
    materialized: frozenset[str]
    shown: str = ""
    """The metadata of what it materialized or observed."""

    @property
    def words(self) -> str:
        """Everything that the run says of what it found."""
        said = [failure.words for failure in self.failures]
        said += [f"{e.check_name}: {e.description}" for e in self.evaluations.values()]
        return "; ".join(said)


@dataclass(frozen=True)
class Failure:
    """A step that failed. ``items`` are the names of those of many that did."""

    step: str
    words: str
    next_step: str | None
    items: tuple[str, ...]


def requests(schedule: str, now: datetime | None = None) -> list[dg.RunRequest]:
    """What the daemon would ask for at a tick of a schedule."""
    given = dg.build_schedule_context(
        scheduled_execution_time=now or datetime.now(UTC),
        resources={"database": DatabaseResource(), "settings": load_settings()},
        repository_def=defs.get_repository_def(),
    )
    with given as context:
        return list(SCHEDULES[schedule].evaluate_tick(context).run_requests or ())


def run(instance: dg.DagsterInstance, job: str, request: dg.RunRequest | None = None) -> Ended:
    """A run of a job in this process, as a request asks for it."""
    asked = request or dg.RunRequest()
    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        run_config={**asked.run_config, **QUIET},
        partition_key=asked.partition_key,
        tags=dict(asked.tags),
        raise_on_error=False,
    )
    return Ended(
        success=result.success,
        failures=tuple(failures_of(result)),
        evaluations={e.check_name: e for e in result.get_asset_check_evaluations()},
        materialized=frozenset(
            event.asset_key.to_user_string()
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        ),
        shown="; ".join(_shown(result)),
    )


def _shown(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.get_asset_materialization_events():
        yield str(event.step_materialization_data.materialization.metadata)
    for event in result.get_asset_observation_events():
        yield str(event.asset_observation_data.asset_observation.metadata)


def failures_of(result: dg.ExecuteInProcessResult) -> Iterator[Failure]:
    """Each step that failed, and what it told."""
    for event in result.all_events:
        if not event.is_step_failure or event.step_key is None:
            continue
        data = event.step_failure_data
        told = data.user_failure_data
        if told is None:
            error = data.error
            assert error is not None
            yield Failure(event.step_key, error.to_string(), None, ())
            continue
        next_step = told.metadata.get("next step")
        failed = told.metadata.get("failed")
        items: tuple[str, ...] = ()
        if isinstance(failed, dg.TableMetadataValue):
            items = tuple(str(record.data["name"]) for record in failed.records)
        yield Failure(
            event.step_key,
            told.description or "",
            str(next_step.value) if next_step is not None else None,
            items,
        )


@dataclass
class Onlooker:
    """Looks at the server's locks all the time: for how long we stood in the application's way."""

    longest_ms: float = 0.0
    where: str = ""
    looks: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def look(self, url: str) -> None:
        query = (
            "SELECT extract(epoch FROM clock_timestamp() - l.waitstart) * 1000,"
            " l.relation::regclass::text || ' ' || l.mode || ': ' || left(a.query, 120)"
            " FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid"
            " WHERE NOT l.granted AND l.locktype = 'relation' AND l.mode = ANY(%s)"
            " AND a.application_name LIKE 'ft-ops %%' AND l.waitstart IS NOT NULL"
            " ORDER BY 1 DESC LIMIT 1"
        )
        with psycopg.connect(url, autocommit=True, application_name="onlooker") as connection:
            while not self._done.wait(0.005):
                row = connection.execute(query, (list(STRONG),)).fetchone()
                self.looks += 1
                if row is not None and row[0] > self.longest_ms:
                    self.longest_ms, self.where = float(row[0]), str(row[1])


@contextmanager
def looking_on(admin_url: str) -> Iterator[Onlooker]:
    onlooker = Onlooker()
    thread = threading.Thread(target=onlooker.look, args=(admin_url,), daemon=True)
    thread.start()
    try:
        yield onlooker
    finally:
        onlooker._done.set()
        thread.join(10)


@contextmanager
def locked(admin_url: str, relation: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Somebody holds a table for a block."""
    with psycopg.connect(admin_url, application_name="a migration") as holder:
        holder.execute(f"LOCK TABLE {relation} IN {mode} MODE".encode())
        yield


@contextmanager
def gone(admin_url: str, relation: str) -> Iterator[None]:
    """Somebody has given a table another name."""
    schema, _, name = relation.rpartition(".")
    hidden = f"{name}_elsewhere"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"ALTER TABLE {relation} RENAME TO {hidden}".encode())
        try:
            yield
        finally:
            found = f"{schema or 'public'}.{hidden}"
            admin.execute(f"ALTER TABLE IF EXISTS {found} RENAME TO {name}".encode())


@contextmanager
def revoked(admin_url: str, relation: str) -> Iterator[None]:
    """A table belongs to somebody else, and we may not read it any more."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"ALTER TABLE {relation} OWNER TO postgres".encode())
        admin.execute(f"REVOKE ALL ON {relation} FROM ft_ops".encode())
        try:
            yield
        finally:
            admin.execute(f"ALTER TABLE IF EXISTS {relation} OWNER TO ft_ops".encode())


@contextmanager
def taken_for_nothing(database: Database) -> Iterator[None]:
    """Nobody meets a backup later that is taken in a block: it may show the block's fault for good.

    One of the time when a table was another's has a table that nobody can compare in any copy, and
    a drill of an older backup chooses among all.
    """
    query = "SELECT name, provider_id FROM ops.backups WHERE kind <> 'dump'"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        before = set(admin.execute(query).fetchall())
        yield
        bucket = open_bucket(os.environ["FT_BACKUP_BUCKET"])
        for name, provider_id in set(admin.execute(query).fetchall()) - before:
            for stored in objects(bucket, "barman/") if provider_id is not None else ():
                if f"/base/{provider_id}/" in stored.key:
                    hide(bucket, stored.key)
            hide_point(bucket, name)
            admin.execute("DELETE FROM ops.restore_drills WHERE backup = %s", (name,))
            admin.execute("DELETE FROM ops.backups WHERE name = %s", (name,))


@contextmanager
def tables_coming_and_going(url: str) -> Iterator[None]:
    """Somebody makes tables with indexes and drops them again, all the time."""
    done = threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            number = 0
            while not done.is_set():
                number += 1
                name = f"coming_and_going_{number % 7}"
                connection.execute(
                    f"DROP TABLE IF EXISTS {name};"
                    f"CREATE TABLE {name} (id int PRIMARY KEY, t text);"
                    f"CREATE INDEX ON {name} (t)".encode()
                )
                time.sleep(0.002)
            for number in range(7):
                connection.execute(f"DROP TABLE IF EXISTS coming_and_going_{number}".encode())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


@contextmanager
def connections_cut(admin_url: str, after: float) -> Iterator[None]:
    """The operations' sessions are ended, so many seconds after the first of them appeared."""
    done = threading.Event()
    sessions = (
        "FROM pg_stat_activity WHERE application_name LIKE 'ft-ops %'"
        " AND datname = current_database()"
    )

    def cut() -> None:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            while not done.wait(0.002):
                if connection.execute(f"SELECT {sessions}".encode()).fetchone() is not None:
                    done.wait(after)
                    connection.execute(f"SELECT pg_terminate_backend(pid) {sessions}".encode())
                    return

    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


@contextmanager
def objects_missing(of: str = "") -> Iterator[None]:
    """What listings name is not there when it is asked for: of any key, or of those with ``of``."""

    def missing(method: str, path: str, answer: Answer) -> Answer:
        if not _is_object(method, path, answer) or of not in unquote(path):
            return answer
        body = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"
        return Answer(404, [("Content-Type", "application/xml")], b"" if method == "HEAD" else body)

    with _bucket_that(Plan(filter=missing)):
        yield


@contextmanager
def objects_damaged(of: str = "") -> Iterator[None]:
    """A byte in the middle of whatever is read has another value; ``of`` as with those missing."""

    def damaged(method: str, path: str, answer: Answer) -> Answer:
        if method != "GET" or not _is_object(method, path, answer) or not answer.body:
            return answer
        if of not in unquote(path):
            return answer
        body = bytearray(answer.body)
        body[len(body) // 2] ^= 0xFF
        return Answer(answer.status, answer.headers, bytes(body))

    with _bucket_that(Plan(filter=damaged)):
        yield


def _is_object(method: str, path: str, answer: Answer) -> bool:
    """Whether an object was asked for and found: not a bucket, a listing or a setting of one."""
    address, _, query = path.partition("?")
    key = address.strip("/").partition("/")[2]
    return (
        method in {"GET", "HEAD"}
        and bool(key)
        and answer.status in {200, 206}
        and (not query or query.startswith(("versionId=", "x-id=GetObject", "partNumber=")))
    )


@contextmanager
def _bucket_that(plan: Plan) -> Iterator[None]:
    before = os.environ["AWS_ENDPOINT_URL_S3"]
    with proxy(before) as running:
        running.plan = plan
        os.environ["AWS_ENDPOINT_URL_S3"] = running.url
        try:
            yield
        finally:
            os.environ["AWS_ENDPOINT_URL_S3"] = before
