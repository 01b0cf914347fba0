"""Checks of what a copy holds besides each table's rows: between tables, and in the cluster.

Sequences and roles are held against the point. Of the cluster's other databases nobody took a
fingerprint: that they are there is known, that every table can be read, and that indexes and tables
agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import class_row

from ft_ops.backups.drill.index_check import check_against_tables
from ft_ops.backups.drill.notes import Notes
from ft_ops.backups.drill.session import connect_to_copy, from_catalog
from ft_ops.backups.points.beside import read_roles, read_sequences
from ft_ops.backups.points.fingerprint import fingerprint_readable_tables, fingerprint_table
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import DrillFinding, Examined
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

DATABASES = "other databases"


def sequences(connection: Connection, point: RestorePoint) -> Examined:
    """Every sequence within the values that it had around the mark: one set back gives them twice.

    A copy may be ahead of the mark by what the log records in advance.
    """
    found, _ = read_sequences(connection)
    notes = Notes("sequences")
    for name, expected in point.sequences.items():
        if name not in found:
            notes.wrong(name, "it is missing, or can't be read")
            continue
        at = found[name][0]
        if not expected.low <= at <= expected.high:
            problem = f"it is at {at}, and was between {expected.low} and {expected.high}"
            notes.wrong(name, problem)
    return notes.examined(len(point.sequences))


def roles(connection: Connection, point: RestorePoint) -> Examined:
    """Every role with what it may, but for passwords."""
    if not point.roles:
        return Examined(0, unsaid=("roles: nobody noted them at the point",))
    found = read_roles(connection)
    notes = Notes("roles")
    for name in sorted({*found, *point.roles}):
        if f"role {name}" in point.unread or found.get(name) == point.roles.get(name):
            continue
        if name not in point.roles:
            notes.wrong(name, "it did not exist at the point")
        elif name not in found:
            notes.wrong(name, "it is missing")
        else:
            notes.wrong(name, "it may do something else than at the point")
    return notes.examined(len(found))


def other_databases(connection: Connection, point: RestorePoint, admin_url: str | None) -> Examined:
    """The other databases of the cluster: there, readable, tables and indexes equal."""
    found = [row[0] for row in connection.execute(statement("backups/other_databases"))]
    notes = Notes(DATABASES)
    for name in point.databases:
        if name not in found:
            notes.wrong(name, "the database is missing")
    if admin_url is None:
        if found:
            notes.unsaid.append(f"databases {', '.join(found)}: nobody may look into them here")
        return notes.examined(0)
    for name in found:
        for of_database in _look_into(name, conninfo.make_conninfo(admin_url, dbname=name)):
            notes.findings += of_database.findings
            notes.undecided += of_database.undecided
    return notes.examined(len(found))


def _look_into(name: str, url: str) -> Iterator[Examined]:
    notes = Notes(DATABASES)
    try:
        with connect_to_copy(url) as connection:
            fingerprint_readable_tables(
                connection, lambda table, error: notes.failed(f"{name}: {table}", error)
            )
            indexes = check_against_tables(connection)
    except psycopg.Error as error:
        notes.failed(name, error)
        yield notes.examined(0)
        return
    except OpsError as error:
        notes.undecided.append(DrillFinding(DATABASES, name, str(error)))
        yield notes.examined(0)
        return
    yield notes.examined(0)
    yield Examined(
        indexes.examined,
        tuple(DrillFinding(DATABASES, f"{name}: {f.subject}", f.problem) for f in indexes.findings),
        tuple(
            DrillFinding(DATABASES, f"{name}: {f.subject}", f.problem) for f in indexes.undecided
        ),
    )


def foreign_keys(
    connection: Connection,
    point: RestorePoint,
) -> Examined:
    """Every foreign key by a join of the tables, not of their indexes.

    Rows without their row that the original has as well are told, and are no fault of a backup:
    some bulk loads silence foreign keys.
    """
    with connection.cursor(row_factory=class_row(_ForeignKey)) as cursor:
        keys = cursor.execute(statement("backups/foreign_keys")).fetchall()
    notes = Notes("foreign keys")
    for key in keys:
        try:
            orphans = _orphans(connection, key)
        except psycopg.Error as error:
            notes.failed(key.label, error)
            continue
        if not orphans:
            continue
        problem = f"{orphans} rows without their row in {key.parent_schema}.{key.parent}"
        if _are_as_at_the_point(connection, point, key):
            notes.unsaid.append(f"{key.label}: {problem}, as in the original: see to it there")
        else:
            notes.wrong(key.label, problem)
    return notes.examined(len(keys))


@dataclass(frozen=True, slots=True)
class _ForeignKey:
    name: str
    child_schema: str
    child: str
    parent_schema: str
    parent: str
    child_columns: list[str]
    parent_columns: list[str]
    operators: list[str]

    @property
    def label(self) -> str:
        return f"{self.child_schema}.{self.child} {self.name}"


def _orphans(connection: Connection, key: _ForeignKey) -> int:
    columns = list(zip(key.child_columns, key.parent_columns, key.operators, strict=True))
    query = statement("backups/count_orphans").format(
        child=sql.Identifier(key.child_schema, key.child),
        parent=sql.Identifier(key.parent_schema, key.parent),
        is_reference=sql.SQL(" AND ").join(
            sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(column)) for column, _, _ in columns
        ),
        matches=sql.SQL(" AND ").join(
            sql.SQL("p.{} {} c.{}").format(
                sql.Identifier(parent), from_catalog(operator), sql.Identifier(child)
            )
            for child, parent, operator in columns
        ),
    )
    with connection.transaction():
        # The tables themselves are asked: an index may know what its table has lost.
        for way in ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"):
            connection.execute("SELECT set_config(%s, 'off', true)", (way,))
        row = one_row(connection.execute(query))
    return int(row[0])


def _are_as_at_the_point(connection: Connection, point: RestorePoint, key: _ForeignKey) -> bool:
    """Whether both tables of a foreign key, with all of their partitions, are what they were."""
    rows = connection.execute(
        statement("backups/tables_with_rows"),
        {
            "schemas": [key.child_schema, key.parent_schema],
            "names": [key.child, key.parent],
        },
    ).fetchall()
    for (name,) in rows:
        expected = point.tables.get(name)
        if expected is None:
            return False
        try:
            found = {fingerprint_table(connection, name, s) for s in {point.snapshot, None}}
        except psycopg.Error:
            return False
        if expected not in found:
            return False
    return bool(rows)
