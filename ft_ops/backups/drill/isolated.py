"""Runs a copy's server so that it can write nothing but the drill's folder, and ends with us."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.server import Server
from ft_ops.pg.supervision.starting import end, start
from ft_ops.pg.supervision.walls import Walls, confinement, connects_to_nobody

START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
# The eighth line of postmaster.pid (PM_STATUS in src/include/utils/pidfile.h).
_STATUS_LINE: Final = 7
_STARTED: Final = frozenset({"ready", "standby"})

WHAT_HOLDS_IT: Final = "kept within its folder by"


@contextmanager
def isolated(server: Server, folder: Path) -> Iterator[None]:
    """Start the server for a block. It writes only below ``folder``, and connects to nobody.

    In recovery without hot_standby it takes no connections yet: the caller has to watch. Where the
    kernel holds nothing back, only what `close_off` and `keep_tablespaces_in` did does.
    """
    # Shared memory in the data folder: /dev/shm has the live server's too.
    options = [*pg.place_to_listen(server), "--dynamic_shared_memory_type=mmap"]
    user = pg.server_user()
    walls = Walls((folder,), network=False, user=(user.pw_uid, user.pw_gid) if user else None)
    program = [str(server.bin_dir / "postgres"), "-D", str(server.data_dir), *options]
    with server.log_file.open("ab") as log:
        process = start(
            program,
            output=log,
            complaints=log,
            environment=pg.program_environment(),
            at=Path("/"),
            walls=walls,
            on_death="quit",
        )
    try:
        _await_start(server, process)
        yield
    finally:
        with suppress(OpsError):
            pg.stop(server, mode="immediate")
        end(process)


def what_holds_it() -> str:
    """What keeps a copy's server within its folder on this machine, for a certificate."""
    folder = confinement() or "what was looked at before it started: this kernel has no Landlock"
    return f"{folder}; by seccomp it connects to nobody" if connects_to_nobody() else folder


def _await_start(server: Server, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while _status(server) not in _STARTED:
        if process.poll() is not None:
            raise _failed(server, f"it ended with exit status {process.returncode}")
        if time.monotonic() > until:
            raise _failed(server, f"it did not start within {START_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)


def _status(server: Server) -> str:
    try:
        lines = (server.data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    return lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""


def _failed(server: Server, cause: str) -> OpsError:
    return OpsError(
        f"the copy's server on {server.data_dir}",
        cause=f"{cause}; its log ends:\n{pg.server_log(server)}",
        next_step="correct what the messages name and start again",
    )
