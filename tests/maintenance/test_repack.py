"""Tables are written anew by pg_repack, beside the application; what died runs left is dropped.

What runs it needs a server that has the extension, by FT_TEST_DATABASE_URL, and the program of its
version, on PATH or in FT_PG_BIN_DIR.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ft_ops.errors import OpsError, Refused
from ft_ops.maintenance.gates import Gates
from ft_ops.maintenance.rewrite import pg_repack, rewrite
from ft_ops.maintenance.rewrite.advice import Advice, Means, means_of
from ft_ops.maintenance.rewrite.now import required_now
from ft_ops.maintenance.rewrite.pg_repack import Program, Repacked, drop_repack_leftovers, leftovers
from ft_ops.maintenance.rewrite.rewrite import (
    RewriteOutcome,
    RewriteTerms,
    chosen_tables,
    plan_rewrites,
    refuse_failed_rewrites,
    rewrite_tables,
)
from ft_ops.maintenance.rewrite.rows import HashedRows, rows_of
from ft_ops.maintenance.tables.table_bloat import TableFiles, estimate_tables
from ft_ops.pg import application
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import settle
from tests.maintenance.test_rebuild import OPEN_GATES, holding

NAME = "memories"


@pytest.fixture
def memories(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """The database with a table of which two rows in three are gone."""
    monkeypatch.setattr(rewrite, "newest_verified_backup", lambda connection: "one")
    connection.execute(
        "CREATE TABLE memories (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text,"
        " doubled integer GENERATED ALWAYS AS (length(t) * 2) STORED)"
        " WITH (autovacuum_enabled = off)"
    )
    connection.execute(
        "INSERT INTO memories (t) SELECT repeat('memory ', 1 + g %% 60) || g"
        " FROM generate_series(1, %s) AS g",
        (60_000,),
    )
    connection.execute("DELETE FROM memories WHERE id % 3 > 0")
    settle(connection, NAME)
    return connection


@pytest.fixture
def beside(database: Database) -> Iterator[Connection]:
    with connect(
        database.url, application="watching", settings={"statement_timeout": "1s"}
    ) as connection:
        yield connection


@pytest.fixture
def program(database: Database) -> Program:
    """The program, and a database that has its extension and lets the operations use it."""
    folder = os.environ.get("FT_PG_BIN_DIR", "")
    found = shutil.which("pg_repack", path=folder or None)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        if (
            found is None
            or not admin.execute(
                "SELECT FROM pg_available_extensions WHERE name = 'pg_repack'"
            ).fetchall()
        ):
            pytest.skip("this server, or this machine, has no pg_repack")
        admin.execute("CREATE EXTENSION pg_repack")
        admin.execute("GRANT USAGE, CREATE ON SCHEMA repack TO ft_ops")
        admin.execute("GRANT SELECT ON repack.tables, repack.primary_keys TO ft_ops")
    return Program(found, database.url)


def terms(
    gates: Gates = OPEN_GATES, *, seconds: float = 300, limit_ms: float = 5000.0
) -> RewriteTerms:
    return RewriteTerms(gates, limit_ms, time.monotonic() + seconds)


def chosen(connection: Connection, *names: str) -> list[Advice]:
    estimates = estimate_tables(connection, chance=random.Random(1))
    return chosen_tables(estimates, means_of(connection), names or (NAME,))


def repack_now(
    connection: Connection,
    beside: Connection,
    program: Program,
    chosen_terms: RewriteTerms | None = None,
    *names: str,
) -> list[RewriteOutcome]:
    return rewrite_tables(
        connection,
        beside,
        program,
        chosen(connection, *names),
        chosen_terms or terms(),
        means_of(connection),
    )


def plan(connection: Connection, chosen_terms: RewriteTerms, left: float = 300) -> RewriteOutcome:
    [outcome] = plan_rewrites(connection, chosen(connection), chosen_terms, left)
    return outcome


def _free(bytes_left: int, connection: Connection) -> dict[str, int]:
    return {"server": bytes_left}


def content(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM memories ORDER BY id").fetchall()


def test_a_table_waits_for_each_gate(
    memories: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = chosen(memories)
    [predicted], [needs] = [a.seconds for a in advice], [a.needs_bytes for a in advice]

    def plan(connection: Connection, terms: RewriteTerms, left: float = 300) -> RewriteOutcome:
        [outcome] = plan_rewrites(connection, advice, terms, left)
        return outcome

    assert plan(memories, terms(), left=predicted).result == "planned"
    assert "of the window left" in plan(memories, terms(), left=0.99 * predicted).detail
    for free, words in ((2 * needs, ""), (2 * needs - 1, "bytes of disk free")):
        tight = replace(OPEN_GATES, free_disk=partial(_free, free))
        assert words in plan(memories, terms(tight)).detail
        assert (plan(memories, terms(tight)).result == "planned") == (not words)
    with holding(database, "LOCK TABLE memories IN SHARE MODE"):
        assert "lock of session" in plan(memories, terms()).detail
    with holding(database, "SELECT FROM memories"):
        patient = replace(OPEN_GATES, longest_snapshot_seconds=0)
        assert "session" in plan(memories, terms(patient)).detail
    monkeypatch.setattr(rewrite, "newest_verified_backup", lambda connection: None)
    assert "no backup was ever restored" in plan(memories, terms()).detail


def test_a_table_that_pg_repack_cannot_write_anew_waits(memories: Connection) -> None:
    memories.execute("ALTER TABLE memories DROP CONSTRAINT memories_pkey")
    assert "no primary key" in plan(memories, terms()).detail
    memories.execute("ALTER TABLE memories ADD UNIQUE (t)")
    assert "no unique index without NULLs" in plan(memories, terms()).detail
    memories.execute("ALTER TABLE memories ALTER t SET NOT NULL")
    assert plan(memories, terms()).result == "planned"
    memories.execute("ALTER TABLE memories SET UNLOGGED")
    assert "no ordinary, logged table" in plan(memories, terms()).detail


def test_a_table_with_an_invalid_index_waits(memories: Connection) -> None:
    memories.execute("INSERT INTO memories (t) SELECT 'twice' FROM generate_series(1, 2)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        memories.execute("CREATE UNIQUE INDEX CONCURRENTLY memories_t ON memories (t)")
    assert plan(memories, terms()).detail == "its index memories_t is invalid"
    memories.execute("DROP INDEX memories_t")
    assert plan(memories, terms()).result == "planned"


def test_only_what_is_there_is_chosen(memories: Connection) -> None:
    assert [a.estimate.table.name for a in chosen(memories, "public.memories", NAME)] == [NAME]
    with pytest.raises(OpsError, match=r"there is no such table: public\.memoirs"):
        chosen(memories, NAME, "memoirs")


def test_without_the_extension_nothing_begins(memories: Connection, beside: Connection) -> None:
    nothing = Means(160_000, None, 1e7)
    with pytest.raises(Refused, match="does not have the extension"):
        rewrite_tables(memories, beside, Program("pg_repack", ""), [], terms(), nothing)


def test_a_version_that_can_lose_rows_is_refused(memories: Connection) -> None:
    for version in ("1.4.8", "1.5.0"):
        with pytest.raises(Refused, match="can lose rows"):
            pg_repack.refuse_unusable(memories, Program("pg_repack", ""), version)


def test_a_key_with_a_password_is_refused(memories: Connection) -> None:
    secret = Program("pg_repack", "postgresql://db.example.net/familytales?sslpassword=secret")
    with pytest.raises(Refused, match="sslpassword") as refused:
        pg_repack.refuse_unusable(memories, secret, "1.5.1")
    assert "secret," not in str(refused.value)
    assert not Program("pg_repack", "postgresql://db.example.net/familytales?keepalives=1").unsaid


def rewriting(connection: Connection, beside: Connection) -> tuple[rewrite._Rewriting, TableFiles]:
    """A run, and the table that it works on."""
    [advice] = chosen(connection)
    run = rewrite._Rewriting(
        connection,
        beside,
        Program("", ""),
        terms(),
        lambda line: None,
        time.monotonic,
        lambda seconds: None,
    )
    return run, advice.estimate.table


def test_columns_that_others_changed_meanwhile_are_no_lost_rows(
    memories: Connection, beside: Connection
) -> None:
    run, table = rewriting(memories, beside)
    before, rows = required_now(memories, table), rows_of(memories, table, 300)
    # What inherits from it is not written anew, nor counted.
    memories.execute("CREATE TABLE heir () INHERITS (memories)")
    memories.execute("INSERT INTO heir (id, t) VALUES (1, 'more')")
    assert rewrite._is_same(run, table, before, rows) is True
    assert rewrite._is_same(run, table, before, replace(rows, rows=rows.rows + 1)) is False
    memories.execute("ALTER TABLE memories ADD COLUMN more integer DEFAULT 1")
    assert rewrite._is_same(run, table, before, rows) is None


def test_what_somebody_emptied_meanwhile_is_no_lost_row(
    memories: Connection, beside: Connection
) -> None:
    run, table = rewriting(memories, beside)
    before, rows = required_now(memories, table), rows_of(memories, table, 300)
    memories.execute("TRUNCATE memories")
    assert rewrite._is_same(run, table, before, rows) is None
    # It waited for the run, and came before anybody had seen the new file.
    seen_late = replace(before, file_node=required_now(memories, table).file_node)
    assert rewrite._is_same(run, table, seen_late, rows) is None


def test_a_table_that_is_empty_afterwards_is_neither_damaged_nor_well(
    memories: Connection, beside: Connection, database: Database, tmp_path: Path
) -> None:
    """What the program does here is what a TRUNCATE leaves that waited for its end."""
    run, _ = rewriting(memories, beside)
    script = tmp_path / "pg_repack"
    truncate = "import psycopg; psycopg.connect(autocommit=True).execute('TRUNCATE memories')"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{truncate}"\n')
    script.chmod(0o755)
    emptied = replace(run, program=Program(str(script), database.url))
    outcome = rewrite._rewrite(emptied, chosen(memories)[0])
    assert (outcome.result, outcome.rows_are_the_same) == ("failed", None)
    assert "it is empty now: ask who emptied it" in outcome.detail


def test_rows_that_take_longer_than_the_window_are_not_read_to_the_end(
    memories: Connection, beside: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    [advice] = chosen(memories)
    run, table = rewriting(memories, beside)
    before, rows = required_now(memories, table), rows_of(memories, table, 300)
    monkeypatch.setattr(rewrite, "closed_gates", lambda *anything: [])
    late = replace(run, terms=terms(seconds=-1))
    with psycopg.connect(beside.info.dsn) as other:
        other.execute("LOCK TABLE memories IN ACCESS EXCLUSIVE MODE")
        assert (
            rewrite._rewrite(late, advice).detail == "its rows could not be read within the window"
        )
        assert rewrite._is_same(late, table, before, rows) is None


@pytest.fixture
def endless(tmp_path: Path, database: Database) -> Program:
    """A program that neither works nor ends, whatever its sessions are told."""
    path = tmp_path / "pg_repack"
    path.write_text("#!/bin/sh\nexec sleep 300\n")
    path.chmod(0o755)
    return Program(str(path), database.url)


def oid_of_memories(connection: Connection) -> int:
    row = connection.execute("SELECT 'memories'::regclass::oid::bigint").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("why", ["the window is over", "nobody could watch it"])
def test_a_program_that_does_not_stop_is_killed(
    memories: Connection,
    beside: Connection,
    endless: Program,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    monkeypatch.setattr(pg_repack, "_CANCEL_SECONDS", 0.5)
    monkeypatch.setattr(pg_repack, "_STOP_SECONDS", 1.0)
    is_over = why == "the window is over"
    if not is_over:
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (beside.info.backend_pid,))
    began = time.monotonic()
    done = pg_repack.repack(
        beside,
        endless,
        (oid_of_memories(memories), "public", NAME),
        application.Canary(5000.0),
        seconds=0.1 if is_over else 300,
        log=lambda line: None,
    )
    assert done.stopped.startswith(why)
    assert time.monotonic() - began < 60


def test_an_applications_own_schema_called_repack_is_left_alone(memories: Connection) -> None:
    oid = oid_of_memories(memories)
    memories.execute("CREATE SCHEMA repack")
    for name in ("log_2024", "table_7", "table_99999999999", f"log_{oid}"):
        memories.execute(
            sql.SQL("CREATE TABLE repack.{} (id integer)").format(sql.Identifier(name))
        )
    memories.execute("CREATE TYPE repack.pk_2024 AS (id integer)")
    assert leftovers(memories) == []
    assert drop_repack_leftovers(memories, lambda line: None).done == ()
    assert memories.execute(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'repack'"
    ).fetchone() == (4,)


def test_a_name_alone_makes_nothing_a_leftover(memories: Connection, program: Program) -> None:
    memories.execute("CREATE TABLE repack.log_2024 (id integer)")
    memories.execute("CREATE TABLE repack.pk_2024 (id integer)")
    memories.execute("CREATE TABLE repack.table_99999999999 (id integer)")
    oid = leave_leftovers(memories, program)
    assert [left.table_oid for left in leftovers(memories)] == [oid]
    assert drop_repack_leftovers(memories, lambda line: None).failed == ()
    assert memories.execute(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'repack'"
    ).fetchone() == (3,)


def test_it_ends_when_somebody_waits_for_the_table_behind_it(
    memories: Connection, beside: Connection, program: Program, database: Database
) -> None:
    work_slowly(memories)
    advice, means = chosen(memories), means_of(memories)

    def change() -> None:
        with psycopg.connect(database.url, autocommit=True) as other:
            until = time.monotonic() + 60
            while not leftovers(memories_too) and time.monotonic() < until:
                time.sleep(0.1)
            other.execute("ALTER TABLE memories ADD COLUMN more integer")

    with connect(database.url, application="looking") as memories_too:
        changing = threading.Thread(target=change)
        changing.start()
        try:
            [outcome] = rewrite_tables(memories, beside, program, advice, terms(), means)
        finally:
            changing.join()
    assert outcome.result == "stopped"
    assert "waits for the table, and others wait behind it" in outcome.detail
    assert leftovers(memories) == []
    assert memories.execute("SELECT count(more) FROM memories").fetchone() == (0,)


def test_what_cannot_be_dropped_yet_is_told(
    memories: Connection,
    beside: Connection,
    program: Program,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rewrite, "_DROP_TRIES", 2)
    [advice] = chosen(memories)
    oid = leave_leftovers(memories, program)
    run = rewrite._Rewriting(
        memories,
        beside,
        program,
        terms(),
        lambda line: None,
        time.monotonic,
        lambda seconds: None,
    )
    stopped = RewriteOutcome(advice, "stopped", "the window is over", seconds=1.0)
    with connect(database.url, application="living") as living:
        living.execute("SELECT pg_advisory_lock(16185446, (%s - 2147483648)::integer)", (oid,))
        [outcome] = rewrite._without_leftovers(run, [stopped])
        assert outcome.result == "failed"
        assert "the window is over; leftovers of pg_repack on public.memories" in outcome.detail
    [outcome] = rewrite._without_leftovers(run, [stopped])
    assert outcome == stopped


def test_a_table_is_written_anew_and_has_the_rows_of_before(
    memories: Connection, beside: Connection, program: Program
) -> None:
    before = content(memories)
    [outcome] = repack_now(memories, beside, program)
    assert (outcome.result, outcome.detail) == ("rewritten", "")
    assert outcome.rows_are_the_same
    assert outcome.bytes_after is not None
    assert outcome.bytes_after < 0.4 * outcome.table.bytes
    assert outcome.bytes_after == pytest.approx(outcome.advice.estimate.estimated_bytes, rel=0.1)
    assert content(memories) == before
    assert leftovers(memories) == []
    assert memories.execute(
        "SELECT table_name FROM audit_log WHERE action = 'maintenance.repack'"
    ).fetchall() == [("public.memories",)]
    memories.execute("INSERT INTO memories (t) VALUES ('the next')")


def test_what_the_application_writes_meanwhile_is_there_afterwards(
    memories: Connection, beside: Connection, program: Program, database: Database
) -> None:
    over = threading.Event()
    written: set[int] = set()

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True) as other:
            while not over.is_set():
                row = other.execute(
                    "INSERT INTO memories (t) VALUES ('meanwhile') RETURNING id"
                ).fetchone()
                assert row is not None
                written.add(row[0])
                other.execute("UPDATE memories SET t = t || '!' WHERE id = %s", row)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        [outcome] = repack_now(memories, beside, program)
    finally:
        over.set()
        writer.join()
    assert (outcome.result, outcome.rows_are_the_same) == ("rewritten", None)
    found = memories.execute("SELECT id FROM memories WHERE t = 'meanwhile!'").fetchall()
    assert {number for (number,) in found} == written
    assert memories.execute("SELECT count(*) FROM memories WHERE t <> 'meanwhile!'").fetchone() == (
        20_000,
    )


def test_the_missing_right_and_the_other_version_are_named(
    memories: Connection, beside: Connection, program: Program, database: Database, tmp_path: Path
) -> None:
    other = tmp_path / "pg_repack"
    other.write_text("#!/bin/sh\necho pg_repack 0.9\n")
    other.chmod(0o755)
    with pytest.raises(Refused, match=r"the program is version 0\.9, the extension 1"):
        repack_now(memories, beside, replace(program, path=str(other)))
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA repack FROM ft_ops")
    with pytest.raises(Refused, match='GRANT USAGE, CREATE ON SCHEMA repack TO "ft_ops"'):
        repack_now(memories, beside, program)


def test_a_reader_in_its_way_is_not_ended_and_leaves_the_table_as_it_was(
    memories: Connection,
    beside: Connection,
    program: Program,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pg_repack, "_LOCK_PATIENCE_SECONDS", 1)
    before = content(memories)
    with holding(database, "SELECT count(*) FROM memories"):
        [outcome] = repack_now(memories, beside, program)
    assert outcome.result == "deferred"
    assert "timed out" in outcome.detail or "timeout" in outcome.detail
    assert content(memories) == before
    assert leftovers(memories) == []


@pytest.mark.parametrize("why", ["the window", "the canary"])
def test_it_stops_when_it_has_to_and_leaves_nothing(
    memories: Connection,
    beside: Connection,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    if why == "the canary":
        monkeypatch.setattr(application, "SUFFERING_FACTOR", 0)
    work_slowly(memories)
    strict = terms(limit_ms=0.0) if why == "the canary" else terms()
    outcomes = rewrite_tables(
        memories,
        beside,
        program,
        chosen(memories),
        replace(strict, deadline=strict.deadline - (295 if why == "the window" else 0)),
        means_of(memories),
    )
    assert outcomes[0].result == "stopped", outcomes
    assert leftovers(memories) == []


def test_of_a_run_that_failed_without_a_word_its_status_is_told(memories: Connection) -> None:
    [advice] = chosen(memories)
    begun = RewriteOutcome(advice, "failed", seconds=1.0)
    killed = OpsError("pg_repack", cause="exit status -9: (it said nothing)", next_step="look")
    told = rewrite._not_done(begun, Repacked("", killed, ()))
    assert (told.result, told.detail) == ("failed", killed.cause)
    assert rewrite._not_done(begun, Repacked("", None, ())).detail != ""


def test_what_a_killed_run_left_is_dropped_once_its_session_is_gone(
    memories: Connection, program: Program, database: Database
) -> None:
    before = content(memories)
    oid = leave_leftovers(memories, program)
    with connect(database.url, application="living") as living:
        living.execute("SELECT pg_advisory_lock(16185446, (%s - 2147483648)::integer)", (oid,))
        worked = drop_repack_leftovers(memories, lambda line: None)
        assert "pg_repack is still at work on it" in str(worked.failed[0])
    assert drop_repack_leftovers(memories, lambda line: None).failed == ()
    assert leftovers(memories) == []
    assert content(memories) == before
    assert memories.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgname = 'repack_trigger'"
    ).fetchone() == (0,)


@pytest.mark.chaos
def test_killed_at_random_moments_it_loses_no_row_and_leaves_nothing(
    memories: Connection, program: Program
) -> None:
    before = content(memories)
    chance = random.Random(7)
    killed = 0
    for _ in range(50):
        running = subprocess.Popen(
            [program.path, *program.arguments("public", NAME)],
            env={**os.environ, **program.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.0, 1.0))
        running.kill()
        killed += running.wait() < 0
        # The server notices when its session next says something.
        until = time.monotonic() + 60
        while drop_repack_leftovers(memories, lambda line: None).failed:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert leftovers(memories) == []
        assert content(memories) == before
    assert killed > 5  # on a quick machine some are over before they are killed


def test_what_is_left_of_a_table_that_is_gone_is_dropped_too(
    memories: Connection, program: Program
) -> None:
    leave_leftovers(memories, program)
    memories.execute("DROP TABLE memories CASCADE")
    assert [left.name for left in leftovers(memories)] == [None]
    assert drop_repack_leftovers(memories, lambda line: None).failed == ()
    assert leftovers(memories) == []


def test_what_another_role_left_is_named_and_stays(
    memories: Connection, program: Program, database: Database
) -> None:
    oid = leave_leftovers(memories, program)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER TABLE repack.{} OWNER TO postgres").format(sql.Identifier(f"log_{oid}"))
        )
    [failed] = drop_repack_leftovers(memories, lambda line: None).failed
    assert "they belong to postgres" in failed.cause
    assert leftovers(memories) != []
    assert "has to be dropped first" in plan(memories, terms()).detail


def test_rows_that_differ_though_nobody_wrote_are_an_error(
    memories: Connection,
    beside: Connection,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = iter([HashedRows(20_000, 1), HashedRows(19_999, 1)])
    monkeypatch.setattr(rewrite, "rows_of", lambda *of: next(seen))
    monkeypatch.setattr(rewrite, "_COUNTERS_SECONDS", 0)
    memories.execute("CREATE TABLE next (id bigint PRIMARY KEY)")
    outcomes = repack_now(memories, beside, program, None, NAME, "next")
    assert outcomes[0].rows_are_the_same is False
    assert (outcomes[1].result, outcomes[1].detail) == ("deferred", "the run was stopped before it")
    with pytest.raises(OpsError, match="its rows differ from those before"):
        refuse_failed_rewrites(outcomes)


def work_slowly(memories: Connection) -> None:
    """Give it an index that takes some ten seconds."""
    memories.execute(
        "CREATE FUNCTION slowly(text) RETURNS integer IMMUTABLE LANGUAGE sql"
        " AS 'SELECT length($1) + coalesce(length(pg_sleep(0.001)::text), 0)'"
    )
    memories.execute("CREATE INDEX ON memories (public.slowly(t)) WHERE id < 30000")


def leave_leftovers(connection: Connection, program: Program) -> int:
    """What a killed pg_repack leaves, made by its own functions; the table's oid."""
    oid = oid_of_memories(connection)
    made = connection.execute(
        "SELECT create_pktype, create_log, create_trigger FROM repack.tables WHERE relid = %s",
        (oid,),
    ).fetchone()
    assert made is not None
    for statement in made:
        connection.execute(statement)
    connection.execute(
        sql.SQL("CREATE TABLE repack.{} AS TABLE memories").format(sql.Identifier(f"table_{oid}"))
    )
    connection.execute("INSERT INTO memories (t) VALUES ('noted') RETURNING id")
    assert len(leftovers(connection)) == 1
    connection.execute("DELETE FROM memories WHERE t = 'noted'")
    return oid


def test_the_password_is_not_among_the_arguments() -> None:
    secret = Program("pg_repack", "postgresql://ft_ops:secret@db.example.net/familytales")
    assert "secret" not in " ".join(secret.arguments("public", NAME))
    given = secret.environment()
    assert given["PGPASSWORD"] == "secret"
    assert given["PGSSLMODE"] == "require"
    assert "idle_in_transaction_session_timeout=0" in given["PGOPTIONS"]
