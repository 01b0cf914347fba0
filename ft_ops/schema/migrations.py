"""Applies `sql/migrations` and keeps the ledger of sqlx 0.8, so that either tool can go on.

Order, checksum, ledger, advisory lock and the words of a refusal are sqlx's own
(sqlx-core/src/migrate and sqlx-postgres/src/migrate.rs).
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.rows import class_row

from ft_ops.errors import OpsError, Refused, without_rows
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.locks import advisory_holder, held_by_stranger, with_escalating_lock_timeout
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import sql_root, statement
from ft_ops.schema.server import require_usable_database

LOCK_WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. ``checksum`` is the SHA-384 of the up file's bytes."""

    version: int
    description: str
    up: str
    down: str | None
    checksum: bytes

    @property
    def in_transaction(self) -> bool:
        return not self.up.startswith("-- no-transaction")


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One row of the ledger."""

    version: int
    checksum: bytes
    success: bool
    installed_on: datetime


@dataclass(frozen=True, slots=True)
class MigrationState:
    """What `ft-ops migrate status` shows of one version."""

    version: int
    description: str
    state: Literal["applied", "pending", "modified", "missing", "partial"]
    installed_on: datetime | None


def load_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """Read a folder of migrations, by default the project's, ordered by version."""
    folder = folder or sql_root() / "migrations"
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        if path.name.endswith(".down.sql"):
            continue
        migration = _load(path)
        if migration.version in found:
            raise Refused(
                f"migration {migration.version}",
                cause=f"two files in {folder.name}/ carry this version",
                next_step="give one of them a version of its own",
            )
        found[migration.version] = migration
    return tuple(found[version] for version in sorted(found))


def migration_states(
    connection: Connection, migrations: Sequence[Migration]
) -> list[MigrationState]:
    """Compare files and ledger without changing either; one entry a version, in order."""
    ledger = _applied(connection) if _ledger_exists(connection) else {}
    states = [_state(migration, ledger.get(migration.version)) for migration in migrations]
    known = {migration.version for migration in migrations}
    states += [
        MigrationState(row.version, "(no file)", "missing", row.installed_on)
        for row in ledger.values()
        if row.version not in known
    ]
    return sorted(states, key=lambda state: state.version)


def run_migrations(
    connection: Connection,
    migrations: Sequence[Migration],
    *,
    log: Callable[[str], None] = lambda line: None,
) -> list[Migration]:
    """Apply what is pending, each migration in a transaction of its own; returns those applied.

    Safe to run again and at the same time as another runner: ours and sqlx's library queue
    behind one lock; sqlx's command line takes none, and what it applies first is left to it.
    Refused when the ledger and the files contradict each other.
    """
    applied = []
    require_usable_database(connection)
    with _ledger_lock(connection):
        connection.execute(statement("schema/create_ledger"))
        ledger = _applied(connection)
        _refuse_contradictions(migrations, ledger)
        for migration in (m for m in migrations if m.version not in ledger):
            started = time.monotonic_ns()
            try:
                with _naming(migration, "apply"):
                    _apply(connection, migration)
            except OpsError:
                if not _applied_meanwhile(connection, migrations, migration):
                    raise
                log(f"{migration.version}/{migration.description} was applied by another runner")
                continue
            elapsed = time.monotonic_ns() - started
            applied.append(migration)
            connection.execute(
                statement("schema/record_execution_time"),
                {"version": migration.version, "nanoseconds": elapsed},
            )
            log(f"applied {migration.version}/{migration.description} in {elapsed / 1e6:.0f} ms")
    return applied


def revert_migration(connection: Connection, migrations: Sequence[Migration]) -> Migration | None:
    """Undo the highest applied version that has a down file; None when nothing is applied."""
    with _ledger_lock(connection):
        connection.execute(statement("schema/create_ledger"))
        migration = migration_to_revert(connection, migrations)
        if migration is not None and migration.down is not None:
            with _naming(migration, "revert"):
                _revert(connection, migration, migration.down)
    return migration


def migration_to_revert(
    connection: Connection, migrations: Sequence[Migration]
) -> Migration | None:
    """The highest applied version that has a down file; None when nothing is applied."""
    ledger = _applied(connection) if _ledger_exists(connection) else {}
    _refuse_contradictions(migrations, ledger)
    applied = (m for m in reversed(migrations) if m.version in ledger and m.down is not None)
    return next(applied, None)


def _load(path: Path) -> Migration:
    head, _, rest = path.name.partition("_")
    try:
        version = int(head)
    except ValueError as error:
        raise Refused(
            f"migration file {path.name}",
            cause="its name does not begin with a number and an underscore",
            next_step="name it like 0042_add_something.up.sql",
        ) from error
    up = path.read_bytes()
    down = path.with_name(path.name.removesuffix(".up.sql") + ".down.sql")
    return Migration(
        version=version,
        description=rest.removesuffix(".sql").removesuffix(".up").replace("_", " "),
        up=up.decode(),
        down=down.read_text(encoding="utf-8") if down.exists() and down != path else None,
        checksum=hashlib.sha384(up).digest(),
    )


def _state(migration: Migration, row: AppliedMigration | None) -> MigrationState:
    state: Literal["applied", "pending", "modified", "partial"] = "applied"
    if row is None:
        state = "pending"
    elif not row.success:
        state = "partial"
    elif row.checksum != migration.checksum:
        state = "modified"
    return MigrationState(
        migration.version, migration.description, state, row.installed_on if row else None
    )


def _refuse_contradictions(
    migrations: Sequence[Migration], ledger: dict[int, AppliedMigration]
) -> None:
    by_version = {migration.version: migration for migration in migrations}
    for row in ledger.values():
        if not row.success:
            cause = f"migration {row.version} is partially applied; fix and remove row from " + (
                "`_sqlx_migrations` table"
            )
            raise Refused("schema", cause=cause, next_step="see the server's log for what failed")
    for row in ledger.values():
        migration = by_version.get(row.version)
        if migration is None:
            raise Refused(
                "schema",
                cause=f"migration {row.version} was previously applied but is missing in the "
                "resolved migrations",
                next_step="deploy the version of ft-ops that brought it, or a newer one",
            )
        if migration.checksum != row.checksum:
            raise Refused(
                "schema",
                cause=f"migration {row.version} was previously applied but has been modified",
                next_step="restore the file and put the change into a new migration",
            )


def _apply(connection: Connection, migration: Migration) -> None:
    record = statement("schema/record_migration")
    values = {
        "version": migration.version,
        "description": migration.description,
        "checksum": migration.checksum,
    }
    if migration.in_transaction:

        def apply() -> None:
            with connection.transaction():
                connection.execute(migration.up)
                connection.execute(statement("schema/guard_content"))
                connection.execute(record, values)

        # Whoever comes to a table that we wait for queues behind us: tried again, not waited for.
        with_escalating_lock_timeout(connection, _named(migration, "apply"), apply)
    else:
        connection.execute(migration.up)
        connection.execute(statement("schema/guard_content"))
        connection.execute(record, values)


def _revert(connection: Connection, migration: Migration, down: str) -> None:
    def revert() -> None:
        with connection.transaction():
            connection.execute(down)
            connection.execute(statement("schema/forget_migration"), {"version": migration.version})

    # As the way up: who waits here lets everybody wait who comes to the same table.
    with_escalating_lock_timeout(connection, _named(migration, "revert"), revert)


def _applied_meanwhile(
    connection: Connection, migrations: Sequence[Migration], migration: Migration
) -> bool:
    """Whether a failure came of another runner's success: its tables were there already."""
    if connection.broken:
        return False
    ledger = _applied(connection)
    _refuse_contradictions(migrations, ledger)
    return migration.version in ledger


def _named(migration: Migration, verb: str) -> str:
    return f"{verb} migration {migration.version}/{migration.description}"


@contextmanager
def _naming(migration: Migration, verb: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        left = "its transaction left nothing" if migration.in_transaction else "see what it left"
        hint = error.diag.message_hint or f"correct it and run again; {left}"
        raise OpsError(
            _named(migration, verb),
            cause=without_rows(error),
            next_step=hint,
        ) from error


@contextmanager
def _ledger_lock(connection: Connection) -> Iterator[None]:
    """sqlx's own advisory lock on this database, waited for with a time-out."""
    row = one_row(connection.execute("SELECT current_database()"))
    # An i64 product that wraps, as in Rust.
    number = (0x3D32AD9E * zlib.crc32(row[0].encode())) & 0xFFFFFFFFFFFFFFFF
    key = number - (1 << 64) if number >= 1 << 63 else number
    try:
        with connection.transaction():
            connection.execute(
                "SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_WAIT_SECONDS}s",)
            )
            connection.execute("SELECT pg_advisory_lock(%s)", (key,))
    except psycopg.errors.LockNotAvailable as error:
        holder = advisory_holder(connection, key=key)
        if holder is not None and holder.is_stranger:
            raise held_by_stranger("schema", holder) from error
        raise OpsError(
            "schema",
            cause=f"another migration has been at work for {LOCK_WAIT_SECONDS} s: "
            f"{holder or 'it ended a moment ago'}",
            next_step="wait for it to end, then run again",
        ) from error
    try:
        yield
    finally:
        if takes_statements(connection):
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _ledger_exists(connection: Connection) -> bool:
    query = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL"
    return bool(one_row(connection.execute(query))[0])


def _applied(connection: Connection) -> dict[int, AppliedMigration]:
    with connection.cursor(row_factory=class_row(AppliedMigration)) as cursor:
        cursor.execute(statement("schema/applied_migrations"))
        return {row.version: row for row in cursor}
