"""Adds in a thaw what segments lack that a recovery has brought back as they were earlier."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from psycopg import sql

from ft_ops.archive.month.catalog import uniques_of
from ft_ops.archive.month.content import Table
from ft_ops.archive.month.source import key_text, matches, rows_of
from ft_ops.archive.month.thaws import Thaw
from ft_ops.archive.run import Run
from ft_ops.archive.thaw.conditions import (
    FALSE,
    parents_hold,
    references_hold,
    stored_names,
    values_of,
    violation,
)
from ft_ops.archive.thaw.left_out import LeftOut
from ft_ops.archive.thaw.merge import Merged
from ft_ops.pg.sqlfiles import statement


def bring_earlier(
    run: Run,
    thaw: Thaw,
    merged: Merged,
    left_out: LeftOut,
    conflict: Callable[[Table], sql.Composable],
) -> None:
    """Add what segments lack that a recovery has brought back as they were earlier."""
    left: set[UUID] = set()
    for table in merged.content.belongings:
        own = list(dict.fromkeys([*table.key, *table.paths[0][0].columns]))
        names = {
            "live": table.identifier,
            "rows": rows_of(table, merged.source),
            "table": sql.Literal(table.name),
            "key": key_text(table, "c"),
            "references": sql.SQL("({} AND {})").format(
                references_hold(table, "c"), parents_hold(table, merged.content, "c")
            ),
            "known": _is_known(run, table),
        }
        [[known]] = run.connection.execute(
            statement("archive/thaw_earlier_known").format(**names)
        ).fetchall()
        if known:
            run.log(
                f"{known:,} rows of {table.name} stay in the archive alone: a recovery had "
                "brought back the rows that they stand in place of"
            )
        came = run.connection.execute(
            statement("archive/thaw_earlier_rows").format(
                columns=stored_names(table),
                values=values_of(table, "c"),
                violation=violation(table, "c"),
                conflict=conflict(table),
                **names,
            )
        ).rowcount
        if came:
            run.log(
                f"{came:,} rows of {table.name} come back to segments that a recovery had "
                "brought back without them"
            )
        stay = run.connection.execute(
            statement("archive/thaw_earlier_left").format(
                matches=matches("c", own, "live", own), **names
            )
        ).fetchall()
        if stay:
            segments = [str(segment) for (segment,) in stay]
            left_out.tell(table, "they do not fit today's table; of these segments", segments)
        left.update(segment for (segment,) in stay)
    run.connection.execute(
        statement("archive/forget_earlier").format(
            month=sql.Literal(thaw.month.first_day), left=sql.Literal(sorted(left))
        )
    )


def _is_known(run: Run, table: Table) -> sql.Composable:
    """Whether what a row belongs to has one in the database that it can't stand beside.

    An application that deletes a tag and sets it anew makes another row of the same tag.
    """
    belongs = set(table.paths[0][0].columns)
    found = [
        sql.SQL("EXISTS (SELECT FROM {} AS live WHERE {})").format(
            table.identifier, matches("c", columns, "live", columns)
        )
        for columns in uniques_of(run.connection, table)
        if belongs <= set(columns)
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(found)) if found else FALSE
