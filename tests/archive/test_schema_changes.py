"""Months in Glacier come back under whatever schema there is by then, or what lacks is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import pytest
from psycopg import sql

from ft_ops.archive.hold.holds import guard_segments
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.purge.purge import purge_month
from ft_ops.archive.store.leftovers import leftovers
from ft_ops.archive.thaw.thaw import load
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from tests.archive.test_identity import dying
from tests.archive.world import MONTH, World

PARENTS: tuple[LiteralString, ...] = ("content_segments", "archived_content_segments")


def _alter(world: World, what: LiteralString) -> None:
    for parent in PARENTS:
        world.connection.execute(f"ALTER TABLE {parent} {what}")


def _declare(world: World, column: str, change: str, **values: str) -> None:
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change, new_name, value)"
        " VALUES ('content_segments', %s, %s, %s, %s)",
        (column, change, values.get("new_name"), values.get("value")),
    )


def _scalars(world: World, query: LiteralString) -> list[object]:
    return [value for (value,) in world.connection.execute(query).fetchall()]


@pytest.mark.parametrize(
    ("changes", "expression", "value"),
    [
        (["ADD COLUMN locale text NOT NULL DEFAULT 'en'"], "locale", "en"),
        (["ADD COLUMN mood text"], "mood", None),
        (
            ["ADD COLUMN words integer GENERATED ALWAYS AS (length(text_content)) STORED"],
            "words",
            16,
        ),
        (["ALTER COLUMN view_count TYPE bigint"], "view_count", 0),
        (["ALTER COLUMN view_count TYPE numeric(12, 2)"], "view_count::text", "0.00"),
        (["DROP COLUMN reaction_count"], "text_content", "once upon a time"),
        (
            ["ADD CONSTRAINT short CHECK (length(text_content) < 5) NOT VALID"],
            "text_content",
            "once upon a time",
        ),
        (["ADD CONSTRAINT wide CHECK (length(text_content) > 2)"], "view_count", 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("begins_purged")
def test_a_month_comes_back_after_an_ordinary_migration(
    world: World, changes: list[LiteralString], expression: LiteralString, value: object
) -> None:
    for change in changes:
        _alter(world, change)
    assert world.thaw().left_out == {}
    found = _scalars(world, f"SELECT {expression} FROM archived_content_segments")
    assert found == [value] * 40
    # And leaves again by what was loaded.
    assert world.refreeze().next is None


@pytest.mark.usefixtures("begins_purged")
def test_a_renamed_column_comes_back_under_its_new_name_once_that_is_declared(
    world: World,
) -> None:
    _alter(world, "RENAME COLUMN text_content TO body")
    with pytest.raises(Refused, match="text_content, and has body now: a column may have been"):
        world.thaw()
    assert world.count("ops.thaws") == 0, "nothing was asked for, nothing was paid"
    _declare(world, "text_content", "renamed", new_name="body")
    world.thaw()
    assert (
        _scalars(world, "SELECT body FROM archived_content_segments") == ["once upon a time"] * 40
    )


@pytest.mark.usefixtures("begins_purged")
def test_a_column_dropped_beside_a_new_one_is_declared_as_dropped(world: World) -> None:
    _alter(world, "DROP COLUMN reaction_count")
    _alter(world, "ADD COLUMN mood text")
    with pytest.raises(Refused, match="may have been renamed"):
        world.thaw()
    _declare(world, "reaction_count", "dropped")
    assert world.thaw().left_out == {}


@pytest.mark.usefixtures("begins_purged")
def test_a_column_that_may_not_be_empty_gets_the_value_that_is_declared(world: World) -> None:
    _alter(world, "ADD COLUMN locale text")
    _alter(world, "ALTER COLUMN locale SET NOT NULL")
    with pytest.raises(Refused, match=r"content_segments\.locale is NOT NULL") as refused:
        world.thaw()
    assert "change 'value'" in refused.value.next_step
    _declare(world, "locale", "value", value="CASE WHEN text_content LIKE 'once%%' THEN 'en' END")
    assert world.thaw().left_out == {}
    assert set(_scalars(world, "SELECT locale FROM archived_content_segments")) == {"en"}


def test_rows_that_a_stricter_check_refuses_are_counted_and_can_be_let_in(world: World) -> None:
    made = world.fill()
    long = world.segment(text="a tale that is too long by now")
    world.children(long)
    world.archived_and_purged()
    _alter(world, "ADD CONSTRAINT short CHECK (length(text_content) < 20)")
    assert world.thaw().left_out == {"segments: they do not meet the CHECK short": 1}
    assert world.count("archived_content_segments") == len(made)
    assert world.refreeze().next is None
    _declare(world, "text_content", "value", value="left(text_content, 19)")
    assert world.thaw().left_out == {}
    row = world.connection.execute(
        "SELECT text_content FROM archived_content_segments WHERE id = %s", (long,)
    ).fetchone()
    assert row == ("a tale that is too ",)
    assert world.count("content_tags") == 15


@pytest.mark.usefixtures("begins_purged")
def test_a_table_that_was_renamed_or_dropped_is_declared(world: World) -> None:
    world.connection.execute("ALTER TABLE photo_narrations RENAME TO narrations")
    with pytest.raises(Refused, match="it holds rows of photo_narrations"):
        world.thaw()
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change, new_name)"
        " VALUES ('photo_narrations', '', 'renamed', 'narrations')"
    )
    assert world.thaw().left_out == {}
    assert world.count("narrations") == 14


@pytest.mark.usefixtures("begins_purged")
def test_generations_of_several_schemas_come_back_together(world: World) -> None:
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    _alter(world, "ALTER COLUMN view_count TYPE bigint")
    world.month(MONTH)
    late = world.segment(sequence=100)
    world.connection.execute("UPDATE content_segments SET mood = 'wild'")
    world.archived_and_purged()
    _alter(world, "ALTER COLUMN mood SET DEFAULT 'odd'")
    assert world.thaw().left_out == {}
    rows = world.connection.execute("SELECT id, mood FROM archived_content_segments").fetchall()
    moods: dict[object, str] = dict(rows)
    assert (moods.pop(late), set(moods.values())) == ("wild", {"odd"})


_NEW_COLUMNS: Final[Sequence[LiteralString]] = (
    "words integer GENERATED ALWAYS AS (length(text_content)) STORED",
    "search tsvector GENERATED ALWAYS AS (to_tsvector('simple', content_type)) STORED",
    "price numeric(18, 6) DEFAULT 5000000000.000001",
    "day date DEFAULT 'infinity'",
    "naive timestamp DEFAULT '-infinity'",
    "r real DEFAULT 1.1",
    "raw bytea DEFAULT '\\x0001ff'",
    "who uuid[] DEFAULT ARRAY['6c0d7f2a-0000-4000-8000-000000000000'::uuid]",
    "nums integer[] DEFAULT ARRAY[1, NULL, 3]",
    "grid integer[] DEFAULT '{{1,2},{3,4}}'",
    "late text[] DEFAULT '[0:1]={a,b}'",
    "ip inet DEFAULT '10.0.0.1'",
    'j json DEFAULT \'{"b": 1,  "a": 1.10}\'',
    "span interval DEFAULT '1 day 02:00:00.5'",
    "clock time DEFAULT '12:00'",
    "place point DEFAULT '(1.1,2)'",
    "during tstzrange DEFAULT '[2017-03-01, 2017-03-02)'",
    "mood odd_mood DEFAULT 'calm'",
    "kind odd_domain DEFAULT 'x'",
    "fixed char(5) DEFAULT 'ab'",
    "tags jsonb[] DEFAULT ARRAY['{}'::jsonb]",
    "pair odd_pair DEFAULT ROW(1, 'a, \"b\"')::odd_pair",
    "family_id uuid DEFAULT '6c0d7f2a-0000-4000-8000-000000000000'",
)


def test_a_month_with_new_columns_of_any_type_lives_its_whole_life(world: World) -> None:
    _live_with(world, *_NEW_COLUMNS)


@pytest.mark.chaos
@pytest.mark.parametrize("column", _NEW_COLUMNS)
def test_a_month_with_one_such_column_does_too(world: World, column: LiteralString) -> None:
    _live_with(world, column)


def _live_with(world: World, *columns: LiteralString) -> None:
    world.connection.execute("CREATE TYPE odd_mood AS ENUM ('calm', 'wild')")
    world.connection.execute("CREATE DOMAIN odd_domain AS text")
    world.connection.execute("CREATE TYPE odd_pair AS (a integer, b text)")
    for column in columns:
        _alter(world, f"ADD COLUMN {column}")
    world.fill(segments=8)
    before = _scalars(world, "SELECT s::text FROM content_segments AS s ORDER BY s.id")
    world.archived_and_purged()
    assert world.thaw().left_out == {}
    after = _scalars(world, "SELECT s::text FROM archived_content_segments AS s ORDER BY s.id")
    assert after == before


@pytest.mark.usefixtures("begins_archived")
def test_a_column_added_while_a_purge_is_interrupted_is_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.verified_backup()
    throttle = world.throttle()
    calls = 0

    def give_up() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OpsError("throttled work", cause="a small query took 90 ms", next_step="later")

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
        patch.setattr(type(throttle), "wait", lambda self: give_up())
        with pytest.raises(OpsError, match="throttled"):
            purge_month(world.run, world.plan(), throttle)
    assert world.count("archived_content_segments") == 0
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    purge = world.purge()
    assert "content_segments has other columns: mood" in purge.stopped
    left = world.count("archived_content_segments")
    assert 0 < left < 40
    assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == ["calm"]
    assert world.count("content_segment_keys") == left
    world.freeze()
    world.verified_backup()
    world.purge()
    assert world.thaw().left_out == {}
    assert world.count("archived_content_segments") == 40


def test_changes_while_a_detach_is_pending_are_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    with connect(world.database.url, application="reader") as reader:

        def then_read(connection: Connection, table: sql.Identifier) -> None:
            guard_segments(connection, table)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM content_segments").fetchone()

        with monkeypatch.context() as patch:
            patch.setattr("ft_ops.archive.move.detach.guard_segments", then_read)
            with pytest.raises(OpsError, match="no lock within"):
                world.move()
    pending = attached_relation(world.connection, "content_segments", MONTH)
    assert pending is not None
    assert pending.is_detaching
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    _alter(world, "ADD COLUMN words integer GENERATED ALWAYS AS (length(text_content)) STORED")
    _alter(world, "ALTER COLUMN view_count TYPE bigint")
    _alter(world, "ALTER COLUMN is_edited SET NOT NULL")
    _alter(world, "ADD CONSTRAINT short CHECK (length(text_content) < 50)")
    _alter(world, "ADD CONSTRAINT later CHECK (length(text_content) < 5) NOT VALID")
    _alter(world, "DROP COLUMN reaction_count")
    with pytest.raises(Refused, match="may have been renamed"):
        world.move()
    _declare(world, "reaction_count", "dropped")
    assert world.move().generation.state == "archived"
    assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == ["calm"]
    assert world.freeze().state == "frozen"


def test_a_constraint_that_a_lone_months_row_does_not_meet_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    with dying(monkeypatch, "move.move._attach"):
        world.move()
    _alter(world, "ADD CONSTRAINT short CHECK (length(text_content) < 5)")
    with pytest.raises(Refused, match="can't follow its parent: check constraint"):
        world.move()
    _alter(world, "DROP CONSTRAINT short")
    assert world.move().generation.state == "archived"


def test_parents_that_differ_are_named_before_a_month_moves(world: World) -> None:
    world.fill()
    world.connection.execute("ALTER TABLE content_segments ADD COLUMN mood text")
    (refusal,) = {str(problem) for problem in world.preflight().fatal}
    assert "mood: its other parent has none like it" in refusal


@pytest.mark.usefixtures("begins_purged")
def test_a_load_that_died_before_its_attach_follows_a_migration(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying(monkeypatch, "thaw.thaw._attach"):
        world.thaw()
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    assert world.thaw().state == "thawed"
    assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == ["calm"]
    # What was loaded has other columns by now: it is archived anew.
    done = world.refreeze()
    assert done.next is not None
    assert world.freeze().rows["content_segments"] == 40


def test_a_value_that_is_none_of_its_type_any_more_is_named_and_can_be_declared(
    world: World,
) -> None:
    world.connection.execute("CREATE TYPE odd_mood AS ENUM ('calm', 'wild')")
    _alter(world, "ADD COLUMN mood odd_mood DEFAULT 'calm'")
    world.fill(segments=4)
    world.archived_and_purged()
    world.connection.execute("ALTER TYPE odd_mood RENAME VALUE 'calm' TO 'quiet'")
    with pytest.raises(Refused, match=r"invalid input value for enum odd_mood: .*change 'value'"):
        world.thaw()
    _declare(world, "mood", "value", value="replace(mood::text, 'calm', 'quiet')::odd_mood")
    assert world.thaw().left_out == {}
    assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == ["quiet"]


@pytest.mark.parametrize("type_now", ["text", "integer"])
def test_a_column_that_only_has_the_name_of_an_earlier_one_does_not_get_its_values(
    world: World, type_now: LiteralString
) -> None:
    _alter(world, "ADD COLUMN mood text DEFAULT 'calm'")
    world.fill(segments=4)
    world.archived_and_purged()
    _alter(world, "DROP COLUMN mood")
    _declare(world, "mood", "dropped")
    _alter(world, f"ADD COLUMN mood {type_now}")
    world.month(MONTH)
    late = world.segment()
    world.connection.execute("UPDATE content_segments SET mood = '7'")
    world.archived_and_purged()
    assert world.thaw().left_out == {}
    rows = world.connection.execute("SELECT id, mood::text FROM archived_content_segments")
    moods: dict[object, str | None] = dict(rows.fetchall())
    # What was archived since has its own.
    assert (moods.pop(late), set(moods.values())) == ("7", {None})


@pytest.mark.parametrize("stands", ["alone", "in the archive"])
def test_another_collation_is_followed(
    world: World, monkeypatch: pytest.MonkeyPatch, stands: str
) -> None:
    world.fill(segments=4)
    if stands == "alone":
        with dying(monkeypatch, "move.move._attach"):
            world.move()
    else:
        world.archived_and_purged()
    _alter(world, 'ALTER COLUMN content_type TYPE varchar(50) COLLATE "C"')
    if stands == "alone":
        assert world.move().generation.state == "archived"
    else:
        assert world.thaw().left_out == {}
        assert world.refreeze().next is None


def test_a_percent_sign_may_be_in_any_name_and_expression(world: World) -> None:
    _alter(world, "ADD COLUMN \"100%s\" text DEFAULT '50%'")
    _alter(world, "ADD CONSTRAINT short CHECK (text_content NOT LIKE '%99%') NOT VALID")
    _alter(world, "ADD CONSTRAINT \"9%\" CHECK (text_content NOT LIKE '%9%')")
    world.fill(segments=4)
    world.archived_and_purged()
    assert world.thaw().left_out == {}
    assert _scalars(world, 'SELECT DISTINCT "100%s" FROM archived_content_segments') == ["50%"]
    assert world.refreeze().next is None


@pytest.mark.parametrize("stands", ["alone", "in the archive"])
def test_a_column_that_became_too_short_cuts_nothing_off(
    world: World, monkeypatch: pytest.MonkeyPatch, stands: str
) -> None:
    _alter(world, "ADD COLUMN mood varchar(20) DEFAULT 'calm'")
    world.fill(segments=4)
    world.connection.execute("UPDATE content_segments SET mood = 'calm and collected'")
    if stands == "alone":
        with dying(monkeypatch, "move.move._attach"):
            world.move()
    else:
        world.archived_and_purged()
    _alter(world, "ALTER COLUMN mood TYPE varchar(5)")
    step = world.move if stands == "alone" else world.thaw
    with pytest.raises(Refused, match=r"value too long for type character varying\(5\)"):
        step()
    if stands == "in the archive":
        _declare(world, "mood", "value", value="left(mood, 4)")
        assert world.thaw().left_out == {}
        assert _scalars(world, "SELECT DISTINCT mood FROM archived_content_segments") == ["calm"]


@pytest.mark.usefixtures("begins_purged")
def test_a_table_that_came_again_under_its_name_is_another_one(world: World) -> None:
    world.connection.execute("DROP TABLE content_tags CASCADE")
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change)"
        " VALUES ('content_tags', '', 'dropped')"
    )
    world.connection.execute(
        "CREATE TABLE content_tags (id uuid PRIMARY KEY, content_segment_id uuid NOT NULL"
        " REFERENCES content_segment_keys (id) ON DELETE CASCADE, tag_name text)"
    )
    assert world.thaw().left_out == {}
    assert world.count("content_tags") == 0


def test_a_column_that_numbers_itself_numbers_what_was_archived_before(world: World) -> None:
    world.fill(segments=8)
    world.archived_and_purged()
    world.connection.execute(
        "ALTER TABLE content_tags ADD COLUMN place bigint GENERATED ALWAYS AS IDENTITY"
    )
    assert world.thaw().left_out == {}
    assert _scalars(world, "SELECT place FROM content_tags ORDER BY 1") == [1, 2, 3]


@pytest.mark.usefixtures("begins_archived")
def test_a_trigger_that_comes_during_a_purge_ends_it_at_the_next_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that returns NULL would leave tags behind whose segment is gone."""
    world.verified_backup()
    throttle = world.throttle()
    batches = 0

    def migrate() -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            world.connection.execute(
                "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql"
                " AS 'BEGIN RETURN NULL; END'"
            )
            world.connection.execute(
                "CREATE TRIGGER keep BEFORE DELETE ON content_tags"
                " FOR EACH ROW EXECUTE FUNCTION keep()"
            )

    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    monkeypatch.setattr(type(throttle), "wait", lambda self: migrate())
    purge = purge_month(world.run, world.plan(), throttle)
    assert "a migration has added or changed one of them" in purge.stopped
    assert 0 < purge.segments < 40
    assert world.count("archived_content_segments") == 40 - purge.segments
    assert _scalars(
        world,
        "SELECT count(*) FROM content_tags AS t WHERE NOT EXISTS"
        " (SELECT FROM content_segment_keys AS k WHERE k.id = t.content_segment_id)",
    ) == [0]


_UPPER = "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"


@pytest.mark.parametrize(
    "table", ["content_tags", "archived_content_segments", "content_segment_keys"]
)
@pytest.mark.usefixtures("begins_purged")
def test_a_trigger_that_could_change_what_comes_back_refuses_the_thaw_before_it_is_paid_for(
    world: World, table: LiteralString
) -> None:
    world.connection.execute(_UPPER)
    world.connection.execute(
        f"CREATE TRIGGER shout BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    with pytest.raises(Refused, match=f"{table}: its trigger shout does something"):
        world.ask()
    world.connection.execute(f"DROP TRIGGER shout ON {table}")
    thaw = world.ask()
    world.connection.execute(
        f"CREATE TRIGGER shout BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    with pytest.raises(Refused, match="its trigger shout does something"):
        load(world.run, thaw)
    world.connection.execute(f"DROP TRIGGER shout ON {table}")
    assert world.thaw().left_out == {}


def test_a_link_stays_deleted_when_its_table_has_another_key_since(world: World) -> None:
    world.fill(segments=8)
    world.archived_and_purged()
    world.thaw()
    world.connection.execute(
        "DELETE FROM content_links WHERE id = (SELECT min(id::text)::uuid FROM content_links)"
    )
    world.refreeze()
    world.connection.execute(
        "ALTER TABLE content_links DROP CONSTRAINT content_links_pkey,"
        " ADD PRIMARY KEY (source_segment_id, target_segment_id, link_type)"
    )
    assert world.thaw().left_out == {"links: deleted meanwhile": 1}
    assert world.count("content_links") == 1


def test_a_key_that_no_archive_holds_is_declared_and_doubles_no_link(world: World) -> None:
    made, other = world.fill(segments=4), world.fill(Month(2017, 4), segments=4)
    world.link(made[3], other[3])
    world.archived_and_purged()
    world.archived_and_purged(Month(2017, 4))
    world.connection.execute(
        "ALTER TABLE content_links DROP CONSTRAINT content_links_pkey,"
        " ADD COLUMN uid uuid PRIMARY KEY DEFAULT gen_random_uuid()"
    )
    with pytest.raises(Refused, match=r"content_links\.uid belongs to its primary key"):
        world.ask()
    world.connection.execute(
        "INSERT INTO ops.column_changes (table_name, column_name, change, value)"
        " VALUES ('content_links', 'uid', 'value', 'md5(id::text)::uuid')"
    )
    for month in (MONTH, Month(2017, 4)):
        assert world.thaw(month).left_out == {}
    assert _scalars(world, "SELECT count(*) FROM content_links") == [3]
    assert _scalars(world, "SELECT count(DISTINCT id) FROM content_links") == [3]


def test_a_row_for_which_a_table_has_no_partition_is_named(world: World) -> None:
    world.fill(segments=4)
    world.archived_and_purged()
    world.connection.execute("ALTER TABLE content_tags RENAME TO former_tags")
    world.connection.execute(
        "CREATE TABLE content_tags (LIKE former_tags INCLUDING DEFAULTS, PRIMARY KEY (id,"
        " created_at), FOREIGN KEY (content_segment_id) REFERENCES content_segment_keys (id)"
        " ON DELETE CASCADE) PARTITION BY RANGE (created_at)"
    )
    world.connection.execute("DROP TABLE former_tags CASCADE")
    with pytest.raises(Refused, match='no partition of relation "content_tags" found'):
        world.thaw()
    world.connection.execute("CREATE TABLE tags_of_all_times PARTITION OF content_tags DEFAULT")
    assert world.thaw().left_out == {}
    assert world.count("content_tags") == 2


def _altered_by_the_first_export(world: World, patch: pytest.MonkeyPatch) -> None:
    """It has looked at the columns, and has no lock on the month yet."""

    def meanwhile(*arguments: Any) -> Any:
        if not _is_bigint(world):
            _alter(world, "ALTER COLUMN reaction_count TYPE bigint")
        return leftovers(*arguments)

    patch.setattr("ft_ops.archive.store.export.leftovers", meanwhile)


def _is_bigint(world: World) -> bool:
    [kind] = _scalars(
        world,
        "SELECT atttypid::regtype::text FROM pg_attribute"
        " WHERE attrelid = 'archived_content_segments'::regclass AND attname = 'reaction_count'",
    )
    return kind == "bigint"


def test_a_type_that_changes_before_the_export_has_its_lock_is_exported_by_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=12)
    _altered_by_the_first_export(world, monkeypatch)
    with pytest.raises(Refused, match=r"other columns: reaction_count.*materialize .* again"):
        world.archive()
    assert world.standing().state == "exporting"
    assert world.archive().number == 1


def test_an_export_of_other_types_than_were_recorded_is_given_up_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=12)
    _altered_by_the_first_export(world, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.store.export._refuse_altered", lambda *arguments: None)
        with pytest.raises(OpsError, match="not of the types that the ledger names"):
            world.archive()
    assert world.archive().number == 2
