"""A run that was ended from outside ends its process, too.

Whoever terminates a run by force, or finds it dead or too old, writes that it has ended, and frees
the slots of its pools. A process that was not reached goes on: beside the next run, and against
what the page of its own run says.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LOOKED_AFTER_SECONDS: Final = 20.0
"""How often the process asks whether its run has been ended."""


_INTERRUPTS: Final = frozenset({signal.SIGINT, signal.SIGTERM})


@contextmanager
def ending_with_its_run(has_ended: Callable[[], bool]) -> Iterator[None]:
    """For the block, interrupt this process, once, when its run has been ended from outside.

    As by Dagster's own launcher: the step that is at work is told, and cleans up. A process that
    the launcher has reached is cleaning up already.
    """
    done = threading.Event()
    with _signals() as was_interrupted:
        watcher = threading.Thread(
            target=_watch, args=(has_ended, was_interrupted, done), name="ended", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            done.set()


def _watch(
    has_ended: Callable[[], bool], was_interrupted: Callable[[], bool], done: threading.Event
) -> None:
    while not done.wait(LOOKED_AFTER_SECONDS):
        if has_ended() and not done.is_set():
            # Once: what is cleaning up must not be interrupted in it.
            if not was_interrupted():
                os.kill(os.getpid(), signal.SIGINT)
            return


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Whether this process was interrupted since the block began.

    Told by Python's own wakeup, since Dagster sets the handlers of these signals as a run goes on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield lambda: _interrupted(reader)
        finally:
            signal.set_wakeup_fd(before)


def _interrupted(reader: socket.socket) -> bool:
    try:
        return not _INTERRUPTS.isdisjoint(reader.recv(4096))
    except OSError:
        return False  # none came, or the block has ended
