"""What a restore would do, or did: counts, reasons and a sample of each table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.rows import Copied
from ft_ops.restore.read.sides import Side
from ft_ops.restore.subject import Decisions, Subject
from ft_ops.restore.verdict.judge import Tombstone

SAMPLE: Final = 5
"""Rows of each state that a plan shows of a table, by their keys alone."""

_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row: its state, its key, and why it is kept out, if it is."""

    state: str
    key: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows of a state are kept out, and how many of them."""

    state: str
    why: str
    rows: int


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table. ``states``: how many rows the copy has in each of them.

    missing: not in the database, and inserted; same; changed since; conflict: its place is taken;
    erased: a tombstone forbids it; archived: in the archive alone; removed: a membership or an
    invitation that was taken away since; blocked: for another reason.
    """

    table: str
    states: Mapping[str, int]
    inserts: int
    overwrites: int
    reasons: tuple[Reason, ...]
    samples: tuple[SampleRow, ...]
    lost_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """The difference between a copy and the live database, for one subject.

    ``deletions`` are the tombstones that keep rows out, unless they are among ``withdrawn``.
    ``media`` are the URLs that inserted rows name: nothing here brings their objects back.
    ``not_compared`` are tables that can't be: of the copy alone, or without a primary key.
    """

    subject: Subject
    source: str
    tables: tuple[TablePlan, ...]
    deletions: tuple[Tombstone, ...]
    withdrawn: tuple[Tombstone, ...]
    media: tuple[str, ...]
    not_compared: tuple[str, ...]
    applied: bool
    digest: str
    """Of all that was decided, row by row: who agrees to a plan names it."""

    @property
    def inserts(self) -> int:
        return sum(table.inserts for table in self.tables)

    @property
    def overwrites(self) -> int:
        return sum(table.overwrites for table in self.tables)

    @property
    def rows(self) -> int:
        """How many rows of the subject the copy has."""
        return sum(sum(table.states.values()) for table in self.tables)

    def count(self, state: str) -> int:
        """The rows of a state, of all tables."""
        return sum(table.states.get(state, 0) for table in self.tables)


def table_plan(connection: Connection, copied: Copied, copy_columns: frozenset[str]) -> TablePlan:
    """What was decided about the rows of one table."""
    counts = connection.execute(
        statement("restore/count_states").format(rows=copied.rows)
    ).fetchall()
    chosen = {state: writes for state, _, writes in counts}
    return TablePlan(
        table=copied.table.name.removeprefix("public."),
        states={state: rows for state, rows, _ in counts},
        inserts=chosen.get("missing", 0),
        overwrites=chosen.get("changed", 0),
        reasons=tuple(
            Reason(*row)
            for row in connection.execute(statement("restore/reasons").format(rows=copied.rows))
        ),
        samples=tuple(
            SampleRow(*row)
            for row in connection.execute(
                statement("restore/sample_states").format(rows=copied.rows, key=_key(copied)),
                {"sample": SAMPLE},
            )
        ),
        lost_columns=tuple(sorted(copy_columns - copied.table.columns.keys())),
    )


def plan_digest(
    live: Side, subject: Subject, source: str, decisions: Decisions, copied: Mapping[str, Copied]
) -> str:
    """16 hexadecimal digits of what was decided about every row, before anything is written.

    They change with the copy, with the decisions, with any row's state, and with what stands now
    in place of a row that is to be overwritten.
    """
    decided: list[object] = [
        str(subject),
        source,
        decisions.overwrite_changed,
        sorted(map(str, decisions.mistakes)),
        decisions.removed_members,
    ]
    for name, rows in sorted(copied.items()):
        columns = tuple(dict.fromkeys((*rows.table.key, *rows.compared)))
        found = live.connection.execute(
            statement("restore/digest_rows").format(
                rows=rows.rows,
                live=live.rows(rows.table, columns),
                same_key=rows.same_key(),
                key=_key(rows),
            )
        ).fetchone()
        decided.append([name, *map(str, found or ())])
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:_DIGITS]


def refuse_another_plan(plan: RestorePlan, agreed: str) -> None:
    """Refused when a plan was agreed to and today's is another one."""
    if agreed and agreed != plan.digest:
        counts = "; ".join(
            f"{table.table}: {table.inserts} to insert, {table.overwrites} to overwrite"
            for table in plan.tables
            if table.inserts or table.overwrites
        )
        raise Refused(
            f"restore of {plan.subject}",
            cause=f"the plan {agreed} was agreed to, and today's is {plan.digest}: the copy, the "
            f"choices or the rows in the database are others now ({plan.source}; "
            f"{counts or 'nothing to write'})",
            next_step="only compare again, read that plan, and name its digest; name the backup by "
            "--at where a newer one was taken meanwhile. Nothing was changed",
        )


def _key(copied: Copied) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier("c", name)) for name in copied.table.key
    )


def named_media(connection: Connection, copied: Mapping[str, Copied]) -> tuple[str, ...]:
    """The URLs in rows that are inserted, sorted, each once."""
    found: set[str] = set()
    for rows in copied.values():
        for column in rows.media:
            is_list = rows.table.columns[column].type == "text[]"
            value = sql.SQL("unnest(c.{})" if is_list else "c.{}").format(sql.Identifier(column))
            query = sql.SQL(
                "SELECT {} FROM {} AS c WHERE c.ft_writes AND c.ft_state = 'missing'"
            ).format(value, rows.rows)
            found.update(url for (url,) in connection.execute(query) if url)
    return tuple(sorted(found))
