"""Applies tombstones and holds of the bucket to a database that was restored, or made anew.

A database that was recovered to a moment holds what was erased after it. The tombstones name it by
id, and it is deleted as it was then: by deleting the family, thread, book, segment or user itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.types.json import Jsonb

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import Table
from ft_ops.archive.month.source import key_text, place_text
from ft_ops.archive.recorded.records import Event
from ft_ops.errors import Refused
from ft_ops.items import Worked, each
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

_TABLES: Final = {
    "family": "families",
    "book": "memory_books",
    "thread": "threads",
    "segment": "content_segments",
    "user": "users",
}
"""What each kind of tombstone is of, in the order in which they go: users last, as owners."""


_HOLD: Final = ("placed_by", "reason", "month", "family_id", "book_id", "thread_id", "user_id")
"""What tells a hold from others, in whatever database, besides the moment of its placing."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was changed, or would be, in words; and the erased that could not be deleted."""

    changes: tuple[str, ...]
    erased: Worked[None]


def apply_events(
    connection: Connection, events: Sequence[Event], *, are_all: bool, apply: bool
) -> Applied:
    """Bring tombstones and holds of the bucket into a database, and delete what they name.

    Holds that were released go first and those that stand last: what was erased before one was
    placed is not held back by it. Without ``apply`` nothing but a temporary table is written.

    Unless these ``are_all`` events, nothing is deleted and nothing withdrawn: what could not be
    read may be the withdrawal of a tombstone, or the hold on what it names.
    """
    erased: Worked[None] = Worked((), ())
    with _staged(connection, events):
        changes: list[str] = []
        if are_all:
            changes += _released(connection, apply=apply)
            changes += _withdrawn(connection, apply=apply)
        changes += _tombstones(connection, apply=apply)
        if are_all:
            erased, lines = _delete_living(connection, apply=apply)
            changes += lines
            rows, lines = _delete_rows(connection, apply=apply)
            changes += lines
            erased = Worked(erased.done, (*erased.failed, *rows.failed))
        changes += _placed(connection, apply=apply)
        if are_all:
            changes += _unknown_to_bucket(connection, apply=apply)
    return Applied(tuple(changes), erased)


def living_erased(connection: Connection) -> dict[str, int]:
    """By kind, what the database has although a tombstone names it itself; empty if nothing."""
    rows = connection.execute(statement("archive/living_erased")).fetchall()
    found: dict[str, int] = {}
    for kind, _, _ in rows:
        found[kind] = found.get(kind, 0) + 1
    return found


@contextmanager
def _staged(connection: Connection, events: Sequence[Event]) -> Iterator[None]:
    """The events in temporary tables for a block; of each row the last thing that happened."""
    rows = {
        (event.record["table_name"], event.record["key"]): event
        for event in events
        if event.kind in {"erased_row", "returned_row"}
    }
    # Not by their numbers: two databases may have given the same one, and one hold two.
    holds = {
        # Not by the moment's text: it is that of the time zone of whoever wrote the record.
        (
            datetime.fromisoformat(event.record["placed_at"]),
            *(event.record.get(name) for name in _HOLD),
        ): event.record
        for event in events
        if event.kind == "hold"
    }
    known: dict[tuple[str, str], list[str]] = {}
    for event in events:
        if event.kind in {"erased_row", "returned_row"}:
            place = (event.record["table_name"], event.record["key"])
            known.setdefault(place, []).append(event.record["erased_at"])
    staged: dict[str, list[object]] = {
        # Before the erasures, which are told apart by them.
        "withdrawals": [
            dict(event.record) for event in events if event.kind == "withdrawn_erasure"
        ],
        "erasures": [dict(event.record) for event in events if event.kind == "erasure"],
        "rows": [
            {**event.record, "is_erased": event.kind == "erased_row", "known": known[place]}
            for place, event in rows.items()
        ],
        "holds": [dict(record) for record in holds.values()],
    }
    for name in staged:
        connection.execute(statement(f"archive/stage_{name}"))
    try:
        for name, records in staged.items():
            connection.execute(statement(f"archive/fill_{name}"), {"records": Jsonb(records)})
        yield
    finally:
        connection.execute(statement("archive/drop_staged"))


def _withdrawn(connection: Connection, *, apply: bool) -> Iterator[str]:
    for query, words in (
        ("withdrawals", "withdrawals of tombstones are adopted"),
        ("returned_rows", "tombstones of rows that came back are withdrawn"),
    ):
        number = _changed(connection, f"archive/adopt_{query}", apply=apply)
        if number:
            yield f"{number:,} {words}"


def _tombstones(connection: Connection, *, apply: bool) -> Iterator[str]:
    for query, words in (
        ("erasures", "tombstones of families, books, threads, users and segments are adopted"),
        ("erased_rows", "tombstones of single rows are adopted"),
    ):
        number = _changed(connection, f"archive/adopt_{query}", apply=apply)
        if number:
            yield f"{number:,} {words}"


def _delete_living(connection: Connection, *, apply: bool) -> tuple[Worked[None], list[str]]:
    """Delete what the tombstones name and the database has, each in a transaction of its own."""
    living = connection.execute(statement("archive/living_staged")).fetchall()
    order = list(_TABLES)
    living.sort(key=lambda row: order.index(row[0]))
    if not living or not apply:
        return Worked((), ()), [
            f"{kind} {found} was erased, and is deleted" for kind, found, _ in living
        ]

    def delete(row: tuple[str, object, object]) -> None:
        kind, found, month = row
        with connection.transaction():
            if kind == "segment":
                connection.execute(
                    statement("archive/delete_erased_segment"), {"id": found, "month": month}
                )
            else:
                connection.execute(
                    statement("archive/delete_erased").format(
                        table=sql.Identifier("public", _TABLES[kind])
                    ),
                    {"id": found},
                )
            write_audit(connection, "archive.erase_again", _TABLES[kind], {kind: str(found)})

    worked = each(living, delete, name=lambda row: f"erased {row[0]} {row[1]}")
    return worked, [f"{name} is deleted" for name, _ in worked.done]


def _delete_rows(connection: Connection, *, apply: bool) -> tuple[Worked[None], list[str]]:
    """Delete shared rows (links) that were deleted by themselves after the database's moment."""
    lines: list[str] = []

    def delete(table: Table) -> None:
        names = {
            "rows": table.identifier,
            "rows_name": sql.Literal(table.identifier.as_string(connection)),
            "name": sql.Literal(table.name),
            "key": key_text(table, "c"),
            "place": place_text(table, "c"),
        }
        if not apply:
            [[number]] = connection.execute(
                statement("archive/count_erased_rows").format(**names)
            ).fetchall()
        else:
            connection.execute(statement("archive/forget_places").format(**names))
            number = connection.execute(
                statement("archive/delete_erased_rows").format(**names)
            ).rowcount
        if number:
            lines.append(f"{number:,} rows of {table.name} were deleted, and are again")
        if apply:
            _refuse_held(connection, table, names)

    shared = [table for table in read_content(connection) if table.is_shared]
    return each(shared, delete, name=lambda table: f"erased rows of {table.name}"), lines


def _refuse_held(connection: Connection, table: Table, names: Mapping[str, sql.Composable]) -> None:
    held = connection.execute(statement("archive/held_erased_rows").format(**names)).fetchall()
    if held:
        key, hold = held[0]
        raise Refused(
            f"{len(held):,} rows of {table.name}, such as {key}",
            cause=f"they were erased, a recovery has brought them back, and legal hold {hold} is "
            "on them by now",
            next_step="ft-ops archive adopt --apply deletes them once the hold is released",
        )


def _released(connection: Connection, *, apply: bool) -> Iterator[str]:
    if connection.execute(statement("archive/released_elsewhere")).fetchone() == (0,):
        return
    number = _changed(connection, "archive/release_adopted", apply=apply, content_rests=True)
    if number:
        yield f"{number} holds are released, as they were"


def _placed(connection: Connection, *, apply: bool) -> Iterator[str]:
    number = _changed(connection, "archive/adopt_holds", apply=apply, content_rests=True)
    if number:
        yield f"{number} holds adopted"
        if apply:
            connection.execute(statement("archive/number_holds"))


def _unknown_to_bucket(connection: Connection, *, apply: bool) -> Iterator[str]:
    number = _changed(connection, "archive/ship_again", apply=apply)
    if number:
        yield f"{number:,} tombstones and holds are to be shipped to the bucket again"


def _changed(
    connection: Connection, query: str, *, apply: bool, content_rests: bool = False
) -> int:
    """Rows that a statement changes; without ``apply`` those that it would."""

    def change() -> int:
        with connection.transaction(force_rollback=not apply):
            # They lie in the bucket: nothing is to be shipped again.
            connection.execute("SET LOCAL ft_ops.adopts = 'on'")
            return connection.execute(statement(query)).rowcount

    if not content_rests:
        return change()
    return with_escalating_lock_timeout(connection, "adoption of holds", change)
