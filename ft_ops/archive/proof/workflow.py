"""Takes a month from `archived` to `frozen`: export, proof and freeze, each where it is due."""

from __future__ import annotations

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, supersede
from ft_ops.archive.month.states import TO_EXPORT, TO_FREEZE, TO_PROVE
from ft_ops.archive.proof.proof import RowsDiffer, prove_month
from ft_ops.archive.run import Run
from ft_ops.archive.store.export import Rows, export_month
from ft_ops.archive.store.freeze import freeze_month
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Missing
from ft_ops.s3.objects import WrongContent

ATTEMPTS = 3
"""Exports in one run of a month that the application goes on editing."""


def archive_content(run: Run, generation: Generation, rows: Rows | None = None) -> Generation:
    """Do what is left to do for a generation, from wherever an earlier run got to.

    Its rows are the month's in the database, unless ``rows`` are given. A generation that fails its
    proof is given up: its objects stay as evidence, and the rows, which are all still there, are
    exported as the next one. At once when they were merely edited in between; in the next run,
    after an error that names it, when a stored object is damaged.
    """
    if generation.state == "archiving":
        raise Refused(
            f"archive of {generation.name}",
            cause="its move out of content_segments has begun and not ended",
            next_step="materialize archived_content_segments for this month",
        )
    for attempt in range(1, ATTEMPTS + 1):
        if generation.state in TO_EXPORT:
            run.log(f"exporting {generation.name}")
            generation = export_month(run, generation, rows)
        if generation.state not in TO_PROVE:
            break
        run.log(f"proving {generation.name}")
        try:
            generation = prove_month(run, generation, rows.source if rows else None)
        except RowsDiffer as error:
            generation = _give_up(run, generation, error)
            if attempt == ATTEMPTS:
                raise
            run.log(f"{error.cause}: exporting it again, as {generation.name}")
        except (WrongContent, Missing) as error:
            following = _give_up(run, generation, error)
            raise OpsError(
                f"proof of {generation.name}",
                cause=f"{error.what}: {error.cause}",
                next_step=f"materialize content_archive again: it exports {following.name}; "
                "find out what damaged the first one",
            ) from error
    if generation.state in TO_FREEZE:
        run.log(f"freezing {generation.name} to {run.rules.storage_class}")
        generation = freeze_month(run, generation)
    return generation


def _give_up(run: Run, generation: Generation, error: OpsError) -> Generation:
    """Supersede the generation as the ledger has it now: its proof has begun."""
    current = next(
        g for g in generations(run.connection, generation.month) if g.number == generation.number
    )
    return supersede(run.connection, current, str(error), run.run_id)
