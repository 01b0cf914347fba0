"""What the bucket records of the audit log's months, and how a database learns it from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from psycopg.types.json import Jsonb

from ft_ops.archive.audit.months import AUDIT_LOG, LEDGER, audit_run
from ft_ops.archive.claims.claim import claim
from ft_ops.archive.keep.adopt import Adoption, adopt
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.relation import Relation, attached_relation
from ft_ops.archive.month.states import month_words
from ft_ops.archive.recorded.records import (
    Document,
    GenerationRecord,
    Records,
    generation_document,
    put_document,
    read_records,
)
from ft_ops.archive.run import Run
from ft_ops.errors import OpsError
from ft_ops.items import Failed, Worked, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement


def record_audit_generations(run: Run) -> Worked[str]:
    """Write each row of the ledger that has changed since it was written; their names and states.

    One that can't be written is named, and stops no other.
    """
    waiting = [
        (record, generation_document(run.target.prefix, record))
        for record in _unrecorded(run.connection)
    ]
    try:
        if waiting:
            claim(run.folder, "records of the audit log", [document.key for _, document in waiting])
    except OpsError as error:
        failed = Failed("records of the audit log", f"{error.what}: {error.cause}", error.next_step)
        return Worked((), (failed,))
    return each(
        waiting,
        lambda found: _record(run, *found),
        name=lambda found: f"record of {month_words(found[0].month, LEDGER)} in the bucket",
        log=run.log,
    )


def unrecorded_months(connection: Connection) -> set[Month]:
    """The months of which a proof or a purge is in this database alone."""
    return {record.month for record in _unrecorded(connection)}


def _unrecorded(connection: Connection) -> list[GenerationRecord]:
    rows = connection.execute(statement("archive/unrecorded_audit_generations")).fetchall()
    return [GenerationRecord(Month.of(month), *others) for month, *others in rows]


def _record(run: Run, record: GenerationRecord, document: Document) -> str:
    put_document(run.bucket, document)
    run.connection.execute(
        statement("archive/record_audit_bucket"),
        {
            "month": record.month.first_day,
            "generation": record.generation,
            "updated_at": record.updated_at,
        },
    )
    return f"{record.name}: {record.row['state']}"


@dataclass(frozen=True, slots=True)
class _Moments:
    """When a generation's row changed last, and which of its changes the bucket should have."""

    updated_at: datetime
    recorded_at: datetime | None


_Known: TypeAlias = Mapping[tuple[Month, int], _Moments]


def adopt_audit(run: Run, *, apply: bool, disown: Sequence[int] = ()) -> Worked[tuple[str, ...]]:
    """Bring the bucket's rows of the ledger into a database that lacks them, month by month.

    Where the month's partition is there the newest generation is taken to be its archive: before a
    purge its rows are compared with that proof. Else it is in the bucket alone. What another has
    replaced is so here, too; and what the bucket has lost of this ledger is recorded again.
    """
    records = read_records(run.target, disown)
    moments = {
        (Month.of(month), number): _Moments(*found)
        for month, number, *found in run.connection.execute(
            statement("archive/audit_moments")
        ).fetchall()
    }
    months = {month for month, _ in (*records.generations, *moments)}
    worked = each(
        sorted(months - records.unread_months.keys()),
        lambda month: tuple(_adopt_month(run, month, records, moments, apply=apply)),
        name=lambda month: f"adoption of {month_words(month, LEDGER)}",
        log=run.log,
    )
    unread = (*records.unread_months.values(), *records.foreign)
    return Worked(worked.done, (*worked.failed, *unread))


def adopt_both(
    run: Run,
    audit_retention_years: int,
    *,
    apply: bool,
    disown: Sequence[int] = (),
    take_over: bool = False,
) -> Adoption:
    """Bring the ledgers of both archives, of segments and of the audit log, into this database.

    While it only looks, one that can't be compared at all is a problem, and does not hide the
    other. With ``apply`` nothing of the audit log is adopted where the first is refused.
    """

    def segments() -> Adoption:
        return adopt(run, apply=apply, disown=disown, take_over=take_over)

    def audit_log() -> Adoption:
        audit = audit_run(run, audit_retention_years)
        worked = adopt_audit(audit, apply=apply, disown=disown)
        lines = tuple(line for lines in worked.results for line in lines)
        return Adoption(lines, worked.failed)

    failed: tuple[Failed, ...] = ()
    if apply:
        adopted = [segments(), audit_log()]
    else:
        _ = run.target  # an archive that can't be reached is told once
        worked = each(
            (("the archive", segments), ("the audit log's archive", audit_log)),
            lambda ledger: ledger[1](),
            name=lambda ledger: f"adoption of {ledger[0]}",
            log=run.log,
            usable=lambda: takes_statements(run.connection),
        )
        adopted, failed = worked.results, worked.failed
    return Adoption(
        tuple(line for done in adopted for line in done.changes),
        (*(problem for done in adopted for problem in done.problems), *failed),
        next((done.empty for done in adopted if done.empty), ""),
    )


def _adopt_month(
    run: Run, month: Month, records: Records, moments: _Known, *, apply: bool
) -> Iterator[str]:
    what = month_words(month, LEDGER)
    with only_one(run.connection, f"archive {what}") if apply else nullcontext():
        known = {g.number: g for g in generations(run.connection, month, LEDGER)}
        mine = [records.generations[key] for key in sorted(records.generations) if key[0] == month]
        replaced = {
            record.generation for record in mine if _is_replaced(record, known, records, moments)
        }
        stands = (
            g.is_in_database and g.proven_at and g.number not in replaced for g in known.values()
        )
        free = None if any(stands) else attached_relation(run.connection, AUDIT_LOG, month)
        for record in reversed(mine):
            generation = known.get(record.generation)
            if record.generation in replaced:
                yield f"audit log of {record.name} is brought up to date: superseded"
                if apply:
                    _supersede(run.connection, record)
            elif generation is None or generation.proven_at is None:
                row = _adopted(record, free)
                free = free if row["state"] == "superseded" else None
                yield f"audit log of {record.name} is adopted: {row['state']}"
                if apply:
                    _write(run.connection, record, row)
        for number in _lost(month, records, moments):
            yield f"{what} generation {number} is to be recorded in the bucket again"
            if apply:
                place = {"month": month.first_day, "generation": number}
                run.connection.execute(statement("archive/forget_audit_record"), place)


def _is_replaced(
    record: GenerationRecord,
    known: Mapping[int, Generation],
    records: Records,
    moments: _Known,
) -> bool:
    """Whether the bucket knows that another generation has taken over, and this database does not.

    Only where the bucket has that other one, too: else its rows might be nowhere else.
    """
    place = (record.month, record.generation)
    return (
        record.row["state"] == "superseded"
        and place in moments
        and known[record.generation].state != "superseded"
        and record.updated_at > moments[place].updated_at
        and (record.month, record.row["replaced_by"]) in records.generations
    )


def _lost(month: Month, records: Records, moments: _Known) -> Iterator[int]:
    """The generations that were recorded in the bucket once, and are not there now."""
    for place, known in moments.items():
        record = records.generations.get(place)
        if (
            place[0] == month
            and known.recorded_at is not None
            and (record is None or record.updated_at < known.recorded_at)
        ):
            yield place[1]


def _adopted(record: GenerationRecord, free: Relation | None) -> dict[str, Any]:
    """A record as a row of this ledger, in the state that it has here; ``free``: its table."""
    row = {**record.row, "month": str(record.month.first_day), "recorded_at": None}
    if row["state"] == "superseded":
        return row
    if free is None:
        return {**row, "state": "purged"}
    state = "proven" if row["state"] == "proven" else "frozen"
    return {**row, "state": state, "relation": free.oid, "relation_name": free.qualified}


def _write(connection: Connection, record: GenerationRecord, row: Mapping[str, Any]) -> None:
    with connection.transaction():
        place = {"month": record.month.first_day, "generation": record.generation}
        connection.execute(statement("archive/forget_audit_generation"), place)
        connection.execute(statement("archive/adopt_audit_generation"), {"row": Jsonb(dict(row))})


def _supersede(connection: Connection, record: GenerationRecord) -> None:
    connection.execute(
        statement("archive/supersede_audit_generation"),
        {
            "month": record.month.first_day,
            "generation": record.generation,
            "objects": Jsonb(record.row["objects"]),
            "leftovers": Jsonb(record.row["leftovers"]),
            "replaced_by": record.row["replaced_by"],
            "superseded_at": record.row["superseded_at"],
        },
    )
