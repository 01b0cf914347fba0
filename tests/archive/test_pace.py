"""An archive beside the application: in which steps it rests, and how it feels for the server."""

from __future__ import annotations

from ft_ops.archive.month.content import TABLES
from ft_ops.archive.run import rules_of
from ft_ops.archive.store.unit_lists import UNIT_LISTS
from ft_ops.pg.pace import Pace
from ft_ops.settings import Settings
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


def test_a_removal_has_a_share_of_its_own() -> None:
    rules = rules_of(Settings(archive_share_beside_others=0.1, purge_share_beside_others=0.5))
    assert (rules.share_beside_others, rules.limits.share_beside_others) == (0.1, 0.5)
