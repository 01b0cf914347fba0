"""Work by another connection, in a thread beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import psycopg

from ft_ops.pg.connect import Connection

T = TypeVar("T")

_CANCEL_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1


@contextmanager
def in_thread(connection: Connection, work: Callable[[], T], *, name: str) -> Iterator[Future[T]]:
    """Do ``work``, which uses this connection alone, beside a block; it has ended after the block.

    Where the block fails, or is interrupted, its statements are cancelled instead of waited for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix=name) as pool:
        working = pool.submit(work)
        try:
            yield working
        except BaseException:
            while not working.done():
                # Again and again: between two statements there is nothing to cancel. That one was
                # not heard is no reason to tell of it instead of what the block failed with.
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=_CANCEL_SECONDS)
                wait([working], timeout=_LOOK_SECONDS)
            raise
