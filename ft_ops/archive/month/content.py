"""What a month's content is: its segments, and every narration, tag and link that belongs to one.

All four are addressed through a `Source`, so that the same statements read the live tables and
the scratch tables into which an archive was loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

TABLES: Final = ("content_segments", "photo_narrations", "content_tags", "content_links")
"""In the order in which a load must insert them."""

HOT: Final = "content_segments"
ARCHIVED: Final = "archived_content_segments"


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalog has it; ``type`` is format_type's spelling."""

    name: str
    type: str
    not_null: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Where a month's rows are: a relation, or a parenthesized query, for each of the tables."""

    segments: sql.Composable
    narrations: sql.Composable
    tags: sql.Composable
    links: sql.Composable

    def relations(self) -> dict[str, sql.Composable]:
        """By the names that the statements in sql/archive use."""
        return {
            "segments": self.segments,
            "narrations": self.narrations,
            "tags": self.tags,
            "links": self.links,
        }


def hot_name(month: Month) -> str:
    """``content_segments_2017_03``: the month's partition while the application writes to it."""
    return f"{HOT}_{month.suffix}"


def archived_name(month: Month) -> str:
    """``archived_content_segments_2017_03``: its name from the day it left the hot table."""
    return f"{ARCHIVED}_{month.suffix}"


def live_source(segments: sql.Composable) -> Source:
    """A month in the database: the table of its segments, and its children among all others'.

    The partition is named, not its parent: a snapshot that has not touched the parent may see a
    partition vanish from it, and COPY refuses a partitioned table.
    """
    return Source(
        segments=segments,
        narrations=sql.Identifier("public", "photo_narrations"),
        tags=sql.Identifier("public", "content_tags"),
        links=sql.Identifier("public", "content_links"),
    )


def hot_source(month: Month) -> Source:
    """The month in the database while it is a partition of content_segments."""
    return live_source(sql.Identifier("public", hot_name(month)))


def scratch_table(purpose: str, month: Month, generation: int, table: str) -> str:
    """``proof_2017_03_gen1_content_tags``: a scratch table's name in the schema ops."""
    return f"{purpose}_{month.suffix}_gen{generation}_{table}"


def scratch_source(purpose: str, month: Month, generation: int) -> Source:
    """The four scratch tables into which one generation was loaded."""
    return Source(
        *(
            sql.Identifier("ops", scratch_table(purpose, month, generation, table))
            for table in TABLES
        )
    )


def table_columns(connection: Connection, table: str) -> tuple[Column, ...]:
    """The columns of one of the four tables, in the catalog's order."""
    with connection.cursor(row_factory=class_row(Column)) as cursor:
        cursor.execute(statement("archive/table_columns"), {"table": table})
        return tuple(cursor)


TableColumns: TypeAlias = Mapping[str, tuple[Column, ...]]
"""Table → its columns, for all four tables: the live ones, or those of an archive's day."""


def live_columns(connection: Connection) -> TableColumns:
    """The columns of all four tables as they are today."""
    return {table: table_columns(connection, table) for table in TABLES}


def column_list(columns: tuple[Column, ...], alias: str) -> sql.Composed:
    """``s."id", s."thread_id", …``: named one by one, so that no drift reorders them."""
    return sql.SQL(", ").join(sql.Identifier(alias, column.name) for column in columns)
