"""Which table holds a month's rows: by its identity in the catalog, whatever it is called.

A month's partition may bear any name, and stands alone between two parents, and while it is
removed. The ledger records who it is before it is detached, so that the next run finds that table
and no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.archive.month.content import ARCHIVED, archived_name
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Recorded:
    """A table as the ledger names it: its oid, and its qualified name at that time."""

    oid: int
    name: str

    @property
    def bare(self) -> str:
        """Its name without the schema."""
        return self.name.rpartition(".")[2].strip('"')


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the catalog has it now. ``parent`` is None while it stands alone.

    ``follows_deletes``: a row that is deleted from it takes its key along without a parent.
    """

    oid: int
    schema: str
    name: str
    qualified: str
    parent: str | None
    is_detaching: bool
    follows_deletes: bool

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def recorded(self) -> Recorded:
        return Recorded(self.oid, self.qualified)


def attached_relation(connection: Connection, parent: str, month: Month) -> Relation | None:
    """The partition of ``parent`` that holds ``month``, also while its detach is pending."""
    with connection.cursor(row_factory=class_row(Relation)) as cursor:
        return cursor.execute(
            statement("archive/attached_relation"),
            {"parent": parent, "lower": month.start, "upper": month.end},
        ).fetchone()


def recorded_relation(connection: Connection, what: str, recorded: Recorded) -> Relation:
    """The table that the ledger recorded; Refused when no table is it beyond doubt.

    Its oid says who it is. Of a database that was dumped and restored the oids are others: then
    its name does, if it has the trigger that it got before it was detached.
    """
    with connection.cursor(row_factory=class_row(Relation)) as cursor:
        found = cursor.execute(
            statement("archive/recorded_relation"), {"oid": recorded.oid, "name": recorded.name}
        ).fetchall()
    for relation in found:
        is_both = (relation.oid, relation.qualified) == (recorded.oid, recorded.name)
        if is_both or relation.follows_deletes:
            return relation
    raise Refused(
        what,
        cause=f"the ledger says that its rows are in {recorded.name} (oid {recorded.oid}), and "
        + ("that is another table now" if found else "there is no such table"),
        next_step="find out who renamed, replaced or dropped it; nothing was changed",
    )


def archived_relation(
    connection: Connection, month: Month, recorded: Recorded | None, *, what: str
) -> Relation | None:
    """The table of an archived month, attached or alone; None when the database has none of it.

    Without a record (months that stood alone when the ledger kept none) a table alone is known by
    its name. Refused when another table is attached while the recorded one stands alone: somebody
    has put it in the other's place. Of a database that was dumped and restored the record has an
    oid of no month at all.
    """
    attached = attached_relation(connection, ARCHIVED, month)
    if attached is not None:
        if recorded is not None and recorded.oid != attached.oid:
            _refuse_swapped(connection, attached, recorded, what)
        return attached
    if recorded is not None:
        return recorded_relation(connection, what, recorded)
    return named_relation(connection, archived_name(month))


def _refuse_swapped(
    connection: Connection, attached: Relation, recorded: Recorded, what: str
) -> None:
    alone = connection.execute(
        statement("archive/stands_elsewhere"), {"oid": recorded.oid}
    ).fetchone()
    if alone is not None:
        raise Refused(
            what,
            cause=f"the ledger says that its rows are in the table with oid {recorded.oid}, which "
            f"is called {alone[0]} and stands alone, and {attached.qualified} is attached in its "
            "place",
            next_step="see what both hold, and attach the one with the rows again; nothing was "
            "changed",
        )


def require_archived(
    connection: Connection, month: Month, recorded: Recorded | None, *, what: str
) -> Relation:
    """The table of an archived month; Refused when the database has none of it."""
    found = archived_relation(connection, month, recorded, what=what)
    if found is None:
        raise Refused(
            what,
            cause=f"{archived_name(month)} does not exist",
            next_step="find out who dropped or renamed it; nothing was changed",
        )
    return found


def named_relation(connection: Connection, name: str, *, schema: str = "public") -> Relation | None:
    """A table by its schema and name, attached or not."""
    with connection.cursor(row_factory=class_row(Relation)) as cursor:
        return cursor.execute(
            statement("archive/named_relation"), {"schema": schema, "name": name}
        ).fetchone()


def dependents(connection: Connection, table: Relation) -> list[str]:
    """What prevents the DROP of a table, such as a view that reads it, in words for a message."""
    found = connection.execute(statement("archive/dependents"), {"oid": table.oid}).fetchall()
    return [f"{dependent} goes by {table.qualified}" for (dependent,) in found]
