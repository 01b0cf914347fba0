"""Ships what the bucket has to know: tombstones and holds as they are made, the ledger's rows.

A record leaves ops.unshipped_records when the object that holds it is written, by its id. Killed in
between, the next run writes it once more, which readers pass over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ft_ops.archive.claims.claim import claim, require_folder
from ft_ops.archive.recorded.records import (
    Event,
    GenerationRecord,
    events_document,
    generation_document,
    put_document,
)
from ft_ops.archive.run import Run
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement

BATCH: Final = 10_000
"""Events in one object: 2 MB at most."""

LONGEST_WAIT: Final = timedelta(hours=1)
"""How old a record may be that is in this database alone: four runs of the job have missed it."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a run has written to the bucket.

    ``waited_seconds``: for how long the oldest of it was in this database alone. A disaster in that
    time would have brought back what was erased.
    """

    events: int
    generations: tuple[str, ...]
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Unshipped:
    """How many records only this database has, and since when; None if there are none."""

    records: int
    since: datetime | None


def ship_records(run: Run) -> Shipped:
    """Write what is not in the bucket yet; one run at a time, by the database that claims it."""
    number = 0
    generations: list[str] = []
    with only_one(run.connection, "archive records"):
        _begin_folder(run)
        since = unshipped(run.connection).since
        while True:
            events, rows = _ship_some(run)
            if not events and not rows:
                break
            number += events
            generations += rows
    waited = 0.0 if since is None else (run.clock() - since).total_seconds()
    return Shipped(number, tuple(generations), max(waited, 0.0))


def _begin_folder(run: Run) -> None:
    """Let everything be shipped again where the bucket or its folder is another one than before.

    What was shipped is in the one before, which nobody may look into when this is the one that is
    named. Where nothing was noted (records of earlier versions) it is this one.
    """
    here = (run.bucket.name, run.target.prefix)
    with run.connection.transaction():
        known = run.connection.execute(statement("archive/records_folder")).fetchone()
        if known == here:
            return
        # By this row a database knows later that it has recorded here.
        require_folder(run.folder, removes=False)
        if known is not None:
            run.log(f"records were in {known[0]}, below {known[1]}, so far: all of them come here")
            run.connection.execute(statement("archive/record_everything_again"))
            run.connection.execute(statement("archive/forget_shipped_generations"))
            run.connection.execute(statement("archive/forget_audit_records"))
        run.connection.execute(
            statement("archive/record_folder"), {"bucket": here[0], "prefix": here[1]}
        )


def unshipped(connection: Connection) -> Unshipped:
    """What the next run would ship, and how long its oldest has waited."""
    [[records, since]] = connection.execute(statement("archive/count_unshipped")).fetchall()
    return Unshipped(records, since)


def _ship_some(run: Run) -> tuple[int, list[str]]:
    """Ship a batch of events and the ledger's rows under one claim; nothing where none waits."""
    prefix = run.target.prefix
    rows = run.connection.execute(
        statement("archive/unshipped_records"), {"limit": BATCH}
    ).fetchall()
    batch = [Event(kind, at, record) for _, kind, record, at in rows]
    events = [events_document(prefix, batch)] if batch else []
    records = [
        GenerationRecord(Month.of(month), *others)
        for month, *others in run.connection.execute(
            statement("archive/unshipped_generations")
        ).fetchall()
    ]
    documents = [generation_document(prefix, record) for record in records]
    keys = [document.key for document in (*events, *documents)]
    if not keys:
        return 0, []
    claim(run.folder, "records", keys)
    for document in events:
        put_document(run.bucket, document)
        run.connection.execute(
            statement("archive/forget_shipped"), {"ids": [row[0] for row in rows]}
        )
        run.log(f"{len(rows):,} tombstones and holds are in {run.bucket.url(document.key)}")
    shipped = []
    for record, document in zip(records, documents, strict=True):
        put_document(run.bucket, document)
        run.connection.execute(
            statement("archive/record_shipped"),
            {
                "month": record.month.first_day,
                "generation": record.generation,
                "updated_at": record.updated_at,
            },
        )
        run.log(f"{record.name} is recorded as {record.row['state']}")
        shipped.append(f"{record.name}: {record.row['state']}")
    return len(rows), shipped
