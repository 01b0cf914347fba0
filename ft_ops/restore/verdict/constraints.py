"""What today's constraints and legal holds say of rows that are about to be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.failures import is_about_rows
from ft_ops.restore.read.graph import SEGMENTS, USERS
from ft_ops.restore.read.rows import Copied, listed
from ft_ops.restore.read.sides import Side
from ft_ops.restore.verdict.keep_out import keep_out, keep_out_each


@dataclass(frozen=True, slots=True)
class _Unique:
    name: str
    expressions: list[str]
    predicate: str | None
    nulls_are_equal: bool


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    expression: str


_BY = (
    "EXISTS (SELECT FROM ops.held_subjects AS h WHERE h.kind = 'user' AND h.whole AND h.id = l.{})"
)
_PARTY = "EXISTS (SELECT FROM ops.held_subjects AS h WHERE h.kind = '{}' AND h.id = l.id)"
_HOLD_ON: Final = {
    USERS: _PARTY.format("user"),
    "public.families": _PARTY.format("family"),
    "public.memory_books": "ops.hold_on_book(l.id, l.family_id, l.created_by) IS NOT NULL",
    "public.threads": "coalesce(ops.hold_on_thread(l.id, l.memory_book_id, l.started_by),"
    " ops.hold_within_thread(l.id)) IS NOT NULL",
    SEGMENTS: "ops.hold_on_segment(l.id, l.created_at, l.thread_id, l.user_id) IS NOT NULL",
    "public.photo_narrations": "(ops.hold_on_key(l.content_segment_id) IS NOT NULL OR "
    + _BY.format("created_by")
    + ")",
    "public.content_tags": "(ops.hold_on_key(l.content_segment_id) IS NOT NULL OR "
    + _BY.format("tagged_by")
    + ")",
    "public.content_links": "(ops.hold_on_key(l.source_segment_id) IS NOT NULL"
    " OR ops.hold_on_key(l.target_segment_id) IS NOT NULL OR " + _BY.format("created_by") + ")",
}


def keep_out_rivals(connection: Connection, copied: Copied) -> None:
    """Rows whose place somebody else has taken: a number, an address, any unique value."""
    with connection.cursor(row_factory=class_row(_Unique)) as cursor:
        cursor.execute(statement("restore/uniques"), {"table": copied.table.quoted})
        uniques = cursor.fetchall()
    for unique in uniques:
        names = [sql.Identifier(f"k{place}") for place in range(len(unique.expressions))]
        values = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.SQL(text), name)
            for text, name in zip(unique.expressions, names, strict=True)
        )
        where = sql.SQL(unique.predicate or "true")
        equal = "{0} IS NOT DISTINCT FROM {1}" if unique.nulls_are_equal else "{0} = {1}"
        pairs = sql.SQL(" AND ").join(
            sql.SQL(equal).format(sql.SQL("l.{}").format(n), sql.SQL("v.{}").format(n))
            for n in names
        )
        condition = sql.SQL(
            "EXISTS (SELECT FROM (SELECT {values} FROM (SELECT c.*) AS own WHERE {where}) AS v"
            " JOIN (SELECT {keys}, {values} FROM {live} WHERE {where}) AS l ON {pairs}"
            " WHERE NOT ({same_key}))"
        ).format(
            values=values,
            where=where,
            keys=listed(copied.table.key),
            live=copied.table.identifier,
            pairs=pairs,
            same_key=copied.same_key(),
        )
        with _left_to_the_writes(connection):
            keep_out(
                connection, copied, "conflict", f"{unique.name}: another row has it now", condition
            )
    if copied.table.name == SEGMENTS:
        keep_out(
            connection,
            copied,
            "conflict",
            "its number in the thread is another segment's now",
            sql.SQL(
                "EXISTS (SELECT FROM content_segment_keys AS k"
                " WHERE k.thread_id = c.thread_id"
                " AND k.sequence_number = c.sequence_number AND k.id <> c.id)"
            ),
        )


def keep_out_refused(connection: Connection, copied: Copied) -> None:
    """Rows that today's constraints don't take."""
    with connection.cursor(row_factory=class_row(_Check)) as cursor:
        cursor.execute(statement("restore/checks"), {"table": copied.table.quoted})
        checks = cursor.fetchall()
    reasons: list[tuple[str, sql.Composable]] = [
        (
            f"{column.name} must be set today, and the copy has nothing for it",
            sql.SQL("{} IS NULL").format(sql.Identifier("c", column.name)),
        )
        for column in copied.table.columns.values()
        if column.not_null
        and not column.is_generated
        # What was numbered by nobody yet, the database numbers.
        and (column.name in copied.columns or not column.identity)
    ]
    reasons += [
        (
            f"{check.name} refuses it today",
            sql.SQL("NOT (SELECT ({}) FROM (SELECT c.*) AS own)").format(sql.SQL(check.expression)),
        )
        for check in checks
    ]
    try:
        with connection.transaction():
            keep_out_each(connection, copied, "blocked", reasons)
    except psycopg.Error as error:
        if not is_about_rows(error):
            raise
        for why, condition in reasons:
            with _left_to_the_writes(connection):
                keep_out(connection, copied, "blocked", why, condition)


@contextmanager
def _left_to_the_writes(connection: Connection) -> Iterator[None]:
    """A question that some row makes fail is not asked: the row's own write will tell."""
    try:
        with connection.transaction():
            yield
    except psycopg.Error as error:
        if not is_about_rows(error):
            raise


def keep_out_held(live: Side, copied: Copied) -> None:
    """Changed rows that a legal hold keeps as they are."""
    later = sql.SQL("ops.hold_on_row({}::regclass, to_jsonb(l)) IS NOT NULL").format(
        sql.Literal(copied.table.quoted)
    )
    known = _HOLD_ON.get(copied.table.name)
    hold = later if known is None else sql.SQL(known)
    keep_out(
        live.connection,
        copied,
        "changed",
        "it is under a legal hold",
        sql.SQL("c.ft_state = 'changed' AND EXISTS (SELECT FROM {} AS l WHERE {} AND {})").format(
            live.rows(copied.table, tuple(copied.table.columns)),
            copied.same_key(),
            hold,
        ),
    )
