"""Checks of what a copy holds besides the application's tables.

Sequences and roles are held against the point. Of the cluster's other databases nobody took a
fingerprint: that they are there is known, that every table can be read, and that indexes and tables
agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import conninfo

from ft_ops.backups.drill.index_check import check_against_tables
from ft_ops.backups.drill.notes import Notes
from ft_ops.backups.drill.session import connect_to_copy
from ft_ops.backups.points.beside import read_roles, read_sequences
from ft_ops.backups.points.fingerprint import fingerprint_readable_tables
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import DrillFinding, Examined
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

DATABASES = "other databases"


def sequences(connection: Connection, point: RestorePoint) -> Examined:
    """Every sequence within the values that it had around the mark: one set back gives them twice.

    A copy may be ahead of the mark by what the log records in advance.
    """
    found = read_sequences(connection)
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
