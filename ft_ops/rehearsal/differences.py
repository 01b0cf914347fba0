"""What came out of an upgrade otherwise than it went in, or could not be compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import psycopg

from ft_ops.backups import (
    Beside,
    Examined,
    RestorePoint,
    TableFingerprint,
    fingerprint_readable_tables,
)
from ft_ops.errors import without_rows
from ft_ops.pg.connect import Connection
from ft_ops.rehearsal.findings import RehearsalFinding


@dataclass(frozen=True, slots=True)
class ReadTables:
    """What the tables held that were read, and why each of the others could not be."""

    tables: Mapping[str, TableFingerprint]
    unread: Mapping[str, str]


def read_unknown_tables(connection: Connection, point: RestorePoint) -> ReadTables:
    """Tables that the point has no fingerprint of: they are compared with what they were before."""
    known = {name for name, found in point.tables.items() if found is not None}
    if known >= point.tables.keys() and not point.unread:
        return ReadTables({}, {})
    unread: dict[str, str] = {}

    def could_not_be_read(name: str, error: psycopg.Error) -> None:
        unread[name] = without_rows(error)

    found = fingerprint_readable_tables(connection, could_not_be_read)
    return ReadTables(
        {name: fingerprint for name, fingerprint in found.items() if name not in known},
        {name: words for name, words in unread.items() if name not in known},
    )


def differences_of_content(examined: Examined) -> Iterator[RehearsalFinding]:
    """What a comparison with the point came to."""
    for found in examined.findings:
        yield RehearsalFinding(
            "differs", "rows", found.subject, f"{found.problem}, after the upgrade"
        )
    for found in examined.undecided:
        yield RehearsalFinding("unknown", "rows", found.subject, found.problem)


def differences_of_other_tables(
    before: ReadTables, after: ReadTables
) -> Iterator[RehearsalFinding]:
    """What became of tables that the point does not know.

    One that could not be read afterwards is unknown by what `compare_with_point` says of it.
    """
    for name in sorted(before.unread.keys() - after.unread.keys()):
        words = f"it could not be read before the upgrade: {before.unread[name]}"
        yield RehearsalFinding("unknown", "rows", name, words)
    read = before.tables.keys() | after.tables.keys()
    for name in sorted(read - before.unread.keys() - after.unread.keys()):
        if before.tables.get(name) != after.tables.get(name):
            words = "its rows are not those before the upgrade"
            yield RehearsalFinding("differs", "rows", name, words)


def differences_beside(
    before: Beside, after: Beside, left_out: Collection[str]
) -> Iterator[RehearsalFinding]:
    """Definitions, sequences and roles. ``left_out`` are indexes that the upgrade does not take."""
    for name in sorted(before.unread.keys() | after.unread.keys()):
        when = "before" if name in before.unread else "after"
        error = before.unread.get(name) or after.unread[name]
        words = f"it could not be read {when} the upgrade: {error}"
        yield RehearsalFinding("unknown", "definition", name, words)
    yield from _of_definitions(before, after, left_out)
    for name, (at, *_) in before.sequences.items():
        found = after.sequences.get(name)
        if not after.has_read_sequence(name):
            continue
        if found is None or found[0] != at:
            words = f"it is at {found[0] if found else 'nothing'}, and was at {at}"
            yield RehearsalFinding("differs", "sequence", name, words)
    for name in sorted(before.roles.keys() | after.roles.keys()):
        if before.roles.get(name) != after.roles.get(name):
            yield RehearsalFinding(
                "differs", "role", name, "it may do something else after the upgrade"
            )


def _of_definitions(
    before: Beside, after: Beside, left_out: Collection[str]
) -> Iterator[RehearsalFinding]:
    passed_over = tuple(f"index {name} of " for name in left_out)
    for name in sorted(before.schema.keys() | after.schema.keys()):
        is_read = before.has_read_definition(name) and after.has_read_definition(name)
        if not is_read or name.startswith(passed_over):
            continue
        if name not in after.schema:
            yield RehearsalFinding("differs", "definition", name, "it is missing after the upgrade")
        elif before.schema.get(name) != after.schema[name]:
            words = "the new version describes it otherwise: see `ft-ops migrate drift` afterwards"
            yield RehearsalFinding("note", "definition", name, words)
