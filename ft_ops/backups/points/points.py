"""A point that a backup can be restored to, with the fingerprint of every table at it.

The snapshot that is fingerprinted and the place in the log are two things. They are shown to
agree without locking anybody out: one snapshot is taken before the log is marked, one after every
transaction that was at work then has ended. A table of which the second still finds every row that
the first saw had just these at the mark, whatever was added meanwhile. Where nothing at all was
committed in between, the second reading is saved.

What befalls one table keeps none of the others from being read: a point is made whenever the log
could be marked, and names what it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import psycopg
from psycopg.rows import class_row
from pydantic import TypeAdapter, ValidationError

from ft_ops.backups.points.beside import Agreed, SequenceRange, agreed, read_beside
from ft_ops.backups.points.fingerprint import (
    Reading,
    SeenRows,
    read_again,
    read_parts,
    read_snapshot,
)
from ft_ops.backups.points.rests import Rests
from ft_ops.backups.points.sums import TableFingerprint, TableParts, agreeing_parts
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.pace import Pace
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import fingerprint_version

COMMIT_PATIENCE_SECONDS = 5.0
"""A transaction that is still at work this long after the mark had not committed at it: a commit
takes milliseconds, but for one that waits for a disk or a standby, which the server shows."""

_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Mark:
    """Where recovery has to stop.

    ``lsn`` and ``wal`` are the place in the log and the segment that holds it; ``time`` is set
    where the provider restores to a moment instead, in whole seconds.
    """

    lsn: str
    wal: str
    time: datetime | None = None

    @property
    def timeline(self) -> int:
        return int(self.wal[:8], 16)


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """Everything that was committed before ``at`` is in a copy that is recovered to ``mark``.

    ``schema`` maps objects to digests of their definitions, as `fingerprint_version` was then in
    ``schema_version``, "" for points of before that was noted. ``tables`` maps ``schema.table`` to
    its fingerprint at the mark, or to None where that is not known; ``parts`` has what is known of
    such a table all the same. ``snapshot`` is the pg_snapshot whose rows they are of, None where
    they are of all rows. ``unread`` says why something is not known, also whether it existed.
    """

    name: str
    at: datetime
    mark: Mark
    database: str
    system_identifier: str
    server_version: int
    cluster_bytes: int
    preloaded: tuple[str, ...]
    extensions: Mapping[str, str]
    schema: Mapping[str, str]
    tables: Mapping[str, TableFingerprint | None]
    snapshot: str | None = None
    parts: Mapping[str, TableParts] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    unlogged: tuple[str, ...] = ()
    sequences: Mapping[str, SequenceRange] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    databases: tuple[str, ...] = ()
    has_checksums: bool | None = None
    schema_version: str = ""

    @property
    def changing(self) -> tuple[str, ...]:
        """The tables whose fingerprint at the mark is not known."""
        return tuple(name for name, found in self.tables.items() if found is None)

    @property
    def rows(self) -> int:
        """How many rows are known, in whole tables and in parts."""
        whole = sum(found.rows for found in self.tables.values() if found is not None)
        return whole + sum(found.rows for found in self.parts.values())

    def to_json(self) -> dict[str, object]:
        """For ops.backups, and for the object beside the backup."""
        record: dict[str, object] = _RECORD.dump_python(self, mode="json")
        return record

    @classmethod
    def from_json(cls, record: object) -> RestorePoint:
        """The inverse of ``to_json``; an OpsError when it is something else."""
        try:
            return _RECORD.validate_python(record)
        except ValidationError as error:
            raise OpsError(
                "restore point",
                cause=f"its record can't be read: {error}",
                next_step="compare ops.backups with the object below points/ in the bucket",
            ) from error


@dataclass(frozen=True, slots=True)
class _ServerFacts:
    database: str
    server_version: int
    cluster_bytes: int
    preloaded: str
    has_checksums: bool
    extensions: Mapping[str, str]


def take_point(
    url: str,
    name: str,
    mark_log: Callable[[Connection, str], Mark],
    *,
    cluster: str,
    rests: Rests | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> RestorePoint:
    """Mark the log of ``cluster`` under ``name`` and fingerprint every table as of that mark.

    Takes no lock that a writer would wait for. Reads every table once, and counts its rows a second
    time when anything was committed around the mark. Between its steps it makes the ``rests``.
    """
    rests = rests or Rests()
    with _snapshot(url) as before, connect(url, application="backups") as now:
        first_beside = read_beside(before.connection)
        facts = _server_facts(now)
        mark = mark_log(now, name)
        _await_writers(now, name, sleep=sleep, clock=clock)
        with _snapshot(url) as after:
            beside = agreed(first_beside, read_beside(after.connection))
            extensions = _server_facts(now).extensions
            readers = [session.connection.info.backend_pid for session in (before, after)]
            pace = rests.pace(now, readers, sleep=sleep, clock=clock)
            tables = _tables_at_mark(before, after, pace, sleep, clock)
        unlogged = _names_of(now, "backups/unlogged_tables")
    same = {n: v for n, v in facts.extensions.items() if extensions.get(n) == v}
    point = _point(name, mark, before.moment, cluster, replace(facts, extensions=same), beside)
    return replace(
        point,
        tables=tables.tables,
        parts=tables.parts,
        unread={**beside.unread, **tables.unread},
        snapshot=before.name,
        unlogged=unlogged,
    )


def exported_point(
    url: str, name: str, *, cluster: str, use: Callable[[str], None]
) -> RestorePoint:
    """Fingerprint one snapshot while ``use`` reads the same one in sessions of its own.

    ``use`` is given the snapshot's exported name. What a restore makes anew is not compared:
    materialized views; and roles, of which it makes what it can.
    """
    with _snapshot(url) as snapshot:
        connection = snapshot.connection
        exported = one_row(connection.execute(statement("backups/export_snapshot")))
        position = one_row(connection.execute(statement("backups/wal_position")))
        first_beside = read_beside(connection)
        use(exported[0])
        reading = read_snapshot(connection, None)
        facts = _server_facts(connection)
        beside = agreed(first_beside, read_beside(connection))
        unlogged = _names_of(connection, "backups/unlogged_tables")
        views = _names_of(connection, "backups/materialized_views")
    tables: dict[str, TableFingerprint | None] = dict(reading.tables)
    tables |= dict.fromkeys(views)
    mark = Mark(lsn=position[0], wal=position[1])
    made_anew = dict.fromkeys(views, "a restore fills it anew")
    point = _point(name, mark, snapshot.moment, cluster, facts, beside)
    return replace(
        point,
        tables=tables,
        unread={**beside.unread, **reading.unread, **made_anew},
        unlogged=unlogged,
        roles={},
        databases=(),
    )


def _point(
    name: str, mark: Mark, at: datetime, cluster: str, facts: _ServerFacts, beside: Agreed
) -> RestorePoint:
    """A point without its tables."""
    return RestorePoint(
        name=name,
        at=at,
        mark=mark,
        database=facts.database,
        system_identifier=cluster,
        server_version=facts.server_version,
        cluster_bytes=facts.cluster_bytes,
        preloaded=_names(facts.preloaded),
        extensions=facts.extensions,
        schema=beside.schema,
        tables={},
        sequences=beside.sequences,
        roles=beside.roles,
        databases=beside.databases,
        has_checksums=facts.has_checksums,
        schema_version=fingerprint_version(),
    )


@dataclass(frozen=True, slots=True)
class _Tables:
    tables: Mapping[str, TableFingerprint | None]
    parts: Mapping[str, TableParts]
    unread: Mapping[str, str]


def _tables_at_mark(
    before: _PointSnapshot,
    after: _PointSnapshot,
    pace: Pace,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> _Tables:
    """What both snapshots say of the rows that the first one sees."""
    first = read_snapshot(before.connection, before.name, pace=pace, sleep=sleep, clock=clock)
    if before.name == after.name:
        return _Tables(first.tables, {}, first.unread)
    again, unread = read_again(after.connection, before.name, pace=pace, sleep=sleep, clock=clock)
    tables, unread = _where_both_agree(first, again, unread)
    busy = [name for name, found in tables.items() if found is None]
    ours = read_parts(before.connection, busy, before.name, pace=pace)
    theirs = read_parts(after.connection, ours, before.name, like=ours, pace=pace)
    parts = {name: agreeing_parts(ours[name], theirs[name]) for name in theirs}
    return _Tables(tables, parts, unread)


def _where_both_agree(
    first: Reading, again: Mapping[str, SeenRows], unread_again: Mapping[str, str]
) -> tuple[dict[str, TableFingerprint | None], dict[str, str]]:
    """Fingerprints, None where they differ; and what may not have existed at the mark, with why."""
    unread = {**first.unread, **unread_again}
    tables: dict[str, TableFingerprint | None] = {}
    for name in sorted({*first.versions, *again}):
        here, there = first.versions.get(name), again.get(name)
        if here is not None and there is not None:
            tables[name] = first.tables[name] if here == there else None
        elif name not in unread:
            unread[name] = "it was made or dropped in that very moment"
    return tables, unread


@dataclass(frozen=True, slots=True)
class _PointSnapshot:
    connection: Connection
    moment: datetime
    name: str


@contextmanager
def _snapshot(url: str) -> Iterator[_PointSnapshot]:
    # Idle while the other one is read, for as long as that takes.
    settings = {"idle_in_transaction_session_timeout": "0"}
    with connect(url, application="backups", settings=settings) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            row = one_row(connection.execute(statement("backups/moment")))
            yield _PointSnapshot(connection, moment=row[0], name=row[1])


def _await_writers(
    connection: Connection,
    name: str,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    """Wait until whoever may have committed before the mark is visible to a new snapshot."""
    at_work = set(_unfinished_writers(connection))
    until = clock() + COMMIT_PATIENCE_SECONDS
    while at_work and clock() < until:
        sleep(_PAUSE_SECONDS)
        at_work.intersection_update(_unfinished_writers(connection))
    unfinished = _unfinished_writers(connection)
    stuck = sorted(xid for xid in at_work if unfinished.get(xid, False))
    if stuck:
        raise OpsError(
            f"restore point {name}",
            cause=f"transactions {', '.join(stuck)} have been committing for over "
            f"{COMMIT_PATIENCE_SECONDS:g} s, so what the point holds can't be told",
            next_step="see what they wait for in pg_stat_activity (a standby, a full disk), then "
            "run again",
        )


def _unfinished_writers(connection: Connection) -> dict[str, bool]:
    """Transaction id → whether it may be committing just now."""
    rows: list[tuple[str, bool]] = connection.execute(
        statement("backups/unfinished_writers")
    ).fetchall()
    return dict(rows)


def _server_facts(connection: Connection) -> _ServerFacts:
    with connection.cursor(row_factory=class_row(_ServerFacts)) as cursor:
        return one_row(cursor.execute(statement("backups/server_facts")))


def _names_of(connection: Connection, name: str) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute(statement(name)).fetchall())


def _names(setting: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in setting.split(",") if part.strip())


_RECORD = TypeAdapter(RestorePoint)
