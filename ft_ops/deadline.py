"""An end for what has none: each of its waits may be short, and all of them together endless."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NoEnd(TimeoutError):
    """It had not ended in its time, and was left behind."""


class StillHanging(NoEnd):
    """What was left behind earlier has not ended yet, so it is not begun once more."""


def call_within(
    seconds: float, work: Callable[[], T], *, discard: Callable[[T], object] = lambda _: None
) -> T:
    """What ``work`` returns or raises; NoEnd when it has not ended by then.

    What hangs is left behind in a thread that keeps no process alive. Whether it gets through
    later is not known; what it returns then is given to ``discard``.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    is_over = threading.Lock()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  it is raised again, in the caller's thread
            errors.append(error)
            return
        if is_over.acquire(blocking=False):
            results.append(result)
        else:
            discard(result)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    # It may be about to end: who takes the lock first has decided.
    if is_over.acquire(blocking=False):
        raise NoEnd(f"no end after {seconds:g} seconds")
    thread.join()
    return results[0]


_hanging: dict[str, threading.Event] = {}
_looking_at_hanging = threading.Lock()


def call_one_within(seconds: float, name: str, work: Callable[[], T]) -> T:
    """The same for what is tried again and again: StillHanging while the one before hangs.

    So what never ends costs one thread for each ``name``, however often it is tried.
    """
    ended = threading.Event()

    def run() -> T:
        try:
            return work()
        finally:
            ended.set()

    with _looking_at_hanging:
        before = _hanging.get(name)
        if before is not None and not before.is_set():
            raise StillHanging("what was tried before has not ended yet")
        _hanging[name] = ended
    return call_within(seconds, run)
