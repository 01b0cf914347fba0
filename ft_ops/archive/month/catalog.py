"""Reads from the catalog what a month's content is, and what of it can't be archived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from psycopg.rows import dict_row

from ft_ops.archive.month.content import (
    ARCHIVED,
    HOT,
    KEYS,
    CheckConstraint,
    Column,
    Content,
    Hop,
    Path,
    Reference,
    Table,
)
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

KEPT_BY_ARROW: Final = frozenset(
    {
        "uuid",
        "text",
        "character varying",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double precision",
        "boolean",
        "timestamp with time zone",
        "timestamp without time zone",
        "date",
        "bytea",
        "json",
        "jsonb",
        "text[]",
        "character varying[]",
        "integer[]",
        "bigint[]",
    }
)
"""Types that come back from Parquet as they were, and that its readers know. Values of any other
are archived as their text, which every type can be made of."""


RESERVED: Final = frozenset(
    {"subjects", "ends_of_shared_rows", "manifest", "proven_segments", "proven_shared_rows"}
)
"""Names of what lies beside the tables in the bucket."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps content from being archived, or removed, as it is."""

    table: str
    cause: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.table}: {self.cause}"


@dataclass(frozen=True, slots=True)
class OtherReference:
    """A foreign key whose rows a removal would change, or by which it would be refused."""

    name: str
    table: Table
    effect: str

    def __str__(self) -> str:
        return f"{self.table.name} by {self.name}, {self.effect}"


class ContentChanged(OpsError):
    """A migration has changed the tables of content since this run looked."""


def read_content(connection: Connection) -> Content:
    """The tables of content as they are today, the segments' first."""
    paths = _paths(connection)
    [[segments, keys]] = connection.execute(statement("archive/segment_tables")).fetchall()
    oids = [segments, *paths]
    by_oid = {
        row["oid"]: _table(row, tuple(paths.get(row["oid"], ())))
        for row in _rows(connection, "archive/content_tables", {"tables": oids, "keys": keys})
    }
    # The archive's parent stands for the month: a month in the archive has its columns.
    first = replace(by_oid.pop(segments), name=HOT, schema="public", relname=HOT)
    others = sorted(by_oid.values(), key=lambda t: (max(map(len, t.paths)), t.is_shared, t.name))
    return Content((first, *others))


def describe_table(connection: Connection, oid: int) -> Table:
    """The columns, key and constraints of one table, by its oid."""
    [[_, keys]] = connection.execute(statement("archive/segment_tables")).fetchall()
    [row] = _rows(connection, "archive/content_tables", {"tables": [oid], "keys": keys})
    return _table(row, ())


def signature(connection: Connection) -> str:
    """One value that changes whenever `read_content` would find other tables or columns."""
    [[value]] = connection.execute(statement("archive/content_signature")).fetchall()
    return str(value)


def refuse_changed(connection: Connection, before: str) -> None:
    """ContentChanged unless the tables of content are those of ``before``."""
    if signature(connection) != before:
        raise ContentChanged(
            "tables of content",
            cause="a migration has added or changed one of them in the middle of this removal",
            next_step="run again: what is left is put back, and archived as it is now",
        )


def obstacles(connection: Connection) -> list[Obstacle]:
    """What in today's tables of content keeps any month from being archived as it is."""
    content = read_content(connection)
    names = _removed_from(connection, content)
    found = [
        Obstacle(names[oid], cause, next_step)
        for oid, cause, next_step in connection.execute(
            statement("archive/untrusted_tables"), {"tables": list(names)}
        ).fetchall()
    ]
    found += [
        Obstacle(
            other.table.name,
            f"its foreign key {other.name} leads to other rows of content, which may be in the "
            "archive when its own come back",
            "keep that reference in a column without a foreign key",
        )
        for other in other_references(connection, content)
        if other.table.name in content
    ]
    loops = {row["child"] for row in _rows(connection, "archive/content_paths") if row["loops"]}
    found += [
        Obstacle(
            names[oid],
            "its rows take rows of the same table along, from whatever month",
            "let that foreign key have no ON DELETE CASCADE",
        )
        for oid in loops
    ]
    found += [
        Obstacle(
            table,
            f"its foreign key {name} references the segments themselves: no month can be detached",
            f"let it reference {KEYS}, which outlives the move of a month",
        )
        for table, name in connection.execute(statement("archive/references_to_segments"))
    ]
    return [*found, *_parents_apart(connection)]


def refuse_changed_arrivals(connection: Connection, what: str) -> None:
    """Refused while rows that are brought back would not be those that were archived."""
    tables = [*_removed_from(connection, read_content(connection)), _parent(connection)]
    found = connection.execute(
        statement("archive/what_changes_arrivals"), {"tables": tables}
    ).fetchall()
    if found:
        raise Refused(
            what,
            cause="; ".join(f"{table}: {cause}" for table, cause in found),
            next_step="drop it, put what it does elsewhere, or its function into the schema ops if "
            "a thaw should run it; nothing was brought back",
        )


def with_deferred_uniques(
    connection: Connection, content: Content, segments: int
) -> frozenset[str]:
    """The tables of content for whose inserts there is no ON CONFLICT.

    ``segments`` is the oid of the month's table.
    """
    oids = dict(zip([segments, *_oids(connection, content.tables[1:])], content, strict=True))
    found = connection.execute(statement("archive/deferred_uniques"), {"tables": list(oids)})
    return frozenset(oids[oid].name for (oid,) in found.fetchall())


def uniques_of(connection: Connection, table: Table) -> list[tuple[str, ...]]:
    """Each set of columns by which no two rows of a table may be alike."""
    found = connection.execute(
        statement("archive/uniques_of"), {"tables": list(_oids(connection, [table]))}
    )
    return [tuple(columns) for _, columns in found.fetchall()]


def other_references(connection: Connection, content: Content) -> list[OtherReference]:
    """Foreign keys to content that do not take their rows along, with the way to a segment."""
    tables = content.tables[1:]
    oids = _oids(connection, tables)
    by_oid = dict(zip(oids, tables, strict=True))
    found = []
    for row in _rows(connection, "archive/other_references", {"tables": oids}):
        parent = by_oid.get(row["parent"])
        hop = Hop(
            tuple(row["columns"]),
            KEYS if parent is None else parent.name,
            tuple(row["parent_columns"]),
        )
        above: tuple[Path, ...] = ((),) if parent is None else parent.paths
        effect = {
            "n": "whose rows would lose it",
            "d": "whose rows would get another one",
        }.get(row["on_delete"], "which forbids the removal")
        table = Table(
            _name(row["schema"], row["relname"]),
            row["schema"],
            row["relname"],
            columns=(),
            key=(),
            paths=tuple((hop, *path) for path in above),
        )
        found.append(OtherReference(row["name"], table, effect))
    return found


def _removed_from(connection: Connection, content: Content) -> dict[int, str]:
    """The tables that a removal deletes from, and a thaw inserts into, by oid; not the months."""
    tables = content.tables[1:]
    [[_, keys]] = connection.execute(statement("archive/segment_tables")).fetchall()
    names = {oid: t.name for oid, t in zip(_oids(connection, tables), tables, strict=True)}
    return {keys: KEYS, **names}


def _parent(connection: Connection) -> int:
    """The archive's parent: rows of a month that is attached already come into it."""
    [[archived, _]] = connection.execute(statement("archive/segment_tables")).fetchall()
    return int(archived)


def _paths(connection: Connection) -> dict[int, list[Path]]:
    """The ways from each table that loses rows with a key to that key, by the table's oid."""
    found: dict[int, list[Path]] = {}
    for row in _rows(connection, "archive/content_paths"):
        if not row["loops"]:
            path = tuple(
                Hop(tuple(hop["columns"]), _parent_of(hop), tuple(hop["parent_columns"]))
                for hop in row["path"]
            )
            found.setdefault(row["child"], []).append(path)
    return found


def _parent_of(hop: Mapping[str, str]) -> str:
    return _name(hop["schema"], hop["parent"])


def _name(schema: str, relname: str) -> str:
    """A table's name in the archive: with its schema unless that is public."""
    is_plain = schema == "public" and relname not in RESERVED
    return relname if is_plain else f"{schema}.{relname}"


def _table(row: Mapping[str, Any], paths: tuple[Path, ...]) -> Table:
    return Table(
        name=_name(row["schema"], row["relname"]),
        schema=row["schema"],
        relname=row["relname"],
        columns=tuple(
            Column(
                column["name"],
                column["type"],
                column["not_null"],
                column["default"],
                column["generated"],
                as_text=column["base"] not in KEPT_BY_ARROW,
                collation=column["collation"],
                number=column["number"],
            )
            for column in row["columns"]
        ),
        key=tuple(row["key"]),
        paths=paths,
        oid=row["oid"],
        references=tuple(
            Reference(
                tuple(reference["columns"]),
                reference["schema"],
                reference["table"],
                tuple(reference["parent_columns"]),
                reference["sets_null"],
            )
            for reference in row["references"]
        ),
        checks=tuple(
            CheckConstraint(check["name"], check["definition"], check["valid"])
            for check in row["checks"]
        ),
    )


def _parents_apart(connection: Connection) -> Iterator[Obstacle]:
    """How the two parents of months differ: a month could not move from one to the other."""
    [[archived, keys]] = connection.execute(statement("archive/segment_tables")).fetchall()
    [[hot]] = connection.execute(statement("archive/oid_of"), {"table": HOT}).fetchall()
    rows = _rows(connection, "archive/content_tables", {"tables": [hot, archived], "keys": keys})
    by_oid = {row["oid"]: _table(row, ()) for row in rows}
    for own, other, words in (
        (by_oid[hot], by_oid[archived], HOT),
        (by_oid[archived], by_oid[hot], ARCHIVED),
    ):
        theirs = {_shape(column) for column in other.columns}
        apart = [column.name for column in own.columns if _shape(column) not in theirs]
        apart += sorted(
            {f"the CHECK {check.name}" for check in own.checks}
            - {f"the CHECK {check.name}" for check in other.checks}
        )
        if apart:
            yield Obstacle(
                words,
                f"{', '.join(apart)}: its other parent has none like it",
                f"let a migration change {HOT} and {ARCHIVED} alike",
            )


def _shape(column: Column) -> tuple[object, ...]:
    return (column.name, column.type, column.collation, column.not_null, column.generated)


def _oids(connection: Connection, tables: Sequence[Table]) -> list[int]:
    rows = connection.execute(
        statement("archive/oids"),
        {"schemas": [t.schema for t in tables], "names": [t.relname for t in tables]},
    )
    return [oid for (oid,) in rows]


def _rows(
    connection: Connection, query: str, values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(query), values).fetchall()
