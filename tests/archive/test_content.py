"""Whatever is deleted with a segment is archived with it, or is named before anything goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.month.catalog import obstacles, read_content
from ft_ops.archive.move.preflight import preflight
from ft_ops.clock import utc_now
from ft_ops.errors import Refused
from ft_ops.months import Month
from tests.archive.world import World

REACTIONS = """
CREATE TABLE content_reactions (
    segment_id uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    emoji text NOT NULL,
    weight numeric(6, 3) NOT NULL DEFAULT 1.100,
    PRIMARY KEY (segment_id, user_id)
)
"""
REPLIES = """
CREATE SCHEMA community;
CREATE TABLE community."odd.Replies" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    segment_id uuid NOT NULL,
    reactor uuid NOT NULL,
    family_id text,
    approved_by uuid REFERENCES users (id) ON DELETE SET NULL,
    said text NOT NULL,
    length integer GENERATED ALWAYS AS (length(said)) STORED,
    FOREIGN KEY (segment_id, reactor) REFERENCES content_reactions (segment_id, user_id)
        ON DELETE CASCADE
)
"""
QUOTES = """
CREATE TABLE content_quotes (
    quoting uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    quoted uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE,
    place int4range NOT NULL,
    PRIMARY KEY (quoting, place)
);
SELECT ops.guard_content()
"""


def _migrate(world: World, *statements: LiteralString) -> None:
    for statement in statements:
        world.connection.execute(statement)


def _all_rows(world: World, *tables: str) -> dict[str, list[str]]:
    found = {}
    for table in tables:
        rows = world.connection.execute(
            sql.SQL("SELECT t::text FROM {} AS t ORDER BY 1").format(sql.SQL(table))
        ).fetchall()
        found[table] = [row for (row,) in rows]
    return found


def test_the_products_own_tables_are_found(world: World) -> None:
    content = read_content(world.connection)
    assert set(content.names) == {
        "content_segments",
        "photo_narrations",
        "content_tags",
        "content_links",
    }
    assert [table.name for table in content.shared] == ["content_links"]
    assert content["content_tags"].makers == ("tagged_by",)
    assert obstacles(world.connection) == []


def test_tables_of_later_migrations_live_a_months_whole_life(world: World) -> None:
    _migrate(world, REACTIONS, *REPLIES.split(";\n"), *QUOTES.split(";\n"))
    made = world.fill()
    for number, segment in enumerate(made[:10]):
        world.connection.execute(
            "INSERT INTO content_reactions VALUES (%s, %s, 'heart', 12.340)",
            (segment, world.users[1]),
        )
        world.connection.execute(
            'INSERT INTO community."odd.Replies" (segment_id, reactor, family_id, approved_by,'
            " said) VALUES (%s, %s, 'mine', %s, %s)",
            (segment, world.users[1], world.users[3 if number else 1], f"so say {number}"),
        )
        world.connection.execute(
            "INSERT INTO content_quotes VALUES (%s, %s, '[3,9)')", (segment, made[20])
        )
    tables = ("content_reactions", 'community."odd.Replies"', "content_quotes")
    before, segments = _all_rows(world, *tables), world.rows(segments="content_segments_2017_03")
    world.archive()
    world.verified_backup()
    assert world.plan().decision == "purge"
    world.purge()
    assert _all_rows(world, *tables) == {table: [] for table in tables}
    assert world.thaw().left_out == {}
    assert _all_rows(world, *tables) == before
    assert world.rows() == segments
    assert world.refreeze().next is None
    # A user who only approved is cleared; whose reaction it is takes the reaction along.
    world.connection.execute("DELETE FROM users WHERE id = %s", (world.users[3],))
    assert world.thaw().left_out == {}
    [[cleared]] = world.connection.execute(
        'SELECT count(*) FROM community."odd.Replies" WHERE approved_by IS NULL'
    ).fetchall()
    assert cleared == 9
    world.refreeze()
    world.connection.execute("DELETE FROM users WHERE id = %s", (world.users[1],))
    gone = "whoever made them, or what they belong to, is gone"
    assert world.thaw().left_out == {
        f"content_reactions: {gone}": 10,
        f"community.odd.Replies: {gone}": 10,
    }


def test_a_row_of_a_new_table_that_changed_keeps_its_segment(world: World) -> None:
    _migrate(world, REACTIONS)
    made = world.fill()
    world.connection.execute(
        "INSERT INTO content_reactions VALUES (%s, %s, 'heart')", (made[4], world.users[0])
    )
    world.archive()
    world.verified_backup()
    world.connection.execute("UPDATE content_reactions SET emoji = 'tear'")
    purge = world.purge()
    assert (purge.segments, purge.kept) == (39, 1)
    assert world.count("content_reactions") == 1


@pytest.mark.usefixtures("begins_archived")
def test_a_table_that_came_since_the_proof_makes_the_month_be_exported_again(
    world: World,
) -> None:
    made = world.filled
    world.verified_backup()
    _migrate(world, REACTIONS)
    world.connection.execute(
        "INSERT INTO content_reactions VALUES (%s, %s, 'heart')", (made[4], world.users[0])
    )
    plan = world.plan()
    assert (plan.decision, plan.changed) == ("export again", ("content_reactions is new",))


@pytest.mark.usefixtures("begins_archived")
def test_a_table_that_comes_in_the_middle_of_a_purge_ends_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.filled
    world.verified_backup()
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    calls = 0

    def migrate_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            _migrate(world, REACTIONS)
            for segment in made:
                world.connection.execute(
                    "INSERT INTO content_reactions SELECT id, %s, 'heart'"
                    " FROM content_segment_keys WHERE id = %s",
                    (world.users[0], segment),
                )

    monkeypatch.setattr(type(throttle), "wait", lambda self: migrate_once())
    monkeypatch.setattr("tests.archive.world.throttle_of", lambda run: throttle)
    purge = world.purge()
    assert "a migration has added or changed" in purge.stopped
    assert purge.next is not None
    left = world.count("archived_content_segments")
    assert 0 < left < 40
    assert world.count("content_reactions") == left == world.count("content_segment_keys")


def _no_key(world: World) -> None:
    world.connection.execute(
        "CREATE TABLE odd (segment_id uuid REFERENCES content_segment_keys ON DELETE CASCADE)"
    )


def _trigger(world: World) -> None:
    world.connection.execute(REACTIONS)
    world.connection.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    )
    world.connection.execute(
        "CREATE TRIGGER tell AFTER DELETE ON content_reactions FOR EACH ROW EXECUTE FUNCTION tell()"
    )


def _loop(world: World) -> None:
    world.connection.execute(
        "CREATE TABLE odd (id uuid PRIMARY KEY, segment_id uuid REFERENCES content_segment_keys"
        " ON DELETE CASCADE, parent uuid REFERENCES odd ON DELETE CASCADE)"
    )


def _inherited(world: World) -> None:
    world.connection.execute(REACTIONS)
    world.connection.execute("CREATE TABLE more_reactions () INHERITS (content_reactions)")


def _rule(world: World) -> None:
    world.connection.execute(REACTIONS)
    world.connection.execute("CREATE RULE odd AS ON DELETE TO content_reactions DO INSTEAD NOTHING")


def _hidden(world: World) -> None:
    with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
        admin.execute(REACTIONS)


def _reply(world: World) -> None:
    world.connection.execute(
        "ALTER TABLE photo_narrations ADD COLUMN reply_to uuid REFERENCES photo_narrations"
        " ON DELETE SET NULL"
    )


def _key_trigger(world: World) -> None:
    world.connection.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    )
    world.connection.execute(
        "CREATE TRIGGER tell BEFORE DELETE ON content_segment_keys FOR EACH ROW"
        " EXECUTE FUNCTION tell()"
    )


@pytest.mark.parametrize(
    ("migrate", "said"),
    [
        (_reply, "photo_narrations: its foreign key photo_narrations_reply_to_fkey leads to other"),
        (_key_trigger, "content_segment_keys: its trigger tell does something"),
        (_no_key, "odd: it has no primary key"),
        (_trigger, "content_reactions: its trigger tell does something"),
        (_loop, "odd: its rows take rows of the same table along"),
        (_inherited, "content_reactions: it is part of an inheritance tree"),
        (_rule, "content_reactions: its rule odd replaces"),
        (_hidden, "content_reactions: the operations role may not read it"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
@pytest.mark.usefixtures("begins_archived")
def test_what_can_not_be_archived_is_named_before_anything_moves(
    world: World, migrate: Callable[[World], None], said: str
) -> None:
    world.verified_backup()
    migrate(world)
    other = Month(2017, 4)
    seen = preflight(
        world.connection, other, retention_years=1, longest_snapshot_seconds=300, now=utc_now()
    )
    assert any(said in problem for problem in seen.fatal)
    assert any(said in refusal for refusal in world.plan().refusals)
    with pytest.raises(Refused, match="tables of content"):
        world.purge()
    assert world.count("archived_content_segments") == 40


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("SET NULL", "whose rows would lose it"),
        ("SET DEFAULT", "whose rows would get another one"),
        ("RESTRICT", "which forbids the removal"),
        ("NO ACTION", "which forbids the removal"),
    ],
)
@pytest.mark.usefixtures("begins_archived")
def test_a_row_that_a_removal_would_change_or_meet_closes_its_months_gate(
    world: World, action: LiteralString, said: str
) -> None:
    made = world.filled
    world.verified_backup()
    world.connection.execute(
        "CREATE TABLE covers (family_id uuid PRIMARY KEY, segment_id uuid DEFAULT NULL"
        f" REFERENCES content_segment_keys ON DELETE {action})"
    )
    assert world.plan().decision == "purge", "nothing of this month is a cover"
    world.connection.execute("INSERT INTO covers VALUES (%s, %s)", (world.families[0], made[3]))
    (refusal,) = world.plan().refusals
    assert "covers" in refusal
    assert said in refusal


@pytest.mark.usefixtures("begins_archived")
def test_a_cover_that_is_chosen_during_the_purge_keeps_its_segment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.filled
    world.verified_backup()
    world.connection.execute(
        "CREATE TABLE covers (family_id uuid PRIMARY KEY,"
        " segment_id uuid REFERENCES content_segment_keys ON DELETE SET NULL)"
    )
    late: UUID = max(made)
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    calls = 0

    def choose_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            world.connection.execute(
                "INSERT INTO covers VALUES (%s, %s)", (world.families[0], late)
            )

    monkeypatch.setattr(type(throttle), "wait", lambda self: choose_once())
    monkeypatch.setattr("tests.archive.world.throttle_of", lambda run: throttle)
    assert world.purge().kept == 1
    assert world.connection.execute("SELECT segment_id FROM covers").fetchall() == [(late,)]


def test_a_foreign_key_to_the_segments_themselves_is_named(world: World) -> None:
    world.fill()
    world.connection.execute(
        "CREATE TABLE odd (id uuid, at timestamptz, PRIMARY KEY (id, at),"
        " FOREIGN KEY (id, at) REFERENCES content_segments ON DELETE CASCADE)"
    )
    (found,) = obstacles(world.connection)
    assert "no month can be detached" in found.cause


def test_a_table_as_wide_as_tables_may_be_is_described_at_once(world: World) -> None:
    """The server deparses each default; with the table's names for each it took half a minute."""
    columns = ", ".join(f"c{number} smallint DEFAULT {number}" for number in range(1500))
    world.connection.execute(
        sql.SQL(
            "CREATE TABLE wide (id uuid PRIMARY KEY,"
            " segment_id uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE, {})"
        ).format(sql.SQL(columns))
    )
    with world.connection.transaction():
        world.connection.execute("SET LOCAL statement_timeout = '5s'")
        described = read_content(world.connection)["wide"].columns
    assert (len(described), described[1501].default) == (1502, "1499")
