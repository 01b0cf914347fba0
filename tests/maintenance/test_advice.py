"""Indexes to think about are told, and left alone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
from psycopg import sql

from ft_ops.maintenance.indexes.advice import index_advice, scans_of_our_own
from ft_ops.maintenance.indexes.bloat import estimate_indexes
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import make_letters

NOW = datetime.now(UTC)


def look(connection: Connection, *, days: int) -> None:
    """Estimate every index: that scans them too."""
    with scans_of_our_own(connection, now=NOW + timedelta(days=days)):
        estimate_indexes(connection, chance=random.Random(1), store=False)


def scan(connection: Connection, query: LiteralString) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute(query)


def unused(connection: Connection, *, days: int) -> set[str]:
    found = index_advice(connection, now=NOW + timedelta(days=days)).unused
    return {finding.name for finding in found}


def test_the_product_schema_needs_no_advice(connection: Connection) -> None:
    advice = index_advice(connection, now=NOW)
    assert (advice.duplicate, advice.unindexed_foreign_keys) == ((), ())


def test_an_index_counts_as_unused_after_thirty_days_without_a_scan(
    connection: Connection,
) -> None:
    make_letters(connection)
    make_letters(connection, "bills")
    look(connection, days=0)
    scan(connection, "SELECT FROM bills WHERE sender = 7")
    look(connection, days=20)
    assert unused(connection, days=29) == set()
    assert "letters_sender" in unused(connection, days=31)
    assert not unused(connection, days=31) & {"bills_sender", "letters_pkey"}
    assert "bills_sender" in unused(connection, days=51)


def test_no_index_is_called_unused_while_the_server_counts_nothing(
    connection: Connection, database: Database
) -> None:
    make_letters(connection)
    look(connection, days=0)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        for state in ("off", "on"):
            admin.execute(
                sql.SQL("ALTER DATABASE {} SET track_counts = {}").format(
                    sql.Identifier(database.name), sql.SQL(state)
                )
            )
            if state == "off":
                with connect(database.url, application="tests") as uncounted:
                    scan(uncounted, "SELECT FROM letters WHERE sender = 7")
                    look(uncounted, days=20)
    assert "letters_sender" not in unused(connection, days=31)
    assert "letters_sender" in unused(connection, days=51)


def test_a_partitioned_index_is_used_when_any_of_its_partitions_is(connection: Connection) -> None:
    look(connection, days=0)
    scan(
        connection,
        "SELECT FROM audit_log WHERE user_id = '00000000-0000-0000-0000-000000000007'",
    )
    look(connection, days=20)
    assert "idx_audit_log_action" in unused(connection, days=31)
    assert "idx_audit_log_user" not in unused(connection, days=31)


def test_duplicates_and_beginnings_are_told_once_the_useful_one_stays(
    connection: Connection,
) -> None:
    connection.execute(
        """
        CREATE TABLE t (a integer, b integer, c text);
        CREATE UNIQUE INDEX t_unique ON t (a);
        CREATE INDEX t_same ON t (a);
        CREATE INDEX t_pair ON t (b, c);
        CREATE INDEX t_beginning ON t (b);
        CREATE INDEX t_descending ON t (b DESC);
        CREATE INDEX t_partial ON t (b) WHERE a > 0;
        CREATE INDEX t_pattern ON t (c text_pattern_ops);
        CREATE INDEX t_c ON t (c);
        CREATE TABLE sent (a integer NOT NULL, b integer);
        CREATE UNIQUE INDEX sent_by ON sent (a);
        CREATE UNIQUE INDEX sent_first ON sent (a) INCLUDE (b);
        ALTER TABLE sent REPLICA IDENTITY USING INDEX sent_by;
        CREATE UNIQUE INDEX sent_later ON sent (a);
        CREATE TABLE nulls (a integer);
        CREATE UNIQUE INDEX nulls_differ ON nulls (a);
        CREATE UNIQUE INDEX one_null ON nulls (a) NULLS NOT DISTINCT;
        """
    )
    found = {f.name: f.finding for f in index_advice(connection, now=NOW).duplicate}
    assert found == {
        "t_same": "same as t_unique",
        "t_beginning": "the beginning of t_pair",
        "sent_later": "same as sent_by",
    }


def test_a_foreign_key_needs_an_index_that_begins_with_its_columns(connection: Connection) -> None:
    connection.execute(
        """
        CREATE TABLE singles (x integer PRIMARY KEY);
        CREATE TABLE parents (x integer, y integer, PRIMARY KEY (x, y));
        CREATE TABLE covered (x integer, y integer, FOREIGN KEY (x, y) REFERENCES parents);
        CREATE INDEX ON covered (y, x, (x + y));
        CREATE TABLE partly (x integer, y integer, FOREIGN KEY (x, y) REFERENCES parents);
        CREATE INDEX ON partly (x);
        CREATE INDEX ON partly (x, y) WHERE x > 0;
        CREATE TABLE "Half %s" ("X 1" integer, FOREIGN KEY ("X 1") REFERENCES singles);
        CREATE INDEX ON "Half %s" ("X 1") WHERE "X 1" IS NOT NULL;
        CREATE TABLE ranged (x integer REFERENCES singles);
        CREATE INDEX ON ranged USING brin (x);
        """
    )
    found = index_advice(connection, now=NOW).unindexed_foreign_keys
    assert [(f.table_name, f.finding) for f in found] == [
        ("partly", "no index on partly begins with (x, y)"),
        ("ranged", "no index on ranged begins with (x)"),
    ]
