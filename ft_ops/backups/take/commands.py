"""Runs the programs of others (barman-cloud-*, pg_dump, pg_restore), each with a time-out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from psycopg import conninfo

from ft_ops.errors import OpsError

_QUOTED_LINES = 10


def run(
    program: str,
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run ``program`` and return its standard output; an OpsError quotes what it complained of.

    It inherits our environment, AWS settings and all, plus ``environment``: secrets go there,
    never into ``arguments``, which every user of the machine can read. At the time-out, or when
    we are interrupted, its whole process group is killed.
    """
    process = subprocess.Popen(
        [_path_of(program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
        # A group of its own, because barman-cloud-backup has workers.
        start_new_session=True,
    )
    try:
        output, complaints = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise OpsError(
            program,
            cause=f"it did not end within {timeout_seconds:g} s",
            next_step="see what it waits for (the network, a lock, a disk); give it longer by "
            "FT_BACKUP_TIMEOUT_MINUTES if it was at work",
        ) from error
    finally:
        _kill(process)
        process.communicate()
    if process.returncode != 0:
        raise _failed(program, process.returncode, complaints or output)
    return output


@contextmanager
def streaming(
    program: str,
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Iterator[IO[bytes]]:
    """Run ``program`` and read its standard output in the block; otherwise like `run`.

    Its failure is known when the output has ended: what was read before is then worth nothing.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [_path_of(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        # At the time-out the output ends, and with it the block.
        watchdog = threading.Timer(timeout_seconds, _kill, (process,))
        watchdog.start()
        try:
            assert process.stdout is not None
            yield process.stdout
            status = process.wait()
        finally:
            watchdog.cancel()
            _kill(process)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if status != 0:
            complaints.seek(0)
            raise _failed(program, status, complaints.read().decode(errors="replace"))


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """A connection string for an argument, and the environment that has its password."""
    parts = conninfo.conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = {"PGPASSWORD": str(password)} if password is not None else {}
    return conninfo.make_conninfo(**parts), environment  # type: ignore[arg-type]  # str | int


def _path_of(program: str) -> str:
    # Beside the interpreter first: an environment need not be activated to be used.
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.is_file() else shutil.which(program)
    if found is None:
        raise OpsError(
            program,
            cause="there is no such program beside the interpreter or on PATH",
            next_step="install ft-ops with its dependencies (barman[cloud]), or name the folder "
            "of PostgreSQL's programs by FT_PG_BIN_DIR",
        )
    return found


def _kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _failed(program: str, status: int, said: str) -> OpsError:
    tail = "\n".join(said.strip().splitlines()[-_QUOTED_LINES:]) or "(it said nothing)"
    return OpsError(
        Path(program).name,
        cause=f"exit status {status}: {tail}",
        next_step="correct what it names, then run again",
    )
