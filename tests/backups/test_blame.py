"""Only what PostgreSQL says of the data counts against a backup; the machine's troubles don't."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from ft_ops.backups.drill.notes import is_about_the_data
from ft_ops.backups.drill.recovery import ScratchCopy
from ft_ops.backups.drill.server_log import failed_recovery
from ft_ops.backups.points.points import Mark, RestorePoint
from ft_ops.backups.provider import ContentError
from ft_ops.pg.server import Server

FETCHED = 'LOG:  restored log file "000000010000000000000007" from archive\n'
ENDED = "FATAL:  recovery ended before configured recovery target was reached\n"


def _server(folder: Path, log: str) -> Server:
    server = Server(bin_dir=folder, data_dir=folder / "data", socket_dir=folder / "run")
    server.log_file.write_text(log)
    return server


def _point() -> RestorePoint:
    return RestorePoint(
        name="full-a",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        mark=Mark("0/7000000", "000000010000000000000007"),
        database="familytales",
        system_identifier="1",
        server_version=160000,
        cluster_bytes=1,
        preloaded=(),
        extensions={},
        schema={},
        tables={},
        roles={"ft_ops": "may much"},
    )


@pytest.mark.parametrize(
    ("log", "is_content"),
    [
        (FETCHED + ENDED, True),
        ("PANIC:  could not locate a valid checkpoint record at 0/28\n", True),
        ("FATAL:  WAL ends before end of online backup\n", True),
        ('FATAL:  could not open file "global/pg_filenode.map": No such file or directory\n', True),
        ("", False),
        (FETCHED + "cp: error writing 'x': No space left on device\n" + ENDED, False),
        ('FATAL:  could not write to file "pg_wal/x": No space left on device\n', False),
        ('FATAL:  could not access file "timescaledb": No such file or directory\n', False),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory\n", False),
        ("LOG:  startup process (PID 7) was terminated by signal 9: Killed\n", False),
        ('FATAL:  directory "/data/late" does not exist\n', False),
        ('FATAL:  could not set permissions on directory "/data/late": Permission denied\n', False),
        ('FATAL:  parameter "nobody" is unknown\n', False),
    ],
)
def test_recovery_fails_by_the_log_or_by_the_machine(
    tmp_path: Path, log: str, is_content: bool
) -> None:
    error = failed_recovery(_server(tmp_path, log), _point(), "it did not end in time")
    assert isinstance(error, ContentError) == is_content
    if log == FETCHED + ENDED:
        assert isinstance(error, ContentError)
        assert error.wal == "000000010000000000000007"
    # Whoever has to mend the machine is told what befell it, even where other words came last.
    for word in ("No space left", "Cannot allocate memory", "signal 9", "Permission denied"):
        assert (word in str(error)) == (word in log)


@pytest.mark.parametrize(
    ("log", "said", "blamed"),
    [
        ("", 'FATAL:  role "ft_ops" does not exist', 'role "ft_ops" does not exist'),
        (
            "",
            'FATAL:  database "familytales" does not exist',
            'database "familytales" does not exist',
        ),
        # Made, or renamed, since the point: no copy of it has them.
        ("", 'FATAL:  role "ft_ops_2027" does not exist', None),
        ("", 'FATAL:  database "familytales_2027" does not exist', None),
        ("", "connection refused", None),
        ("PANIC:  corrupted page pointers\n", "server closed", "PANIC:  corrupted page pointers"),
        (
            "LOG:  server process (PID 7) was terminated by signal 11: Segmentation fault\n",
            "server closed",
            "LOG:  server process (PID 7) was terminated by signal 11: Segmentation fault",
        ),
        ("LOG:  server process (PID 7) was terminated by signal 9: Killed\n", "closed", None),
        ("PANIC:  could not write to log file: No space left on device\n", "closed", None),
    ],
)
def test_a_copys_server_goes_down_by_its_data_or_by_its_machine(
    tmp_path: Path, log: str, said: str, blamed: str | None
) -> None:
    copy = ScratchCopy(_server(tmp_path, log), "", "", {}, _point(), tmp_path)
    assert copy.blamed_on_data(said) == blamed


@pytest.mark.parametrize(
    ("error", "is_content"),
    [
        (psycopg.errors.DataCorrupted("invalid page in block 7"), True),
        (psycopg.errors.IndexCorrupted("item order invariant violated"), True),
        (psycopg.errors.InternalError_("missing chunk number 0 for toast value 1"), True),
        (psycopg.errors.UndefinedFile('could not open file "base/5/1": No such file'), True),
        (psycopg.errors.UndefinedFile('could not access file "$libdir/vector": No such'), False),
        (psycopg.errors.InternalError_('could not load library "postgis-3.so": libgeos.so'), False),
        (psycopg.errors.InternalError_('incompatible library "x.so": version mismatch'), False),
        (psycopg.errors.InternalError_('could not open collator for locale "de"'), False),
        (psycopg.errors.DiskFull('could not extend file "base/5/1"'), False),
        (psycopg.errors.OutOfMemory("out of memory"), False),
        (psycopg.errors.IoError('could not read block 7 in file "base/5/1": Input/output'), False),
        (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), False),
        (psycopg.errors.InsufficientPrivilege("permission denied for table secret"), False),
        (psycopg.OperationalError("server closed the connection unexpectedly"), False),
    ],
)
def test_an_error_is_about_the_data_where_postgresql_says_so(
    error: psycopg.Error, is_content: bool
) -> None:
    assert is_about_the_data(error) == is_content
