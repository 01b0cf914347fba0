"""The audit log's months as what the archive's steps act on, and who decides that one is due.

A month of audit_log is exported and proven where it is: its rows are written once and never
changed. It leaves its parent only to be purged, in one go: the digest of all its rows, taken again
under a lock, is the proven one, or none of them goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Final

from psycopg import sql

from ft_ops.archive.hold.holds import LegalHold, active_holds
from ft_ops.archive.month.catalog import describe_table
from ft_ops.archive.month.content import Content
from ft_ops.archive.month.digest import differences, month_digests
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import begin_generation, finish, in_database, record_relation
from ft_ops.archive.month.relation import (
    Recorded,
    Relation,
    attached_relation,
    named_relation,
    recorded_relation,
)
from ft_ops.archive.month.source import Source
from ft_ops.archive.month.states import Ledger, month_words
from ft_ops.archive.move.preflight import due_on
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.run import ArchiveTarget, Run
from ft_ops.archive.store.export import Rows
from ft_ops.archive.store.layout import audit_prefix
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

AUDIT_LOG: Final = "audit_log"
LEDGER: Final[Ledger] = "audit_archive"


def audit_run(run: Run, retention_years: int) -> Run:
    """The same run, whose folder and retention are the audit log's."""

    @cache
    def target() -> ArchiveTarget:
        archive = run.target
        return replace(archive, prefix=audit_prefix(archive.prefix), folder=archive.root)

    rules = replace(
        run.rules,
        retention_years=retention_years,
        retention_setting="FT_AUDIT_RETENTION_YEARS",
    )
    return replace(run, open_target=target, rules=rules)


def due_audit_months(connection: Connection, retention_years: int, now: datetime) -> list[Month]:
    """The months of audit_log whose time has come, oldest first."""
    months = {p.month for p in partitions_of(connection, AUDIT_LOG) if p.month is not None}
    return sorted(month for month in months if due_on(month, retention_years) <= now)


def archived_audit_months(connection: Connection) -> frozenset[Month]:
    """The months whose rows are in the archive, and not, or not all of them, in audit_log."""
    rows = connection.execute(statement("archive/audit_months_away"))
    return frozenset(Month.of(month) for (month,) in rows)


def archive_audit_month(run: Run, month: Month) -> Generation:
    """Take a due month to `frozen`, from wherever an earlier run got to; its rows stay.

    Refused when it is not due, or when the database has nothing of it. A month whose purge has
    begun is left to that. The caller holds the month's advisory lock.
    """
    generation = in_database(run.connection, month, LEDGER)
    if generation is None:
        generation = _open(run, month)
    if generation.state == "purging":
        return generation
    return archive_content(run, generation, live_rows(run, table_of(run, generation)))


def _open(run: Run, month: Month) -> Generation:
    due = due_on(month, run.rules.retention_years)
    table = attached_relation(run.connection, AUDIT_LOG, month)
    if due > run.clock() or table is None:
        raise Refused(
            f"archive of {month_words(month, LEDGER)}",
            cause="audit_log has no partition of that month"
            if table is None
            else f"it is not due before {due:%Y-%m-%d}, by FT_AUDIT_RETENTION_YEARS="
            f"{run.rules.retention_years}",
            next_step="check the month; SELECT * FROM ops.audit_archive_status has what was done",
        )
    with run.connection.transaction():
        generation = begin_generation(run.connection, month, run.run_id, ledger=LEDGER)
        generation = record_relation(run.connection, generation, table.recorded)
        return finish(run.connection, generation, "archived")


def table_of(run: Run, generation: Generation) -> Relation:
    """The table that holds a month's rows, attached or alone; Refused when it is gone.

    Which one is attached decides: what is in it is compared with the proof before any of it goes.
    """
    attached = attached_relation(run.connection, AUDIT_LOG, generation.month)
    if attached is not None:
        return attached
    what = f"archive of {generation.name}"
    if generation.relation is None:
        raise Refused(
            what,
            cause="audit_log has no partition of that month, and the ledger names no table",
            next_step="find out who detached or dropped it; nothing was changed",
        )
    try:
        return recorded_relation(run.connection, what, generation.relation)
    except Refused:
        if (found := _known_by_its_rows(run, generation, generation.relation)) is None:
            raise
        return found


def _known_by_its_rows(run: Run, generation: Generation, recorded: Recorded) -> Relation | None:
    """The table alone that is called as recorded, if its rows are the proven ones; else None.

    Of a database that was dumped and restored in the middle of a purge the oids are others.
    """
    found = named_relation(run.connection, recorded.bare)
    if found is None or found.parent is not None:
        return None
    content = generation.require_content()
    its = describe_table(run.connection, found.oid)
    if {(c.name, c.type) for c in its.stored} != {
        (c.name, c.type) for c in content.segments.stored
    }:
        return None
    digests = month_digests(run.connection, content, source_of(content, found))
    return None if differences(generation.require_digests(), digests) else found


def live_rows(run: Run, table: Relation) -> Rows:
    """A month in the database, as the steps read it."""
    content = audit_content(run.connection)
    return Rows(content, source_of(content, table), None)


def audit_content(connection: Connection) -> Content:
    """What the audit log is today: one table, to which nothing belongs."""
    [[oid]] = connection.execute(statement("archive/oid_of"), {"table": AUDIT_LOG}).fetchall()
    return Content((describe_table(connection, oid),))


def source_of(content: Content, table: Relation) -> Source:
    """Where the rows of a month are in the database."""
    name = content.segments.name
    return Source({name: table.identifier}, name)


def holds_on_audit(connection: Connection, month: Month, table: Relation) -> Sequence[LegalHold]:
    """The holds that keep a month in the database.

    Its own; those on users, and on families by their members, who acted in it; and those on what
    its rows name.
    """
    held = active_holds(connection)
    if not held:
        return []
    query = statement("archive/holds_on_audit_rows").format(rows=table.identifier)
    ids = {hold_id for (hold_id,) in connection.execute(query)}
    return [hold for hold in held if hold.month == month.first_day or hold.id in ids]


def kept_until(connection: Connection, generation: Generation) -> datetime | None:
    """Until when a month that was brought back stays; None: it was not."""
    [[until]] = connection.execute(
        statement("archive/audit_kept_until"),
        {"month": generation.month.first_day, "generation": generation.number},
    ).fetchall()
    moment: datetime | None = until
    return moment


def bounds_of(table: Relation, month: Month) -> dict[str, sql.Composable]:
    """What attaches a month's table to its parent again."""
    return {
        "archived": table.identifier,
        "parent": sql.Identifier(AUDIT_LOG),
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }
