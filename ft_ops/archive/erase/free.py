"""That no hold is on what is about to be removed from a bucket, as long as that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ft_ops.archive.erase.held import refuse_unsearched, search_for_all
from ft_ops.archive.erase.plan import holds_on_erasure
from ft_ops.archive.hold.told import keep_out_holds
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.s3.bucket import Bucket


@contextmanager
def free_of_holds(run: Run, bucket: Bucket, generation: Generation) -> Iterator[Callable[[], None]]:
    """Refused while a hold is on what a generation holds; none is placed during the block.

    Who places one waits for its end, or is told who is at work. It gives what to call before each
    deletion: who ended our session, to place one, has ended this, too; and nothing more goes once
    something has come into a hold meanwhile. ``bucket`` has the lists beside the generation.
    """
    search_for_all(run, generation.name)
    with run.connection.transaction():
        keep_out_holds(run.connection)
        refuse_unsearched(run.connection, generation.name)
        holds = holds_on_erasure(run.connection, bucket, [generation])
        if holds:
            raise Refused(
                f"objects of {generation.name}",
                cause="; ".join(holds),
                next_step="they stay until the hold is released; nothing else has what they hold",
            )

        def go_on() -> None:
            keep_out_holds(run.connection)
            refuse_unsearched(run.connection, generation.name)

        yield go_on
