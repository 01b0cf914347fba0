"""Takes a month from `archived` to `frozen`: export, proof and freeze, each where it is due."""

from __future__ import annotations

from ft_ops.archive.claims.claim import claim
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, supersede
from ft_ops.archive.month.states import TO_EXPORT, TO_FREEZE, TO_PROVE, UNFINISHED
from ft_ops.archive.proof.earlier import refuse_earlier
from ft_ops.archive.proof.proof import RowsDiffer, prove_month
from ft_ops.archive.run import Run
from ft_ops.archive.store.export import Rows, export_month
from ft_ops.archive.store.freeze import freeze_month
from ft_ops.archive.store.leftovers import Occupied
from ft_ops.archive.store.presence import gone_from
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Missing
from ft_ops.s3.objects import WrongContent

ATTEMPTS = 3
"""Exports in one run of a month that the application goes on editing."""


def archive_content(run: Run, generation: Generation, rows: Rows | None = None) -> Generation:
    """Do what is left to do for a generation, from wherever an earlier run got to.

    Its rows are the month's in the database, unless ``rows`` are given. A generation that fails its
    proof, or of which an object is gone before its rows have left the database, is given up: its
    objects stay as evidence, and the rows, which are all still there, are exported as the next one.
    At once when they were merely edited in between, when what a dead run wrote may not be removed,
    or when a frozen one is found not to be whole; in the next run, after an error that names it,
    when a stored object is damaged or gone in the middle of the work.
    """
    if generation.state == "archiving":
        raise Refused(
            f"archive of {generation.name}",
            cause="its move out of content_segments has begun and not ended",
            next_step="materialize archived_content_segments for this month",
        )
    if rows is None and generation.ledger == "archive" and generation.state in TO_EXPORT:
        refuse_earlier(run.connection, generation.month)
    if generation.state == "frozen" and (gone := gone_from(run.bucket, generation)):
        following = supersede(run.connection, generation, "; ".join(gone), run.run_id)
        run.log(f"{gone[0]}: its rows are exported again, as {following.name}")
        generation = following
    if generation.state in UNFINISHED:
        claim(run.folder, f"archive of {generation.name}")
    generation = _proven(run, generation, rows)
    if generation.state in TO_FREEZE:
        run.log(f"freezing {generation.name} to {run.rules.storage_class}")
        try:
            generation = freeze_month(run, generation)
        except Missing as error:
            raise _named(run, generation, error, "freeze") from error
    return generation


def _proven(run: Run, generation: Generation, rows: Rows | None) -> Generation:
    """Export and proof, as far as a generation has not come; exported again where that helps."""
    attempts = 0
    while generation.state in TO_EXPORT | TO_PROVE:
        try:
            if generation.state in TO_EXPORT:
                run.log(f"exporting {generation.name}")
                generation = export_month(run, generation, rows)
            run.log(f"proving {generation.name}")
            generation = (
                prove_month(run, generation, rows.source, is_live=rows.is_live)
                if rows
                else prove_month(run, generation)
            )
        except Occupied as error:
            generation = _give_up(run, generation, error)
            run.log(f"{error.cause}: it is exported as {generation.name}")
        except RowsDiffer as error:
            attempts += 1
            generation = _give_up(run, generation, error)
            if attempts == ATTEMPTS:
                raise
            run.log(f"{error.cause}: exporting it again, as {generation.name}")
        except (WrongContent, Missing) as error:
            raise _named(run, generation, error, "proof") from error
    return generation


def _named(run: Run, generation: Generation, error: OpsError, step: str) -> OpsError:
    """The error about a generation that is given up because of a stored object."""
    following = _give_up(run, generation, error)
    return OpsError(
        f"{step} of {generation.name}",
        cause=f"{error.what}: {error.cause}",
        next_step=f"materialize {generation.asset} again: it exports {following.name}; "
        "find out what damaged the first one",
    )


def _give_up(run: Run, generation: Generation, error: OpsError) -> Generation:
    """Supersede the generation as the ledger has it now: a step of it has begun."""
    known = generations(run.connection, generation.month, generation.ledger)
    current = next(g for g in known if g.number == generation.number)
    return supersede(run.connection, current, str(error), run.run_id)
