"""A live schema that is not what the migrations produce is told so, in words."""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.schema import (
    Difference,
    differences,
    expected_fingerprint,
    fingerprint_json,
    read_fingerprint,
)
from tests.fixtures.postgres import Database


def drift(connection: Connection) -> list[Difference]:
    return differences(read_fingerprint(connection), expected_fingerprint())


def test_the_migrations_produce_what_the_file_says(connection: Connection) -> None:
    file = sql_root() / "schema" / "fingerprint.json"
    assert [d.words for d in drift(connection)] == [], (
        "after changing a migration: make fingerprint"
    )
    assert fingerprint_json(read_fingerprint(connection)) == file.read_text(encoding="utf-8")


DIFFERENCES = """
ALTER TABLE memory_books ALTER description TYPE varchar(10)
-- column memory_books.description is character varying(10), expected text

ALTER TABLE users ALTER is_active SET NOT NULL
-- column users.is_active: null is refused, expected allowed

ALTER TABLE users ALTER is_active DROP DEFAULT
-- column users.is_active: default is none, expected true

ALTER TABLE threads DROP COLUMN is_locked
-- column threads.is_locked is missing

ALTER TABLE content_tags ADD COLUMN weight integer
-- column content_tags.weight is in no migration

ALTER TABLE families DROP CONSTRAINT families_subscription_tier_check, ADD CONSTRAINT
    families_subscription_tier_check CHECK (subscription_tier <> '')
-- constraint families_subscription_tier_check of families is CHECK (((subscription_tier)::text
--   <> ''::text)), expected CHECK (((subscription_tier)::text = ANY ((ARRAY['free'::character
--   varying, 'premium'::character varying, 'enterprise'::character varying])::text[])))

DROP INDEX idx_users_created_at
-- index idx_users_created_at of users is missing

DROP INDEX idx_threads_activity; CREATE INDEX idx_threads_activity ON threads (last_segment_at)
-- index idx_threads_activity of threads is CREATE INDEX idx_threads_activity ON public.threads
--   USING btree (last_segment_at), expected CREATE INDEX idx_threads_activity ON public.threads
--   USING btree (last_segment_at DESC)

ALTER POLICY user_update ON users USING (true)
-- policy user_update of users: using is true, expected (id = public.current_user_id())

ALTER POLICY user_update ON users TO ft_app
-- policy user_update of users: roles is ft_app, expected public

ALTER TABLE users DISABLE ROW LEVEL SECURITY
-- table users: row level security is disabled, expected enabled

ALTER TABLE content_segments DISABLE TRIGGER register_key
-- trigger register_key of content_segments: state is disabled, expected enabled

CREATE OR REPLACE FUNCTION current_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULL::uuid
-- function current_user_id() differs in line 5: RETURN NULL::uuid, expected RETURN
--   (NULLIF(current_setting('app.current_user_id'::text, true), ''::text))::uuid

GRANT EXECUTE ON FUNCTION accept_family_invite(text) TO PUBLIC
-- function accept_family_invite(code text): grants to public is EXECUTE, expected none

ALTER VIEW memory_book_stats RESET (security_invoker)
-- view memory_book_stats: options is none, expected security_invoker=true

GRANT UPDATE (email) ON users TO ft_readonly
-- column users.email: grants to ft_readonly is UPDATE, expected none

GRANT SELECT ON content_segments_2024_01 TO ft_app
-- partition content_segments_2024_01: grants to ft_app is SELECT, expected none

ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ft_app
-- default privileges of ft_ops: grants to ft_app is SELECT, expected none

DROP TABLE family_invites
-- table family_invites is missing

CREATE TABLE extra (id int PRIMARY KEY)
-- table extra is in no migration

CREATE FUNCTION extra() RETURNS int LANGUAGE sql RETURN 1
-- function extra() is in no migration
"""
"""Changes, and below each how it is told."""


def test_a_difference_is_named_in_words(connection: Connection) -> None:
    expected = {}
    for case in DIFFERENCES.strip().split("\n\n"):
        change, *words = case.split("\n--")
        expected[" ".join(change.split())] = " ".join(" ".join(words).split())
    named = {}
    for change in expected:
        with connection.transaction(force_rollback=True):
            connection.execute(change)
            named[change] = "; ".join(difference.words for difference in drift(connection))
    assert named == expected


def test_a_definition_that_was_dumped_and_restored_is_no_drift(connection: Connection) -> None:
    name = "families_subscription_tier_check"
    row = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (name,)
    ).fetchone()
    assert row is not None
    again = sql.SQL("ALTER TABLE families DROP CONSTRAINT {}, ADD CONSTRAINT {} {}").format(
        sql.Identifier(name), sql.Identifier(name), sql.SQL(row[0])
    )
    connection.execute(again)
    changed = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (name,)
    ).fetchone()
    # PostgreSQL shows it otherwise now, and means the same.
    assert changed != row
    assert drift(connection) == []


def test_months_scratch_tables_and_search_path_are_no_drift(connection: Connection) -> None:
    for statement in (
        "CREATE TABLE content_segments_2031_01 (LIKE content_segments)",
        "ALTER TABLE audit_log DETACH PARTITION audit_log_2024_01",
        "CREATE UNLOGGED TABLE ops.proof_2017_03_gen1_content_segments (LIKE content_segments)",
        "SET search_path = ops, public",
    ):
        connection.execute(statement)
    assert drift(connection) == []


def test_what_is_only_in_addition_is_told_apart(connection: Connection) -> None:
    connection.execute("CREATE TABLE extra (id int PRIMARY KEY)")
    assert [difference.kind for difference in drift(connection)] == ["unexpected"]


def test_what_asks_a_locked_table_is_not_known_and_the_rest_is_compared(
    database: Database, connection: Connection
) -> None:
    connection.execute("DROP INDEX idx_users_created_at")
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("LOCK TABLE family_members IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        found = drift(connection)
        assert time.monotonic() - began < 2
    kinds = {difference.object: difference.kind for difference in found}
    assert kinds.pop("index idx_users_created_at of users") == "missing"
    assert set(kinds.values()) == {"unread"}
    assert [d.object for d in drift(connection)] == ["index idx_users_created_at of users"]
