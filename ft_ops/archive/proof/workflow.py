"""Takes a month from `archived` to `frozen`: export, proof and freeze, each where it is due."""

from __future__ import annotations

from collections.abc import Callable

from ft_ops.archive.month.content import Source
from ft_ops.archive.month.ledger import Generation, generations, supersede
from ft_ops.archive.proof.proof import RowsDiffer, prove_month
from ft_ops.archive.store.export import ArchiveTarget, export_month
from ft_ops.archive.store.freeze import Lock, freeze_month
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Missing
from ft_ops.s3.objects import WrongContent

ATTEMPTS = 3
"""Exports in one run of a month that the application goes on editing."""


def archive_content(
    connection: Connection,
    url: str,
    target: ArchiveTarget,
    generation: Generation,
    *,
    storage_class: str,
    lock: Lock | None,
    source: Source | None = None,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
) -> Generation:
    """Do what is left to do for a generation, from wherever an earlier run got to.

    ``source`` is the month in the database unless it is given. A generation that fails its proof
    is given up: its objects stay as evidence, and the rows, which are all still in the database,
    are exported as the next one. At once when they were merely edited in between; in the next run,
    after an error that names it, when a stored object is damaged.
    """
    if generation.state == "archiving":
        raise Refused(
            f"archive of {generation.name}",
            cause="its move out of content_segments has begun and not ended",
            next_step="materialize archived_content_segments for this month",
        )
    for attempt in range(1, ATTEMPTS + 1):
        if generation.state in {"archived", "exporting"}:
            log(f"exporting {generation.name}")
            generation = export_month(
                connection, url, target, generation, source=source, run_id=run_id, log=log
            )
        if generation.state not in {"exported", "proving"}:
            break
        log(f"proving {generation.name}")
        try:
            generation = prove_month(
                connection, url, target, generation, source=source, run_id=run_id, log=log
            )
        except RowsDiffer as error:
            generation = _give_up(connection, generation, error, run_id)
            if attempt == ATTEMPTS:
                raise
            log(f"{error.cause}: exporting it again, as {generation.name}")
        except (WrongContent, Missing) as error:
            following = _give_up(connection, generation, error, run_id)
            raise OpsError(
                f"proof of {generation.name}",
                cause=f"{error.what}: {error.cause}",
                next_step=f"materialize content_archive again: it exports {following.name}; "
                "find out what damaged the first one",
            ) from error
    if generation.state in {"proven", "freezing"}:
        log(f"freezing {generation.name} to {storage_class}")
        generation = freeze_month(
            connection,
            target.bucket,
            target.prefix,
            generation,
            storage_class=storage_class,
            lock=lock,
            run_id=run_id,
            log=log,
        )
    return generation


def _give_up(
    connection: Connection, generation: Generation, error: OpsError, run_id: str
) -> Generation:
    """Supersede the generation as the ledger has it now: its proof has begun."""
    current = next(
        g for g in generations(connection, generation.month) if g.number == generation.number
    )
    return supersede(connection, current, str(error), run_id)
