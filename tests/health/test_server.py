"""What befalls a server beside what migrations make: each check is seen to fail by its fault."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ft_ops.clock import utc_now
from ft_ops.health import Sample, write_samples
from ft_ops.health.server.problem import Problem
from ft_ops.health.server.questions import QUESTIONS, Asked, Question, answer, is_forgotten
from ft_ops.health.server.versions import LISTED_ON, MAJORS, next_release, version_problems
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database, without_schedulers

NOW = datetime(2026, 9, 1, tzinfo=UTC)
BY_NAME = {question.check: question for question in QUESTIONS}


def ask(check: str, connection: Connection, ahead: timedelta = timedelta()) -> list[Problem]:
    """What is wrong, for a machine whose clock is so much ahead of the server's."""
    return answer(BY_NAME[check], connection, utc_now() + ahead)


@contextmanager
def admin(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.admin_url, autocommit=True) as opened:
        yield opened


@pytest.mark.parametrize(
    "check", [question.check for question in QUESTIONS if question.check != "minor_version"]
)
def test_nothing_is_wrong_with_what_the_migrations_make(check: str, connection: Connection) -> None:
    assert ask(check, connection) == []


def test_clocks_that_differ_are_told_and_so_is_what_one_has_dated_ahead(
    connection: Connection,
) -> None:
    for minutes in (55, -55):
        assert ask("clocks_agree", connection, timedelta(minutes=minutes)) == []
    for minutes in (65, -65):
        [problem] = ask("clocks_agree", connection, timedelta(minutes=minutes))
        assert problem.is_error
        assert "this machine's clock says" in problem.words
    figure = [Sample("database_bytes", "", 1.0)]
    write_samples(connection, figure, utc_now() + timedelta(minutes=55))
    assert ask("clocks_agree", connection) == []
    write_samples(connection, figure, utc_now() + timedelta(days=100))
    [problem] = ask("clocks_agree", connection)
    assert problem.words.startswith("1 figures in ops.metric_samples are dated after now")


def test_a_page_that_does_not_match_its_checksum_is_an_error(database: Database) -> None:
    torn = f"{database.name}_torn"
    name = sql.Identifier(torn)
    with admin(database) as connection:
        connection.execute(
            "CREATE TABLE public.leaf AS SELECT repeat('x', 900) AS t FROM generate_series(1, 50)"
        )
        row = connection.execute(
            "SELECT pg_relation_filenode('leaf'), current_setting('data_directory')"
        ).fetchone()
    assert row is not None
    if not Path(row[1]).is_dir():
        pytest.skip("the server's files are out of reach")
    with psycopg.connect(database.server_url, autocommit=True) as cluster:
        original = sql.Identifier(database.name)
        with without_schedulers(cluster, original):
            # Copied file by file: no page of the copy has been read yet.
            cluster.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(name, original)
            )
        try:
            oid = cluster.execute(
                "SELECT oid FROM pg_database WHERE datname = %s", (torn,)
            ).fetchone()
            assert oid is not None
            _flip(Path(row[1]) / "base" / str(oid[0]) / str(row[0]))
            with (
                admin(Database(torn, database.server_url)) as reader,
                pytest.raises(psycopg.errors.DataCorrupted),
            ):
                reader.execute("SELECT count(*) FROM leaf")
            with connect(database.url, application="tests") as ours:
                found = told_of(torn, ask("data_checksums", ours))
                # As after a crash: the counter began anew, and nobody reset it.
                ours.execute("UPDATE ops.checksum_failures SET failures = 7, database_oid = 1")
                ours.execute(
                    "UPDATE ops.checksum_failures SET database_name = datname, database_oid = datid"
                    " FROM pg_stat_database WHERE datname = current_database()"
                )
                assert (
                    "7 pages did not"
                    in told_of(database.name, ask("data_checksums", ours))[0].words
                )
                with admin(database) as somebody:
                    # Of the counters of one table the server tells the same.
                    somebody.execute("SELECT pg_stat_reset_single_table_counters('leaf'::regclass)")
                assert told_of(database.name, ask("data_checksums", ours))
                ours.execute(
                    "DELETE FROM ops.checksum_failures WHERE database_name = current_database()"
                )
                assert told_of(database.name, ask("data_checksums", ours)) == []
        finally:
            cluster.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
    [problem] = found
    assert problem.is_error
    assert "1 pages did not match their checksums" in problem.words


def told_of(name: str, problems: list[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.words.startswith(f"{name}: ")]


def _flip(file: Path) -> None:
    with file.open("r+b") as pages:
        pages.seek(4000)
        byte = pages.read(1)[0]
        pages.seek(4000)
        pages.write(bytes([byte ^ 1]))
        pages.flush()
        os.fsync(pages.fileno())


def test_a_constraint_left_not_valid_is_told_once_for_all_its_partitions(
    connection: Connection,
) -> None:
    connection.execute(
        "ALTER TABLE content_segments ADD CONSTRAINT later CHECK (sequence_number > -9) NOT VALID"
    )
    connection.execute("CREATE DOMAIN small AS integer")
    connection.execute("ALTER DOMAIN small ADD CONSTRAINT tiny CHECK (value < 9) NOT VALID")
    assert [problem.words for problem in ask("constraints_validated", connection)] == [
        "public.content_segments: later was never validated",
        "public.small: tiny was never validated",
    ]
    connection.execute("ALTER TABLE content_segments VALIDATE CONSTRAINT later")
    assert len(ask("constraints_validated", connection)) == 1


def test_a_collation_counts_when_something_is_sorted_by_it(
    connection: Connection, database: Database
) -> None:
    with admin(database) as superuser:
        superuser.execute("CREATE COLLATION german (provider = libc, locale = 'C.UTF-8')")
        superuser.execute("UPDATE pg_collation SET collversion = '1' WHERE collname = 'german'")
        assert ask("collations_current", connection) == []
        superuser.execute("CREATE TABLE words (word text COLLATE german)")
    [problem] = ask("collations_current", connection)
    assert "collation public.german, which 1 columns or indexes use, was made with version 1" in (
        problem.words
    )


def test_an_extension_behind_its_files_is_told(connection: Connection, database: Database) -> None:
    with admin(database) as superuser:
        superuser.execute("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'plpgsql'")
        assert ask("extensions_current", connection) == [
            Problem("extension plpgsql is 0.9, and the server has 1.0")
        ]
        superuser.execute("UPDATE pg_extension SET extname = 'lost' WHERE extname = 'plpgsql'")
    [problem] = ask("extensions_current", connection)
    assert problem.is_error
    assert "the server has no files of it" in problem.words


@pytest.mark.parametrize(
    ("made", "used"),
    [
        pytest.param("SEQUENCE s MAXVALUE 1001", "75.0%", id="its own limit"),
        pytest.param("SEQUENCE s INCREMENT -1 MINVALUE -1001 MAXVALUE -1", "75.0%", id="downwards"),
    ],
)
def test_a_sequence_near_its_end_is_told(connection: Connection, made: str, used: str) -> None:
    connection.execute(sql.SQL("CREATE " + made))
    sign = -1 if "INCREMENT -1" in made else 1
    connection.execute("SELECT setval('s', %s)", (sign * 750,))
    assert ask("sequences_have_room", connection) == []
    connection.execute("SELECT setval('s', %s)", (sign * 751,))
    [problem] = ask("sequences_have_room", connection)
    assert (problem.words, problem.is_error) == (
        f"public.s: {used} of its numbers are used up",
        False,
    )
    connection.execute("SELECT setval('s', %s)", (sign * 901,))
    [problem] = ask("sequences_have_room", connection)
    assert problem.is_error


@pytest.mark.parametrize(
    "column",
    [
        "id integer DEFAULT nextval('s')",
        "id integer",
        "id smallint DEFAULT nextval('s')",
        "id ticket DEFAULT nextval('s')",
        "id numeric(6, 2) DEFAULT nextval('s')",
        "id bigint DEFAULT nextval('s') UNIQUE, child integer REFERENCES t (id)",
    ],
)
def test_a_narrow_column_ends_a_wide_sequence(connection: Connection, column: str) -> None:
    most = 32767 if "smallint" in column else 9999 if "numeric" in column else 2**31 - 1
    connection.execute("CREATE DOMAIN counted AS integer; CREATE DOMAIN ticket AS counted")
    connection.execute("CREATE SEQUENCE s")
    connection.execute(sql.SQL("CREATE TABLE t (" + column + ")"))
    if "DEFAULT" not in column:
        connection.execute("ALTER SEQUENCE s OWNED BY t.id")
    connection.execute("SELECT setval('s', %s)", (int(0.95 * most),))
    [problem] = ask("sequences_have_room", connection)
    narrow = "child" if "child" in column else "id"
    assert (
        problem.words == f"public.s: 95.0% of the numbers that public.t.{narrow} takes are used up"
    )
    assert problem.is_error
    connection.execute("SELECT setval('s', %s)", (int(0.7 * most),))
    assert ask("sequences_have_room", connection) == []


def test_a_sequence_that_is_set_near_its_end_has_given_no_number_yet(
    connection: Connection,
) -> None:
    connection.execute("CREATE SEQUENCE s MAXVALUE 1001")
    connection.execute("ALTER SEQUENCE s RESTART WITH 700")
    assert ask("sequences_have_room", connection) == []
    connection.execute("ALTER SEQUENCE s RESTART WITH 991")
    [problem] = ask("sequences_have_room", connection)
    assert (problem.words, problem.is_error) == ("public.s: 99.0% of its numbers are used up", True)


def test_a_sequence_that_begins_again_never_ends(connection: Connection) -> None:
    connection.execute("CREATE SEQUENCE s MAXVALUE 100 CYCLE")
    connection.execute("SELECT setval('s', 99)")
    assert ask("sequences_have_room", connection) == []


def test_a_locked_sequence_is_named_and_the_others_are_read(
    connection: Connection, database: Database
) -> None:
    connection.execute("CREATE SEQUENCE held MAXVALUE 100")
    connection.execute("CREATE SEQUENCE s MAXVALUE 100")
    connection.execute("SELECT setval('s', 99), setval('held', 99)")
    with psycopg.connect(database.url) as other:
        other.execute("ALTER SEQUENCE held MAXVALUE 200")
        words = [problem.words for problem in ask("sequences_have_room", connection)]
    assert words == [
        "public.held is not known: somebody changes it now",
        "public.s: 99.0% of its numbers are used up",
    ]


def test_a_publication_without_identity_makes_updates_fail(
    connection: Connection, database: Database
) -> None:
    connection.execute("CREATE TABLE plain (a integer)")
    connection.execute("CREATE TABLE parted (a integer) PARTITION BY LIST (a)")
    connection.execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)")
    with admin(database) as superuser:
        superuser.execute(
            "CREATE PUBLICATION p FOR TABLE plain, parted, users WITH (publish_via_partition_root)"
        )
        told = ask("logical_replication", connection)
        assert [problem.words.split(", ")[0] for problem in told] == [
            "publication p sends updates of public.parted_1",
            "publication p sends updates of public.plain",
        ]
        assert all(problem.is_error for problem in told)
        superuser.execute("ALTER PUBLICATION p SET (publish = 'insert')")
    assert ask("logical_replication", connection) == []


def test_a_publication_of_a_whole_schema_also_sends_what_is_made_as_months_go(
    connection: Connection, database: Database
) -> None:
    """A subscriber stops at the first table that it has not."""

    def told() -> list[Problem]:
        # An extension's tables may have no key, which is told besides.
        found = ask("logical_replication", connection)
        return [one for one in found if "every table of a schema" in one.words]

    with admin(database) as superuser:
        for every in ("ALL TABLES", "TABLES IN SCHEMA ops", "TABLES IN SCHEMA public"):
            superuser.execute(sql.SQL("CREATE PUBLICATION p FOR {}").format(sql.SQL(every)))
            [one] = told()
            assert one.words.startswith("publication p sends out every table of a schema")
            assert not one.is_error
            superuser.execute("ALTER PUBLICATION p SET (publish = 'update, delete')")
            assert told() == []
            superuser.execute("DROP PUBLICATION p")
        superuser.execute("CREATE PUBLICATION p FOR TABLE content_segments, ops.archive")
    assert ask("logical_replication", connection) == []


@pytest.mark.parametrize(
    ("table", "published"),
    [
        ("(id int PRIMARY KEY, v int)", ""),
        ("(id int PRIMARY KEY DEFERRABLE, v int)", ""),
        ("(id int PRIMARY KEY, v int)", "(id)"),
        ("(id int PRIMARY KEY, v int)", "(v)"),
        ("(id int, v int, PRIMARY KEY (id) INCLUDE (v))", "(id)"),
        ("(id int PRIMARY KEY, v int)", "WHERE (id > 3)"),
        ("(id int PRIMARY KEY, v int)", "WHERE (v > 3)"),
        ("(id int, v int, PRIMARY KEY (id, v)) PARTITION BY LIST (v)", "WHERE (v > 3)"),
        ("(id int, v int, w int, PRIMARY KEY (id, v)) PARTITION BY LIST (v)", "WHERE (w > 3)"),
    ],
)
def test_an_update_that_a_publication_makes_fail_is_told_and_no_other(
    connection: Connection, database: Database, table: str, published: str
) -> None:
    connection.execute(sql.SQL("CREATE TABLE t " + table))
    if "PARTITION" in table:
        connection.execute("CREATE TABLE t_1 PARTITION OF t DEFAULT")
    connection.execute("INSERT INTO t (id, v) VALUES (1, 1)")
    with admin(database) as superuser:
        superuser.execute(
            sql.SQL(
                "CREATE PUBLICATION p FOR TABLE t "
                + published
                + " WITH (publish_via_partition_root)"
            )
        )
    try:
        connection.execute("UPDATE t SET id = 2")
        refused = ""
    except psycopg.Error as error:
        refused = str(error)
    told = ask("logical_replication", connection)
    assert bool(told) == bool(refused), (told, refused)


def test_a_subscription_that_fails_is_told(connection: Connection, database: Database) -> None:
    with admin(database) as superuser:
        superuser.execute(
            "CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere' PUBLICATION p"
            " WITH (connect = false, slot_name = 's')"
        )
        superuser.execute("ALTER SUBSCRIPTION s ENABLE")
        try:
            # Its worker lives for a moment each time that the server begins one.
            found = [
                problem for _ in range(3) for problem in ask("logical_replication", connection)
            ]
        finally:
            superuser.execute("ALTER SUBSCRIPTION s DISABLE")
            superuser.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
            superuser.execute("DROP SUBSCRIPTION s")
    assert found
    assert "is enabled, and nobody fetches for it" in found[0].words


def test_a_disabled_subscription_is_told(connection: Connection, database: Database) -> None:
    with admin(database) as superuser:
        superuser.execute(
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p"
            " WITH (connect = false, slot_name = NONE)"
        )
        try:
            assert ask("logical_replication", connection) == [Problem("subscription s is disabled")]
        finally:
            superuser.execute("DROP SUBSCRIPTION s")


@pytest.mark.parametrize(
    ("since", "held", "forgotten"),
    [
        (None, 10**9, True),
        (None, 10**9 - 1, False),
        (NOW - timedelta(minutes=60), 0, True),
        (NOW - timedelta(minutes=59), 10**12, False),
    ],
)
def test_a_slot_is_forgotten_after_an_hour_or_a_gigabyte(
    since: datetime | None, held: int, forgotten: bool
) -> None:
    assert is_forgotten(since, held, NOW) == forgotten


def test_a_minor_version_is_held_against_a_list_with_a_date() -> None:
    newest = 16 * 10_000 + MAJORS[16].newest
    assert version_problems(newest, LISTED_ON) == []
    [behind] = version_problems(newest - 1, LISTED_ON)
    assert f"16.{MAJORS[16].newest} was out on {LISTED_ON}" in behind.words
    assert behind.words.endswith("Stop the server, replace its programs, start it")


def test_a_release_after_the_list_makes_the_newest_version_unknown() -> None:
    newest = 16 * 10_000 + MAJORS[16].newest
    due = next_release(LISTED_ON)
    assert version_problems(newest, due + timedelta(days=14)) == []
    [unknown] = version_problems(newest, due + timedelta(days=15))
    assert f"is not known: a minor version was due on {due}" in unknown.words
    assert "MAJORS and LISTED_ON of ft_ops/health/server/versions.py" in unknown.words
    assert Path("ft_ops/health/server/versions.py").is_file()


@pytest.mark.parametrize(
    ("after", "due"),
    [
        (date(2026, 1, 1), date(2026, 2, 12)),
        (date(2026, 2, 11), date(2026, 2, 12)),
        (date(2026, 2, 12), date(2026, 5, 14)),
        (date(2026, 8, 20), date(2026, 11, 12)),
        (date(2026, 11, 12), date(2027, 2, 11)),
    ],
)
def test_minor_versions_come_on_the_second_thursday_of_a_quarter_s_second_month(
    after: date, due: date
) -> None:
    assert next_release(after) == due


@pytest.mark.parametrize(
    ("number", "today", "words", "is_error"),
    [
        (140_024, LISTED_ON, "PostgreSQL 14 is no longer maintained", True),
        (190_000, LISTED_ON, "PostgreSQL 19.0 is newer than the list", False),
        (160_099, date(2028, 11, 10), "no longer maintained since 2028-11-09", True),
    ],
)
def test_a_major_version_has_an_end(number: int, today: date, words: str, is_error: bool) -> None:
    problem = version_problems(number, today)[0]
    assert words in problem.words
    assert problem.is_error == is_error


def test_what_could_not_be_asked_is_a_problem_and_stops_nothing(connection: Connection) -> None:
    def divide(asked: Asked) -> list[Problem]:
        asked.connection.execute("SELECT 1 / 0")
        return []

    broken = Question("data_checksums", "", divide)
    [problem] = answer(broken, connection, NOW)
    assert problem.words.startswith("not known: ")
    assert ask("data_checksums", connection) == []


def test_a_sequence_that_may_not_be_read_is_told(
    connection: Connection, database: Database
) -> None:
    with admin(database) as superuser:
        superuser.execute("CREATE SEQUENCE theirs")
    told = [problem.words for problem in ask("sequences_have_room", connection)]
    assert told == ["public.theirs is not known: its numbers may not be read"]


FAULTS: Mapping[str, Callable[..., None]] = {
    "data_checksums": test_a_page_that_does_not_match_its_checksum_is_an_error,
    "clocks_agree": test_clocks_that_differ_are_told_and_so_is_what_one_has_dated_ahead,
    "minor_version": test_a_minor_version_is_held_against_a_list_with_a_date,
    "constraints_validated": test_a_constraint_left_not_valid_is_told_once_for_all_its_partitions,
    "collations_current": test_a_collation_counts_when_something_is_sorted_by_it,
    "extensions_current": test_an_extension_behind_its_files_is_told,
    "sequences_have_room": test_a_sequence_near_its_end_is_told,
    "logical_replication": test_a_publication_without_identity_makes_updates_fail,
}
"""The fault that each check is seen to fail by."""


def test_each_check_has_a_fault_of_its_own() -> None:
    """One that somebody adds is missed here."""
    assert FAULTS.keys() == BY_NAME.keys()
    asks = {check: inspect.getsource(test) for check, test in FAULTS.items()}
    unasked = [c for c, source in asks.items() if f'ask("{c}"' not in source]
    # Its list of versions is asked by itself: the embedded server's is what it is.
    assert unasked == ["minor_version"]
