"""An archive beside the application: in which steps it rests, and how it feels for the server."""

from __future__ import annotations

from ft_ops.archive.month.content import TABLES
from ft_ops.archive.store.unit_lists import UNIT_LISTS
from ft_ops.pg.pace import Pace
from tests.archive.world import World


def test_a_month_is_archived_and_proven_in_steps_beside_others(world: World) -> None:
    world.fill()
    rests: list[float] = []
    world.pace = Pace(lambda: True, 0.5, rests.append)
    assert world.archive().state == "frozen"
    read = written = loaded = len(TABLES)
    families, digested = 1, 2 * len(TABLES)
    listed = 2 * len(UNIT_LISTS)
    assert len(rests) == (families + read + written + loaded + digested + listed), (
        "each table is one batch"
    )
