"""Where a month's rows are: the live tables, or scratch tables into which an archive was loaded.

The same statements read both. A `Source` names a relation, or a parenthesized query, for each table
of content; the functions here put them together along the foreign keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from ft_ops.archive.month.content import HOT, KEYS, Content, Path, Table, hot_name
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row


@dataclass(frozen=True, slots=True)
class Source:
    """Table of content → the relation that holds its rows."""

    relations: Mapping[str, sql.Composable]
    first: str = HOT
    """The table whose rows all others belong to: of content, the segments."""

    def __getitem__(self, table: str) -> sql.Composable:
        return self.relations[table]

    @property
    def segments(self) -> sql.Composable:
        return self.relations[self.first]

    def with_segments(self, relation: sql.Composable) -> Source:
        """The same, but for the segments."""
        return Source({**self.relations, self.first: relation}, self.first)


def live_source(content: Content, segments: sql.Composable) -> Source:
    """A month in the database: the table of its segments, and what belongs to it among all others'.

    The month's own table is named, not its parent: a snapshot that has not touched the parent may
    see a partition vanish from it, and COPY refuses a partitioned table.
    """
    others = {table.name: table.identifier for table in content.tables[1:]}
    first = content.segments.name
    return Source({first: segments, **others}, first)


def hot_source(content: Content, month: Month) -> Source:
    """The month in the database while it is a partition of content_segments."""
    return live_source(content, sql.Identifier("public", hot_name(month)))


def scratch_table(purpose: str, month: Month, generation: int, part: str | int) -> str:
    """``proof_2017_03_gen1_02``: a scratch table's name in the schema ops."""
    shown = f"{part:02d}" if isinstance(part, int) else part
    return f"{purpose}_{month.suffix}_gen{generation}_{shown}"


def scratch_source(content: Content, purpose: str, month: Month, generation: int) -> Source:
    """The scratch tables into which one generation was loaded, numbered as in ``content``."""
    return Source(
        {
            table.name: sql.Identifier("ops", scratch_table(purpose, month, generation, number))
            for number, table in enumerate(content)
        },
        content.segments.name,
    )


def rows_of(table: Table, source: Source) -> sql.Composed:
    """``FROM`` for rows that belong to one segment each: the row is c, its segment s.

    Of the segments themselves the row is s.
    """
    if not table.paths:
        return sql.SQL("{} AS s").format(source.segments)
    [path] = table.paths
    return joined(source[table.name], path, source)


def alias_of(table: Table) -> str:
    """The name that `rows_of` gives a table's row."""
    return "c" if table.paths else "s"


def joined(rows: sql.Composable, path: Path, source: Source) -> sql.Composed:
    """``FROM`` for rows c and the segments s that they reach by one path."""
    parts: list[sql.Composable] = [sql.SQL("{} AS c").format(rows)]
    child = "c"
    for number, hop in enumerate(path, start=1):
        is_last = hop.parent == KEYS
        parent = "s" if is_last else f"p{number}"
        parts.append(
            sql.SQL("JOIN {} AS {} ON {}").format(
                source.segments if is_last else source[hop.parent],
                sql.Identifier(parent),
                matches(child, hop.columns, parent, hop.parent_columns),
            )
        )
        child = parent
    return sql.SQL(" ").join(parts)


def matches(
    left: str, left_columns: Iterable[str], right: str, right_columns: Iterable[str]
) -> sql.Composed:
    """``right.a = left.b AND …``."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(right, theirs), sql.Identifier(left, ours))
        for ours, theirs in zip(left_columns, right_columns, strict=True)
    )


def ends_of(table: Table, source: Source) -> sql.Composed:
    """A query for every segment that a shared table's rows reach.

    Its columns are the row's key as k1, k2, …, then segment_id and thread_id.
    """
    keys = sql.SQL(", ").join(
        sql.SQL("c.{} AS {}").format(sql.Identifier(column), sql.Identifier(name))
        for column, name in zip(table.key, key_names(table), strict=True)
    )
    return sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, s.id AS segment_id, s.thread_id FROM {}").format(
            keys, joined(source[table.name], path, source)
        )
        for path in table.paths
    )


def key_names(table: Table) -> list[str]:
    """``k1, k2, …``: what `ends_of` calls the columns of a table's key."""
    return [f"k{number}" for number in range(1, len(table.key) + 1)]


def key_text(
    table: Table, alias: str, *, key: tuple[str, ...] | None = None, from_text: bool = False
) -> sql.Composed:
    """A row's key, or another one, as the text that a tombstone has for it: ``["6c0d7f2a-…"]``.

    With ``from_text`` columns that are archived as text are still that.
    """
    as_text = {column.name: column for column in table.columns if column.as_text and from_text}
    columns = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Identifier(alias, name), sql.SQL(as_text[name].type))
        if name in as_text
        else sql.Identifier(alias, name)
        for name in key or table.key
    )
    return sql.SQL("jsonb_build_array({})::text").format(columns)


def place_text(table: Table, alias: str, key: sql.Composable | None = None) -> sql.Composed:
    """A row's key, as text, and what it belongs to, as the tombstone of a place names it.

    One that was moved to other segments is not deleted, and is no longer where it was.
    """
    ends = {name for path in table.paths for name in path[0].columns}
    return sql.SQL("({}::jsonb || jsonb_build_object('at', jsonb_build_array({})))::text").format(
        key_text(table, alias) if key is None else key,
        sql.SQL(", ").join(
            sql.Identifier(alias, column.name) for column in table.columns if column.name in ends
        ),
    )


def named_keys(table: Table) -> sql.Composed:
    """``k1, k2``."""
    return sql.SQL(", ").join(map(sql.Identifier, key_names(table)))


def has_rows_of(connection: Connection, table: Table, source: Source) -> bool:
    """Whether a table has a row that belongs to one of the segments, by any of its paths."""
    rows = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT FROM {}").format(joined(table.identifier, path, source))
        for path in table.paths
    )
    return bool(one_row(connection.execute(sql.SQL("SELECT EXISTS ({})").format(rows)))[0])
