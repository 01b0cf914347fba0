"""Statements about many tables wait for none of them, and say which they could not open."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import psycopg
import pytest

from ft_ops.backups.points.beside import read_beside
from ft_ops.errors import OpsError
from ft_ops.health.server.questions import QUESTIONS, answer
from ft_ops.maintenance.indexes.advice import index_advice
from ft_ops.pg.beside_locks import (
    ACCESS_EXCLUSIVE,
    ANY_BUT_READING_AND_WRITING,
    Locked,
    beside_locks,
    lockers,
)
from ft_ops.pg.catalog import locked_relations, partitions_of
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import sql_root, statement, texts
from ft_ops.schema import UNREAD, read_fingerprint
from tests.fixtures.postgres import Database, await_true

JUNE = "content_segments_2024_06"


def oid(connection: Connection, table: str) -> int:
    row = connection.execute("SELECT %s::regclass::oid::bigint", (table,)).fetchone()
    assert row is not None
    return int(row[0])


def test_nothing_is_locked_on_most_days_and_reading_or_writing_locks_nothing(
    connection: Connection, database: Database
) -> None:
    with connect(database.url, application="somebody") as other, other.transaction():
        other.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        assert locked_relations(connection) == {}
        assert Locked().by(oid(connection, "users")) == ""


def test_who_holds_a_table_to_himself_is_named_and_so_is_who_waits_for_it(
    connection: Connection, database: Database
) -> None:
    with (
        connect(database.url, application="a migration") as holder,
        connect(database.url, application="a reader") as reader,
        connect(database.url, application="another migration") as waiter,
    ):
        with holder.transaction():
            holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            [found] = locked_relations(connection).values()
            assert found.name == "public.users"
            assert "(ft_ops, ft-ops a migration), idle in transaction, since" in str(found)
        with reader.transaction():
            reader.execute("SELECT FROM families")
            waiting = threading.Thread(
                target=lambda: waiter.execute("ALTER TABLE families ADD nickname text")
            )
            waiting.start()
            await_true(connection, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            [found] = locked_relations(connection).values()
            assert "another migration" in str(found.holder)
        waiting.join()


def test_a_lock_that_comes_between_is_seen_by_the_next_look(
    connection: Connection, database: Database
) -> None:
    seen: list[list[int]] = []
    with connect(database.url, application="somebody") as other, other.transaction():

        def read(locked: Locked) -> str:
            seen.append(locked.oids)
            if len(seen) == 1:
                other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            if not locked.oids:
                connection.execute("SELECT pg_relation_size('users')")
            return "read"

        assert beside_locks(connection, "sizes", read) == "read"
    assert seen == [[], [oid(connection, "users")]]


def test_locks_that_never_end_are_an_error(connection: Connection) -> None:
    def never(locked: Locked) -> None:
        raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")

    with pytest.raises(OpsError, match="sizes: tables were locked and freed faster"):
        beside_locks(connection, "sizes", never)


def test_lockers_are_told_by_mode_and_a_parents_by_its_partitions(
    connection: Connection, database: Database
) -> None:
    parent = oid(connection, "content_segments")
    others = [partition.name for partition in partitions_of(connection, "content_segments")]
    with connect(database.url, application="somebody") as other, other.transaction():
        other.execute(f"LOCK TABLE ONLY {JUNE} IN SHARE MODE")
        assert lockers(connection, parent, ACCESS_EXCLUSIVE) == []
        [found] = lockers(connection, parent, ANY_BUT_READING_AND_WRITING)
        assert found.application == "ft-ops somebody"
        assert not found.is_autovacuum
        assert str(found).endswith(f" UTC, in {JUNE}")
        other.execute("LOCK TABLE content_segments IN SHARE MODE")
        [found] = lockers(connection, parent, ANY_BUT_READING_AND_WRITING)
        assert f" UTC, in {min(others)} and {len(others) - 1} more" in str(found)


def test_a_prepared_transaction_is_a_locker_by_its_name(
    connection: Connection, database: Database
) -> None:
    row = connection.execute("SHOW max_prepared_transactions").fetchone()
    if row == ("0",):
        pytest.skip("this server prepares no transactions")
    with psycopg.connect(database.admin_url) as other:
        other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        other.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        [found] = lockers(connection, oid(connection, "users"), ACCESS_EXCLUSIVE)
        assert str(found).startswith("prepared transaction forgotten (")
        assert list(locked_relations(connection)) == [oid(connection, "users")]
    finally:
        with psycopg.connect(database.admin_url, autocommit=True) as other:
            other.execute("ROLLBACK PREPARED 'forgotten'")


@contextmanager
def everything_locked(database: Database) -> Iterator[None]:
    """Each table and index of the product, and each sequence, is somebody's alone."""
    with psycopg.connect(database.admin_url) as holder:
        tables = holder.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'p')"
            " AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (name,) in tables:
            holder.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE".encode())
        holder.execute("ALTER SEQUENCE odd CACHE 5")
        yield
        holder.rollback()


def test_with_everything_locked_nothing_of_it_is_waited_for(
    connection: Connection, database: Database
) -> None:
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("CREATE SEQUENCE odd")
        admin.execute("GRANT SELECT ON SEQUENCE odd TO ft_ops")
        admin.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        admin.execute("CREATE TABLE notes (body text)")
        admin.execute("CREATE INDEX notes_body ON notes (body) WHERE body IS NOT NULL")
    connection.execute("SET lock_timeout = '50ms'")
    now = datetime.now(UTC)
    with everything_locked(database):
        for question in QUESTIONS:
            problems = [problem.words for problem in answer(question, connection, now)]
            assert not any("not known: it is locked" in words for words in problems), problems
        assert "users" in " ".join(index_advice(connection, now=now).locked)
        locked = beside_locks(connection, "", lambda locked: locked.oids)
        named = {"tables": ["content_segments"], "columns": ["thread_id"], "least_bytes": 0}
        for name in ("health/missing_indexes", "health/poor_statistics"):
            connection.execute(statement(name), {**named, "locked": locked})
        rows = connection.execute(
            statement("storage/partition_signatures"), {"locked": locked}
        ).fetchall()
        assert rows
        unread = {
            n for n, aspects in read_fingerprint(connection).items() if UNREAD in str(aspects)
        }
        assert "table content_segments" in unread
        beside = read_beside(connection)
        assert beside.unread["sequence public.odd"] == "somebody has it to himself"
        assert "public.odd" not in beside.sequences
    refused = connection.execute(statement("health/refusing_publications")).fetchall()
    assert ("public.notes", "everything") in {(name, of) for name, of, _ in refused}


OPENS: Final = re.compile(
    r"\bpg_(?:partition_tree|(?:total_)?(?:relation|table|indexes)_size|sequence_last_value"
    r"|get_(?:index|constraint|trigger|view|rule|partkey|partition_constraint)def"
    r"|publication_tables|sequences|indexes|views|rules|matviews)\b"
    # With 0 for the relation it opens none.
    r"|\bpg_get_expr\((?![^()]*, 0\))"
)
"""Functions and views that open each relation they are asked about, and wait for who has it."""

OPENS_WHAT_IT_MAY: Final = {
    "archive/pages": "of the table that is read next",
    "archive/what_triggers_ask": "of the sequence that each change of content asks, too",
    "archive/content_tables": "of the parents of content, which the step reads next",
    "backups/blocks": "of the table that is read next",
    "backups/btree_indexes": "in a restored copy, where nobody else is",
    "backups/tables_with_rows": "in a restored copy, where nobody else is",
    "health/sequences": "it looks itself who has one",
    "health/uncalled_sequences": "it looks itself who has one",
    "partitions/shape_differences": "of a table that is attached next, and its parent",
    "rehearsal/unlogged": "in a restored copy, where nobody else is",
    "restore/uniques": "of the table that is read next",
    "restore/checks": "of the table that is read next",
    "sandbox/measure_size": "in a sandbox",
    "sandbox/tables_bytes": "in a sandbox",
    "staging/columns": "in a restored copy, where nobody else is",
    "staging/words_that_stay": "in a restored copy, where nobody else is",
}


def test_each_statement_that_opens_relations_is_told_which_are_locked() -> None:
    found = {
        f"{folder.name}/{name}"
        for folder in sql_root().iterdir()
        if folder.is_dir() and folder.name not in {"migrations", "queries", "roles"}
        for name, text in texts(folder.name).items()
        if OPENS.search(re.sub(r"--.*", "", text)) and "%(locked)s" not in text
    }
    assert found == OPENS_WHAT_IT_MAY.keys()
