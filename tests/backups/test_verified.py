"""A gate may rely on a backup only while its last drill is a success."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ft_ops.backups import newest_verified_backup
from ft_ops.pg.connect import Connection

NIGHT = datetime(2026, 3, 1, 2, tzinfo=UTC)


def _full(connection: Connection, name: str, point_at: datetime, state: str = "complete") -> None:
    connection.execute(
        "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
        " completed_at) VALUES (%s, 'full', 'barman', %s, %s, %s, '{}', %s)",
        (name, state, name, point_at, point_at),
    )


def _drill(
    connection: Connection, backup: str, state: str, restored_to: datetime, hours: int = 1
) -> None:
    connection.execute(
        "INSERT INTO ops.restore_drills (backup, target, state, restored_to, recovery_seconds,"
        " certificate, finished_at) VALUES (%s, %s, %s, %s, 1, '{}', %s)",
        (backup, backup, state, restored_to, NIGHT + timedelta(hours=hours)),
    )


def test_a_backup_without_a_drill_is_not_verified(connection: Connection) -> None:
    _full(connection, "full-a", NIGHT)
    assert newest_verified_backup(connection) is None


def test_the_backup_that_reaches_furthest_is_the_newest(connection: Connection) -> None:
    _full(connection, "full-a", NIGHT)
    _full(connection, "full-b", NIGHT - timedelta(days=9))
    _drill(connection, "full-a", "passed", NIGHT + timedelta(hours=6), hours=7)
    _drill(connection, "full-a", "passed", NIGHT, hours=8)
    # Drilled last, but it goes back nine days.
    _drill(connection, "full-b", "passed", NIGHT - timedelta(days=9), hours=9)
    found = newest_verified_backup(connection)
    assert found is not None
    assert found.name == "full-a"
    assert found.restored_to == NIGHT + timedelta(hours=6)
    assert found.verified_at == NIGHT + timedelta(hours=8)


def test_a_failed_drill_takes_back_what_was_proven(connection: Connection) -> None:
    _full(connection, "full-a", NIGHT)
    _drill(connection, "full-a", "passed", NIGHT)
    _drill(connection, "full-a", "failed", NIGHT)
    assert newest_verified_backup(connection) is None
    _drill(connection, "full-a", "passed", NIGHT)
    assert newest_verified_backup(connection) is not None


def test_a_backup_that_is_gone_is_not_verified(connection: Connection) -> None:
    for state in ("missing", "deleted"):
        _full(connection, f"full-{state}", NIGHT, state)
        _drill(connection, f"full-{state}", "passed", NIGHT)
    assert newest_verified_backup(connection) is None


def test_a_drill_at_work_proves_nothing(connection: Connection) -> None:
    _full(connection, "full-a", NIGHT)
    _drill(connection, "full-a", "running", NIGHT)
    assert newest_verified_backup(connection) is None


def test_a_backup_of_a_moment_that_is_still_to_come_is_not_relied_on(
    connection: Connection,
) -> None:
    """The server's clock was a year ahead when it was taken: it is older than it says."""
    now = datetime.now(UTC)
    _full(connection, "full-a", now)
    for ahead in (timedelta(days=365), timedelta(hours=1, minutes=5)):
        _drill(connection, "full-a", "passed", now + ahead)
        assert newest_verified_backup(connection) is None
        connection.execute("DELETE FROM ops.restore_drills")
    # Two machines' clocks may differ by so much.
    _drill(connection, "full-a", "passed", now + timedelta(minutes=55))
    assert newest_verified_backup(connection) is not None
