"""The checks that a restored copy has to pass. No single one finds every damage.

| damage | found by |
|---|---|
| a flipped bit in a table or an index | checksums |
| a table's page zeroed, a table cut off | fingerprint, indexes |
| a table's file missing | fingerprint |
| an index page replaced by another | checksums, indexes |
| transaction status lost | fingerprint |

That the server starts proves nothing: it does with each of these damages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg

from ft_ops.backups.drill import cluster_checks, index_check
from ft_ops.backups.drill.notes import Notes
from ft_ops.backups.drill.session import connect_to_copy
from ft_ops.backups.points.beside import SCHEMA, schema_digests
from ft_ops.backups.points.fingerprint import (
    fingerprint_readable_tables,
    fingerprint_table,
    parts_of,
)
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.points.sums import TableFingerprint, TableParts
from ft_ops.backups.provider import DrillFinding, Examined, Log, RestoredCopy
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import fingerprint_version, load_migrations, migration_states


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's outcome. ``examined`` counts what it looked at, in its own unit.

    ``undecided`` is what it could not look at this time, ``unsaid`` what it can't by its nature.
    """

    check: str
    unit: str
    examined: int
    findings: tuple[DrillFinding, ...]
    seconds: float
    undecided: tuple[DrillFinding, ...] = ()
    unsaid: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [*map(str, self.findings), *(f"not looked at: {u}" for u in self.undecided)]
        verdict = "; ".join(said) or "nothing wrong"
        return f"{self.check}: {self.examined:,} {self.unit} in {self.seconds:.1f} s: {verdict}"


Check = Callable[[Connection, RestorePoint], Examined]

_NamedStep = tuple[str, str, Callable[[], Examined]]
"""A check's name, the unit of what it looks at, and the check."""

_AT_ONCE: Final = 2


def run_checks(copy: RestoredCopy, point: RestorePoint, log: Log) -> list[CheckResult]:
    """Run every check, whatever others find: two at a time, and each on a connection of its own.

    The files come last, with the server stopped.
    """
    results = []
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="check")
    try:
        for result in pool.map(_timed, _steps(copy, point)):
            log(str(result))
            results.append(result)
    finally:
        # Whoever interrupts us stops the server next, and with it what is still being asked.
        pool.shutdown(wait=False, cancel_futures=True)
    results.append(_timed(("checksums", "blocks", copy.check_files)))
    log(str(results[-1]))
    return results


def _timed(step: _NamedStep) -> CheckResult:
    name, unit, look = step
    started = time.monotonic()
    found = look()
    seconds = time.monotonic() - started
    return CheckResult(
        name, unit, found.examined, found.findings, seconds, found.undecided, found.unsaid
    )


def records(results: Sequence[CheckResult]) -> list[dict[str, object]]:
    """The outcome as a certificate holds it."""
    return [
        {
            "check": result.check,
            "examined": f"{result.examined} {result.unit}",
            "seconds": round(result.seconds, 3),
            "findings": [str(finding) for finding in result.findings],
            "not looked at": [*map(str, result.undecided), *result.unsaid],
        }
        for result in results
    ]


def fingerprints(connection: Connection, point: RestorePoint) -> Examined:
    """Every table against its fingerprint at the point, or those parts of it that are known."""
    notes = Notes("fingerprint")
    found = fingerprint_readable_tables(connection, notes.failed, point.snapshot)
    unread = notes.subjects
    for name in sorted({*point.tables, *found, *unread}):
        problem = _fingerprint_problem(name, point, found.get(name))
        if problem is None or (name in unread and name in point.tables):
            continue
        whole = _as_a_whole(connection, point, name)
        if whole is None or whole != point.tables[name]:
            notes.wrong(name, problem if whole is None else _difference(whole, point.tables[name]))
    for name, parts in point.parts.items():
        if name in found:
            _compare_parts(connection, point, name, parts, notes)
    return notes.examined(len(found))


def schema(connection: Connection, point: RestorePoint) -> Examined:
    """Every object's definition against the point's, and the ledger against the migrations.

    Pending migrations are no fault of an older backup. Where the live schema differs from the
    migrations, so does its copy: that has a check of its own. What another version of ft-ops said
    of the schema at the point may be another thing today without any damage.
    """
    found, locked = schema_digests(connection)
    notes = Notes("schema")
    notes.undecided += [DrillFinding("schema", name, "it is locked") for name in locked]
    others = [
        name
        for name in sorted(found.keys() | point.schema.keys())
        if found.get(name) != point.schema.get(name)
        and name not in locked
        and not {f"{SCHEMA}{name}", f"{SCHEMA}*"} & point.unread.keys()
    ]
    if point.schema_version == fingerprint_version():
        for name in others:
            notes.wrong(name, _schema_problem(found.get(name), point.schema.get(name)))
    else:
        _compare_with_another_version(others, found.keys(), notes)
    for state in migration_states(connection, load_migrations()):
        if state.state not in {"applied", "pending"}:
            notes.wrong(f"migration {state.version}/{state.description}", state.state)
    return notes.examined(len(found))


def _compare_with_another_version(
    others: Sequence[str], found: Collection[str], notes: Notes
) -> None:
    """What differs from a description that another version of ft-ops has written at the point.

    An object that it has and the copy lacks may be lost: nobody can tell. One that it describes
    otherwise, or had not looked at, was asked for in another way.
    """
    for name in others:
        if name not in found:
            notes.left_open(
                name, "the copy lacks it, or this version of ft-ops does not look at it"
            )
    if described := [name for name in others if name in found]:
        notes.unsaid.append(
            f"schema: {len(described)} objects, {described[0]} the first, since another version of "
            "ft-ops has described the point's"
        )


def extensions(connection: Connection, point: RestorePoint) -> Examined:
    """Installed extensions against those at the point, and whether this server can load them."""
    found = {
        name: (version, is_available)
        for name, version, is_available in connection.execute(
            statement("backups/installed_extensions")
        )
    }
    notes = Notes("extensions")
    for name, version in point.extensions.items():
        actual, is_available = found.get(name, (None, False))
        if actual != version:
            notes.wrong(name, f"version {actual}, at the point it was {version}")
        elif not is_available:
            problem = f"version {version} is not on this server; name one by FT_PG_BIN_DIR"
            notes.undecided.append(DrillFinding("extensions", name, problem))
    return notes.examined(len(found))


def collations(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Examined:
    """Collation versions of the data against this machine's: another one may sort otherwise.

    That is about the machine. Whether the backup's own indexes are in order it can't say here.
    """
    notes = Notes("collations")
    for name, recorded, actual in connection.execute(statement("backups/collations")).fetchall():
        problem = f"made with version {recorded}, this machine has {actual}"
        notes.undecided.append(DrillFinding("collations", name, problem))
    return notes.examined(1)


def _indexes_by_amcheck(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Examined:
    return index_check.check_with_amcheck(connection)


def _indexes_against_tables(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Examined:
    return index_check.check_against_tables(connection)


_CHECKS: Sequence[tuple[str, str, Check]] = (
    ("fingerprint", "tables", fingerprints),
    ("foreign keys", "constraints", cluster_checks.foreign_keys),
    ("schema", "objects", schema),
    ("extensions", "extensions", extensions),
    ("collations", "databases", collations),
    ("sequences", "sequences", cluster_checks.sequences),
    ("roles", "roles", cluster_checks.roles),
    (index_check.CHECK, "indexes by amcheck", _indexes_by_amcheck),
)


def _as_a_whole(connection: Connection, point: RestorePoint, name: str) -> TableFingerprint | None:
    """All rows of a table, whichever transactions wrote them; None where that says no more."""
    if point.snapshot is None or point.tables.get(name) is None:
        return None
    try:
        return fingerprint_table(connection, name)
    except psycopg.Error:
        return None


def _fingerprint_problem(
    name: str, point: RestorePoint, found: TableFingerprint | None
) -> str | None:
    if name in point.unread:
        return None  # also whether it existed
    if name not in point.tables:
        return "it did not exist at the point"
    expected = point.tables[name]
    if found is None:
        return "it is missing"
    if expected is None or found == expected:
        return None
    return _difference(found, expected)


def _difference(found: TableFingerprint, expected: TableFingerprint | None) -> str:
    if expected is not None and found.rows != expected.rows:
        return f"{found.rows} rows, {expected.rows} at the point"
    return f"its {found.rows} rows are not those at the point"


def _compare_parts(
    connection: Connection, point: RestorePoint, name: str, parts: TableParts, notes: Notes
) -> None:
    """Those parts of a busy table that did not change around the mark."""
    schema_name, _, table = name.partition(".")
    try:
        found = parts_of(connection, schema_name, table, point.snapshot, parts.blocks).parts
    except psycopg.Error as error:
        notes.failed(name, error)
        return
    for number, expected in parts.parts.items():
        if found.get(number) != expected:
            where = f"the {parts.blocks} blocks from {number * parts.blocks} on"
            notes.wrong(name, f"its {expected.rows} rows in {where} are not those at the point")


def _steps(copy: RestoredCopy, point: RestorePoint) -> list[_NamedStep]:
    """What asks the server, the longest first: nothing long is left over for one session alone."""
    steps: list[_NamedStep] = []
    if copy.admin_url is not None:
        against_tables = partial(_asked, copy, copy.admin_url, point, _indexes_against_tables)
        steps.append((index_check.CHECK, "indexes against their tables", against_tables))
    steps += [
        (name, unit, partial(_asked, copy, copy.url, point, check)) for name, unit, check in _CHECKS
    ]
    others = partial(cluster_checks.other_databases, admin_url=copy.admin_url)
    steps.append(
        (cluster_checks.DATABASES, "databases", partial(_asked, copy, copy.url, point, others))
    )
    return steps


def _schema_problem(found: str | None, expected: str | None) -> str:
    if found is None:
        return "it is missing"
    return "it did not exist at the point" if expected is None else "its definition is another"


def _asked(copy: RestoredCopy, url: str, point: RestorePoint, check: Check) -> Examined:
    """Run a check on a connection of its own: a damaged server may have cut the last one."""
    notes = Notes("server")
    try:
        with connect_to_copy(url) as connection:
            return check(connection, point)
    except psycopg.Error as error:
        notes.failed(point.database, error)
        said = str(error)
    except OpsError as error:
        said = str(error)
        notes.undecided.append(DrillFinding("server", point.database, said))
    blamed = copy.blamed_on_data(said)
    if blamed is not None:
        notes.wrong(point.database, blamed)
    return notes.examined(0)
