"""Bloated indexes are rebuilt beside the application, and what gets in the way is told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ft_ops.backups import ProvidedStorage
from ft_ops.errors import OpsError, Refused
from ft_ops.maintenance.gates import Gates, free_disk_here, free_disk_of, free_disk_provided
from ft_ops.maintenance.indexes import rebuild_monitor
from ft_ops.maintenance.indexes.bloat import accuracy, extension_schema
from ft_ops.maintenance.indexes.candidates import RebuildRules
from ft_ops.maintenance.indexes.catalog import index_states
from ft_ops.maintenance.indexes.leftovers import invalid_indexes
from ft_ops.maintenance.indexes.rebuild import (
    TASK,
    RebuildOutcome,
    Terms,
    plan_rebuilds,
    rebuild_indexes,
    refuse_failed,
)
from ft_ops.maintenance.indexes.reindex import corruption
from ft_ops.pg.application import Canary
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import only_one
from ft_ops.pg.server import hand_over
from ft_ops.pg.sqlfiles import statement
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters, index_bytes, make_letters, thin_out

SMALL = RebuildRules(
    min_bytes=100_000, min_share=0.3, min_reclaimable_bytes=50_000, cooldown=timedelta(days=10)
)
OPEN_GATES = Gates(
    longest_snapshot_seconds=30,
    max_lag_bytes=1 << 28,
    free_disk=lambda connection: {"server": 1 << 40},
)


@pytest.fixture
def beside(database: Database) -> Iterator[Connection]:
    with connect(
        database.url, application="watching", settings={"statement_timeout": "200ms"}
    ) as connection:
        yield connection


@pytest.fixture
def letters(connection: Connection) -> Connection:
    """The database with two bloated indexes, letters_pkey and letters_sender."""
    make_letters(connection)
    thin_out(connection)
    return connection


def terms(gates: Gates = OPEN_GATES, *, seconds: float = 600, rules: RebuildRules = SMALL) -> Terms:
    return Terms(
        rules=rules,
        gates=gates,
        canary_limit_ms=50,
        deadline=time.monotonic() + seconds,
        run_id="a run",
    )


def rebuild(
    connection: Connection,
    beside: Connection,
    named: Collection[str] = (),
    chosen: Terms | None = None,
    *,
    now: datetime | None = None,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, RebuildOutcome]:
    outcomes = rebuild_indexes(
        connection,
        beside,
        chosen or terms(),
        named,
        now=now or datetime.now(UTC),
        chance=random.Random(1),
        log=log,
        sleep=sleep,
    )
    return {outcome.candidate.index.name: outcome for outcome in outcomes}


def results(outcomes: dict[str, RebuildOutcome]) -> dict[str, str]:
    return {name: outcome.result for name, outcome in outcomes.items()}


def plan(connection: Connection, chosen: Terms) -> list[RebuildOutcome]:
    return plan_rebuilds(connection, chosen, (), now=datetime.now(UTC), chance=random.Random(1))


@contextmanager
def holding(database: Database, *statements: str) -> Iterator[None]:
    """Another session's transaction that has run ``statements`` and stays open."""
    with connect(database.url, application="somebody") as other, other.transaction():
        for text in statements:
            other.execute(text)
        yield


def test_bloated_indexes_are_rebuilt_the_most_worthwhile_first(
    letters: Connection, beside: Connection
) -> None:
    before = {name: index_bytes(letters, name) for name in ("letters_pkey", "letters_sender")}
    outcomes = rebuild(letters, beside)
    assert list(results(outcomes).items()) == [
        ("letters_pkey", "rebuilt"),
        ("letters_sender", "rebuilt"),
    ]
    for name, outcome in outcomes.items():
        assert outcome.bytes_after == index_bytes(letters, name) < before[name] / 3
        assert outcome.detail == ""
    errors = accuracy(letters).errors
    assert {error.name for error in errors} == set(before)
    assert all(error.points <= 4 for error in errors)
    assert letters.execute(
        "SELECT count(*) FROM audit_log WHERE action = 'maintenance.reindex'"
    ).fetchone() == (2,)


def test_a_second_run_does_nothing_and_a_rebuilt_index_rests(
    letters: Connection, beside: Connection
) -> None:
    rebuild(letters, beside)
    assert rebuild(letters, beside) == {}
    letters.execute(
        "INSERT INTO letters SELECT gen_random_uuid(), g FROM generate_series(1, 20000) g"
    )
    thin_out(letters)
    resting = rebuild(letters, beside)
    assert set(results(resting).values()) == {"deferred"}
    assert "rests until" in resting["letters_pkey"].detail
    later = datetime.now(UTC) + timedelta(days=11)
    assert set(results(rebuild(letters, beside, now=later)).values()) == {"rebuilt"}


def test_indexes_that_are_not_bloated_are_left_alone(
    connection: Connection, beside: Connection
) -> None:
    make_letters(connection)
    assert rebuild(connection, beside) == {}


def test_rows_are_counted_before_a_rebuild_relies_on_their_number(
    connection: Connection, beside: Connection
) -> None:
    make_letters(connection)
    connection.execute("DELETE FROM letters WHERE sender % 4 = 0")
    # The vacuum counts first, the session's own counter of deletes arrives later: twice a quarter.
    connection.execute("VACUUM ANALYZE letters")
    flush_counters(connection)
    planned = {o.candidate.index.name: o.candidate.estimate for o in plan(connection, terms())}
    assert planned["letters_sender"].reclaimable_share > 0.4
    assert results(rebuild(connection, beside))["letters_sender"] == "not bloated"


def test_a_named_index_is_rebuilt_however_little_bloated(
    connection: Connection, beside: Connection
) -> None:
    make_letters(connection)
    outcomes = rebuild(connection, beside, ["public.letters_sender"])
    assert results(outcomes) == {"letters_sender": "rebuilt"}


def test_only_named_indexes_are_estimated(connection: Connection, beside: Connection) -> None:
    make_letters(connection)
    rebuild(connection, beside, ["letters_sender"])
    estimated = connection.execute("SELECT DISTINCT index_name FROM ops.index_estimates")
    assert estimated.fetchall() == [("letters_sender",)]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("letters_nobody", "no valid index"),
        ("idx_audit_log_user", "no valid index"),
        ("during", "exclusion constraint"),
        ("letters_range", "BRIN"),
        ("letters_sender_ccnew", "permanent"),
    ],
)
def test_what_cannot_be_rebuilt_concurrently_is_refused_by_name(
    connection: Connection, beside: Connection, name: str, cause: str
) -> None:
    make_letters(connection, rows=10)
    connection.execute(
        """
        CREATE INDEX letters_range ON letters USING brin (sender);
        CREATE INDEX letters_sender_ccnew ON letters (sender);
        CREATE TABLE rooms (taken tstzrange, CONSTRAINT during EXCLUDE USING gist (taken WITH &&));
        """
    )
    with pytest.raises(OpsError, match=cause):
        rebuild(connection, beside, [name])


def test_a_dry_run_changes_nothing(letters: Connection) -> None:
    before = index_bytes(letters, "letters_pkey")
    for _ in range(2):
        outcomes = plan(letters, terms())
        assert [(o.candidate.index.name, o.result) for o in outcomes] == [
            ("letters_pkey", "planned"),
            ("letters_sender", "planned"),
        ]
    assert index_bytes(letters, "letters_pkey") == before
    for table in ("index_rebuilds", "index_estimates", "index_usage"):
        assert letters.execute(f"SELECT count(*) FROM ops.{table}").fetchone() == (0,)


def test_one_failing_index_does_not_stop_the_rest_and_leaves_nothing(
    letters: Connection, beside: Connection
) -> None:
    letters.execute(
        "CREATE FUNCTION half(integer) RETURNS integer IMMUTABLE LANGUAGE sql RETURN $1 / 2"
    )
    letters.execute("CREATE INDEX letters_half ON letters (half(sender))")
    letters.execute(
        "CREATE OR REPLACE FUNCTION half(integer) RETURNS integer"
        " IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 / 0; END'"
    )
    letters.execute(
        "CREATE FUNCTION writer(uuid) RETURNS text IMMUTABLE LANGUAGE sql RETURN $1::text"
    )
    letters.execute("CREATE UNIQUE INDEX letters_name ON letters (writer(id))")
    letters.execute(
        "CREATE OR REPLACE FUNCTION writer(uuid) RETURNS text"
        " IMMUTABLE LANGUAGE sql RETURN 'Ada Lovelace'"
    )
    named = ["letters_half", "letters_name", "letters_pkey", "letters_sender"]
    outcomes = rebuild(letters, beside, named)
    assert results(outcomes) == {
        "letters_half": "failed",
        "letters_name": "failed",
        "letters_pkey": "rebuilt",
        "letters_sender": "rebuilt",
    }, {name: outcome.detail for name, outcome in outcomes.items()}
    assert "division by zero" in outcomes["letters_half"].detail
    assert outcomes["letters_name"].detail.startswith("could not create unique index")
    assert "Ada" not in outcomes["letters_name"].detail, "whose row it is goes to no channel"
    assert invalid_indexes(letters) == []
    with pytest.raises(OpsError, match="division by zero"):
        refuse_failed(outcomes.values())


def test_a_writer_or_a_snapshot_that_is_open_for_long_makes_an_index_wait(
    letters: Connection, database: Database
) -> None:
    gates = replace(OPEN_GATES, longest_snapshot_seconds=0)
    with holding(database, "UPDATE letters SET sender = 1 WHERE sender = 5"):
        outcomes = plan(letters, terms(gates))
        assert {o.result for o in outcomes} == {"deferred"}
        assert "(ft-ops somebody)" in outcomes[0].detail
        assert {o.result for o in plan(letters, terms())} == {"planned"}
    with holding(
        database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT FROM families"
    ):
        assert "snapshot" in plan(letters, terms(gates))[0].detail
    assert {o.result for o in plan(letters, terms(gates))} == {"planned"}


def test_a_reader_idle_in_its_transaction_is_in_the_way_though_it_holds_no_snapshot(
    letters: Connection, beside: Connection, database: Database
) -> None:
    make_letters(letters, "notes")
    thin_out(letters, "notes")
    patient = replace(OPEN_GATES, longest_snapshot_seconds=0)
    with holding(database, "SELECT FROM letters LIMIT 1"):
        outcomes = rebuild(letters, beside, chosen=terms(patient))
    assert results(outcomes) == {
        "letters_pkey": "deferred",
        "letters_sender": "deferred",
        "notes_pkey": "rebuilt",
        "notes_sender": "rebuilt",
    }
    assert "of ft_ops (ft-ops somebody), idle in transaction" in outcomes["letters_pkey"].detail
    assert invalid_indexes(letters) == []


def test_what_a_rebuild_waits_for_others_is_no_measure_of_its_speed(
    letters: Connection, beside: Connection, database: Database
) -> None:
    rebuild(letters, beside, ["letters_sender"])
    quick = plan_rebuilds(
        letters, terms(), ["letters_pkey"], now=datetime.now(UTC), chance=random.Random(1)
    )[0].candidate.predicted_seconds
    done = threading.Event()
    somebody = threading.Thread(
        target=hold_until,
        args=(database, "UPDATE letters SET sender = sender WHERE sender = 10", done),
        kwargs={"and_no_rebuild": False},
        daemon=True,
    )
    somebody.start()
    wait_for_lock(letters)

    def end_it_later(line: str) -> None:
        if "waiting for writers" in line:
            threading.Timer(2, done.set).start()

    outcome = rebuild(letters, beside, ["letters_pkey"], log=end_it_later)["letters_pkey"]
    somebody.join()
    assert outcome.result == "rebuilt"
    assert outcome.measures.seconds is not None
    assert outcome.measures.waited_seconds is not None
    assert 1 < outcome.measures.waited_seconds < outcome.measures.seconds
    again = plan_rebuilds(
        letters, terms(), ["letters_pkey"], now=datetime.now(UTC), chance=random.Random(1)
    )[0].candidate.predicted_seconds
    assert again < quick + 1


def test_an_index_is_never_rebuilt_for_a_ratio_alone(
    connection: Connection, beside: Connection
) -> None:
    """Its best days say nothing of what a build makes of it today."""
    connection.execute("CREATE TABLE notes (words text[]) WITH (autovacuum_enabled = off)")
    connection.execute("CREATE INDEX notes_words ON notes USING gin (words)")
    connection.execute(
        "INSERT INTO notes SELECT ARRAY[g::text, (g % 100)::text] FROM generate_series(1, 20000) g"
    )
    flush_counters(connection)
    connection.execute("VACUUM ANALYZE notes")
    assert rebuild(connection, beside) == {}
    connection.execute("DELETE FROM notes WHERE words[1]::integer % 10 <> 0")
    flush_counters(connection)
    connection.execute("VACUUM ANALYZE notes")
    assert rebuild(connection, beside) == {}
    by_hand = rebuild(connection, beside, ["notes_words"])["notes_words"]
    assert by_hand.result == "rebuilt"
    assert by_hand.candidate.estimate.reclaimable_share > 0.8


def test_without_free_disk_an_index_waits(letters: Connection) -> None:
    tight = replace(OPEN_GATES, free_disk=lambda connection: {"server": 10_000})
    assert "bytes of disk free" in plan(letters, terms(tight))[0].detail
    unknown = replace(OPEN_GATES, free_disk=lambda connection: {})
    assert "FT_DATABASE_VOLUME_GB" in plan(letters, terms(unknown))[0].detail
    assert free_disk_here()(letters)["server"] > 0
    assert 0 < free_disk_of(1 << 50)(letters)["server"] < 1 << 50


def test_an_index_waits_for_replicas_that_are_behind(letters: Connection) -> None:
    # Without a replica nothing is behind: 0 bytes are too many only for a limit below that.
    assert plan(letters, terms(replace(OPEN_GATES, max_lag_bytes=0)))[0].result == "planned"
    behind = plan(letters, terms(replace(OPEN_GATES, max_lag_bytes=-1)))[0]
    assert (behind.result, behind.detail) == ("deferred", "a replica is 0 bytes behind, limit -1")


def test_an_index_that_would_outlast_the_window_waits(letters: Connection) -> None:
    assert "of the window left" in plan(letters, terms(seconds=1))[0].detail


def test_a_foreign_leftover_is_neither_dropped_nor_multiplied(
    letters: Connection, beside: Connection, database: Database
) -> None:
    leave_leftover(database, "letters_sender")
    outcomes = rebuild(letters, beside)
    assert results(outcomes) == {"letters_pkey": "rebuilt", "letters_sender": "deferred"}
    assert "letters_sender_ccnew has to be dropped first" in outcomes["letters_sender"].detail
    assert [index.name for index in invalid_indexes(letters)] == ["letters_sender_ccnew"]


def test_only_one_run_works_and_a_dead_ones_session_is_waited_for(
    letters: Connection, beside: Connection, database: Database
) -> None:
    pauses: list[float] = []
    with connect(database.url, application="tests") as other:
        with only_one(other, TASK), pytest.raises(Refused, match="another run is at work"):
            rebuild(letters, beside, sleep=pauses.append)
        assert len(pauses) > 10

        def end_the_other(seconds: float) -> None:
            other.close()

        with only_one(other, TASK):
            assert len(rebuild(letters, beside, sleep=end_the_other)) == 2


def test_a_look_that_the_server_is_too_busy_for_does_not_end_the_rebuild(
    beside: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"maintenance/rebuild_progress": sql.SQL("SELECT pg_sleep(30)")}
    monkeypatch.setattr(
        rebuild_monitor, "statement", lambda name: slow.get(name) or statement(name)
    )
    looks = iter((False, True))
    watched = rebuild_monitor.watch_rebuild(
        beside,
        beside.info.backend_pid,
        Canary(10_000),
        is_done=lambda seconds: next(looks),
        stop=lambda: pytest.fail("it was stopped"),
        log=lambda line: None,
    )
    assert not watched.stopped
    assert next(looks, "all taken") == "all taken"


@pytest.mark.parametrize(
    ("phase", "in_the_way", "timeout", "said", "result"),
    [
        (
            "waiting for writers before build",
            "UPDATE letters SET sender = sender WHERE sender = 10",
            "statement_timeout",
            "stopping",
            "stopped",
        ),
        # The new index is in place: only the others are spared.
        (
            "waiting for readers before marking dead",
            "SELECT FROM letters LIMIT 1",
            "lock_timeout",
            "too late to stop",
            "rebuilt",
        ),
    ],
    ids=["in time", "too late"],
)
def test_a_rebuild_under_which_the_application_suffers_is_stopped_and_the_rest_put_off(
    letters: Connection,
    database: Database,
    phase: str,
    in_the_way: str,
    timeout: str,
    said: str,
    result: str,
) -> None:
    """The rebuild waits for somebody; meanwhile the canary's table is locked away from it."""
    waited_enough = threading.Event()
    somebody = threading.Thread(
        target=hold_until,
        args=(database, in_the_way, waited_enough),
        kwargs={"and_no_rebuild": said == "stopping"},
        daemon=True,
    )
    with (
        connect(database.url, application="watching", settings={timeout: "200ms"}) as beside,
        connect(database.admin_url, application="blocking") as blocker,
    ):

        def block_the_canary(line: str) -> None:
            if phase in line and not waited_enough.is_set():
                blocker.execute("LOCK TABLE threads IN ACCESS EXCLUSIVE MODE")
            if line.startswith(said):
                waited_enough.set()

        somebody.start()
        wait_for_lock(letters)
        with blocker.transaction():
            outcomes = rebuild(letters, beside, log=block_the_canary)
        somebody.join()
        assert results(outcomes) == {"letters_pkey": result, "letters_sender": "deferred"}
        assert "the application suffered" in outcomes["letters_sender"].detail
        assert invalid_indexes(letters) == []
        assert results(rebuild(letters, beside))["letters_sender"] == "rebuilt"
        assert invalid_indexes(letters) == []


def test_amcheck_tells_a_broken_btree(connection: Connection, database: Database) -> None:
    if extension_schema(connection, "amcheck", "bt_index_check") is None:
        pytest.skip("this server has no amcheck")
    make_letters(connection)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            """
            CREATE FUNCTION compare(integer, integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
                AS 'BEGIN RETURN btint4cmp($1, $2); END';
            CREATE OPERATOR CLASS shaky FOR TYPE integer USING btree AS
                OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
                FUNCTION 1 compare(integer, integer);
            CREATE INDEX letters_shaky ON letters (sender shaky);
            """
        )
        index = next(i for i in index_states(connection) if i.name == "letters_shaky")
        assert corruption(connection, index) is None
        admin.execute(
            "CREATE OR REPLACE FUNCTION compare(integer, integer) RETURNS integer"
            " IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN btint4cmp($2, $1); END'"
        )
    assert "amcheck" in (corruption(connection, index) or "")


def leave_leftover(database: Database, index: str) -> None:
    """Somebody else's REINDEX CONCURRENTLY of ``index``, cancelled while it waits for a writer."""
    with (
        holding(database, "UPDATE letters SET sender = sender WHERE sender = 10"),
        connect(
            database.url, application="somebody else", settings={"lock_timeout": "100ms"}
        ) as other,
        pytest.raises(psycopg.errors.LockNotAvailable),
    ):
        other.execute(f"REINDEX INDEX CONCURRENTLY {index}")


def hold_until(
    database: Database, statement: str, event: threading.Event, *, and_no_rebuild: bool
) -> None:
    """Keep a transaction open until ``event``, and if so asked until no rebuild is under way."""
    with (
        connect(database.url, application="looking") as looking,
        holding(database, statement),
    ):
        event.wait(60)
        while (
            and_no_rebuild
            and looking.execute(
                "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()"
            ).fetchall()
        ):
            time.sleep(0.02)


def wait_for_lock(connection: Connection) -> None:
    """Until somebody holds a lock on letters. An autovacuum worker may hold one before them."""
    while not connection.execute(
        """
        SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE relation = 'letters'::regclass AND application_name = 'ft-ops somebody'
        """
    ).fetchall():
        time.sleep(0.02)


def test_a_provider_tells_what_is_free_and_why_it_does_not(letters: Connection) -> None:
    def refused() -> ProvidedStorage | None:
        raise Refused("RDS", cause="not allowed", next_step="allow it")

    told = ProvidedStorage(allocated_bytes=1 << 50, most_bytes=1 << 51, log_bytes=None)
    free = free_disk_provided(lambda: told)(letters)["server"]
    # The server writes between one look and the next.
    assert free == pytest.approx(free_disk_of(1 << 50)(letters)["server"], abs=1 << 30)
    # The log has a volume of its own: it takes nothing of the main one.
    apart = free_disk_provided(lambda: replace(told, log_bytes=1 << 40))(letters)
    assert apart["server"] > free
    assert 0 < apart["pg_wal"] < 1 << 40
    here = free_disk_provided(lambda: None, {"pg_wal": 1 << 40})(letters)
    assert here["server"] == pytest.approx(free_disk_here()(letters)["server"], abs=1 << 30)
    assert here["pg_wal"] == pytest.approx(apart["pg_wal"], abs=1 << 30)
    [first, *_] = plan(letters, terms(replace(OPEN_GATES, free_disk=free_disk_provided(refused))))
    assert "free disk unknown: RDS: not allowed" in first.detail


def test_what_lies_on_another_volume_needs_room_there_and_its_log_too(
    letters: Connection, database: Database, place: Path
) -> None:
    hand_over(place)
    space = f"ft_fast_{database.name}"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        name = sql.Identifier(space)
        create = sql.SQL("CREATE TABLESPACE {} OWNER ft_ops LOCATION {}")
        admin.execute(create.format(name, sql.Literal(str(place))))
        try:
            for index in ("letters_pkey", "letters_sender"):
                move = sql.SQL("ALTER INDEX {} SET TABLESPACE {}")
                admin.execute(move.format(sql.Identifier(index), name))
            [[data]] = letters.execute("SELECT current_setting('data_directory')").fetchall()
            is_apart = Path(data).stat().st_dev != place.stat().st_dev
            assert (space in free_disk_here()(letters)) == is_apart
            roomy = {space: 1 << 40, "pg_wal": 1 << 40}

            def told(sizes: Mapping[str, int]) -> str:
                gates = replace(OPEN_GATES, free_disk=free_disk_of(1 << 40, sizes))
                return plan(letters, terms(gates))[0].detail

            assert told(roomy) == ""
            # Nobody's own volume is what holds everything else.
            assert told({**roomy, "pg_default": 1, "nowhere": 1}) == ""
            for small in roomy:
                assert f"bytes free on the volume of {small}" in told({**roomy, small: 1 << 20})
            letters.execute(f"ALTER TABLE letters SET TABLESPACE {name.as_string()}")
            crowded = {"server": 1, space: 1 << 40, "pg_wal": 1 << 40}
            gates = replace(OPEN_GATES, free_disk=lambda connection: crowded)
            # What is sorted is on the server's volume, unless it is told elsewhere.
            assert "1 bytes of disk free" in plan(letters, terms(gates))[0].detail
            letters.execute("SELECT set_config('temp_tablespaces', %s, false)", (space,))
            assert plan(letters, terms(gates))[0].detail == ""
            # And so is the log, where it has no volume of its own.
            del crowded["pg_wal"]
            assert "1 bytes of disk free" in plan(letters, terms(gates))[0].detail
        finally:
            admin.execute("DROP TABLE letters")
            admin.execute(sql.SQL("DROP TABLESPACE {}").format(name))
