"""Brings a purged month of the audit log back: into a partition of audit_log, for a time.

Its archive stays its proof. When its days are over it is purged again like any other month, if its
rows are still the proven ones; else they are exported first, as the next generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg import sql

from ft_ops.archive.audit.months import AUDIT_LOG, LEDGER, audit_content
from ft_ops.archive.copies.read import Answer, LocatedCopy, answer, ask, locate
from ft_ops.archive.month.evolution import becoming, read_evolution
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, in_database
from ft_ops.archive.month.relation import Relation, attached_relation
from ft_ops.archive.month.states import month_words
from ft_ops.archive.proof.load import loaded
from ft_ops.archive.run import Run
from ft_ops.archive.thaw.merge import refuse_unproven
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.glacier import Tier

MARGIN_DAYS = 2
"""Days that Glacier's readable copies outlast the request: a load may be retried in them."""


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """A month that is in the database again: how many of its rows were not there before."""

    month: Month
    rows: int


def purged_generations(connection: Connection, month: Month) -> list[Generation]:
    """What the archive alone holds of a month, oldest first; Refused when that is nothing."""
    known = generations(connection, month, LEDGER)
    purged = [generation for generation in known if generation.state == "purged"]
    if not purged:
        raise Refused(
            f"thaw of {month_words(month, LEDGER)}",
            cause=f"its newest generation is {known[-1].state}"
            if known
            else "it was never archived",
            next_step="its rows are in the database: look in audit_log",
        )
    return purged


def ask_for_audit_month(run: Run, month: Month, *, days: int, tier: Tier) -> None:
    """Note that a purged month is to come back for so many days, and ask Glacier for it.

    Also asks again for an object whose readable copy has expired before it was loaded.
    """
    newest = purged_generations(run.connection, month)[-1]
    run.connection.execute(statement("archive/ask_audit_month"), {**_key(newest), "days": days})
    for copy in _copies(run, month):
        ask(copy, days=days + MARGIN_DAYS, tier=tier)


def asked_audit_months(connection: Connection) -> Mapping[Month, int]:
    """The months that are to come back, with their days."""
    rows = connection.execute(statement("archive/asked_audit_months")).fetchall()
    return {Month.of(month): days for month, days in rows}


def answer_of_glacier(run: Run, month: Month) -> Answer:
    """What Glacier has made of the request for a month."""
    return answer(_copies(run, month))


def _copies(run: Run, month: Month) -> list[LocatedCopy]:
    return [
        locate(run.target, item.stored)
        for generation in purged_generations(run.connection, month)
        for item in generation.parts()
    ]


def bring_back(run: Run, month: Month, *, days: int) -> BroughtBack:
    """Load a month whose objects are readable; run again after a crash, it goes on.

    Each generation is proven again before its rows come. A row that is there already stays as it
    is: the newest generation comes first. The caller holds the month's advisory lock.
    """
    connection = run.connection
    purged = purged_generations(connection, month)
    standing = in_database(connection, month, LEDGER)
    if standing is not None and standing.state == "purging":
        raise Refused(
            f"thaw of {month_words(month, LEDGER)}",
            cause=f"{standing.name} is being purged, and its table stands alone",
            next_step="run archive_audit_log, which finishes that, then ask for the month again",
        )
    ensure_months(connection, AUDIT_LOG, [month], log=run.log, sleep=run.sleep)
    table = attached_relation(connection, AUDIT_LOG, month)
    assert table is not None
    rows = sum(_insert(run, generation, table) for generation in reversed(purged))
    with connection.transaction():
        connection.execute(
            statement("archive/keep_audit_month"),
            {
                **_key(standing or purged[-1]),
                "relation": table.oid,
                "relation_name": table.qualified,
                "until": run.clock() + timedelta(days=days),
            },
        )
        connection.execute(statement("archive/answer_audit_month"), {"month": month.first_day})
        write_audit(connection, "archive.thaw", table.name, {"month": str(month), "rows": rows})
    return BroughtBack(month, rows)


def _insert(run: Run, generation: Generation, table: Relation) -> int:
    today, evolution = audit_content(run.connection).segments, read_evolution(run.connection)
    archived = generation.require_content().segments
    as_of = generation.require_as_of()
    becomes = becoming(archived, today, evolution, as_of, what=f"thaw of {generation.name}")
    with loaded(run, generation, purpose="thaw") as copy:
        refuse_unproven(run, generation, copy)
        return run.connection.execute(
            statement("archive/insert_audit_rows").format(
                table=table.identifier,
                columns=_names(becomes.columns),
                values=sql.SQL(", ").join(becomes.values),
                rows=copy.segments,
            )
        ).rowcount


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _key(generation: Generation) -> dict[str, object]:
    return {"month": generation.month.first_day, "generation": generation.number}
