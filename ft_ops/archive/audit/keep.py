"""What the bucket records of the audit log's months, and how a database learns it from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

from psycopg.types.json import Jsonb

from ft_ops.archive.audit.months import AUDIT_LOG, LEDGER
from ft_ops.archive.keep.records import GenerationRecord, Records, put_generation, read_records
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.month.states import month_words
from ft_ops.archive.run import Run
from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement


def record_audit_generations(run: Run) -> Worked[str]:
    """Write each row of the ledger that has changed since it was written; their names and states.

    One that can't be written is named, and stops no other.
    """
    return each(
        _unrecorded(run.connection),
        lambda record: _record(run, record),
        name=lambda record: f"record of {month_words(record.month, LEDGER)} in the bucket",
        log=run.log,
    )


def unrecorded_months(connection: Connection) -> set[Month]:
    """The months of which a proof or a purge is in this database alone."""
    return {record.month for record in _unrecorded(connection)}


def _unrecorded(connection: Connection) -> list[GenerationRecord]:
    rows = connection.execute(statement("archive/unrecorded_audit_generations")).fetchall()
    return [GenerationRecord(Month.of(month), *others) for month, *others in rows]


def _record(run: Run, record: GenerationRecord) -> str:
    put_generation(run.bucket, run.target.prefix, record)
    run.connection.execute(
        statement("archive/record_audit_bucket"),
        {
            "month": record.month.first_day,
            "generation": record.generation,
            "updated_at": record.updated_at,
        },
    )
    return f"{record.name}: {record.row['state']}"


def adopt_audit(run: Run, *, apply: bool) -> Worked[tuple[str, ...]]:
    """Bring the bucket's rows of the ledger into a database that lacks them, month by month.

    Where the month's partition is there the newest generation is taken to be its archive: before a
    purge its rows are compared with that proof. Else it is in the bucket alone.
    """
    records = read_records(run.bucket, run.target.prefix)
    worked = each(
        sorted({month for month, _ in records.generations} - records.unread_months.keys()),
        lambda month: tuple(_adopt_month(run, month, records, apply=apply)),
        name=lambda month: f"adoption of {month_words(month, LEDGER)}",
        log=run.log,
    )
    unread = (*records.unread_months.values(), *records.foreign)
    return Worked(worked.done, (*worked.failed, *unread))


def _adopt_month(run: Run, month: Month, records: Records, *, apply: bool) -> Iterator[str]:
    what = month_words(month, LEDGER)
    with only_one(run.connection, f"archive {what}") if apply else nullcontext():
        known = {g.number: g for g in generations(run.connection, month, LEDGER)}
        table = attached_relation(run.connection, AUDIT_LOG, month)
        free = None if any(g.is_in_database and g.proven_at for g in known.values()) else table
        for key in sorted((key for key in records.generations if key[0] == month), reverse=True):
            record = records.generations[key]
            mine = known.get(record.generation)
            if mine is not None and mine.proven_at is not None:
                continue
            state = str(record.row["state"])
            row = {**record.row, "month": str(month.first_day), "recorded_at": None}
            if state != "superseded":
                row["state"] = state if state == "proven" and free else "frozen"
                if free is None:
                    row["state"] = "purged"
                else:
                    row |= {"relation": free.oid, "relation_name": free.qualified}
                free = None
            yield f"audit log of {record.name} is adopted: {row['state']}"
            if apply:
                with run.connection.transaction():
                    place = {"month": month.first_day, "generation": record.generation}
                    run.connection.execute(statement("archive/forget_audit_generation"), place)
                    run.connection.execute(
                        statement("archive/adopt_audit_generation"), {"row": Jsonb(row)}
                    )
