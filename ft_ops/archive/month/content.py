"""What a month's content is: its segments, and every row that is deleted with one.

Nobody lists these tables: they are found in the catalog (`ft_ops.archive.month.catalog`), by the
foreign keys with ON DELETE CASCADE that lead to content_segment_keys, so that a table which a later
migration brings is archived too. A `Content` describes them as they are at one moment; an archive
keeps the description of its day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from psycopg import sql
from pydantic import TypeAdapter

from ft_ops.months import Month

HOT: Final = "content_segments"
ARCHIVED: Final = "archived_content_segments"
KEYS: Final = "content_segment_keys"

TABLES: Final = (HOT, "photo_narrations", "content_tags", "content_links")
"""The tables of content of the product's own schema; later migrations may bring more."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalog has it; ``type`` is format_type's spelling.

    ``generated`` is the expression of a generated column, which is not archived: the server makes
    its value again. ``as_text``: Parquet holds the text of its values, because Arrow has no type
    that keeps them. ``collation`` is the column's where it is not its type's: it decides how values
    compare, and not what they are. ``number`` is the catalog's: one that was dropped and added
    again under its name has another. Archives of earlier versions have none.
    """

    name: str
    type: str
    not_null: bool
    default: str | None = None
    generated: str | None = None
    as_text: bool = False
    collation: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One foreign key on the way to a segment: ``columns`` name a row of ``parent``."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


Path: TypeAlias = tuple[Hop, ...]
"""From a table to content_segment_keys, one foreign key after the other."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key to a table that is no content: users, say.

    ``sets_null``: its row stays, without it, when the other row is deleted. Else the row goes too,
    or keeps the other one from being deleted.
    """

    columns: tuple[str, ...]
    schema: str
    table: str
    parent_columns: tuple[str, ...]
    sets_null: bool = False


@dataclass(frozen=True, slots=True)
class CheckConstraint:
    """A CHECK constraint. One that is not ``valid`` holds for new rows only."""

    name: str
    definition: str
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of content. ``name`` has its schema in front unless that is public.

    The segments' own has no path. A row with one path belongs to one segment, and is archived, kept
    and brought back with it. A row with several (a link has two) belongs to none alone. ``oid``
    says whose the columns' numbers are: in a database that was dumped and restored all are others.
    """

    name: str
    schema: str
    relname: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    references: tuple[Reference, ...] = ()
    checks: tuple[CheckConstraint, ...] = ()
    first_format: bool = False
    """Archived before the catalog was asked, by the statements of sql/archive/digest.sql."""
    oid: int | None = None

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.relname)

    @property
    def is_shared(self) -> bool:
        """Whether its rows may belong to segments of several months."""
        return len(self.paths) > 1

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns that an archive holds."""
        return tuple(column for column in self.columns if column.generated is None)

    @property
    def makers(self) -> tuple[str, ...]:
        """The columns that name a user: who made the row, or has to do with it."""
        return tuple(
            reference.columns[0]
            for reference in self.references
            if (reference.schema, reference.table) == ("public", "users")
            and reference.parent_columns == ("id",)
        )

    def renewed(self, other: Table) -> list[str]:
        """The columns of which another description of this table has another one of that name.

        Known of two descriptions from one database alone.
        """
        if self.oid is None or self.oid != other.oid:
            return []
        numbers = {column.name: column.number for column in other.stored}
        return [c.name for c in self.stored if c.number != numbers.get(c.name, c.number)]

    @property
    def family_column(self) -> str:
        """What an archive calls the column that it adds: the row's family on that day."""
        names = {column.name for column in self.columns}
        return "family_id" if "family_id" not in names else "archived_family_id"


@dataclass(frozen=True, slots=True)
class Content:
    """All tables of content, the segments' first, each after those that it references."""

    tables: tuple[Table, ...]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __getitem__(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(table.name for table in self.tables)

    @property
    def segments(self) -> Table:
        return self.tables[0]

    @property
    def belongings(self) -> tuple[Table, ...]:
        """The tables whose rows belong to one segment each."""
        return tuple(table for table in self.tables[1:] if not table.is_shared)

    @property
    def shared(self) -> tuple[Table, ...]:
        """The tables whose rows belong to several segments each."""
        return tuple(table for table in self.tables if table.is_shared)

    def differences(self, other: Content) -> list[str]:
        """What ``other`` has that an archive of this content does not hold, or the other way."""
        found = [f"{name} is gone" for name in self.names if name not in other]
        for theirs in other:
            if theirs.name not in self:
                found.append(f"{theirs.name} is new")
                continue
            ours = self[theirs.name]
            mine = {(c.name, c.type) for c in ours.stored}
            others = {(c.name, c.type) for c in theirs.stored}
            if mine != others:
                names = sorted({name for name, _ in mine ^ others})
                found.append(f"{theirs.name} has other columns: {', '.join(names)}")
            elif again := ours.renewed(theirs):
                found.append(f"{theirs.name} has another column called {', '.join(again)}")
            elif (ours.key, {*ours.paths}) != (theirs.key, {*theirs.paths}):
                found.append(f"{theirs.name} has other keys")
        return found


_CONTENT: Final = TypeAdapter(Content)
_TABLE: Final = TypeAdapter(Table)
_COLUMNS: Final = TypeAdapter(tuple[Column, ...])
_COLUMNS_BY_TABLE: Final = TypeAdapter(dict[str, tuple[Column, ...]])


def content_to_json(content: Content) -> dict[str, object]:
    """A description as the ledger and the manifest keep it."""
    dumped: dict[str, object] = _CONTENT.dump_python(content, mode="json")
    return dumped


def content_from_json(data: object) -> Content:
    """The inverse of `content_to_json`."""
    return _CONTENT.validate_python(data)


def table_to_json(table: Table) -> dict[str, object]:
    """A table's description as the manifest keeps it."""
    dumped: dict[str, object] = _TABLE.dump_python(table, mode="json")
    return dumped


def columns_from_json(data: object) -> tuple[Column, ...]:
    """Columns as a manifest of any format has them."""
    return _COLUMNS.validate_python(data)


def hot_name(month: Month) -> str:
    """``content_segments_2017_03``: the month's partition while the application writes to it."""
    return f"{HOT}_{month.suffix}"


def archived_name(month: Month) -> str:
    """``archived_content_segments_2017_03``: its name from the day it left the hot table."""
    return f"{ARCHIVED}_{month.suffix}"


def bounds(month: Month) -> dict[str, sql.Literal]:
    """A month's bounds by the names that statements have for them."""
    return {
        "lower": sql.Literal(month.start.isoformat()),
        "upper": sql.Literal(month.end.isoformat()),
    }


def column_list(columns: tuple[Column, ...], alias: str) -> sql.Composed:
    """``s."id", s."thread_id", …``: named one by one, so that no drift reorders them."""
    return sql.SQL(", ").join(sql.Identifier(alias, column.name) for column in columns)


def content_of_columns(columns: Mapping[str, object]) -> Content:
    """The content of an archive whose ledger kept columns only: the four tables of that day."""
    typed = _COLUMNS_BY_TABLE.validate_python(columns)
    users = ("public", "users", ("id",))
    return Content(
        (
            _plain(
                HOT,
                typed,
                key=("id", "created_at"),
                references=(
                    Reference(("thread_id",), "public", "threads", ("id",)),
                    Reference(("user_id",), *users),
                ),
            ),
            _plain(
                "photo_narrations",
                typed,
                paths=(_to_key("content_segment_id"),),
                references=(Reference(("created_by",), *users),),
            ),
            _plain(
                "content_tags",
                typed,
                paths=(_to_key("content_segment_id"),),
                references=(Reference(("tagged_by",), *users),),
            ),
            _plain(
                "content_links",
                typed,
                paths=(_to_key("source_segment_id"), _to_key("target_segment_id")),
                references=(Reference(("created_by",), *users),),
            ),
        )
    )


def _plain(
    name: str,
    columns: Mapping[str, tuple[Column, ...]],
    *,
    key: tuple[str, ...] = ("id",),
    paths: tuple[Path, ...] = (),
    references: tuple[Reference, ...] = (),
) -> Table:
    return Table(name, "public", name, columns[name], key, paths, references, first_format=True)


def _to_key(column: str) -> Path:
    return (Hop((column,), KEYS, ("id",)),)
