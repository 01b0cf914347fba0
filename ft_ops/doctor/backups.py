"""The backups: somebody takes them, they can be restored here, and one of them was."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from ft_ops.backups import is_stale, newest_verified_backup, open_workplace
from ft_ops.doctor.findings import Finding, asked, can_write_to
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import embedded_binaries, major_version
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import client_of, naming
from ft_ops.settings import Settings


@dataclass(frozen=True, slots=True)
class _Archiving:
    mode: str
    last_archived_time: datetime | None
    last_failed_time: datetime | None
    is_failing: bool


def examine_backups(connection: Connection, settings: Settings, now: datetime) -> Iterator[Finding]:
    """The provider, what drills restore with, and the newest backup that can be relied on."""
    yield asked("backup provider", lambda: _provider(connection, settings))
    yield asked("restore programs", lambda: _programs(connection, settings))
    yield asked("verified backup", lambda: _verified(connection, settings, now))


def _provider(connection: Connection, settings: Settings) -> Finding:
    match settings.backup_provider:
        case "barman":
            return _barman(connection, settings)
        case "pgbackrest":
            return _pgbackrest(connection, settings)
        case "rds":
            return _rds(settings)
        case None:
            return Finding(
                "backup provider",
                "failed",
                "FT_BACKUP_PROVIDER is not set, so nobody takes backups",
                "set it to barman or pgbackrest, or to rds on Amazon RDS",
            )


def _barman(connection: Connection, settings: Settings) -> Finding:
    name = "backup provider"
    command = Path(sys.executable).with_name("barman-cloud-backup")
    if not command.exists():
        mend = "install what requirements.lock names"
        return Finding(name, "failed", f"barman: there is no {command}", mend)
    if shutil.which("tar") is None:
        mend = "install tar from the system's packages"
        return Finding(name, "failed", "barman: there is no tar, which unpacks its backups", mend)
    if (problem := _archiving(connection, "barman")) is not None:
        return problem
    if settings.wal_spool is not None and not settings.wal_spool.is_dir():
        return Finding(
            name,
            "failed",
            f"barman: FT_WAL_SPOOL is {settings.wal_spool}, and there is no such folder here",
            "mount the folder that archive_command copies to, or unset FT_WAL_SPOOL where it "
            "ships segments itself",
        )
    return Finding(name, "ok", "barman, and the server archives its log")


def _pgbackrest(connection: Connection, settings: Settings) -> Finding:
    """Asked by the provider itself: its answer is what everything here builds on."""
    name = "backup provider"
    if shutil.which("pgbackrest") is None:
        mend = "install pgBackRest 2.41 or newer where this runs: the server's machine"
        return Finding(name, "failed", "pgbackrest: there is no such program on PATH", mend)
    if (problem := _archiving(connection, "pgbackrest")) is not None:
        return problem
    provider = open_workplace(settings, connection).provider
    others = [b.name for b in provider.stored_backups() if b.condition == "foreign"]
    if others:
        detail = f"pgbackrest: {len(others)} backups of its stanza are of another cluster"
        mend = "let FT_PGBACKREST_STANZA name the stanza of this server"
        return Finding(name, "failed", detail, mend)
    return Finding(name, "ok", "pgbackrest, and the server archives its log")


def _archiving(connection: Connection, provider: str) -> Finding | None:
    """What is wrong with how the server archives its log, None where nothing is."""
    name = "backup provider"
    with connection.cursor(row_factory=class_row(_Archiving)) as cursor:
        archiving = one_row(cursor.execute(statement("doctor/archiving")))
    if archiving.mode not in {"on", "always"}:
        return Finding(
            name,
            "failed",
            f"{provider}: the server's archive_mode is {archiving.mode}",
            "set archive_mode and archive_command as docs/operations.md shows, and restart it",
        )
    if archiving.is_failing:
        return Finding(
            name,
            "failed",
            f"{provider}: archive_command failed last at {archiving.last_failed_time:%F %T}Z",
            "read the server's log: it says what archive_command answered",
        )
    return None


def _rds(settings: Settings) -> Finding:
    name = "backup provider"
    if settings.rds_instance is None:
        mend = "set FT_RDS_INSTANCE to the instance's identifier"
        return Finding(name, "failed", "rds: FT_RDS_INSTANCE is not set", mend)
    with naming(f"RDS instance {settings.rds_instance}"):
        (instance,) = client_of("rds").describe_db_instances(
            DBInstanceIdentifier=settings.rds_instance
        )["DBInstances"]
    days = instance["BackupRetentionPeriod"]
    if days == 0:
        mend = "set its backup retention period to 7 days or more: without it RDS keeps no log"
        return Finding(name, "failed", f"rds: {settings.rds_instance} keeps no backups", mend)
    return Finding(name, "ok", f"rds: {settings.rds_instance} keeps its log for {days} days")


def _programs(connection: Connection, settings: Settings) -> Finding:
    """A physical backup is restored by its own major version only, and dumps by no older one."""
    name = "restore programs"
    bin_dir = settings.pg_bin_dir or embedded_binaries()
    mend = "set FT_PG_BIN_DIR to the folder of that version's programs, such as pg_restore"
    server = connection.info.server_version // 10_000
    try:
        found = major_version(bin_dir)
    except (OSError, subprocess.SubprocessError):
        return Finding(name, "failed", f"{bin_dir} holds no PostgreSQL that runs", mend)
    if found != server:
        detail = f"{bin_dir} is of PostgreSQL {found}, the server of {server}"
        return Finding(name, "failed", detail, mend)
    folder = settings.drill_folder or Path(tempfile.gettempdir())
    if not can_write_to(folder):
        mend = "let FT_DRILL_FOLDER name a folder with room for the database and its log"
        return Finding(name, "failed", f"drills can't write to {folder}", mend)
    if lacking := _lacking_extensions(connection, settings, bin_dir, found):
        detail = f"{bin_dir} has not this database's extensions {', '.join(lacking)}"
        mend = "set FT_PG_BIN_DIR to programs that have them: without, a drill proves nothing"
        return Finding(name, "failed", detail, mend)
    return Finding(name, "ok", f"PostgreSQL {found}; drills restore to {folder}")


def _lacking_extensions(
    connection: Connection, settings: Settings, bin_dir: Path, version: int
) -> list[str]:
    """The database's extensions that these programs can't load.

    Nothing where drills restore by other programs, or where it can't be told.
    """
    if settings.backup_provider not in {"barman", "pgbackrest"}:
        return []
    offered = _offered_extensions(bin_dir, version)
    installed = {name for (name,) in connection.execute(statement("doctor/installed_extensions"))}
    return sorted(installed - offered) if offered else []


def _offered_extensions(bin_dir: Path, version: int) -> set[str]:
    """By the places in which packagers keep them, beside the programs; nothing if it is another."""
    home = bin_dir.resolve().parent
    folders = (
        home / "share" / "extension",
        home / "share" / "postgresql" / "extension",
        # Debian's, beside /usr/lib/postgresql/16.
        home.parents[2] / "share" / "postgresql" / str(version) / "extension"
        if len(home.parents) > 2
        else home,
    )
    return {path.stem for folder in folders for path in folder.glob("*.control")}


def _verified(connection: Connection, settings: Settings, now: datetime) -> Finding:
    name = "verified backup"
    mend = "launch drill_restore and read what it says; nothing is purged until one passes"
    try:
        backup = newest_verified_backup(connection)
    except psycopg.errors.UndefinedTable:
        return Finding(name, "failed", "the ledger of backups is missing", "ft-ops migrate run")
    if backup is None:
        return Finding(name, "failed", "no backup was ever restored and verified", mend)
    detail = f"{backup.name}, restored to {backup.restored_to:%F %T}Z"
    if is_stale(backup.restored_to, now, timedelta(hours=settings.backup_stale_hours)):
        return Finding(name, "failed", f"{detail}: too old to rely on", mend)
    return Finding(name, "ok", detail)
