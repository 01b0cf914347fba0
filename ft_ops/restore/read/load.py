"""Takes a copy's rows, which come as text, into the types that the live table has today."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.failures import Failure, failures_among, is_about_rows
from ft_ops.restore.read.graph import SubjectColumn, SubjectTable

_ROUNDED: Final = re.compile(
    r"(smallint|integer|bigint|numeric|real|double|date|time(stamp)?|interval)\b"
)
"""Types that take a value of another one by rounding it."""


@dataclass(frozen=True, slots=True)
class Loading:
    """One table's rows on their way: ``name`` is that of the temporary table that takes them.

    ``columns`` are those that both sides have, and ``known`` what they are in the copy.
    """

    live: Connection
    table: SubjectTable
    name: str
    columns: Sequence[str]
    known: Mapping[str, SubjectColumn]

    @property
    def rows(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", self.name)

    @property
    def texts(self) -> sql.Identifier:
        """Takes whatever a copy has: every column as text, and the rows numbered."""
        return sql.Identifier("pg_temp", f"{self.name}_texts")

    @property
    def _shape(self) -> sql.Identifier:
        """A row of these columns as the live table has them."""
        return sql.Identifier("pg_temp", f"{self.name}_shape")

    def create(self) -> None:
        """Make the tables; what has no value in the copy is said of each row, by its key."""
        self.live.execute(
            statement("restore/create_rows").format(
                rows=sql.Identifier(self.name), table=self.table.identifier
            )
        )
        required = [column.name for column in self.table.columns.values() if column.not_null]
        if required:
            dropped = sql.SQL(", ").join(
                sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(name))
                for name in required
            )
            self.live.execute(sql.SQL("ALTER TABLE {} {}").format(self.rows, dropped))
        if self.columns:
            texts = sql.SQL(", ").join(
                sql.SQL("{} text").format(sql.Identifier(name)) for name in self.columns
            )
            self.live.execute(
                statement("restore/create_texts").format(
                    texts=sql.Identifier(f"{self.name}_texts"), columns=texts
                )
            )
            self.live.execute(
                statement("restore/create_shape").format(
                    shape=sql.Identifier(f"{self.name}_shape"),
                    columns=_listed(self.columns),
                    table=self.table.identifier,
                )
            )

    def take(self) -> None:
        """Read the texts as today's types, all rows of them that can be.

        One that can't, or that would get another value than the copy has, is *blocked*.
        """
        try:
            with self.live.transaction():
                self._take(None, None)
        except psycopg.Error as error:
            if not is_about_rows(error):
                raise
            last = one_row(
                self.live.execute(
                    sql.SQL("SELECT coalesce(max(ft_number), 0) FROM {}").format(self.texts)
                )
            )[0]
            for failure in failures_among(self.live, 1, int(last), self._take):
                why = failure.in_words(self._columns_that_fail(failure))
                self._block(failure, why)
        self._block_rounded()

    def _take(self, first: int | None, last: int | None) -> None:
        self.live.execute(
            statement("restore/take_texts").format(
                rows=self.rows,
                columns=_listed(self.columns),
                fields=sql.SQL(", ").join(
                    sql.SQL("(t.taken).{}").format(sql.Identifier(name)) for name in self.columns
                ),
                row=_row(self.columns, self.columns),
                texts=self.texts,
                shape=self._shape,
            ),
            {"first": first, "last": last},
        )

    def _columns_that_fail(self, rows: Failure) -> list[str]:
        """The columns of these rows that their types don't take; none where all of them do."""
        return [name for name in self.columns if not self._can_be_read(rows, [name])]

    def _can_be_read(self, rows: Failure, names: Sequence[str]) -> bool:
        query = sql.SQL(
            "SELECT count({}::text::{}) FROM {} AS t WHERE t.ft_number BETWEEN {} AND {}"
        ).format(
            _row(self.columns, names),
            self._shape,
            self.texts,
            sql.Literal(rows.first),
            sql.Literal(rows.last),
        )
        try:
            with self.live.transaction():
                self.live.execute(query)
        except psycopg.Error as error:
            if not is_about_rows(error):
                raise
            return False
        return True

    def _block(self, rows: Failure, why: str) -> None:
        """Keep the keys of rows that can't be read, as far as these can."""
        key = [name for name in self.table.key if name in self.columns]
        if not self._can_be_read(rows, key):
            key = []
        others = [
            column.name
            for column in self.table.columns.values()
            if column.name not in key and not column.is_generated
        ]
        nothing = sql.SQL(", ").join(sql.SQL("NULL") for _ in others)
        fields = [sql.SQL("(t.taken).{}").format(sql.Identifier(name)) for name in key]
        self.live.execute(
            statement("restore/block_texts").format(
                rows=self.rows,
                columns=_listed([*key, *others]),
                fields=sql.SQL(", ").join([*fields, nothing] if others else fields),
                row=_row(self.columns, key),
                texts=self.texts,
                shape=self._shape,
            ),
            {"first": rows.first, "last": rows.last, "why": why},
        )

    def _block_rounded(self) -> None:
        """What a number or a time of another type has taken by rounding is not the copy's."""
        for name in self.columns:
            now, then = self.table.columns[name].type, self.known[name].type
            if now == then or not (_ROUNDED.match(now) and _ROUNDED.match(then)):
                continue
            self.live.execute(
                statement("restore/block_rounded").format(
                    rows=self.rows,
                    texts=self.texts,
                    column=sql.Identifier(name),
                    type=sql.SQL(then),
                ),
                {"why": f"{name} would be rounded: it was {then}, and is {now} today"},
            )


def _listed(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _row(columns: Sequence[str], chosen: Sequence[str]) -> sql.Composable:
    """A row of texts, NULL in the columns that are not chosen."""
    return sql.SQL("ROW({})").format(
        sql.SQL(", ").join(
            sql.SQL("t.{}").format(sql.Identifier(name)) if name in chosen else sql.SQL("NULL")
            for name in columns
        )
    )
