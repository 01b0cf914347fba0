"""Runs the programs of others (barman-cloud-*, pg_dump, pg_repack), each with a time-out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg import conninfo

from ft_ops.errors import OpsError
from ft_ops.pg.connect import is_local, must_be_encrypted
from ft_ops.pg.supervision.starting import end, start
from ft_ops.pg.supervision.walls import Walls

_QUOTED_LINES = 10
_PINNED = {
    "search_path": "pg_catalog",
    # In another encoding content has no equivalent, and pg_dump fails at the first such text.
    "client_encoding": "UTF8",
    "lock_timeout": "5s",
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    # Of what a program does between its statements we know nothing.
    "idle_in_transaction_session_timeout": "0",
}
_LISTEN_SECONDS = 0.2
_LINES_AT_ONCE = 1 << 20


def run(
    program: str,
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    heard: Callable[[str], None] = lambda line: None,
    walls: Walls | None = None,
    given_up: Callable[[], bool] = lambda: False,
    gives_way: bool = False,
) -> str:
    """Run ``program`` and return its standard output; an OpsError quotes what it complained of.

    It inherits our environment, AWS settings and all, plus ``environment``: secrets go there,
    never into ``arguments``, which every user of the machine can read. ``heard`` is told each line
    of its standard error while it runs, and ``walls`` are what it is kept within. At the time-out,
    once it is ``given_up``, or when we are interrupted or killed, it ends with all that it started.
    One that ``gives_way`` gets the processor when nobody else wants it, for half of its time: where
    others always do, it would never end.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        process = start(
            [_path_of(program), *arguments],
            output=output,
            complaints=complaints,
            environment={**os.environ, **(environment or {})},
            walls=walls,
            gives_way_seconds=timeout_seconds / 2 if gives_way else 0,
        )
        lines = _Lines(complaints.fileno(), heard)
        try:
            _await(program, process, timeout_seconds, lines, given_up)
        finally:
            end(process)
        lines.tell()
        if process.returncode != 0:
            raise _failed(program, process.returncode, _text(complaints) or _text(output))
        return _text(output)


@dataclass(slots=True)
class _Lines:
    """The whole lines of a file that somebody writes, each told once."""

    file: int
    heard: Callable[[str], None]
    told: int = 0

    def tell(self) -> None:
        new = os.pread(self.file, _LINES_AT_ONCE, self.told)
        whole = new[: new.rfind(b"\n") + 1]
        self.told += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self.heard(line)


def _await(
    program: str,
    process: subprocess.Popen[bytes],
    timeout_seconds: float,
    lines: _Lines,
    given_up: Callable[[], bool],
) -> None:
    until = time.monotonic() + timeout_seconds
    while True:
        left = until - time.monotonic()
        try:
            process.wait(timeout=max(min(left, _LISTEN_SECONDS), 0))
        except subprocess.TimeoutExpired as error:
            if given_up():
                raise OpsError(
                    program,
                    cause="it was asked to stop, and did not",
                    next_step="see what it waited for; it was killed",
                ) from error
            if left > 0:
                lines.tell()
                continue
            raise _too_long(program, timeout_seconds) from error
        return


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


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
        process = start(
            [_path_of(program), *arguments],
            output=subprocess.PIPE,
            complaints=complaints,
            environment={**os.environ, **(environment or {})},
        )
        assert process.stdout is not None
        # At the time-out the output ends, and with it the block.
        with process.stdout, _ending_well(program, process, complaints, timeout_seconds):
            yield process.stdout


@contextmanager
def feeding(
    program: str, arguments: Sequence[str], *, timeout_seconds: float, walls: Walls
) -> Iterator[IO[bytes]]:
    """Run ``program`` and write its standard input in the block; otherwise like `run`."""
    with tempfile.TemporaryFile() as complaints:
        process = start(
            [_path_of(program), *arguments],
            given=subprocess.PIPE,
            output=subprocess.DEVNULL,
            complaints=complaints,
            walls=walls,
        )
        assert process.stdin is not None
        # At the time-out the input has no reader any more, and the block ends.
        with _ending_well(program, process, complaints, timeout_seconds):
            try:
                with suppress(BrokenPipeError):  # its exit status says what became of it
                    yield process.stdin
            finally:
                with suppress(BrokenPipeError):
                    process.stdin.close()


@contextmanager
def _ending_well(
    program: str,
    process: subprocess.Popen[bytes],
    complaints: IO[bytes],
    timeout_seconds: float,
) -> Iterator[None]:
    """Wait for a process behind the block; it is killed at the time-out, and when the block fails.

    An OpsError when it was late, or when its exit status is another one than 0.
    """
    is_late = threading.Event()

    def give_up() -> None:
        is_late.set()
        end(process)

    watchdog = threading.Timer(timeout_seconds, give_up)
    watchdog.start()
    try:
        yield
        status = process.wait()
    finally:
        watchdog.cancel()
        if is_late.is_set():
            process.wait()  # ended already: by now its number may be somebody else's
        else:
            end(process)
    if is_late.is_set():
        raise _too_long(program, timeout_seconds)
    if status != 0:
        raise _failed(program, status, _text(complaints))


def connection_of(url: str) -> tuple[str, dict[str, str]]:
    """A connection string for an argument, and the environment that has its password.

    With TLS, and with settings of ours, like our own sessions: a time-out of the role is for the
    application's short statements, and would end the program's.
    """
    parts = conninfo.conninfo_to_dict(url)
    if not is_local(parts) and must_be_encrypted(parts):
        parts["sslmode"] = "require"
    # barman takes the string apart at its blanks, and wants a name and a value in each piece.
    given = str(parts.get("options") or "").replace("-c ", "-c")
    options = [given, *(f"-c{name}={value}" for name, value in _PINNED.items())]
    parts["options"] = " ".join(options).strip()
    password = parts.pop("password", None)
    environment = {"PGPASSWORD": str(password)} if password is not None else {}
    return conninfo.make_conninfo(**parts), environment  # type: ignore[arg-type]  # str | int


def credential_caches() -> list[Path]:
    """Where the AWS libraries store sessions that they renew: a program may have to write there."""
    try:
        aws = Path.home() / ".aws"
    except RuntimeError:  # a container may run as a number that has neither name nor home
        return []
    return [folder for name in ("sso/cache", "cli/cache") if (folder := aws / name).is_dir()]


def _path_of(program: str) -> str:
    # Beside the interpreter first: an environment need not be activated to be used.
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.is_file() else shutil.which(program)
    if found is None:
        raise OpsError(
            program,
            cause="there is no such program beside the interpreter or on PATH",
            next_step="install ft-ops with its dependencies (barman[cloud]), name the folder of "
            "PostgreSQL's programs by FT_PG_BIN_DIR, or install tar from the system's packages",
        )
    return found


def _too_long(program: str, seconds: float) -> OpsError:
    return OpsError(
        program,
        cause=f"it did not end within {seconds:g} s",
        next_step="see what it waits for (the network, a lock, a disk); give it longer by "
        "FT_BACKUP_TIMEOUT_MINUTES if it was at work",
    )


def _failed(program: str, status: int, said: str) -> OpsError:
    tail = "\n".join(said.strip().splitlines()[-_QUOTED_LINES:]) or "(it said nothing)"
    return OpsError(
        Path(program).name,
        cause=f"exit status {status}: {tail}",
        next_step="correct what it names, then run again",
    )
