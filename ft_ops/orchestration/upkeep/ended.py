"""A run that was ended from outside ends its process, too.

Whoever terminates a run by force, or finds it dead or too old, writes that it has ended, and frees
the slots of its pools. A process that was not reached goes on: beside the next run, and against
what the page of its own run says.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LOOKED_AFTER_SECONDS: Final = 20.0
"""How often the process asks whether its run has been ended."""


@contextmanager
def ending_with_its_run(has_ended: Callable[[], bool]) -> Iterator[None]:
    """For the block, interrupt this process, once, when its run has been ended from outside.

    As by Dagster's own launcher: the step that is at work is told, and cleans up.
    """
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(has_ended, done), name="ended", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def _watch(has_ended: Callable[[], bool], done: threading.Event) -> None:
    while not done.wait(LOOKED_AFTER_SECONDS):
        if has_ended() and not done.is_set():
            # Once: what is cleaning up must not be interrupted in it.
            os.kill(os.getpid(), signal.SIGINT)
            return
