"""A restore point says what every table holds at its mark, or says that it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import count

import psycopg
import pytest
from psycopg import sql

from ft_ops.backups.drill.checks import fingerprints, schema
from ft_ops.backups.drill.cluster_checks import other_databases, roles, sequences
from ft_ops.backups.points.beside import SequenceRange
from ft_ops.backups.points.coverage import WITHOUT_CHECKSUMS, never_compared
from ft_ops.backups.points.fingerprint import (
    fingerprint_tables,
    parts_of,
    read_again,
    read_snapshot,
)
from ft_ops.backups.points.points import Mark, RestorePoint, take_point
from ft_ops.backups.points.rests import RestLimits, Rests
from ft_ops.backups.points.sums import TableFingerprint, fingerprint_in_steps
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.pace import Pace
from ft_ops.pg.rows import one_row
from tests.fixtures.postgres import Database, await_true, half_dropped


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


def test_a_description_by_another_version_refutes_nothing_and_hides_no_loss(
    database: Database, connection: Connection
) -> None:
    point = _take(database.url, "schema", _marking())
    same = schema(connection, point)
    assert (same.findings, same.undecided, same.unsaid) == ((), (), ())
    name = next(iter(point.schema))
    other = replace(point, schema={**point.schema, name: "otherwise", "table lost": "it was"})
    assert {f.subject for f in schema(connection, other).findings} == {name, "table lost"}
    older = schema(connection, replace(other, schema_version="of before"))
    assert older.findings == ()
    assert [note.subject for note in older.undecided] == ["table lost"]
    assert [f"1 objects, {name} the first" in said for said in older.unsaid] == [True]


def test_a_database_whose_drop_was_interrupted_is_expected_in_no_copy_and_looked_into_in_none(
    database: Database, connection: Connection
) -> None:
    with half_dropped(database) as name:
        point = _take(database.url, "half", _marking())
        assert name not in point.databases
        said = other_databases(connection, replace(point, databases=()), None).unsaid
        assert not [words for words in said if name in words]


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


def test_rows_that_are_added_all_the_time_keep_nothing_from_being_compared(
    database: Database, notes: Connection
) -> None:
    def write() -> None:
        notes.execute("INSERT INTO notes VALUES (101, 'added')")

    point = _take(database.url, "growing", _marking(write))
    found = point.tables["public.notes"]
    assert found is not None
    assert found.rows == 100
    assert fingerprint_tables(notes, point.snapshot)["public.notes"] == found
    assert fingerprint_tables(notes)["public.notes"].rows == 101


def test_a_row_that_was_there_at_the_mark_alone_refutes_nothing(
    database: Database, notes: Connection
) -> None:
    """Put in before it and taken out after it: the table looks the same on both sides."""
    copied = []

    def write() -> None:
        notes.execute("INSERT INTO notes VALUES (101, 'a moment')")
        copied.append(fingerprint_tables(notes))
        notes.execute("DELETE FROM notes WHERE id = 101")

    def as_in_a_copy(snapshot: str | None) -> TableFingerprint:
        notes.execute("INSERT INTO notes VALUES (101, 'a moment')")
        return fingerprint_tables(notes, snapshot)["public.notes"]

    point = _take(database.url, "moment", _marking(write))
    assert copied[0]["public.notes"] != point.tables["public.notes"]
    assert as_in_a_copy(point.snapshot) == point.tables["public.notes"]


def test_of_a_table_that_changes_in_one_place_the_rest_is_compared(
    database: Database, notes: Connection
) -> None:
    notes.execute(
        "CREATE TABLE wide AS SELECT n AS id, repeat('x', 900) AS r"
        " FROM generate_series(1, 1600) AS n"
    )

    def write() -> None:
        notes.execute("UPDATE wide SET r = 'y' WHERE id = 1")

    point = _take(database.url, "place", _marking(write))
    assert point.changing == ("public.wide",)
    parts = point.parts["public.wide"]
    assert len(parts.parts) == parts.of - 1
    assert 0 not in parts.parts
    snapshot = point.snapshot
    assert snapshot is not None
    now = parts_of(notes, "public", "wide", snapshot, parts.blocks)
    assert {n: part for n, part in now.parts.items() if n in parts.parts} == parts.parts
    assert never_compared([point]) == ()


def test_what_no_point_knows_is_named_until_one_does(database: Database, notes: Connection) -> None:
    write = _marking(lambda: notes.execute("DELETE FROM notes WHERE id % 7 = 3"))
    busy, quiet = _take(database.url, "busy", write), _take(database.url, "quiet", _marking())
    assert never_compared([busy]) == (
        "public.notes: rows of every part of it were changed in that very moment",
    )
    assert (
        never_compared([busy, quiet]) == never_compared([quiet, busy]) == never_compared([]) == ()
    )


def test_a_table_that_is_dropped_made_or_truncated_after_the_mark_is_told_apart(
    database: Database, notes: Connection
) -> None:
    for table in ("dropped", "emptied", "rewritten", "replaced"):
        notes.execute(f"CREATE TABLE {table} AS SELECT generate_series(1, 500) AS id")

    def change() -> None:
        notes.execute("DROP TABLE dropped")
        notes.execute("TRUNCATE emptied")
        notes.execute("ALTER TABLE rewritten ALTER COLUMN id TYPE bigint")
        notes.execute("DROP TABLE replaced")
        notes.execute("CREATE TABLE replaced AS SELECT 1 AS id")
        notes.execute("CREATE TABLE made AS SELECT 1 AS id")

    point = _take(database.url, "changed", _marking(change))
    for table in ("dropped", "emptied", "rewritten", "replaced", "made"):
        assert point.tables.get(f"public.{table}") is None, table
        assert f"public.{table}" in point.unread, table
    assert point.tables["public.notes"] is not None
    # A copy has what was there at the mark: whichever that is, it is no finding.
    for table in ("dropped", "replaced", "made"):
        assert f"schema: table {table}" in point.unread or f"table {table}" in point.schema
    assert "schema: column rewritten.id" in point.unread
    with connect(database.url, application="tests") as copy:
        assert fingerprints(copy, point).findings == ()
        assert schema(copy, point).findings == ()


@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_table_that_is_locked_is_asked_for_again_and_keeps_nothing_up(
    database: Database, notes: Connection, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration holds it: let go in time, it is read; else all but it are."""
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=100ms")
    clock = count(step=seconds)
    with psycopg.connect(database.url) as migration:

        def lock() -> None:
            migration.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")

        point = _take(
            database.url,
            "locked",
            _marking(lock),
            sleep=lambda _: migration.rollback(),
            clock=lambda: next(clock),
        )
    if seconds == 0:
        assert point.tables["public.notes"] is not None
        assert point.unread == {}
    else:
        assert "public.notes" not in point.tables
        assert "somebody held it all the time" in point.unread["public.notes"]
        assert point.tables["public._sqlx_migrations"] is not None


def test_while_tables_are_read_none_is_kept_locked(database: Database, notes: Connection) -> None:
    notes.execute("CREATE TABLE aaa AS SELECT 1 AS id")
    with connect(database.url, application="tests") as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert read_snapshot(reader, None).unread == {}
        notes.execute("ALTER TABLE aaa ADD COLUMN more int")


@pytest.mark.parametrize(
    ("limits", "others", "rested"),
    [
        (RestLimits(0.5, 4.0), True, 4.0),
        (RestLimits(0.5, 3.5), True, 3.5),
        (RestLimits(0.5, 0.0), True, 0.0),
        (RestLimits(1.0, 4.0), True, 0.0),
        (RestLimits(0.5, 4.0), False, 0.0),
    ],
)
def test_a_point_is_read_in_steps_and_rests_beside_others_but_never_for_long(
    database: Database,
    notes: Connection,
    monkeypatch: pytest.MonkeyPatch,
    limits: RestLimits,
    others: bool,
    rested: float,
) -> None:
    monkeypatch.setattr("ft_ops.backups.points.sums._ROWS_OF_A_STEP", 30)
    slept, seconds, rests = list[float](), count(), Rests(limits)
    with ExitStack() as at_work:
        if others:
            application = at_work.enter_context(psycopg.connect(database.url))
            application.execute("SELECT 1")
        point = _take(
            database.url,
            "rested",
            _marking(),
            rests=rests,
            sleep=slept.append,
            clock=lambda: next(seconds),
        )
    assert (sum(slept), rests.seconds) == (rested, rested)
    assert max(slept, default=0) <= 1
    assert point.tables == dict(fingerprint_tables(notes))


def test_nobody_rests_on_a_lock_that_is_waited_for(
    database: Database, notes: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration comes while a table is being read: it waits for the reading, and for no rest."""
    monkeypatch.setattr("ft_ops.backups.points.sums._ROWS_OF_A_STEP", 10)
    seconds, rests, waits = count(), Rests(RestLimits(0.5, 900)), list[bool]()
    locks = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'notes'::regclass"
    waiting = f"{locks} AND NOT granted"
    with (
        psycopg.connect(database.url) as application,
        closing(psycopg.connect(database.url, autocommit=True)) as migration,
    ):
        application.execute("SELECT 1")

        def rest(_: float) -> None:
            is_being_read = one_row(notes.execute(locks))[0]
            if is_being_read and not waits:
                migration.pgconn.send_query(b"BEGIN; ALTER TABLE notes ADD COLUMN m int; COMMIT")
                await_true(notes, waiting)
            if is_being_read or waits:
                waits.append(one_row(notes.execute(waiting))[0])

        point = _take(
            database.url,
            "waited",
            _marking(),
            rests=rests,
            sleep=rest,
            clock=lambda: next(seconds),
        )
    assert waits[0]
    assert not any(waits[1:])
    assert "public.notes" in point.tables


def test_what_befalls_the_session_that_asks_for_rests_is_no_tables_fault(
    database: Database, notes: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The point fails, instead of being one that does not know a single table from there on."""

    def fail(*_: object) -> bool:
        raise psycopg.errors.QueryCanceled("canceling statement due to user request")

    monkeypatch.setattr("ft_ops.pg.pace.others_at_work", fail)
    with pytest.raises(OpsError, match="rests of a restore point: the statement was ended"):
        _take(database.url, "asked", _marking(), rests=Rests(RestLimits(0.5, 900)))


def test_a_reading_that_is_left_in_the_middle_leaves_its_transaction_usable(
    notes: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_ops.backups.points.sums._ROWS_OF_A_STEP", 10)

    def leave() -> bool:
        raise KeyError("left")

    whole = sql.SQL("true").format()
    with notes.transaction():
        with pytest.raises(KeyError), notes.transaction(force_rollback=True):
            fingerprint_in_steps(notes, sql.Identifier("notes"), whole, Pace(leave, 0.5))
        assert one_row(notes.execute("SELECT count(*) FROM notes"))[0] == 100


def test_as_many_rows_of_another_text_are_not_the_same_ones(
    database: Database, notes: Connection
) -> None:
    """ALTER TABLE gives each row a value without writing one: they stay as many."""
    notes.execute("CREATE TABLE aaa AS SELECT 1 AS id")
    with connect(database.url, application="tests") as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = one_row(reader.execute("SELECT pg_current_snapshot()::text"))[0]
        first = read_snapshot(reader, snapshot).versions
        notes.execute("ALTER TABLE aaa ADD COLUMN more int DEFAULT 1")
        again, unread = read_again(reader, snapshot)
    assert unread == {}
    assert again.keys() == first.keys()
    assert {name for name in first if first[name] != again[name]} == {"public.aaa"}


def test_an_unreadable_table_is_named_and_the_others_are_read(
    database: Database, notes: Connection
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE public.secret AS SELECT 1 AS one")
        admin.execute("CREATE UNLOGGED TABLE public.fleeting AS SELECT 1 AS one")
    point = _take(database.url, "unreadable", _marking())
    assert never_compared([point]) == (
        "public.fleeting: it is UNLOGGED: no backup holds its rows. ALTER TABLE … SET LOGGED",
        "public.secret: permission denied for table secret",
    )
    assert point.tables["public.notes"] is not None
    with pytest.raises(OpsError, match=r"fingerprint of public\.secret: permission denied"):
        fingerprint_tables(notes)


def test_a_sequence_is_known_between_two_values_and_found_when_set_back(
    database: Database, notes: Connection
) -> None:
    notes.execute("CREATE SEQUENCE up")
    notes.execute("CREATE SEQUENCE down INCREMENT -5 START -100 MINVALUE -100000 MAXVALUE -1")
    notes.execute("SELECT nextval('up'), setval('down', -200) FROM generate_series(1, 50)")
    point = _take(database.url, "counted", _marking(lambda: notes.execute("SELECT nextval('up')")))
    assert point.sequences["public.up"] == SequenceRange(50, 51 + 33)
    assert point.sequences["public.down"] == SequenceRange(-200 - 5 * 33, -200)

    def found() -> list[str]:
        return [f.subject for f in sequences(notes, point).findings]

    for up, down, wrong in (
        (51, -200, []),
        (84, -365, []),
        (49, -199, ["public.down", "public.up"]),
        (85, -370, ["public.down", "public.up"]),
    ):
        notes.execute("SELECT setval('up', %s), setval('down', %s)", (up, down))
        assert found() == wrong
    notes.execute("ALTER SEQUENCE up RESTART")
    assert found() == ["public.down", "public.up"]
    notes.execute("SELECT setval('up', 90)")
    back = _take(
        database.url, "set back", _marking(lambda: notes.execute("SELECT setval('up', 5)"))
    )
    assert "public.up" not in back.sequences
    assert "sequence public.up" in back.unread


def test_roles_are_held_against_those_at_the_point(database: Database, notes: Connection) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE ft_tried LOGIN")
        try:
            point = _take(database.url, "roles", _marking())
            assert roles(notes, point).findings == ()
            admin.execute("ALTER ROLE ft_tried CREATEDB")
            admin.execute("CREATE ROLE ft_stranger")
            assert [f.subject for f in roles(notes, point).findings] == ["ft_stranger", "ft_tried"]
        finally:
            admin.execute("DROP ROLE ft_tried")
            admin.execute("DROP ROLE IF EXISTS ft_stranger")
    assert [f.problem for f in roles(notes, point).findings] == ["it is missing"]


def test_a_server_without_checksums_is_told_to_switch_them_on(
    database: Database, notes: Connection
) -> None:
    point = _take(database.url, "sums", _marking())
    assert point.has_checksums is True
    told = never_compared([replace(point, has_checksums=False)])
    assert told == (WITHOUT_CHECKSUMS,)
    # What was taken before this was noted is no reason to warn.
    assert never_compared([replace(point, has_checksums=None)]) == ()


def test_a_point_survives_its_record(database: Database, notes: Connection) -> None:
    point = _take(database.url, "kept", _marking(lambda: notes.execute("TRUNCATE notes")))
    assert RestorePoint.from_json(json.loads(json.dumps(point.to_json()))) == point
    with pytest.raises(OpsError, match="its record can't be read"):
        RestorePoint.from_json({"name": "broken"})
