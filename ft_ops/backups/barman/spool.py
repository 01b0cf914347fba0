"""Ships the segments that archive_command left in a spool folder.

The server's user often can't run our environment's programs, and must not wait for a network:
its archive_command copies, this ships.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from isal import igzip

from ft_ops.backups.barman.archived_wal import list_wal
from ft_ops.backups.barman.wal import HISTORY_NAME, WAL_FILE_NAME
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Failed, each
from ft_ops.pg.supervision.supervised import LOWEST_PRIORITY
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import put_once

SHIPPERS = 2

# gzip, for its checksum, by a library that takes a fifth of zlib's time for as many bytes as zlib's
# lowest level. What the bucket holds is read back by zlib, which is another's work.
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Shipment:
    """What one call shipped, by name in the log's order, and what stays in the spool and why."""

    files: tuple[str, ...]
    bytes: int
    failed: tuple[Failed, ...] = ()


def spooled(spool: Path) -> list[Path]:
    """The complete WAL files in the spool, in the log's order."""
    try:
        found = [path for path in spool.iterdir() if WAL_FILE_NAME.fullmatch(path.name)]
    except OSError as error:
        raise OpsError(
            f"WAL spool {spool}",
            cause=error.strerror or str(error),
            next_step="set FT_WAL_SPOOL to the folder that archive_command copies to, and let this "
            "process read and write it",
        ) from error
    return sorted(found)


def ship(
    files: Sequence[Path], bucket: Bucket, prefix: str, *, gives_way_seconds: float = 0
) -> Shipment:
    """Bring spooled files into the bucket, then remove each of them from the spool.

    It lies there as barman-cloud-wal-archive would leave it, which takes a second's work to start.
    A file is removed only after what the bucket holds was read back and found equal; one that
    the bucket has under the same name with another content is never written over: it stays, and
    keeps no other from being shipped. Killed at any point, the next call goes on. Two at once must
    not meet. It gives way to others while no file has waited for ``gives_way_seconds``: on a
    machine that is always busy the log must arrive, too.
    """
    one = partial(_ship, bucket=bucket, prefix=prefix)
    begin = _give_way if _waited(files) < gives_way_seconds else None
    with ThreadPoolExecutor(SHIPPERS, "ship", initializer=begin) as pool:
        begun = {path: pool.submit(one, path) for path in files}
        shipped = each(files, lambda path: begun[path].result(), name=lambda path: path.name)
    names = tuple(name for name, _ in shipped.done)
    return Shipment(names, sum(shipped.results), shipped.failed)


def _waited(files: Sequence[Path]) -> float:
    """How long the first file of the log has been in the spool, in seconds."""
    return time.time() - files[0].stat().st_mtime if files else 0.0


def _give_way() -> None:
    """Let whoever else works on this machine go first, which may be the server itself.

    On Linux a thread has a priority of its own; elsewhere it would be the whole process's. It can't
    be taken back by everybody, so it is the thread's for good: the next shipment has new ones.
    """
    # Where a container forbids it, the log is shipped all the same.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


def _ship(path: Path, *, bucket: Bucket, prefix: str) -> int:
    content = path.read_bytes()
    stored = _stored(bucket, prefix, path.name)
    if stored is None:
        with suppress(Refused):  # somebody else was faster: compared all the same
            key = f"{_folder(prefix, path.name)}{path.name}.gz"
            put_once(bucket, key, igzip.compress(content, _LEVEL, mtime=0))
        stored = _stored(bucket, prefix, path.name)
    if stored != content:
        raise OpsError(
            f"WAL file {path.name}",
            cause=f"the bucket {bucket.name} holds "
            f"{'nothing' if stored is None else 'something else'} under this name; it stays in "
            "the spool",
            next_step="if another cluster archives into this bucket, stop it and give each its "
            "own FT_BACKUP_SERVER",
        )
    path.unlink()
    return len(content)


def _stored(bucket: Bucket, prefix: str, name: str) -> bytes | None:
    found = list_wal(bucket, _folder(prefix, name) + name)
    return found.read(name) if name in found.files else None


def _folder(prefix: str, name: str) -> str:
    """History files lie directly below the prefix, segments in a folder for each 4 GiB of log."""
    return f"{prefix}/" if HISTORY_NAME.fullmatch(name) else f"{prefix}/{name[:16]}/"
