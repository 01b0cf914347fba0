"""A restore point says what every table holds at its mark, or says that it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import count

import psycopg
import pytest

from ft_ops.backups.points.fingerprint import fingerprint_tables
from ft_ops.backups.points.points import Mark, RestorePoint, take_point
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database


def _marking(action: Callable[[], object] = lambda: None) -> Callable[[Connection, str], Mark]:
    """Marks the log as a provider would, with something happening in that very moment."""

    def mark_log(connection: Connection, name: str) -> Mark:
        action()
        row = connection.execute(
            "SELECT lsn::text, pg_walfile_name(lsn) FROM pg_create_restore_point(%s) AS lsn",
            (name,),
        ).fetchone()
        assert row is not None
        return Mark(lsn=row[0], wal=row[1])

    return mark_log


_take = partial(take_point, cluster="1")


@pytest.fixture
def notes(connection: Connection) -> Connection:
    connection.execute("CREATE TABLE notes (id int PRIMARY KEY, r text)")
    connection.execute("INSERT INTO notes SELECT n, 'é' || n FROM generate_series(1, 100) AS n")
    return connection


def test_a_quiet_database_is_fingerprinted_as_of_the_mark(
    database: Database, notes: Connection
) -> None:
    point = _take(database.url, "quiet", _marking())
    assert point.changing == ()
    assert point.tables == dict(fingerprint_tables(notes))
    found = point.tables["public.notes"]
    assert found is not None
    assert found.rows == 100


def test_a_fingerprint_sees_every_change_and_no_order(notes: Connection) -> None:
    before = fingerprint_tables(notes)
    notes.execute("UPDATE notes SET r = r")
    notes.execute("VACUUM FULL notes")
    assert fingerprint_tables(notes) == before
    notes.execute("UPDATE notes SET r = (SELECT r FROM notes WHERE id = 2) WHERE id = 1")
    changed = fingerprint_tables(notes)
    assert {name for name in changed if changed[name] != before[name]} == {"public.notes"}
    notes.execute("UPDATE notes SET r = 'é1' WHERE id = 1")
    assert fingerprint_tables(notes) == before
    notes.execute("INSERT INTO notes VALUES (101, NULL)")
    assert fingerprint_tables(notes)["public.notes"].sum != before["public.notes"].sum


def test_a_table_that_changes_around_the_mark_is_named_and_no_other(
    database: Database, notes: Connection
) -> None:
    def write() -> None:
        notes.execute("DELETE FROM notes WHERE id = 7")

    point = _take(database.url, "busy", _marking(write))
    assert point.changing == ("public.notes",)
    assert point.tables["public._sqlx_migrations"] is not None


def test_a_commit_in_flight_at_the_mark_is_waited_for(
    database: Database, notes: Connection
) -> None:
    # Its commit record might be on either side of the mark; only a later look can tell.
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        notes.execute("COMMIT")

    notes.execute("BEGIN")
    notes.execute("DELETE FROM notes WHERE id = 7")
    point = _take(database.url, "flight", _marking(), sleep=pause)
    assert len(pauses) == 1
    assert point.changing == ("public.notes",)


def test_a_transaction_that_stays_open_holds_nothing_up(
    database: Database, notes: Connection
) -> None:
    notes.execute("BEGIN")
    notes.execute("DELETE FROM notes WHERE id = 7")
    seconds = count()
    point = _take(
        database.url, "open", _marking(), sleep=lambda _: None, clock=lambda: next(seconds)
    )
    notes.execute("ROLLBACK")
    assert point.changing == ()


def test_an_unreadable_table_is_named(database: Database, notes: Connection) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE public.secret AS SELECT 1 AS one")
    with pytest.raises(OpsError, match=r"fingerprint of public\.secret: permission denied"):
        _take(database.url, "unreadable", _marking())


def test_a_point_survives_its_record(database: Database, notes: Connection) -> None:
    point = _take(database.url, "kept", _marking(lambda: notes.execute("TRUNCATE notes")))
    assert RestorePoint.from_json(json.loads(json.dumps(point.to_json()))) == point
    with pytest.raises(OpsError, match="its record can't be read"):
        RestorePoint.from_json({"name": "broken"})
