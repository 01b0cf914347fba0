"""Work beside a block ends with it, and what the block failed with is what is told."""

from __future__ import annotations

import pytest

from ft_ops.archive.month import in_thread as threads
from ft_ops.archive.month.in_thread import in_thread
from ft_ops.pg.connect import Connection


def test_a_cancellation_that_is_not_heard_hides_no_interruption(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_CANCEL_SECONDS", 1e-9)
    with (
        pytest.raises(KeyboardInterrupt),
        in_thread(connection, lambda: connection.execute("SELECT pg_sleep(0.3)"), name="t"),
    ):
        raise KeyboardInterrupt
