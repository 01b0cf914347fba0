"""The new version's programs: which, and how they are run within the copy's folder."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.supervised import Walls, supervised

EMBEDDED_NEWEST: Final = 18
"""The newest version that the package of embedded servers carries."""

_STOP_SECONDS: Final = 30.0
_PROGRAMS: Final = ("initdb", "pg_ctl", "pg_upgrade", "postgres")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and all that it said."""

    status: int
    said: str


def new_programs(chosen: Path | None, old_major: int) -> Path:
    """The folder of the new version's programs; Refused where it is no newer one, or not whole."""
    bin_dir = chosen if chosen is not None else _embedded(old_major)
    missing = [name for name in _PROGRAMS if not (bin_dir / name).is_file()]
    if missing:
        raise Refused(
            f"FT_UPGRADE_BIN_DIR {bin_dir}",
            cause=f"it lacks {', '.join(missing)}",
            next_step="name the folder of all of a newer version's server programs",
        )
    try:
        major = pg.major_version(bin_dir)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OpsError(
            f"FT_UPGRADE_BIN_DIR {bin_dir}",
            cause=f"its postgres does not run: {error}",
            next_step="install that version with the libraries that it needs",
        ) from error
    if major <= old_major:
        raise Refused(
            f"an upgrade from {old_major} to {major}",
            cause="it is no newer version",
            next_step="name the folder of a newer version's programs by FT_UPGRADE_BIN_DIR",
        )
    return bin_dir


def run_within(
    command: Sequence[str | Path], folder: Path, *, at: Path, timeout_seconds: float
) -> Ended:
    """Run a program in the folder ``at``, so that it can write below ``folder`` only.

    What it starts ends with it, and with us: servers too. An OpsError when it takes too long.
    """
    user = pg.server_user()
    walls = Walls((folder,), network=False, user=(user.pw_uid, user.pw_gid) if user else None)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            supervised(list(map(str, command)), walls=walls),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=at,
            env=pg.program_environment(),
            start_new_session=True,
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
            _end(process)
        said.seek(0)
        return Ended(process.returncode, said.read().decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()  # its supervisor ends whatever it has started
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _embedded(old_major: int) -> Path:
    if old_major >= EMBEDDED_NEWEST:
        raise Refused(
            f"an upgrade from {old_major}",
            cause="no newer version's programs are here",
            next_step="name their folder by FT_UPGRADE_BIN_DIR",
        )
    return pg.embedded_binaries(EMBEDDED_NEWEST)
