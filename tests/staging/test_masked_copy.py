"""A masked dump: nobody's words are in its bytes, and everything that refers still does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
from pydantic import ValidationError

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.settings import Settings
from ft_ops.staging.definitions import refuse_in_definitions, words_of_postgresql
from ft_ops.staging.dump import MaskedServer, write_dump
from ft_ops.staging.mask import Keys
from ft_ops.staging.roles import forget_roles, rename_superuser
from ft_ops.staging.rules import (
    STAYS,
    MaskedColumn,
    MaskingRules,
    load_rules,
    problems,
    read_columns,
    rules_of,
)
from ft_ops.staging.staging import MaskedDump, dump_lines, into_bucket, into_file, mask_on
from tests.documents import DOCS, ROOT, blocks
from tests.fixtures.copies import DATABASE, Copy

SALT = b"0123456789abcdef0123456789abcdef"


AS_A_KIND = (
    "ALTER TABLE content_links DROP CONSTRAINT content_links_link_type_check;"
    " CREATE DOMAIN kind AS text CHECK ({});"
    " ALTER TABLE content_links ALTER link_type TYPE kind"
)


def mask(copy: Copy, target: Path, rules: MaskingRules | None = None) -> MaskedDump:
    return mask_on(
        copy.restored(), rules or load_rules(), SALT, into_file(target), lambda line: None, 300
    )


def columns_of(connection: Connection) -> list[MaskedColumn]:
    return read_columns(connection, load_rules().schemas)


def test_every_column_but_an_id_has_a_rule(connection: Connection) -> None:
    assert list(problems(load_rules(), columns_of(connection))) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE users ADD born date", "public.users.born (date) has no rule"),
        ("ALTER TABLE users ADD phone bigint", "public.users.phone (int8) has no rule"),
        (
            "CREATE DOMAIN place AS float8; ALTER TABLE users ADD places place[]",
            "public.users.places (float8) has no rule",
        ),
        (
            "CREATE TYPE mood AS ENUM ('good'); ALTER TABLE users ADD moods mood[]",
            "public.users.moods (public.mood) has no rule",
        ),
        (
            "CREATE TYPE public.uuid AS (note text); ALTER TABLE users ADD note public.uuid",
            "public.users.note (public.uuid) has no rule",
        ),
        (
            (
                "ALTER TABLE photo_narrations DROP confidence_score CASCADE;"
                " CREATE TYPE public.float8 AS (note text);"
                " ALTER TABLE photo_narrations ADD confidence_score public.float8"
            ),
            "public.photo_narrations.confidence_score: the rule kept does not fit the type public.",
        ),
        ("ALTER TABLE users ADD nickname text", "public.users.nickname (text) has no rule"),
        ("ALTER TABLE users ADD faces text[][]", "public.users.faces (text) has no rule"),
        ("ALTER TABLE users ADD face bytea", "public.users.face (bytea) has no rule"),
        ("ALTER TABLE users ADD words tsvector", "public.users.words (tsvector) has no rule"),
        (
            "CREATE DOMAIN phone AS text; ALTER TABLE users ADD phones phone[]",
            "public.users.phones (text) has no rule",
        ),
        ("CREATE TABLE notes (note varchar(9))", "public.notes.note (varchar) has no rule"),
        (
            "ALTER TABLE content_links DROP CONSTRAINT content_links_link_type_check",
            "public.content_links.link_type: no validated CHECK",
        ),
        *(
            (
                (
                    "ALTER TABLE content_links DROP CONSTRAINT content_links_link_type_check,"
                    f" ADD CONSTRAINT listed CHECK {check}"
                ),
                "public.content_links.link_type: no validated CHECK",
            )
            for check in (
                "(link_type IN ('reply', 'quote') OR link_type <> 'Ada')",
                "(link_type = ANY (ARRAY['reply', lower('QUOTE')]))",
                "(link_type IN ('reply', 'quote')) NOT VALID",
                "(link_type IN ('reply', 'quote')) NO INHERIT",
            )
        ),
        (
            AS_A_KIND.format("VALUE IN ('reply', 'quote') OR VALUE <> 'Ada'"),
            "public.content_links.link_type: no validated CHECK",
        ),
        (
            "ALTER TABLE family_invites ALTER email TYPE varchar(20)",
            "public.family_invites.email: email has 40 characters, and 20 are allowed",
        ),
    ],
)
def test_a_column_without_a_fitting_rule_is_named(
    connection: Connection, change: str, named: str
) -> None:
    connection.execute(change)
    (said,) = problems(load_rules(), columns_of(connection))
    assert said.startswith(named)


@pytest.mark.parametrize(
    "harmless",
    [
        "ALTER TABLE users ADD shouted text GENERATED ALWAYS AS (upper(email)) STORED",
        "CREATE TABLE ops.diary (entry text)",
        AS_A_KIND.format("VALUE IN ('reply', 'quote')"),
        AS_A_KIND.format("VALUE IN ('it''s a reply')"),
        "CREATE SCHEMA elsewhere CREATE TABLE diary (entry text)",
        "CREATE MATERIALIZED VIEW mails AS SELECT email FROM users",
    ],
)
def test_what_holds_nobodys_words_or_is_left_out_needs_no_rule(
    connection: Connection, harmless: str
) -> None:
    connection.execute(harmless)
    assert list(problems(load_rules(), columns_of(connection))) == []


def plant(copy: Copy, marker: str) -> None:
    """A different string with the marker in every column that can hold one, and beside columns."""
    copy.execute(
        "INSERT INTO audit_log (user_id, action, table_name, old_values, new_values, ip_address,"
        " user_agent) SELECT id, 'a', 'b', '{}', '{}', '10.1.2.3', 'c' FROM users",
        "INSERT INTO family_invites (family_id, email, invited_by, invite_code, expires_at)"
        " SELECT id, owner_id::text, owner_id, id::text, now() FROM families",
        "INSERT INTO content_links (source_segment_id, target_segment_id, link_type, created_by)"
        " SELECT min(id::text)::uuid, max(id::text)::uuid, 'reply', (SELECT owner_id FROM families"
        " LIMIT 1) FROM content_segment_keys",
        "UPDATE content_segments SET photo_urls = '{a,b}' WHERE content_type = 'photo'",
    )
    value = f"'{marker}' || md5(random()::text)"
    document = (
        f"jsonb_build_object({value}, jsonb_build_array({value}, jsonb_build_object('k', {value},"
        f" 'deep', jsonb_build_array(jsonb_build_object({value}, jsonb_build_array({value}))))),"
        f" 'n', 4915112345678)"
    )
    with psycopg.connect(copy.server.url(DATABASE), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        rules = load_rules()
        for column in read_columns(connection, rules.schemas):
            rule = (rules.of(column.table_name) or {}).get(column.name)
            if rule is None or rule.kind in {*STAYS, "address"}:
                continue
            planted = document if rule.kind == "json" else value
            if column.is_array:
                planted = f"ARRAY[{value}, {value}]"
            if column.length is not None and column.length < 40:
                planted = f"left('{marker}', {column.length})"
            connection.execute(
                f"UPDATE {column.table_name} SET {column.name} = {planted}"
                + (f" WHERE {column.name} IS NOT NULL" if column.is_array else "")
            )
    copy.execute(
        f"UPDATE _sqlx_migrations SET description = '{marker}' WHERE version = 1",
        f"UPDATE _sqlx_migrations SET checksum = '{marker}'::bytea WHERE version = 2",
        f"COMMENT ON TABLE users IS '{marker} founded it'",
        f'CREATE ROLE "{marker}" LOGIN',
        f'GRANT SELECT ON users TO "{marker}"',
        "CREATE SCHEMA aside",
        f"CREATE TABLE aside.notes AS SELECT '{marker}'::text AS note",
        f"COMMENT ON COLUMN users.email IS '{marker} asked for it'",
        f"COMMENT ON ROLE ft_app IS '{marker}'",
        f"COMMENT ON DATABASE familytales IS '{marker}'",
        "CREATE SEQUENCE counted",
        f"COMMENT ON SEQUENCE counted IS '{marker}'",
        f'CREATE PUBLICATION "{marker}" FOR TABLE users',
        "CREATE STATISTICS by_both ON email, display_name FROM users",
        "ANALYZE users",
        "CREATE TABLE owned (n uuid)",
        f'ALTER TABLE owned OWNER TO "{marker}"',
        f'CREATE POLICY hers ON users TO "{marker}" USING (true)',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO "{marker}"',
        f"SELECT lo_from_bytea(0, '{marker}'::bytea)",
        "CREATE MATERIALIZED VIEW mails AS SELECT email FROM users",
        f"INSERT INTO ops.erased_rows (table_name, key) VALUES ('{marker}', '{marker}')",
        "ALTER TABLE ops.legal_holds DISABLE TRIGGER USER",
        f"INSERT INTO ops.legal_holds (month, reason, placed_by)"
        f" SELECT DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC'), '{marker}',"
        f" '{marker}' FROM content_segments",
        "ALTER TABLE ops.legal_holds ENABLE TRIGGER USER",
        # The holds stand: they would refuse that rows of their months are masked.
        "SELECT setval('ops.standing_holds', 3)",
    )


def read(copy: Copy, dump: Path) -> bytes:
    """The whole dump as SQL."""
    done = subprocess.run(
        [copy.server.bin_dir / "pg_restore", "--file=-", dump], capture_output=True, check=True
    )
    return done.stdout


def test_planted_strings_are_nowhere_in_the_dump_and_it_can_be_restored(
    copy: Copy, place: Path
) -> None:
    marker = f"Ada{token_hex(4)}"
    plant(copy, marker)
    copy.execute("UPDATE family_invites SET email = (SELECT email FROM users LIMIT 1)")
    counts = list(rows_of(copy, DATABASE))
    ids = keys_of(copy, DATABASE)
    with psycopg.connect(copy.server.url(DATABASE)) as connection:
        upkeep = kept_up(connection)
    dump = place / "masked.dump"

    found = mask(copy, dump)

    assert found.looked_for > 100
    assert found.bytes == dump.stat().st_size
    assert dump.stat().st_mode & 0o077 == 0
    # Its table of contents is not compressed.
    assert marker.encode() not in dump.read_bytes()
    text = read(copy, dump)
    assert marker.encode() not in text
    assert marker.lower().encode() not in text.lower()
    assert b"10.1.2.3" not in text
    assert b"4915112345678" not in text
    assert SALT not in text
    assert b"@example.invalid" in text

    restore_as_the_page_says(copy, dump)
    assert list(rows_of(copy, "staging")) == counts
    assert keys_of(copy, "staging") == ids
    with psycopg.connect(copy.server.url("staging")) as connection:
        same = connection.execute(
            "SELECT count(*) FROM family_invites AS i JOIN users AS u USING (email)"
        ).fetchone()
        assert same == (counts_of(counts, "family_invites"),)
        empty = connection.execute("SELECT count(*) FROM ops.legal_holds").fetchone()
        assert empty == (0,)
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class AS c JOIN pg_namespace AS n"
            " ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'ops')"
        ).fetchall()
        assert owners == [("ft_ops",)]
        assert kept_up(connection) == upkeep
    assert not any(marker in line for line in dump_lines(found))


def kept_up(connection: Connection) -> list[tuple[str, int, int]]:
    """How many indexes and triggers each table has that a dump has."""
    query = """
        SELECT c.oid::regclass::text, count(DISTINCT i.indexrelid), count(DISTINCT t.oid)
        FROM pg_class AS c
        LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisready
        LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND c.relhastriggers AND NOT t.tgisinternal
        WHERE c.relnamespace = ANY (ARRAY['public', 'ops']::regnamespace[]) AND c.relkind <> 'i'
        GROUP BY c.oid
    """
    return sorted(connection.execute(query).fetchall())


def restore_as_the_page_says(copy: Copy, dump: Path) -> None:
    """On a server that has no role of the other one's own, as a developer types it."""
    with psycopg.connect(copy.server.url(), autocommit=True) as connection:
        for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^role_'"):
            connection.execute(f"DROP ROLE {name}")
    _, typed = (block for block in blocks(DOCS / "staging.md") if block.info == "sh no-test")
    script = typed.text.replace("/srv/dumps/staging.dump", str(dump))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={
            "PATH": f"{copy.server.bin_dir}:{os.environ['PATH']}",
            "PGHOST": str(copy.server.socket_dir),
            "PGUSER": "postgres",
        },
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_rows_that_an_extension_has_declared_its_own_are_left_out(copy: Copy, place: Path) -> None:
    """Such as the commands of a scheduler: a dump of the extension would have them."""
    copy.execute(
        "CREATE SCHEMA aside",
        'CREATE TABLE aside."No""tes" AS SELECT \'call Ada at 9\'::text AS note',
        "INSERT INTO pg_extension VALUES (99999, 'scheduler', 10, 2200, false, '1.0',"
        ' ARRAY[\'aside."No""tes"\'::regclass::oid], \'{""}\')',
    )
    dump = place / "masked.dump"
    found = mask_on(copy.restored(), load_rules(), None, into_file(dump), lambda line: None, 300)
    assert b"call Ada" not in read(copy, dump)
    assert not found.is_repeatable
    assert "the next dump's values will be other ones" in "".join(dump_lines(found))


PLACES = (
    ("TYPE mood", "CREATE TYPE mood AS ENUM ('{0}')"),
    ("TABLE defaults", "CREATE TABLE defaults (id int, a text DEFAULT '{0}')"),
    ("TABLE checks", "CREATE TABLE checks (a text CHECK (a <> 'not {0}!'))"),
    ("DOMAIN spoken", "CREATE DOMAIN spoken AS text CHECK (VALUE <> '{0}')"),
    ("VIEW seen", "CREATE VIEW seen AS SELECT id FROM users WHERE email = '{0}'"),
    ("FUNCTION said()", "CREATE FUNCTION said() RETURNS text LANGUAGE sql AS $$SELECT '{0}'$$"),
    (
        "RULE users quiet",
        "CREATE RULE quiet AS ON DELETE TO users WHERE OLD.email = '{0}' DO INSTEAD NOTHING",
    ),
    ("POLICY families hers", "CREATE POLICY hers ON families USING (name = '{0}')"),
    (
        "TRIGGER threads told",
        (
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            " CREATE TRIGGER told AFTER INSERT ON threads EXECUTE FUNCTION tell('{0}')"
        ),
    ),
    (
        "TABLE generated",
        "CREATE TABLE generated (a text, b text GENERATED ALWAYS AS (a || '{0}') STORED)",
    ),
    ("INDEX by_her", "CREATE INDEX by_her ON users (id) WHERE email = '{0}'"),
    ("STATISTICS of_her", "CREATE STATISTICS of_her ON (email = '{0}'), id FROM users"),
    (
        "TABLE ATTACH bound",
        (
            "CREATE TABLE listed (a text) PARTITION BY LIST (a);"
            " CREATE TABLE bound PARTITION OF listed FOR VALUES IN ('{0}')"
        ),
    ),
    ("TABLE …'s notes", 'CREATE TABLE "{0}s notes" (id int)'),
    (
        "FUNCTION mailed()",
        (
            "CREATE FUNCTION mailed() RETURNS int LANGUAGE sql"
            " AS $$SELECT 1 -- ask grace.hopper@navy.mil $$"
        ),
    ),
)


def as_place(copy: Copy, url: str) -> MaskedServer:
    return MaskedServer(copy.server, copy.folder, url, 300)


def test_a_persons_text_in_a_definition_is_refused_by_the_objects_name(copy: Copy) -> None:
    text = "Ada O'Lovelace"
    copy.execute(*(plants.format(text.replace("'", "''")) for _, plants in PLACES[:-2]))
    copy.execute(PLACES[-2][1].format(f"{text}'"), PLACES[-1][1])
    place = as_place(copy, copy.server.url(DATABASE))
    with psycopg.connect(copy.server.url(DATABASE)) as connection:
        words = words_of_postgresql(connection)
    dump = write_dump(place, load_rules(), ())
    with pytest.raises(Refused) as refused:
        refuse_in_definitions(place, dump, [text], words)
    # Nothing but these is refused, whatever else the dump has.
    listed = refused.value.cause.removeprefix("a person's text is in the definition of ")
    assert sorted(listed.split(", ")) == sorted(named for named, _ in PLACES)
    assert "Ada" not in str(refused.value)
    assert "hopper" not in str(refused.value)


def test_who_owns_a_copy_is_not_in_the_dumps_bytes(copy: Copy) -> None:
    """pg_dump writes owners and tablespaces into an archive, whatever it is told."""
    copy.execute(
        "CREATE ROLE helper SUPERUSER LOGIN",
        "CREATE ROLE postgres_of_old",
        "SET allow_in_place_tablespaces = on",
        "CREATE TABLESPACE \"Countess\" LOCATION ''",
        'CREATE TABLE aside TABLESPACE "Countess" AS SELECT 1 AS n',
    )
    with psycopg.connect(copy.server.url(DATABASE, user="helper"), autocommit=True) as helper:
        helper.execute('ALTER ROLE postgres RENAME TO "Ada Lovelace"')
        helper.execute("ALTER ROLE postgres_of_old RENAME TO postgres")
    url = copy.server.url(DATABASE, user="Ada Lovelace")
    before = write_dump(as_place(copy, url), load_rules(), ())
    written = before.read_bytes()
    assert b"Ada Lovelace" in written
    assert b"Countess" in written
    before.unlink()
    before.parent.rmdir()

    with psycopg.connect(url, autocommit=True) as connection:
        forget_roles(connection, SALT)
    renamed = rename_superuser(copy.server, url)

    after = write_dump(as_place(copy, renamed), load_rules(), ()).read_bytes()
    assert b"Lovelace" not in after
    assert b"Countess" not in after
    # A second run has nothing to rename.
    assert rename_superuser(copy.server, renamed) == renamed


def test_what_a_dump_has_anyhow_does_not_keep_it_from_being_handed_out(
    copy: Copy, place: Path
) -> None:
    """Ids, times, words that a CHECK lists, names of partitions, and words of pg_dump itself."""
    copy.execute(
        "INSERT INTO audit_log (user_id, action, table_name, new_values)"
        " SELECT u.id, 'INSERT', c.relname, jsonb_build_object('id', u.id, 'born', u.created_at,"
        " 'day', u.created_at::date, 'was', u.created_at::text, 'created_at', 'reply')"
        " FROM users AS u CROSS JOIN pg_class AS c WHERE c.relispartition AND c.relkind = 'r'",
        "UPDATE threads SET title = 'continuation' WHERE id = (SELECT id FROM threads LIMIT 1)",
        "UPDATE families SET description = 'standard_conforming_strings'",
        "CREATE TABLE somebodys_own (somebodys_column uuid)",
        "INSERT INTO audit_log (user_id, action, table_name, new_values, user_agent)"
        " SELECT u.id, 'character', c.relname, '{\"somebodys_column\": 1}',"
        " 'timestamp with time zone' FROM pg_class AS c CROSS JOIN users AS u"
        " WHERE c.relnamespace = 'public'::regnamespace",
    )
    mask(copy, place / "masked.dump")


def test_a_value_becomes_the_same_by_the_same_salt_and_another_by_another(
    connection: Connection,
) -> None:
    connection.execute(statement("staging/create_digest"))
    query = "SELECT pg_temp.ft_digest('email', 'ada@example.org', %s, %s)"
    salts = (SALT, SALT, SALT[:-1] + b"0")
    first, again, other = (
        connection.execute(query, (keys.inner, keys.outer)).fetchone()
        for keys in map(Keys.of, salts)
    )
    assert first == again != other


def test_a_rule_that_keeps_somebodys_words_is_found_in_the_dumps_bytes(
    copy: Copy, place: Path
) -> None:
    """The rules are one thing, what was handed out another."""
    copy.execute("UPDATE families SET description = 'The Lovelaces of Ockham Park'")
    rules = load_rules()
    # Said to be a vocabulary, and every word of it is one that is kept.
    lax = replace(
        rules,
        tables={
            **rules.tables,
            "public.memory_books": {
                **rules.tables["public.memory_books"],
                "title": rules_of(
                    {
                        "tables": {
                            "t": {
                                "c": {"kind": "constant", "value": "The Lovelaces of Ockham Park"}
                            }
                        },
                        "schemas_without_rows": [],
                        "migrations": "",
                    }
                ).tables["t"]["c"],
            },
        },
    )
    with pytest.raises(Refused, match=r"1 texts of public\.families\.description are in it"):
        mask(copy, place / "masked.dump", lax)
    assert not (place / "masked.dump").exists()


def test_a_dump_is_never_written_over_another_nor_into_a_bucket_of_our_own(
    place: Path,
) -> None:
    (place / "there").touch()
    with pytest.raises(Refused, match="it exists"):
        into_file(place / "there")
    with pytest.raises(Refused, match="its folder is not there"):
        into_file(place / "nowhere" / "masked.dump")
    for whose in ("backup_bucket", "archive_bucket", "archive_replica_bucket", "dr_bucket"):
        settings = Settings.model_validate({"staging_bucket": "our-own", whose: "our-own"})
        with pytest.raises(Refused, match="which nobody who develops may read"):
            into_bucket(settings, datetime.now(UTC))
    for address in ("s3://our-own", "our-own/archive"):
        with pytest.raises(ValidationError, match="staging_bucket"):
            Settings(staging_bucket=address)
    with pytest.raises(OpsError, match="FT_STAGING_BUCKET: it is not set"):
        into_bucket(Settings(), datetime.now(UTC))


def rows_of(copy: Copy, database: str) -> Iterator[tuple[str, int]]:
    with psycopg.connect(copy.server.url(database)) as connection:
        for table in load_rules().tables:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert row is not None
            yield table, row[0]


def keys_of(copy: Copy, database: str) -> Sequence[object]:
    """What refers to what: ids alone."""
    with psycopg.connect(copy.server.url(database)) as connection:
        return connection.execute(
            "SELECT id, thread_id, user_id, created_at, char_length(text_content)"
            " FROM content_segments ORDER BY id"
        ).fetchall()


def counts_of(counts: Sequence[tuple[str, int]], table: str) -> int:
    return dict(counts)[f"public.{table}"]
