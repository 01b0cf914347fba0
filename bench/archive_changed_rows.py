"""What a month that people look at costs: its changed rows go to Glacier again, not the month.

One segment in a hundred is viewed between the proof and the purge. The purge removes the others,
and what stays is exported, proven and frozen as the next generation. The bytes are those of the
objects that go to Glacier, where each object is billed for at least 180 days.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench._archive import bench_run, rely_on_a_backup
from bench.frame import BenchContext, Result, seconds
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.move.move import move_month
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge.purge import Purge, plan_purge, purge_month
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.pg.connect import connect

GOAL = 0.05
VIEWED = (
    # Some have none, and stay as they are by adding to it.
    "UPDATE archived_content_segments SET view_count = coalesce(view_count, 0) + 1"
    " WHERE mod(hashtext(id::text), 100) = 0"
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    month = template.first
    size = f"{template.segments_per_month:,} segments in the month"
    with context.clone(template) as url, connect(url, application="bench") as connection:
        steps = bench_run(connection, url, context.bucket)
        proven = archive_content(steps, move_month(steps, month).generation)
        viewed = connection.execute(VIEWED).rowcount
        rely_on_a_backup(connection, month)
        done: list[Purge] = []
        took = seconds(
            lambda: done.append(purge_month(steps, plan_purge(steps, proven), throttle_of(steps)))
        )
        [purge] = done
        assert not purge.stopped, purge.stopped
        assert purge.next is not None
        assert purge.kept == viewed, f"{purge.kept} segments were kept, {viewed} were viewed"
        again = archive_content(steps, purge.next)
        yield Result(
            name="archive_changed_rows",
            work="bytes that are written to Glacier again of a month of which 1 % was viewed",
            against="the month's bytes",
            unit="MB",
            ours=_frozen_bytes(again) / 1e6,
            reference=_frozen_bytes(proven) / 1e6,
            goal=GOAL,
            n=1,
            spread=0.0,
            size=size,
            note=f"{purge.kept:,} segments viewed; {purge.segments / took:,.0f} segments purged a "
            "second",
        )


def _frozen_bytes(generation: Generation) -> int:
    """Of what lies in Glacier's class; the lists and the manifest stay in STANDARD."""
    return sum(item.stored.bytes for item in generation.parts())
