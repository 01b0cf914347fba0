"""Each line of the page turns red or unknown by a fault of its own, and green again."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

import ft_ops
from ft_ops.health import Sample, screens, write_samples
from ft_ops.overview.rooms import ROOMS, ask_rooms
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import Connection, connected
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status
from tests.fixtures.postgres import Database, filled
from tests.orchestration.test_status import TURNED
from tests.overview.test_delivery import UNDELIVERED

SETTINGS = Settings(
    database_volume_gb=100.0, media_inventory="s3://media/inventory", storage_warn_percent=90
)
LEDGERS = [
    ("ops.archive", {"archive", "partitions"}),
    ("ops.backups", {"backups"}),
    ("ops.storage_recomputations", {"storage"}),
    ("ops.index_estimates", {"maintenance"}),
    ("ops.metric_samples", {"latency", "capacity", "connections"}),
]
"""Tables, and the areas of the page that are read from each. A month that has left for the archive
needs no partition, so that what partitions are missing can't be told without its ledger."""


@pytest.fixture(scope="session")
def sampled_template(template: Database, worker_id: str) -> Iterator[Database]:
    """A database in which every line is green."""
    with filled(template, f"ft_healthy_{worker_id}", make_healthy) as made:
        yield made


@pytest.fixture
def sampled(database: Database) -> Database:
    return database


def ask(database: Database) -> dict[str, Standing]:
    """The page's lines on the database, as the asset asks for them."""

    return page_of(partial(session, database))


def session(database: Database) -> AbstractContextManager[Connection]:
    return connected(database.url, application="overview", settings={"lock_timeout": "100ms"})


def page_of(connect: Callable[[], AbstractContextManager[Connection]]) -> dict[str, Standing]:
    return {f"{s.area}: {s.what}": s for s in ask_rooms(connect, SETTINGS, datetime.now(UTC))}


@dataclass(frozen=True)
class Fault:
    """What breaks one line, and what it is then. ``mend`` is what an operator or a job does."""

    line: str
    status: Status
    breaks: str
    mends: str | Callable[[Connection], object]

    def __str__(self) -> str:
        return f"{self.line} {self.status.name.lower()}"

    @property
    def area(self) -> str:
        return self.line.partition(":")[0]


def months(connection: Connection, parent: str) -> None:
    last = SETTINGS.last_month_ahead(datetime.now(UTC))
    ensure_months(connection, parent, SETTINGS.first_month.until(last))


def dropped(parent: str) -> Fault:
    name = f"{parent}_{SETTINGS.first_month.suffix}"
    mend = partial(months, parent=parent)
    return Fault(f"partitions: months of {parent}", Status.BAD, f"DROP TABLE {name}", mend)


def set_sample(metric: str, subject: str, value: float) -> str:
    return (
        f"UPDATE ops.metric_samples SET value = {value}"
        f" WHERE metric = '{metric}' AND subject = '{subject}'"
    )


def age_samples(pattern: str, by: str) -> str:
    return (
        f"UPDATE ops.metric_samples SET sampled_at = sampled_at - interval '{by}'"
        f" WHERE metric ~ '{pattern}'"
    )


FAULTS = [
    *map(dropped, PARENTS),
    Fault(
        "archive: months in the archive",
        Status.UNKNOWN,
        "ALTER TABLE ops.legal_holds RENAME TO holds_elsewhere",
        "ALTER TABLE ops.holds_elsewhere RENAME TO legal_holds",
    ),
    Fault(
        "archive: months past their retention",
        Status.BAD,
        "CREATE TABLE old PARTITION OF content_segments FOR VALUES FROM ('2012-01-01 00:00Z')"
        " TO ('2012-02-01 00:00Z')",
        "DROP TABLE old",
    ),
    Fault(
        "archive: months of the audit log",
        Status.BAD,
        "CREATE TABLE old PARTITION OF audit_log FOR VALUES FROM ('2012-01-01 00:00Z')"
        " TO ('2012-02-01 00:00Z')",
        "DROP TABLE old",
    ),
    Fault(
        "archive: oldest unproven archive",
        Status.BAD,
        "INSERT INTO ops.archive (month, generation, state, archived_at)"
        " VALUES ('2016-01-01', 1, 'archived', now() - interval '4 days')",
        "UPDATE ops.archive SET state = 'frozen', proven_at = now() WHERE month = '2016-01-01'",
    ),
    Fault(
        "archive: months stopped by an error",
        Status.BAD,
        "UPDATE ops.archive SET state = 'exporting', error = 'bucket: 503'",
        "UPDATE ops.archive SET state = 'frozen', error = NULL",
    ),
    Fault(
        "archive: second copy",
        Status.WARNING,
        "UPDATE ops.archive SET state = 'purged' WHERE state = 'frozen'",
        "UPDATE ops.archive SET state = 'frozen' WHERE state = 'purged'",
    ),
    Fault(
        "archive: months asked back",
        Status.BAD,
        "INSERT INTO ops.thaws (month, purpose, state, generations, tier, days, estimate, error)"
        " VALUES ('2016-01-01', 'thaw', 'loading', '{1}', 'Bulk', 1, '{}', 'its copy expired')",
        "UPDATE ops.thaws SET state = 'done', error = NULL",
    ),
    Fault(
        "backups: last good backup",
        Status.BAD,
        "UPDATE ops.restore_drills SET finished_at = finished_at - interval '26 hours'",
        "UPDATE ops.restore_drills SET finished_at = finished_at + interval '26 hours'",
    ),
    *(
        Fault(
            f"backups: newest {kind}",
            Status.BAD,
            f"UPDATE ops.backups SET point_at = point_at - interval '{age}' WHERE kind = '{kind}'",
            f"UPDATE ops.backups SET point_at = point_at + interval '{age}' WHERE kind = '{kind}'",
        )
        for kind, age in (("full", "24 hours"), ("increment", "6 hours"), ("dump", "35 days"))
    ),
    Fault(
        "backups: newest full",
        Status.BAD,
        "UPDATE ops.backups SET state = 'missing' WHERE kind = 'full'",
        "UPDATE ops.backups SET state = 'complete' WHERE kind = 'full'",
    ),
    Fault(
        "backups: last restore drill",
        Status.BAD,
        "INSERT INTO ops.restore_drills (backup, target, state, finished_at, error)"
        " VALUES ('full-1', 'full-1', 'failed', now(), 'orders differ')",
        "DELETE FROM ops.restore_drills WHERE state = 'failed'",
    ),
    Fault(
        "backups: last restore drill",
        Status.UNKNOWN,
        "INSERT INTO ops.restore_drills (backup, target, state)"
        " VALUES ('full-1', 'full-1', 'died')",
        "DELETE FROM ops.restore_drills WHERE state = 'died'",
    ),
    Fault(
        "backups: backups to look at",
        Status.BAD,
        "INSERT INTO ops.restore_drills (backup, target, state, finished_at, error)"
        " VALUES ('full-1', 'full-1', 'failed', now(), 'orders differ')",
        "UPDATE ops.backups SET acknowledged_at = now() + interval '1 minute',"
        " acknowledged_by = 'me', acknowledgement = 'seen' WHERE name = 'full-1';"
        "DELETE FROM ops.restore_drills WHERE state = 'failed'",
    ),
    Fault(
        "backups: backups to look at",
        Status.UNKNOWN,
        "INSERT INTO ops.restore_drills (backup, target, state)"
        " VALUES ('full-1', 'full-1', 'died')",
        "DELETE FROM ops.restore_drills WHERE state = 'died'",
    ),
    Fault(
        "storage: storage recomputed",
        Status.BAD,
        "UPDATE ops.storage_recomputations SET taken_at = taken_at - interval '26 hours'",
        "UPDATE ops.storage_recomputations SET taken_at = taken_at + interval '26 hours'",
    ),
    Fault(
        "storage: media sizes",
        Status.UNKNOWN,
        "UPDATE ops.media_inventories SET taken_at = taken_at - interval '7 days'",
        "UPDATE ops.media_inventories SET taken_at = taken_at + interval '7 days'",
    ),
    Fault(
        "storage: media sizes",
        Status.UNKNOWN,
        "UPDATE ops.media_inventories SET source = 's3://media/before'",
        "UPDATE ops.media_inventories SET source = 's3://media/inventory'",
    ),
    Fault(
        "storage: families beyond their limit",
        Status.WARNING,
        "UPDATE ops.storage_families SET bytes = 11",
        "UPDATE ops.storage_families SET bytes = 10",
    ),
    Fault(
        "maintenance: age of ids",
        Status.UNKNOWN,
        "REVOKE EXECUTE ON FUNCTION pg_catalog.mxid_age(xid) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION pg_catalog.mxid_age(xid) TO PUBLIC",
    ),
    Fault(
        "maintenance: index bloat",
        Status.WARNING,
        "UPDATE ops.index_estimates SET estimated_bytes = 1000",
        "UPDATE ops.index_estimates SET estimated_bytes = bytes",
    ),
    Fault(
        "maintenance: index bloat",
        Status.UNKNOWN,
        "UPDATE ops.index_estimates SET estimated_at = now() - interval '8 days'",
        "UPDATE ops.index_estimates SET estimated_at = now()",
    ),
    Fault(
        "maintenance: failed rebuilds this week",
        Status.WARNING,
        "INSERT INTO ops.index_rebuilds (schema_name, table_name, index_name, definition,"
        " file_node, state, foreign_leftovers, bytes_before, work_bytes, predicted_seconds,"
        " finished_at, error) VALUES ('public', 'users', 'users_pkey', '', 1, 'failed', '{}', 1, 1,"
        " 1, now(), 'locked')",
        "DELETE FROM ops.index_rebuilds",
    ),
    *(
        Fault(
            f"latency: {screen.name}",
            Status.BAD,
            set_sample("screen_p95_ms", screen.name, screen.target_ms),
            set_sample("screen_p95_ms", screen.name, screen.target_ms - 1),
        )
        for screen in screens(SETTINGS)
    ),
    *(
        Fault(line, Status.UNKNOWN, age_samples(metric, "25h"), age_samples(metric, "-25h"))
        for line, metric in (
            ("latency: thread", "screen_p95_ms"),
            ("capacity: database", "database_bytes"),
            ("connections: connections", "connections"),
        )
    ),
    Fault(
        "capacity: disk",
        Status.BAD,
        set_sample("volume_bytes", "server", 95e9),
        set_sample("volume_bytes", "server", 10e9),
    ),
    Fault(
        "capacity: disk of fast",
        Status.BAD,
        "INSERT INTO ops.metric_samples (metric, subject, value, sampled_at)"
        " SELECT metric, 'fast', CASE metric WHEN 'volume_bytes' THEN 95e9 ELSE value END,"
        " sampled_at FROM ops.metric_samples WHERE metric IN ('volume_bytes', 'volume_size_bytes')",
        set_sample("volume_bytes", "fast", 10e9),
    ),
    Fault(
        "connections: connections",
        Status.WARNING,
        set_sample("connections", "used", 80),
        set_sample("connections", "used", 79),
    ),
    Fault(
        "connections: connections",
        Status.BAD,
        set_sample("connections", "used", 95),
        set_sample("connections", "used", 79),
    ),
    Fault(
        "connections: oldest snapshot",
        Status.WARNING,
        set_sample("oldest_snapshot_seconds", "", 300),
        set_sample("oldest_snapshot_seconds", "", 299),
    ),
]


def test_everything_is_green_when_nothing_is_wrong(sampled: Database) -> None:
    standings = ask(sampled)
    assert {name: s.status for name, s in standings.items() if s.status != Status.GOOD} == {}
    assert {fault.line for fault in FAULTS} >= standings.keys(), "a line without a fault of its own"
    near = standings["storage: families beyond their limit"].reason
    assert near == f"1 use more than {SETTINGS.storage_warn_percent} % of it"


SUMMARIES = {
    "checks: checks",
    "runs: failed runs",
    "schedules: schedules on time",
    "sensors: sensors at work",
}
"""Lines that count: each that is broken has a line of its own beside them, which is red."""


def test_every_line_that_the_code_can_write_has_a_fault_of_its_own() -> None:
    """Found in the code, so that a line which somebody adds is missed here."""
    root = Path(ft_ops.__file__).parent
    written = {
        line
        for file in sorted(root.rglob("*.py"))
        if file.name != "standing.py"
        for line in lines_written(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert len(written) > 25
    shown = {fault.line for fault in FAULTS} | TURNED | SUMMARIES | {UNDELIVERED}
    unshown = [line for line in written if not any(re.fullmatch(line, name) for name in shown)]
    assert unshown == []


def lines_written(module: ast.Module) -> Iterator[str]:
    """``area: what`` of each line that a module makes, as patterns: what varies matches all."""
    constants = dict(texts_of(module.body))
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        known = constants | dict(texts_of(function.body))
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Standing":
                for area in patterns(call.args[0], known):
                    for what in patterns(call.args[1], known):
                        yield f"{area}: {what}"


def texts_of(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(statement.value, ast.Constant):
                yield target.id, str(statement.value.value)


def patterns(written: ast.expr, known: dict[str, str]) -> list[str]:
    match written:
        case ast.Constant(value=str(text)):
            return [re.escape(text)]
        case ast.Name(id=name) if name in known:
            return [re.escape(known[name])]
        case ast.IfExp(body=one, orelse=other):
            return [*patterns(one, known), *patterns(other, known)]
        case ast.JoinedStr(values=parts):
            return ["".join(patterns(part, known)[0] for part in parts)]
    return [".+"]


@pytest.mark.parametrize("area", sorted({fault.area for fault in FAULTS}))
def test_a_line_shows_its_fault_today_and_is_green_again_once_it_is_mended(
    area: str, sampled: Database
) -> None:
    with (
        psycopg.connect(sampled.admin_url, autocommit=True) as admin,
        connected(sampled.url, application="tests") as connection,
        session(sampled) as looking,
    ):
        # A hundred looks: with six sessions for each, most of the test would be their beginning.
        look = partial(page_of, lambda: nullcontext(looking))
        for fault in FAULTS:
            if fault.area != area:
                continue
            admin.execute(fault.breaks.encode())
            broken = look()[fault.line]
            assert broken.status == fault.status, fault
            assert broken.section, fault
            if isinstance(fault.mends, str):
                admin.execute(fault.mends.encode())
            else:
                fault.mends(connection)
            # What the next one breaks was whole before.
            assert look()[fault.line].status == Status.GOOD, fault


@pytest.mark.parametrize(("table", "areas"), LEDGERS)
def test_a_room_that_can_not_read_its_ledger_is_unknown_and_hides_no_other(
    table: str, areas: set[str], sampled: Database
) -> None:
    good = ask(sampled)
    with psycopg.connect(sampled.admin_url) as holder:
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        standings = ask(sampled)
    unknown = [s for s in standings.values() if s.status == Status.UNKNOWN]
    assert {s.area for s in unknown} == areas
    assert all("locked by another session" in s.reason for s in unknown)
    others = {name for name, s in good.items() if s.area not in areas}
    assert others <= standings.keys()


def test_a_database_that_does_not_answer_leaves_every_room_unknown(sampled: Database) -> None:
    gone = Database("ft_no_such_database", sampled.server_url)
    standings = ask(gone)
    assert standings.keys() == {f"{room}: {room}" for room in ROOMS}
    assert {s.status for s in standings.values()} == {Status.UNKNOWN}
    assert all("does not exist" in s.reason for s in standings.values())


def test_a_backup_that_nobody_restored_is_unknown_on_its_first_day_and_bad_after_it(
    database: Database,
) -> None:
    lines = ["backups: last good backup", "backups: last restore drill"]

    def known() -> set[Status]:
        standings = ask(database)
        return {standings[line].status for line in lines}

    assert known() == {Status.UNKNOWN}
    with psycopg.connect(database.url, autocommit=True) as ops:
        ops.execute(
            "INSERT INTO ops.backups (name, kind, provider, state, started_at)"
            " VALUES ('full-1', 'full', 'barman', 'taking', now() - interval '27 hours')"
        )
        assert known() == {Status.UNKNOWN}
        ops.execute("UPDATE ops.backups SET started_at = now() - interval '28 hours'")
    assert known() == {Status.BAD}


def make_healthy(connection: Connection) -> None:
    """Months, a frozen archive, backups that were restored, totals, estimates and figures."""
    for parent in PARENTS:
        months(connection, parent)
    connection.execute(
        "INSERT INTO ops.archive (month, generation, state, archived_at, proven_at)"
        " VALUES ('2015-01-01', 1, 'frozen', now() - interval '9 days', now())"
    )
    for kind in ("full", "increment", "dump"):
        connection.execute(
            "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
            " completed_at) VALUES (%s, %s, 'barman', 'complete', 'x', now() - interval '3 hours',"
            " '{}', now())",
            (f"{kind}-1", kind),
        )
    connection.execute(
        "INSERT INTO ops.restore_drills (backup, target, state, restored_to, recovery_seconds,"
        " loss_seconds, certificate, started_at, finished_at) VALUES ('full-1', 'full-1',"
        " 'passed', now() - interval '3 hours', 600, 0, '{}', now() - interval '2 hours',"
        " now() - interval '2 hours')"
    )
    connection.execute(
        "INSERT INTO ops.storage_recomputations (kind, snapshot, lsn, taken_at, months, recomputed)"
        " VALUES ('every month', '1:1:', '0/0', now() - interval '5 hours', 0, '{}')"
    )
    connection.execute(
        "INSERT INTO ops.media_inventories (source, taken_at, objects, bytes, added, altered)"
        " VALUES ('s3://media/inventory', now() - interval '8 days', 1, 1, 1, 0)"
    )
    connection.execute(
        "WITH owner AS (INSERT INTO users (clerk_id, email) VALUES ('a', 'a@example.org')"
        " RETURNING id), family AS (INSERT INTO families (name, owner_id, storage_limit_bytes)"
        " SELECT 'A', id, 10 FROM owner RETURNING id)"
        " INSERT INTO ops.storage_families SELECT id, 10 FROM family"
    )
    connection.execute(
        "INSERT INTO ops.index_estimates (schema_name, index_name, file_node, method, is_certain,"
        " bytes, rows, estimated_bytes) VALUES ('public', 'users_pkey',"
        " pg_relation_filenode('users_pkey'), 'density', true, 8192, 1, 8192)"
    )
    samples = [Sample("screen_p95_ms", s.name, s.target_ms - 1) for s in screens(SETTINGS)]
    samples += [
        Sample("database_bytes", "", 10e9),
        Sample("volume_bytes", "server", 10e9),
        Sample("volume_size_bytes", "server", 100e9),
        Sample("connections", "used", 79),
        Sample("connections", "available", 100),
        Sample("oldest_snapshot_seconds", "", 299),
    ]
    write_samples(connection, samples, datetime.now(UTC) - timedelta(minutes=5))
