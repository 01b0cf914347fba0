"""What stands on other machines in production, kept from taking the application's processors.

The kernel gives SCHED_IDLE what nobody else wants.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ENDPOINT: Final = b"ft_ops.sandbox.object_store"


@contextmanager
def elsewhere() -> Iterator[None]:
    """For a block, the calling thread and those that it starts, and for good the sandboxes' S3."""
    for process in _endpoints():
        for thread in (process / "task").iterdir():
            _idle(int(thread.name))
    _idle(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _idle(thread: int) -> None:
    os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


def _endpoints() -> Iterator[Path]:
    """The processes under this one that serve S3."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if _ENDPOINT in (process / "cmdline").read_bytes() and _is_ours(process):
                yield process
        except FileNotFoundError:
            continue


def _is_ours(process: Path) -> bool:
    parent = int(process.name)
    while parent > 1:
        if parent == os.getpid():
            return True
        status = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8")
        parent = int(status.rpartition(")")[2].split()[1])
    return False
