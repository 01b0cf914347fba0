"""A live schema that is not what the migrations produce is told so, in words."""

from __future__ import annotations

import threading
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

GRANT SELECT (id) ON content_segments_2024_01 TO ft_app
-- partition content_segments_2024_01: grants to ft_app is SELECT, expected none

ALTER TABLE content_segments_2024_01 DISABLE TRIGGER register_key
-- partition content_segments_2024_01: trigger register_key is disabled, expected none

CREATE TRIGGER gone BEFORE DELETE ON content_segments_2024_01 FOR EACH ROW
    EXECUTE FUNCTION suppress_redundant_updates_trigger()
-- partition content_segments_2024_01: trigger gone is its own, expected none

DROP TRIGGER keep_keys ON content_segments_2024_01
-- partition content_segments_2024_01: TRUNCATE is allowed, expected none

CREATE RULE gone AS ON DELETE TO family_invites DO INSTEAD NOTHING
-- table family_invites: rule gone is on delete instead, expected none

CREATE RULE gone AS ON INSERT TO content_segments_2024_01 DO INSTEAD NOTHING
-- partition content_segments_2024_01: rule gone is on insert instead, expected none

ALTER TABLE content_segments_2024_01 SET (autovacuum_enabled = off)
-- partition content_segments_2024_01: options is autovacuum_enabled=off, expected none

ALTER TABLE content_segments_2024_01 SET UNLOGGED
-- partition content_segments_2024_01: persistence is unlogged, expected none

ALTER TABLE content_segments_2024_01 SET (autovacuum_enabled = 'No')
-- partition content_segments_2024_01: options is autovacuum_enabled=No, expected none

ALTER TABLE content_segments_2024_01 SET (toast.autovacuum_enabled = 0)
-- partition content_segments_2024_01: options is toast.autovacuum_enabled=0, expected none

ALTER TABLE users SET (toast.autovacuum_enabled = off)
-- table users: options of long values is autovacuum_enabled=off, expected none

ALTER TABLE content_segments_2024_01 ENABLE ROW LEVEL SECURITY
-- partition content_segments_2024_01: row level security is enabled, expected none

ALTER TABLE content_segments_2024_01 ADD CONSTRAINT shut CHECK (false) NOT VALID
-- partition content_segments_2024_01: constraint shut is a check of its own, expected none

ALTER TABLE content_segments_2024_01 ADD CONSTRAINT bounds CHECK (created_at < '2024-02-01 00:00Z')
--

ALTER TABLE content_segments_2024_01 ADD CONSTRAINT one UNIQUE (user_id)
-- partition content_segments_2024_01: constraint one is a key of its own, expected none

CREATE UNIQUE INDEX one ON content_segments_2024_01 (user_id)
-- partition content_segments_2024_01: index one is unique, of its own, expected none

ALTER TABLE content_segments_2024_01 ADD CONSTRAINT far FOREIGN KEY (id) REFERENCES users
-- partition content_segments_2024_01: constraint far is a foreign key of its own, expected none

ALTER TABLE content_segments_2024_01 ALTER text_content SET NOT NULL
-- partition content_segments_2024_01: column text_content is NOT NULL of its own, expected none

CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.month PARTITION OF content_segments
    FOR VALUES FROM ('2091-01-01 00:00+00') TO ('2091-02-01 00:00+00');
    GRANT SELECT ON elsewhere.month TO ft_app
-- partition elsewhere.month: TRUNCATE is allowed, expected none; partition elsewhere.month:
--   grants to ft_app is SELECT, expected none

CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.more () INHERITS (users)
-- table users: inherited by is elsewhere.more, expected none

GRANT SELECT ON threads TO ft_readonly WITH GRANT OPTION
-- table threads: grants to ft_readonly is SELECT WITH GRANT OPTION, expected SELECT

CREATE POLICY everybody ON users USING (true)
-- policy everybody of users is in no migration

ALTER TABLE audit_log DETACH PARTITION audit_log_2024_01;
    GRANT SELECT ON audit_log_2024_01 TO ft_app
-- partition audit_log_2024_01: grants to ft_app is SELECT, expected none

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


AS_AN_ADMINISTRATOR = """
ALTER TABLE content_segments_2024_01 DISABLE TRIGGER ALL
-- partition content_segments_2024_01: trigger content_segments_thread_id_fkey is disabled

ALTER TABLE memory_books DISABLE TRIGGER ALL
-- table memory_books: trigger memory_books_family_id_fkey is disabled, expected none

ALTER TABLE content_segments_2024_01 OWNER TO ft_app
-- partition content_segments_2024_01 belongs to ft_app, not to the owner of the schema ops

ALTER TABLE users OWNER TO ft_app
-- table users belongs to ft_app, not to the owner of the schema ops

ALTER FUNCTION current_user_id() OWNER TO ft_app
-- function current_user_id() belongs to ft_app, not to the owner of the schema ops

ALTER ROLE ft_app BYPASSRLS
-- role ft_app: attributes is BYPASSRLS, expected none

ALTER ROLE ft_readonly SUPERUSER CREATEDB
-- role ft_readonly: attributes is SUPERUSER, CREATEDB, expected none

GRANT pg_read_all_data TO ft_app
-- role ft_app: member of pg_read_all_data is yes, expected none

GRANT ft_ops TO ft_readonly
-- role ft_readonly: member of ft_ops is yes, expected none

CREATE ROLE between_us; GRANT pg_write_all_data TO between_us; GRANT between_us TO ft_app
-- role ft_app: member of pg_write_all_data is yes, expected none

CREATE ROLE web_server LOGIN BYPASSRLS; GRANT ft_app TO web_server
-- role web_server: attributes is BYPASSRLS, expected none

ALTER ROLE ft_app SET session_replication_role = replica
-- role ft_app: setting session_replication_role is session_replication_role=replica

GRANT ft_app TO ft_readonly
-- role ft_readonly: member of ft_app is yes, expected none

CREATE ROLE web LOGIN IN ROLE ft_app, pg_read_all_data
-- role web: member of pg_read_all_data is yes, expected none

CREATE ROLE past BYPASSRLS; CREATE ROLE web LOGIN IN ROLE ft_app, past
-- role web: member of past is yes, expected none

CREATE ROLE web LOGIN IN ROLE ft_app; ALTER ROLE web SET app.current_user_id = '1'
-- role web: setting app.current_user_id is app.current_user_id=1

DO 'BEGIN EXECUTE format(''GRANT CREATE ON DATABASE %I TO ft_app'', current_database()); END'
-- role ft_app: may make schemas in the database is yes, expected none

CREATE ROLE oncall LOGIN IN ROLE ft_ops

CREATE ROLE harmless; GRANT harmless TO ft_app
"""
"""What only an administrator can do; the first that is told of each."""


def test_tables_that_come_and_go_meanwhile_stop_nothing(
    database: Database, connection: Connection
) -> None:
    """The server's own functions open a relation whose row of the catalog was read before."""
    is_over = threading.Event()

    def come_and_go() -> None:
        with psycopg.connect(database.url, autocommit=True) as other:
            while not is_over.is_set():
                other.execute(
                    "CREATE TABLE passing (id uuid PRIMARY KEY, said text CHECK (said <> ''))"
                    " PARTITION BY HASH (id);"
                    "CREATE TABLE passing_0 PARTITION OF passing"
                    " FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
                    "CREATE VIEW passers AS SELECT said FROM passing"
                )
                other.execute("DROP TABLE passing CASCADE")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(10):
            assert "table users" in read_fingerprint(connection)
    finally:
        is_over.set()
        thread.join()


def test_owners_roles_and_internal_triggers_are_compared_too(
    database: Database, connection: Connection
) -> None:
    told, expected = {}, {}
    with psycopg.connect(database.admin_url) as admin:
        for case in AS_AN_ADMINISTRATOR.strip().split("\n\n"):
            change, _, words = case.partition("\n-- ")
            # Roles are everybody's on this server: nothing of this is committed.
            with admin.transaction(force_rollback=True):
                admin.execute(change.encode())
                found = drift(admin)
                assert not any(difference.is_harmless for difference in found)
            expected[change] = words
            told[change] = next((d.words for d in found if d.words.startswith(words)), "")[
                : len(words)
            ]
            assert bool(found) == bool(words), change
    assert told == expected


def test_an_event_trigger_is_told(database: Database, connection: Connection) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            "CREATE SCHEMA theirs; CREATE FUNCTION theirs.look() RETURNS event_trigger"
            " LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE EVENT TRIGGER looks ON sql_drop EXECUTE FUNCTION theirs.look()"
        )
    assert [d.words for d in drift(connection)] == ["event trigger looks is in no migration"]


def test_a_policy_or_trigger_that_somebody_added_is_no_harmless_addition() -> None:
    for kind in ("policy", "trigger", "constraint"):
        assert not Difference(f"{kind} x of users", "unexpected", "").is_harmless
    assert Difference("index x of users", "unexpected", "").is_harmless
    assert Difference("table users", "unread", "").is_harmless
