"""Runs a program of PostgreSQL's on a copy, within the copy's folder."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.supervision.starting import end, start
from ft_ops.pg.supervision.walls import Walls


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended, and all that it said."""

    status: int
    said: str


def run_within(
    command: Sequence[str | Path], folder: Path, *, at: Path, timeout_seconds: float
) -> ProgramEnd:
    """Run a program in the folder ``at``, so that it can write below ``folder`` only.

    It reaches servers by sockets that are files, and no network. What it starts ends with it, and
    with us: servers too. An OpsError when it takes too long.
    """
    user = pg.server_user()
    identity = (user.pw_uid, user.pw_gid) if user else None
    walls = Walls((folder,), network=False, user=identity, own_servers=True)
    with tempfile.TemporaryFile() as said:
        process = start(
            list(map(str, command)),
            output=said,
            complaints=said,
            environment=pg.program_environment(),
            at=at,
            walls=walls,
        )
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise OpsError(
                Path(command[0]).name,
                cause=f"it did not end within {timeout_seconds:g} s",
                next_step="give it longer by FT_BACKUP_TIMEOUT_MINUTES if it was at work",
            ) from error
        finally:
            end(process)
        said.seek(0)
        return ProgramEnd(process.returncode, said.read().decode(errors="replace"))
