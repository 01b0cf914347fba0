"""An end for what a library gives none: each of its waits may be short, and all of them endless."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ft_ops.errors import OpsError


def within(seconds: float, what: str, work: Callable[[], None]) -> None:
    """Do ``work``; an OpsError about ``what`` when it failed, or has not ended by then.

    What hangs is left behind in its thread, which keeps no process alive. Whether it gets through
    later is not known: what was told may then be told twice, and is never taken for told.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  it is raised again, in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise OpsError(
            what,
            cause=f"no end after {seconds:g} seconds",
            next_step="see whether its host answers; it is tried again",
        )
    for error in failure:
        if isinstance(error, OpsError) or not isinstance(error, Exception):
            raise error
        # Its text may quote an address, which is a secret.
        raise OpsError(
            what,
            cause=type(error).__name__,
            next_step="look at the setting of this channel; it is tried again",
        ) from None
