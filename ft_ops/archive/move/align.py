"""A table that stands alone while its parent's columns change, and follows them afterwards."""

from __future__ import annotations

from ft_ops.archive.month.relation import Relation
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


def shared_columns(
    connection: Connection, table: Relation, parent: str, *, what: str
) -> tuple[str, ...]:
    """The columns by which rows of ``table`` become rows of ``parent``.

    Columns that the parent got meanwhile take their defaults, and what it dropped is dropped.
    Refused when it has both: then a column may have been renamed, and would come out empty.
    """
    own = _columns(connection, table.oid)
    [[oid]] = connection.execute(statement("archive/oid_of"), {"table": parent}).fetchall()
    wanted = _columns(connection, oid)
    gone, new = own - wanted, wanted - own
    if gone and new:
        raise Refused(
            what,
            cause=f"{table.qualified} has {_listed(gone)}, and {parent} has {_listed(new)} "
            "instead: a column may have been renamed",
            next_step=f"rename the column of {table.qualified} as the parent's was, or drop it if "
            "it was dropped there, and run again",
        )
    return tuple(sorted(own & wanted))


def _columns(connection: Connection, relation: int) -> frozenset[str]:
    rows = connection.execute(statement("archive/stored_columns"), {"relation": relation})
    return frozenset(name for (name,) in rows)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
