"""Deletes a batch's segments: what belongs to them alone, then their keys."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from ft_ops.archive.month.content import Content, Path
from ft_ops.archive.month.source import matches
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


def delete_belongings(
    connection: Connection, content: Content, ids: str, go_on: Callable[[], None]
) -> None:
    """Delete the rows that belong to one of these segments alone; ``ids`` is an array's text.

    In the snapshot of their comparison: a SerializationFailure when somebody has deleted or changed
    one since. Shared rows are left to the cascade: whoever deletes one leaves a tombstone.
    ``go_on`` is called before each statement.
    """
    for table in reversed(content.belongings):
        [path] = table.paths
        names = [f"p{number}" for number in range(1, len(path))] + ["s"]
        children = ["c", *names]
        go_on()
        connection.execute(
            statement("archive/delete_belongings").format(
                table=table.identifier,
                parents=sql.SQL(", ").join(
                    sql.SQL("{} AS {}").format(relation, sql.Identifier(name))
                    for relation, name in zip(_parents(content, path, ids), names, strict=True)
                ),
                matches=sql.SQL(" AND ").join(
                    matches(child, hop.columns, parent, hop.parent_columns)
                    for hop, child, parent in zip(path, children, names, strict=False)
                ),
            )
        )


def delete_keys(connection: Connection, month: Month, ids: str, go_on: Callable[[], None]) -> None:
    """Delete these segments' keys; what they are called stays taken.

    A UniqueViolation of ops.purged_segments when it was taken already, although the key was here.
    """
    names = statement("archive/delete_keys").format(
        ids=sql.Literal(ids), lower=sql.Literal(month.start), upper=sql.Literal(month.end)
    )
    with connection.cursor() as cursor:
        go_on()
        with cursor.copy(names) as gone:
            called = b"".join(gone)
        go_on()
        with cursor.copy(statement("archive/reserve_purged")) as reserved:
            reserved.write(called)


def _parents(content: Content, path: Path, ids: str) -> list[sql.Composable]:
    """The relations between a table and the batch's segments, and these."""
    by_id = path[-1].parent_columns == ("id",)
    batch = statement("archive/batch_ids") if by_id else statement("archive/batch_keys")
    above = [content[hop.parent].identifier for hop in path[:-1]]
    return [*above, batch.format(ids=sql.Literal(ids))]
