"""A point that a backup can be restored to, with the fingerprint of every table at it.

The snapshot that is fingerprinted and the place in the log are two things. They are shown to
agree without locking anybody out: one snapshot is taken before the log is marked, one after every
transaction that was at work then has ended. A table with the same fingerprint in both had it at
the mark. Where nothing at all was committed in between, the second reading is saved.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row
from pydantic import TypeAdapter, ValidationError

from ft_ops.backups.points.fingerprint import Fingerprints, TableFingerprint, fingerprint_tables
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import read_whole_fingerprint

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

    ``schema`` maps objects to digests of their definitions, ``tables`` maps ``schema.table`` to
    its fingerprint at the mark, or to None where the table changed in that very moment and its
    fingerprint is not known.
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

    @property
    def changing(self) -> tuple[str, ...]:
        """The tables whose fingerprint at the mark is not known."""
        return tuple(name for name, found in self.tables.items() if found is None)

    @property
    def rows(self) -> int:
        return sum(found.rows for found in self.tables.values() if found is not None)

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
    extensions: Mapping[str, str]


def take_point(
    url: str,
    name: str,
    mark_log: Callable[[Connection, str], Mark],
    *,
    cluster: str,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> RestorePoint:
    """Mark the log of ``cluster`` under ``name`` and fingerprint every table as of that mark.

    Takes no lock that a writer would wait for. Reads every table once, and a second time when
    anything was committed around the mark.
    """
    with _snapshot(url) as before, connect(url, application="backups") as now:
        mark = mark_log(now, name)
        _await_writers(now, name, sleep=sleep, clock=clock)
        with _snapshot(url) as after:
            first = fingerprint_tables(before.connection)
            undisturbed = before.name == after.name
            second = first if undisturbed else fingerprint_tables(after.connection)
            schema = schema_digests(after.connection)
        facts = _server_facts(now)
    return RestorePoint(
        name=name,
        at=before.moment,
        mark=mark,
        database=facts.database,
        system_identifier=cluster,
        server_version=facts.server_version,
        cluster_bytes=facts.cluster_bytes,
        preloaded=_names(facts.preloaded),
        extensions=facts.extensions,
        schema=schema,
        tables=_where_both_agree(first, second),
    )


def exported_point(
    url: str, name: str, *, cluster: str, use: Callable[[str], None]
) -> RestorePoint:
    """Fingerprint one snapshot while ``use`` reads the same one in sessions of its own.

    ``use`` is given the snapshot's exported name.
    """
    with _snapshot(url) as snapshot:
        connection = snapshot.connection
        exported = connection.execute(statement("backups/export_snapshot")).fetchone()
        position = connection.execute(statement("backups/wal_position")).fetchone()
        assert exported is not None
        assert position is not None
        use(exported[0])
        tables = fingerprint_tables(connection)
        facts = _server_facts(connection)
        schema = schema_digests(connection)
    return RestorePoint(
        name=name,
        at=snapshot.moment,
        mark=Mark(lsn=position[0], wal=position[1]),
        database=facts.database,
        system_identifier=cluster,
        server_version=facts.server_version,
        cluster_bytes=facts.cluster_bytes,
        preloaded=_names(facts.preloaded),
        extensions=facts.extensions,
        schema=schema,
        tables=tables,
    )


def schema_digests(connection: Connection) -> dict[str, str]:
    """Every object of the schema → a digest of what the catalog says of it."""
    return {
        name: hashlib.sha256(json.dumps(dict(aspects), sort_keys=True).encode()).hexdigest()[:16]
        for name, aspects in read_whole_fingerprint(connection).items()
    }


@dataclass(frozen=True, slots=True)
class _Snapshot:
    connection: Connection
    moment: datetime
    name: str


@contextmanager
def _snapshot(url: str) -> Iterator[_Snapshot]:
    # Idle while the other one is read, for as long as that takes.
    settings = {"idle_in_transaction_session_timeout": "0"}
    with connect(url, application="backups", settings=settings) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            row = connection.execute(statement("backups/moment")).fetchone()
            assert row is not None
            yield _Snapshot(connection, moment=row[0], name=row[1])


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


def _where_both_agree(
    first: Fingerprints, second: Fingerprints
) -> dict[str, TableFingerprint | None]:
    return {
        name: first.get(name) if first.get(name) == second.get(name) else None
        for name in sorted({*first, *second})
    }


def _server_facts(connection: Connection) -> _ServerFacts:
    with connection.cursor(row_factory=class_row(_ServerFacts)) as cursor:
        facts = cursor.execute(statement("backups/server_facts")).fetchone()
    assert facts is not None
    return facts


def _names(setting: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in setting.split(",") if part.strip())


_RECORD = TypeAdapter(RestorePoint)
