"""What a purge has left of a month whose generation another one has replaced since.

A database that was recovered to the middle of a purge has the month's table alone, and knows how
far that purge had come. Of a generation that an erasure has rewritten later no purge goes on: its
objects are gone. What is left of the rows becomes the month's next generation, as the rows of a
table do that no generation accounts for.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import month_table, open_archived
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.purge.proven import removed_units
from ft_ops.archive.purge.removal import Removal, forget_kept
from ft_ops.archive.purge.settle import SettledRemoval, settle
from ft_ops.archive.run import Run


def put_back_left(run: Run, generation: Generation, give_up: Callable[[], None]) -> None:
    """Attach what a purge has left; ``give_up`` takes its generation out, in that transaction."""
    # One that was left pending is finished; of any other there is nothing to do.
    detach_month(run.connection, ARCHIVED, generation.month, log=run.log, sleep=run.sleep)
    table = month_table(run.connection, generation)
    with removed_units(run, generation, table) as units:
        removal = Removal(
            generation.month,
            table,
            generation.require_content(),
            units,
            generation.purged,
            _no_batch,
            generation=generation.number,
        )

        def close(settled: SettledRemoval) -> None:
            forget_kept(run, removal)
            give_up()
            if settled.table is not None:
                open_archived(run.connection, generation.month, settled.table, run.run_id)

        settle(run, removal, generation.purged, close)


def _no_batch(through: UUID) -> None:
    raise AssertionError(f"nothing is removed here, and {through} is")
