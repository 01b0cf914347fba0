"""Whatever interrupts a rebuild, and wherever: the next run leaves no trace of it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import psycopg
import pytest

from ft_ops.maintenance.indexes.leftovers import TableIdentity, invalid_indexes, leftovers_of
from ft_ops.maintenance.indexes.rebuild import finish_interrupted
from ft_ops.pg.connect import Connection, connect
from tests.faults.report import add_rebuilds
from tests.fixtures.postgres import Database
from tests.maintenance.tables import make_letters
from tests.maintenance.test_rebuild import holding, rebuild

WRITER = "UPDATE letters SET sender = sender WHERE sender = 10"
READER = "SELECT FROM letters LIMIT 1"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@pytest.fixture
def beside(database: Database) -> Iterator[Connection]:
    with connect(database.url, application="watching") as connection:
        yield connection


def cancel_rebuilds(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        # Other tests build indexes on the same server.
        admin.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index"
            " WHERE datname = current_database()"
        )


def unfinished(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT index_name, state, leftovers FROM ops.index_rebuilds"
        " WHERE state = 'begun' OR leftovers <> '{}'"
    ).fetchall()


@pytest.mark.parametrize(
    ("phase", "state", "left", "in_the_way"),
    [
        ("waiting for writers before build", "failed", ["letters_pkey_ccnew"], [WRITER]),
        # Nobody is in the way of dropping this one at once.
        ("waiting for old snapshots", "failed", [], [SNAPSHOT, "SELECT FROM families"]),
        ("waiting for readers before marking dead", "rebuilt", ["letters_pkey_ccold"], [READER]),
        ("waiting for readers before dropping", "rebuilt", ["letters_pkey_ccold"], [READER]),
    ],
)
def test_cancelled_in_any_phase_it_is_settled_by_the_catalog_and_cleaned_up(
    connection: Connection,
    beside: Connection,
    database: Database,
    phase: str,
    state: str,
    left: list[str],
    in_the_way: list[str],
) -> None:
    make_letters(connection, rows=2000)
    connection.execute("SET lock_timeout = '300ms'")
    first, second = ExitStack(), ExitStack()

    def interfere(line: str) -> None:
        if phase.endswith("dropping") and "before marking dead" in line:
            # The next wait is for those who came during this one.
            second.enter_context(holding(database, READER))
            first.close()
        if phase in line:
            cancel_rebuilds(database)

    with second, first:
        first.enter_context(holding(database, *in_the_way))
        outcome = rebuild(connection, beside, ["letters_pkey"], log=interfere)["letters_pkey"]
        assert outcome.result == state
        assert [index.name for index in invalid_indexes(connection)] == left
    rebuild(connection, beside)
    assert invalid_indexes(connection) == []
    assert unfinished(connection) == []


def test_a_leftover_with_another_definition_or_stem_is_not_ours(
    connection: Connection, database: Database
) -> None:
    make_letters(connection, rows=10)
    long_name = "letters_by_sender_" + "x" * 45
    cut = long_name[:57] + "_ccnew"
    connection.execute(
        f"""
        CREATE INDEX {long_name} ON letters (sender);
        CREATE INDEX {cut} ON letters (sender);
        CREATE INDEX letters_sender_ccnew1 ON letters (sender);
        CREATE INDEX letters_sender_ccold ON letters (sender, id);
        CREATE INDEX letters_send_ccnew ON letters (sender);
        CREATE INDEX "of\nletters_ccold2" ON letters (sender);
        """
    )
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text ~ '_cc'"
        )
    invalid = invalid_indexes(connection)
    assert len(invalid) == 5
    definition = next(i.definition for i in invalid if i.name == "letters_sender_ccnew1")

    def left_by(index: str) -> list[str]:
        letters = TableIdentity(None, "public", "letters")
        found = leftovers_of(invalid, letters, index, definition)
        return [leftover.name for leftover in found]

    assert left_by("letters_sender") == ["letters_sender_ccnew1"]
    assert left_by(long_name) == [cut]
    assert left_by("letters_senders") == []
    assert left_by("of\nletters") == ["of\nletters_ccold2"]


def left_behind(connection: Connection, database: Database, table: str) -> None:
    """Interrupt a rebuild of one index of ``table``, so that its leftover stays."""
    connection.execute("SET lock_timeout = '300ms'")

    def interfere(line: str) -> None:
        if "waiting for writers before build" in line:
            cancel_rebuilds(database)

    with (
        connect(database.url, application="watching") as beside,
        holding(database, f"UPDATE {table} SET sender = sender WHERE sender = 10"),
    ):
        rebuild(connection, beside, [f"{table}_pkey"], log=interfere)
    assert f"{table}_pkey_ccnew" in {index.name for index in invalid_indexes(connection)}


def test_what_is_left_is_dropped_though_its_table_was_renamed_meanwhile(
    connection: Connection, database: Database
) -> None:
    """The archive renames a month's table, and may come before the daily run."""
    make_letters(connection, rows=2000)
    left_behind(connection, database, "letters")
    connection.execute("ALTER TABLE letters RENAME TO archived_letters")
    # A stranger takes the name, and has an invalid index like it.
    make_letters(connection, "notes", rows=10)
    connection.execute("ALTER TABLE notes RENAME TO letters")
    connection.execute("CREATE UNIQUE INDEX letters_pkey_ccnew1 ON letters (id)")
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'letters_pkey_ccnew1'::regclass"
        )
    assert finish_interrupted(connection) == []
    assert [index.name for index in invalid_indexes(connection)] == ["letters_pkey_ccnew1"]
    assert unfinished(connection) == []


def test_a_leftover_that_may_not_be_dropped_is_named_and_stops_no_run(
    connection: Connection, database: Database
) -> None:
    for table in ("letters", "notes"):
        make_letters(connection, table, rows=2000)
    left_behind(connection, database, "letters")
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE 'no index is dropped today'; END $$"
        )
        admin.execute(
            "CREATE EVENT TRIGGER forbid ON ddl_command_start"
            " WHEN TAG IN ('DROP INDEX') EXECUTE FUNCTION forbid()"
        )
        # This run meets the first one, and goes on to what it was asked for.
        left_behind(connection, database, "notes")
        remaining = finish_interrupted(connection)
        assert [index.name for index, _ in remaining] == ["letters_pkey_ccnew", "notes_pkey_ccnew"]
        assert all("no index is dropped today" in why for _, why in remaining)
        admin.execute("DROP EVENT TRIGGER forbid")
    assert finish_interrupted(connection) == []
    assert invalid_indexes(connection) == []


@pytest.mark.chaos
def test_struck_at_random_twice(connection: Connection, database: Database) -> None:
    survive(connection, database, strikes=2, rows=15_000, seed=16)


@pytest.mark.chaos
@pytest.mark.timeout(5400)
def test_struck_at_random_fifty_times(connection: Connection, database: Database) -> None:
    seed = random.SystemRandom().randrange(10**9)
    survive(connection, database, strikes=50, rows=60_000, seed=seed)


SUBJECTS = ("audit_log_2024_06_pkey", "audit_log_2024_06_user_id_idx")
"""Of a partition, so that their leftovers are somebody's children; one is a constraint's."""

TABLE = "audit_log_2024_06"

VICTIM = """
import sys
from ft_ops.maintenance.indexes import rebuild as module
from ft_ops.pg.connect import connect
from tests.maintenance.test_rebuild import rebuild
url, *named = sys.argv[1:]
module.LOCK_SECONDS = 1
settings = {"client_connection_check_interval": "100ms", "lock_timeout": "1s"}
with (
    connect(url, application="victim", settings=settings) as connection,
    connect(url, application="watching") as beside,
):
    rebuild(connection, beside, named)
"""


def survive(
    connection: Connection, database: Database, *, strikes: int, rows: int, seed: int
) -> None:
    """Strike rebuilds, and look what the next daily run leaves of each: nothing."""
    chance = random.Random(seed)
    connection.execute(f"ALTER TABLE {TABLE} SET (autovacuum_enabled = off)")
    connection.execute(
        "INSERT INTO audit_log (user_id, action, created_at)"
        " SELECT gen_random_uuid(), 'x', timestamptz '2024-06-01 00:00+00' + g * interval '40 s'"
        " FROM generate_series(1, %s) AS g",
        (rows,),
    )
    indexes = names_of_indexes(connection)
    assert indexes > set(SUBJECTS)
    struck = 0
    blows = [chance.choice(BLOWS) for _ in range(strikes)]
    with writing(database):
        for blow in blows:
            struck += strike(connection, database, blow, chance)
            told = f"after {blow.__name__}, seed {seed}"
            assert finish_interrupted(connection) == [], told
            assert invalid_indexes(connection) == [], told
            assert unfinished(connection) == [], told
            assert names_of_indexes(connection) == indexes, told
    if strikes >= 50:
        add_rebuilds(
            {
                "seed": seed,
                "strikes": strikes,
                "struck": struck,
                "left": 0,
                "blows": Counter(blow.__name__.replace("_", " ") for blow in blows),
            }
        )
    # Some rebuilds are over before the blow falls; most are not.
    assert struck >= strikes / 2


def strike(
    connection: Connection,
    database: Database,
    blow: Callable[[Struck], None],
    chance: random.Random,
) -> bool:
    """Interrupt a rebuild of the subjects at a random moment; whether it was still at work."""
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, database.url, *SUBJECTS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        looks_left = chance.randrange(150)
        while victim.poll() is None and looks_left:
            looks_left -= rebuilding(connection)
        was_at_work = victim.poll() is None
        blow(Struck(victim, database))
        victim.wait(120)
    finally:
        victim.kill()
        victim.wait()
    return was_at_work


@dataclass(frozen=True)
class Struck:
    """A run of rebuilds that is struck, and its database."""

    process: subprocess.Popen[bytes]
    database: Database


def kill_client(struck: Struck) -> None:
    struck.process.send_signal(signal.SIGKILL)


def stop_run(struck: Struck) -> None:
    """As Dagster ends a run that somebody terminates."""
    struck.process.send_signal(signal.SIGINT)


def cancel_backend(struck: Struck) -> None:
    cancel_rebuilds(struck.database)


def terminate_backend(struck: Struck) -> None:
    with psycopg.connect(struck.database.admin_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ft-ops victim' AND datname = current_database()"
        )


def block(struck: Struck, *statements: str) -> None:
    """Be in the way of every step that waits, for longer than any of them waits."""
    with holding(struck.database, *statements):
        try:
            struck.process.wait(4)
        except subprocess.TimeoutExpired:
            # It waits, and is killed while it does.
            kill_client(struck)
            struck.process.wait(60)


def block_by_a_reader(struck: Struck) -> None:
    block(struck, f"SELECT FROM {TABLE} LIMIT 1")


def block_by_a_writer(struck: Struck) -> None:
    block(struck, f"UPDATE {TABLE} SET action = 'z' WHERE created_at < '2024-06-01 00:02+00'")


def block_by_a_snapshot(struck: Struck) -> None:
    block(struck, SNAPSHOT, "SELECT FROM families")


def block_by_a_lock(struck: Struck) -> None:
    # The server may take this session for the one to end when both wait for each other.
    with suppress(psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
        block(struck, "SET lock_timeout = '20s'", f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")


BLOWS = (
    kill_client,
    stop_run,
    cancel_backend,
    terminate_backend,
    block_by_a_reader,
    block_by_a_writer,
    block_by_a_snapshot,
    block_by_a_lock,
)


def rebuilding(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index"
        " WHERE datname = current_database())"
    ).fetchone()
    return row == (True,)


def names_of_indexes(connection: Connection) -> set[str]:
    rows = connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index"
        f" WHERE indrelid = '{TABLE}'::regclass AND indisvalid"
    ).fetchall()
    return {name for (name,) in rows}


@contextmanager
def writing(database: Database) -> Iterator[None]:
    """Short transactions on the subjects' table, one after another, that rebuilds wait for."""
    done = threading.Event()

    def write() -> None:
        with connect(database.url, application="writing") as other:
            while not done.is_set():
                with other.transaction():
                    other.execute(
                        "INSERT INTO audit_log (user_id, action, created_at)"
                        " VALUES (gen_random_uuid(), 'y', '2024-06-15 12:00+00')"
                    )
                    done.wait(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()
