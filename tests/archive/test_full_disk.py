"""A disk that is full in the middle of a proof or a thaw: an error, no verdict, and it goes on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.thaw.thaw import load
from tests.archive.world import MONTH, World


@contextmanager
def full(limit: int = 300) -> Iterator[None]:
    """No file of this process may grow any more."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@pytest.mark.chaos
def test_a_full_disk_refutes_nothing_and_the_next_run_goes_on(world: World) -> None:
    world.fill()
    before = world.digests
    world.move()
    with full(), pytest.raises(OSError, match="File too large"):
        world.freeze()
    assert [(g.number, g.state) for g in generations(world.connection, MONTH)] == [(1, "proving")]
    assert world.freeze().number == 1
    known = before()
    world.verified_backup()
    assert world.purge().kept == 0
    with full(), pytest.raises(OSError, match="File too large"):
        world.thaw()
    thaw = open_thaw(world.connection, MONTH)
    assert thaw is not None
    assert thaw.state == "loading"
    assert load(world.run, thaw).left_out == {}
    assert world.digests() == known
