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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.backups.drill import index_check
from ft_ops.backups.points.fingerprint import TableFingerprint, fingerprint_readable_tables
from ft_ops.backups.points.points import RestorePoint, schema_digests
from ft_ops.backups.provider import Finding, Log, RestoredCopy
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import load_migrations, migration_states


@dataclass(frozen=True, slots=True)
class Rung:
    """One check's outcome. ``examined`` counts what it looked at, in its own unit."""

    check: str
    unit: str
    examined: int
    findings: tuple[Finding, ...]
    seconds: float

    def __str__(self) -> str:
        verdict = "; ".join(map(str, self.findings)) or "nothing wrong"
        return f"{self.check}: {self.examined:,} {self.unit} in {self.seconds:.1f} s: {verdict}"


_SESSION: Mapping[str, str] = MappingProxyType(
    {
        # A damaged index may lead a scan in circles.
        "statement_timeout": "2h",
        # Nobody else uses a copy, so its other cores are ours: PostgreSQL's own default.
        "max_parallel_workers_per_gather": "2",
        # Its table is in /dev/shm, of which a container has 64 MB: an error would look like damage.
        "enable_parallel_hash": "off",
    }
)

Answer: TypeAlias = tuple[int, Sequence[Finding]]
"""How many were examined, and what is wrong."""

Check = Callable[[Connection, RestorePoint], Answer]


def climb(copy: RestoredCopy, point: RestorePoint, log: Log) -> list[Rung]:
    """Run every check, whatever the ones before found; the files last, with the server stopped."""
    rungs = []
    for name, unit, step in _steps(copy, point):
        started = time.monotonic()
        examined, findings = step()
        rungs.append(Rung(name, unit, examined, tuple(findings), time.monotonic() - started))
        log(str(rungs[-1]))
    return rungs


def records(rungs: Sequence[Rung]) -> list[dict[str, object]]:
    """The outcome as a certificate holds it."""
    return [
        {
            "check": rung.check,
            "examined": f"{rung.examined} {rung.unit}",
            "seconds": round(rung.seconds, 3),
            "findings": [str(finding) for finding in rung.findings],
        }
        for rung in rungs
    ]


def fingerprints(connection: Connection, point: RestorePoint) -> Answer:
    """Every table against its fingerprint at the point."""
    findings = []

    def unreadable(name: str, problem: str) -> None:
        findings.append(Finding("fingerprint", name, problem))

    found = fingerprint_readable_tables(connection, unreadable)
    told = {finding.subject for finding in findings}
    for name in sorted({*point.tables, *found} - told):
        problem = _fingerprint_problem(name, point, found.get(name))
        if problem is not None:
            findings.append(Finding("fingerprint", name, problem))
    return len(found), findings


def foreign_keys(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Answer:
    """Every foreign key by a join of the tables, not of their indexes."""
    with connection.cursor(row_factory=class_row(_ForeignKey)) as cursor:
        keys = cursor.execute(statement("backups/foreign_keys")).fetchall()
    findings = []
    for key in keys:
        try:
            orphans = _orphans(connection, key)
        except psycopg.Error as error:
            findings.append(Finding("foreign keys", key.label, str(error).strip()))
            continue
        if orphans:
            problem = f"{orphans} rows without their row in {key.parent_schema}.{key.parent}"
            findings.append(Finding("foreign keys", key.label, problem))
    return len(keys), findings


def schema(connection: Connection, point: RestorePoint) -> tuple[int, Sequence[Finding]]:
    """Every object's definition against the point's, and the ledger against the migrations.

    Pending migrations are no fault of an older backup. Where the live schema differs from the
    migrations, so does its copy: that has a check of its own.
    """
    found = schema_digests(connection)
    findings = [
        Finding("schema", name, _schema_problem(found.get(name), point.schema.get(name)))
        for name in sorted(found.keys() | point.schema.keys())
        if found.get(name) != point.schema.get(name)
    ]
    findings += [
        Finding("schema", f"migration {state.version}/{state.description}", state.state)
        for state in migration_states(connection, load_migrations())
        if state.state not in {"applied", "pending"}
    ]
    return len(found), findings


def extensions(connection: Connection, point: RestorePoint) -> Answer:
    """Installed extensions against those at the point, and whether this server can load them."""
    found = {
        name: (version, is_available)
        for name, version, is_available in connection.execute(
            statement("backups/installed_extensions")
        )
    }
    findings = []
    for name, version in point.extensions.items():
        actual, is_available = found.get(name, (None, False))
        if actual != version:
            findings.append(
                Finding("extensions", name, f"version {actual}, at the point it was {version}")
            )
        elif not is_available:
            problem = f"version {version} is not on this server; name one by FT_PG_BIN_DIR"
            findings.append(Finding("extensions", name, problem))
    return len(found), findings


def collations(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Answer:
    """Collation versions of the data against this machine's: another one may sort otherwise."""
    rows = connection.execute(statement("backups/collations")).fetchall()
    return 1, [
        Finding("collations", name, f"made with version {recorded}, this machine has {actual}")
        for name, recorded, actual in rows
    ]


def _indexes_by_amcheck(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Answer:
    return index_check.check_with_amcheck(connection)


def _indexes_against_tables(
    connection: Connection,
    point: RestorePoint,  # noqa: ARG001  a Check
) -> Answer:
    return index_check.check_against_tables(connection)


_Step = Callable[[], Answer]

_CHECKS: Sequence[tuple[str, str, Check]] = (
    ("fingerprint", "tables", fingerprints),
    ("foreign keys", "constraints", foreign_keys),
    ("schema", "objects", schema),
    ("extensions", "extensions", extensions),
    ("collations", "databases", collations),
    (index_check.CHECK, "indexes by amcheck", _indexes_by_amcheck),
)


@dataclass(frozen=True, slots=True)
class _ForeignKey:
    name: str
    child_schema: str
    child: str
    parent_schema: str
    parent: str
    child_columns: list[str]
    parent_columns: list[str]

    @property
    def label(self) -> str:
        return f"{self.child_schema}.{self.child} {self.name}"


def _fingerprint_problem(
    name: str, point: RestorePoint, found: TableFingerprint | None
) -> str | None:
    if name not in point.tables:
        return "it did not exist at the point"
    expected = point.tables[name]
    if found is None:
        return "it is missing"
    if expected is None or found == expected:
        return None
    if found.rows == expected.rows:
        return f"its {found.rows} rows are not those at the point"
    return f"{found.rows} rows, {expected.rows} at the point"


def _steps(copy: RestoredCopy, point: RestorePoint) -> list[tuple[str, str, _Step]]:
    steps: list[tuple[str, str, _Step]] = [
        (name, unit, partial(_asked, copy.url, point, check)) for name, unit, check in _CHECKS
    ]
    if copy.admin_url is not None:
        against_tables = partial(_asked, copy.admin_url, point, _indexes_against_tables)
        steps.append((index_check.CHECK, "indexes against their tables", against_tables))
    steps.append(("checksums", "blocks", copy.check_files))
    return steps


def _schema_problem(found: str | None, expected: str | None) -> str:
    if found is None:
        return "it is missing"
    return "it did not exist at the point" if expected is None else "its definition is another"


def _orphans(connection: Connection, key: _ForeignKey) -> int:
    pairs = list(zip(key.child_columns, key.parent_columns, strict=True))
    query = statement("backups/count_orphans").format(
        child=sql.Identifier(key.child_schema, key.child),
        parent=sql.Identifier(key.parent_schema, key.parent),
        is_reference=sql.SQL(" AND ").join(
            sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(column)) for column, _ in pairs
        ),
        matches=sql.SQL(" AND ").join(
            sql.SQL("p.{} = c.{}").format(sql.Identifier(parent), sql.Identifier(child))
            for child, parent in pairs
        ),
    )
    with connection.transaction():
        # The tables themselves are asked: an index may know what its table has lost.
        for way in ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"):
            connection.execute("SELECT set_config(%s, 'off', true)", (way,))
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _asked(url: str, point: RestorePoint, check: Check) -> Answer:
    """Run a check on a connection of its own: a damaged server may have cut the last one."""
    try:
        with connect(url, application="drill", settings=_SESSION) as connection:
            return check(connection, point)
    except (psycopg.Error, OpsError) as error:
        return 0, [Finding("server", point.database, str(error).strip())]
