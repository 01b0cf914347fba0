"""Folders for drills, that go with the drill or, if it was killed, with the next one."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.server import Server

_PREFIX = "ft-drill-"
_LOCK = "lock"
_SPARE = 1.1
_TRIES = 5
_PAUSE_SECONDS = 0.1


@contextmanager
def scratch_folder(parent: Path, bin_dir: Path) -> Iterator[Path]:
    """A folder for one drill. What killed drills left in ``parent``, servers too, goes first.

    What can't be removed of that stays, for the next one: it is no concern of this drill.
    """
    _sweep(parent, bin_dir)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        # The server's user passes through, and nobody can list what is here.
        folder.chmod(0o711)
        # The lock is ours as long as we live; nothing has to be cleaned up to give it back.
        with (folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        _remove(folder, bin_dir)


def refuse_too_little_room(parent: Path, needed_bytes: int) -> None:
    """Refused unless ``parent`` has room for ``needed_bytes`` and a tenth more."""
    free = shutil.disk_usage(parent).free
    needed = int(needed_bytes * _SPARE)
    if free < needed:
        raise Refused(
            f"folder {parent}",
            cause=f"a restore needs {needed:,} bytes and {free:,} are free",
            next_step=f"free space (folders {_PREFIX}* there that are not in use are of drills "
            "that were killed), or name a roomier folder by FT_DRILL_FOLDER",
        )


def server_in(folder: Path, bin_dir: Path) -> Server:
    """The server of a scratch folder."""
    return Server(bin_dir=bin_dir, data_dir=folder / "data", socket_dir=folder / "run")


def _sweep(parent: Path, bin_dir: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = (folder / _LOCK).open("rb")
        except OSError:
            continue  # made this very moment, or being removed, or somebody else's
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its drill lives
            _remove(folder, bin_dir)


def _remove(folder: Path, bin_dir: Path) -> None:
    """Remove a drill's folder, or what can be removed of it: the next sweep takes the rest."""
    server = server_in(folder, bin_dir)
    with suppress(OpsError, OSError):
        pg.stop(server, mode="immediate")
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_SECONDS)
    # Found again by its lock, which went first perhaps.
    with suppress(OSError):
        (folder / _LOCK).touch()
