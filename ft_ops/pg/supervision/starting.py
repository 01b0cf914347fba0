"""Starts a program under supervision, and ends it with whatever it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from ft_ops.errors import OpsError
from ft_ops.pg.supervision.supervised import OnDeath, supervised
from ft_ops.pg.supervision.walls import Walls

_END_SECONDS: Final = 30.0
"""More than a supervisor takes, which gives a server time to end by itself."""

_OTHER_SECONDS: Final = 6.0
"""The same of the supervisor that is left when the other one was killed."""

_Stream = IO[bytes] | int


def start(
    command: Sequence[str],
    *,
    output: _Stream,
    complaints: _Stream,
    given: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    at: Path | None = None,
    walls: Walls | None = None,
    on_death: OnDeath = "kill",
    gives_way_seconds: float = 0,
) -> subprocess.Popen[bytes]:
    """Start ``command`` as `supervised` says, in a session of its own; `end` it in any case.

    ``given`` is its standard input. Refused where this process could not know how it ended.
    """
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        # The kernel then keeps no exit status, and each would be told as 0.
        raise OpsError(
            Path(command[0]).name,
            cause="this process ignores SIGCHLD, as whoever started it did: how a program ended "
            "could not be known",
            next_step="start the service under systemd, as a container's own command, or from a "
            "program that leaves SIGCHLD as it is",
        )
    return subprocess.Popen(
        supervised(command, walls=walls, on_death=on_death, gives_way_seconds=gives_way_seconds),
        stdin=given,
        stdout=output,
        stderr=complaints,
        env=environment,
        cwd=at,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End what `start` started, if it lives, and whatever it has started itself."""
    if process.poll() is None:
        process.terminate()  # its supervisor ends all of it, sessions of their own too
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    # Of two supervisors one may have been killed: the other is ending what has other sessions.
    until = time.monotonic() + _OTHER_SECONDS
    while process.poll() is not None and time.monotonic() < until and _has_members(process.pid):
        time.sleep(0.01)
    # Two that were killed at once have ended their child alone. The group's number is nobody
    # else's while one of the group lives; where none does, it was free for a moment.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
