"""Brings all generations of a month back together: of each segment, its newest version.

A segment and what belongs to it alone are one unit. Where two generations hold the same segment, it
was exported again because it had changed, and the newer one has all of it; a narration that only
the older one knows was deleted in between. A shared row (a link) is looked at by itself: a newer
generation that holds one of its ends and not the row does not mean that it was deleted, because it
may have left with its other end. What was deleted has a tombstone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import Content, Table
from ft_ops.archive.month.digest import differences, month_digests
from ft_ops.archive.month.evolution import (
    Becoming,
    Evolution,
    becoming,
    declaration,
    read_evolution,
    table_becoming,
)
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import newest_first
from ft_ops.archive.month.source import (
    Source,
    key_text,
    matches,
    rows_of,
    scratch_source,
    scratch_table,
)
from ft_ops.archive.proof.load import drop_scratch, loaded
from ft_ops.archive.run import Run
from ft_ops.archive.store.program import is_proven_by_values
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.partitions import kept_to_owner
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import WrongContent

AS_OF: Final = "_as_of"
"""The column of a merged shared row that says of when its version is."""

SEQUENCE: Final = "_sequence"
"""The column that says of which of two versions was read later; NULL: an earlier version's."""

KEY_THEN: Final = "_key_then"
"""The column of a merged shared row that has its key as tombstones of its day name it."""

_MERGED: Final = 0
"""The generation number that stands for all of them in a scratch table's name."""

_MOST_TABLES: Final = 100
"""Scratch tables of a dead run that are looked for: it may have known more tables than we do."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A month in scratch tables of today's columns."""

    content: Content
    source: Source


@contextmanager
def merged(run: Run, generations: Sequence[Generation], *, purpose: str) -> Iterator[Merged]:
    """The month that ``generations`` (of one month) add up to, in scratch tables for a block.

    Each generation is proven again: WrongContent names the table whose rows are not those of its
    certificate. Refused when its rows can't become rows of today's tables.
    """
    month = generations[0].month
    content = read_content(run.connection)
    evolution = read_evolution(run.connection)
    target = Merged(content, scratch_source(content, purpose, month, _MERGED))
    drop_merged(run.connection, month, purpose=purpose)
    try:
        for number, table in enumerate(content):
            _create(run.connection, scratch_table(purpose, month, _MERGED, number), table)
        for generation in newest_first(run.connection, generations):
            plan = plan_becoming(generation, content, evolution)
            with loaded(run, generation, purpose=purpose) as copy:
                refuse_unproven(run, generation, copy)
                _add(run, target, generation, copy, plan)
        yield target
    finally:
        drop_merged(run.connection, month, purpose=purpose)


def drop_merged(connection: Connection, month: Month, *, purpose: str) -> None:
    """Drop what a run left that died with its merged month in scratch tables, if one did."""
    [names] = connection.execute(
        statement("archive/merged_tables"),
        {"names": [scratch_table(purpose, month, _MERGED, n) for n in range(_MOST_TABLES)]},
    ).fetchall() or [([],)]
    drop_scratch(connection, names[0])


def plan_becoming(
    generation: Generation, today: Content, evolution: Evolution
) -> list[tuple[Table, Becoming | None]]:
    """How each table of a generation becomes one of today's; None if it was dropped meanwhile."""
    what = f"archive of {generation.name}"
    plan: list[tuple[Table, Becoming | None]] = []
    for archived in generation.require_content():
        as_of = generation.require_as_of()
        table = table_becoming(archived, today, evolution, as_of, what=what)
        if table is None:
            plan.append((archived, None))
            continue
        plan.append((archived, becoming(archived, table, evolution, as_of, what=what)))
    return plan


def _create(connection: Connection, name: str, table: Table) -> None:
    """Today's columns with their defaults, without constraints: each row is asked for these."""
    parts = [
        sql.SQL("{} {} {}").format(
            sql.Identifier(column.name),
            sql.SQL(column.type),
            sql.SQL("" if column.default is None else f"DEFAULT {column.default}"),
        )
        for column in table.stored
    ]
    if table.is_shared:
        parts.append(sql.SQL("{} timestamptz NOT NULL").format(sql.Identifier(AS_OF)))
        parts.append(sql.SQL("{} bigint").format(sql.Identifier(SEQUENCE)))
        parts.append(sql.SQL("{} text NOT NULL").format(sql.Identifier(KEY_THEN)))
    scratch = sql.Identifier("ops", name)
    connection.execute(
        statement("archive/create_scratch").format(
            scratch=scratch, columns=sql.SQL(", ").join(parts)
        )
    )
    connection.execute(kept_to_owner(scratch))


def refuse_unproven(run: Run, generation: Generation, copy: Source) -> None:
    """WrongContent unless the loaded rows are the proven ones.

    By the server's digest, or, where another major version may write a row's text otherwise, by the
    digest of the values.
    """
    problems = differences(
        generation.require_digests(),
        month_digests(run.connection, generation.require_content(), copy),
    )
    if problems and not is_proven_by_values(run, generation, copy):
        server = (generation.certificate or {}).get("software", {})
        raise WrongContent(
            f"archive of {generation.name}",
            cause=f"{'; '.join(problems)} (proven by {server})",
            next_step="if the server's major version differs and the archive has no digest of its "
            "values, load it into one of that version; the objects' SHA-256 agree with the "
            "certificate",
        )


def _add(
    run: Run,
    target: Merged,
    generation: Generation,
    copy: Source,
    plan: Sequence[tuple[Table, Becoming | None]],
) -> None:
    """Add what no newer generation has; children first, while their segments tell that."""
    with run.connection.transaction():
        for archived, becomes in reversed(plan):
            if becomes is None:
                run.log(f"{archived.name} was dropped: its rows stay in {generation.name}")
                continue
            with _explained(generation, becomes.table):
                run.connection.execute(_addition(target, generation, archived, becomes, copy))
    for table in target.content:
        run.connection.execute(
            statement("archive/analyze_units").format(units=target.source[table.name])
        )


@contextmanager
def _explained(generation: Generation, today: Table) -> Iterator[None]:
    """Refused where an archived value is none of today's type, with what to declare."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise Refused(
            f"archive of {generation.name}",
            cause=f"a value of {today.name} is none of its column's type now: "
            f"{str(error).splitlines()[0]}",
            next_step="let a migration declare in ops.column_changes what such values become: "
            f"{declaration(today.name, '…', 'value', '…an SQL expression…')}; or, if today's "
            "column only has the name of an earlier one, "
            f"{declaration(today.name, '…', 'dropped', '')}",
        ) from error


def _addition(
    target: Merged, generation: Generation, archived: Table, becomes: Becoming, copy: Source
) -> sql.Composed:
    today = becomes.table
    columns = [sql.Identifier(name) for name in becomes.columns]
    values = list(becomes.values)
    if today.is_shared:
        columns.append(sql.Identifier(AS_OF))
        values.append(sql.Literal(generation.require_as_of()))
        columns.append(sql.Identifier(SEQUENCE))
        values.append(sql.SQL("{}::bigint").format(sql.Literal(generation.sequence)))
        columns.append(sql.Identifier(KEY_THEN))
        values.append(key_text(archived, "c", from_text=True))
        # By today's key, from columns that may have had other names.
        part = sql.SQL("{} AS c").format(copy[archived.name])
        known = dict(zip(becomes.columns, becomes.values, strict=True))
        newer = sql.SQL(" AND ").join(
            sql.SQL("newer.{} = {}").format(sql.Identifier(name), known[name]) for name in today.key
        )
        newer_rows = target.source[today.name]
    else:
        part = (
            rows_of(archived, copy) if archived.paths else sql.SQL("{} AS c").format(copy.segments)
        )
        newer = matches("s" if archived.paths else "c", ["id"], "newer", ["id"])
        newer_rows = target.source.segments
    return statement("archive/add_to_merged").format(
        merged=target.source[today.name],
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(values),
        part=part,
        newer_rows=newer_rows,
        newer=newer,
    )
