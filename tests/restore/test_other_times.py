"""The schema, the months and the sessions are no longer those of the copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.restore import Decisions, plan_lines
from ft_ops.restore import restore as restore_module
from ft_ops.restore.write import write_rows
from tests.restore.test_restore import reasons, states
from tests.restore.world import MONTHS, World

JANUARY = "content_segments_2025_01"
ARCHIVE_JANUARY = (
    f"ALTER TABLE content_segments DETACH PARTITION {JANUARY}",
    (
        "ALTER TABLE archived_content_segments ATTACH PARTITION content_segments_2025_01"
        " FOR VALUES FROM ('2025-01-01Z') TO ('2025-02-01Z')"
    ),
)


def test_a_segment_comes_back_into_the_table_that_its_month_has_moved_to(world: World) -> None:
    before = world.family(0)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        for query in ARCHIVE_JANUARY:
            world.execute(query)
        assert world.restore(copy).inserts == 4
        after = world.family(0)
        assert str(world.segments[0]) in after["archived_content_segments"]
        for table in ("content_segment_keys", "content_links", "content_tags", "photo_narrations"):
            assert after[table] == before[table]


def test_a_month_between_two_tables_is_waited_for(world: World) -> None:
    with world.copied() as copy:
        world.execute(
            "DELETE FROM content_segments WHERE id IN (%s, %s)",
            world.segments[0],
            world.segments[1],
        )
        world.execute(ARCHIVE_JANUARY[0])
        plan = world.restore(copy)
        assert states(plan, "content_segments") == {"blocked": 1, "missing": 1, "same": 14}
        assert reasons(plan, "content_segments") == [
            "the table of 2025-01 is being moved: run again once it is"
        ]
        world.execute(ARCHIVE_JANUARY[1])
        assert states(world.restore(copy), "content_segments") == {"missing": 1, "same": 15}


def test_a_month_that_is_in_the_archive_alone_is_named(world: World) -> None:
    others = world.family(1)
    with world.copied() as copy:
        purge_january(world)
        plan = world.restore(copy)
        assert states(plan, "content_segments") == {"archived": 8, "same": 8}
        assert reasons(plan, "content_segments") == ["2025-01 is in the archive: thaw that month"]
        assert plan.inserts == 0
        assert world.family(1)["content_tags"].keys() <= others["content_tags"].keys()


def purge_january(world: World) -> None:
    """What a purge leaves: no table, no keys, and a month in the ledger."""
    world.execute(f"DELETE FROM content_segment_keys AS k USING {JANUARY} AS s WHERE k.id = s.id")
    world.execute(ARCHIVE_JANUARY[0])
    world.execute(f"DROP TABLE {JANUARY}")
    world.execute(
        "INSERT INTO ops.archive (month, generation, state, purged_at)"
        " VALUES (%s, 1, 'purged', now())",
        MONTHS[0].first_day,
    )


def test_tables_and_columns_of_later_migrations_take_part(world: World) -> None:
    for query in (
        (
            "CREATE TABLE reactions (id uuid PRIMARY KEY, segment uuid NOT NULL"
            " REFERENCES content_segment_keys (id) ON DELETE CASCADE,"
            " by uuid REFERENCES users (id))"
        ),
        (
            "CREATE TABLE replies (reaction uuid REFERENCES reactions (id) ON DELETE CASCADE,"
            " place integer, answers integer, said text, length integer"
            " GENERATED ALWAYS AS (length(said)) STORED, PRIMARY KEY (reaction, place),"
            " FOREIGN KEY (reaction, answers) REFERENCES replies (reaction, place)"
            " ON DELETE CASCADE)"
        ),
        "CREATE TABLE shelves (book uuid NOT NULL REFERENCES memory_books (id), said text)",
    ):
        world.execute(query)
    reaction = world.insert(
        "reactions", id=world.books[0], segment=world.segments[0], by=world.users[0]
    )
    for place, answers in ((1, None), (2, 1), (3, 2)):
        world.execute("INSERT INTO replies VALUES (%s, %s, %s, 'well')", reaction, place, answers)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        world.execute("ALTER TABLE reactions ADD COLUMN mood text NOT NULL DEFAULT 'glad'")
        world.execute(
            "ALTER TABLE content_tags ADD COLUMN book uuid"
            " REFERENCES memory_books (id) ON DELETE CASCADE"
        )
        world.execute("ALTER TABLE content_links ADD COLUMN weight integer NOT NULL DEFAULT 7")
        world.execute("ALTER TABLE reactions RENAME by TO author")
        plan = world.restore(copy)
        assert "    columns of the copy alone, not restored: by" in list(plan_lines(plan))
        assert states(plan, "reactions") == {"missing": 1}
        assert states(plan, "replies") == {"missing": 3}
        assert plan.not_compared == ("public.shelves",)
        assert states(plan, "content_tags") == {"missing": 1, "same": 15}
        assert world.connection.execute("SELECT mood FROM reactions").fetchall() == [("glad",)]
        found = world.connection.execute("SELECT place, answers, length FROM replies ORDER BY 1")
        assert found.fetchall() == [(1, None, 4), (2, 1, 4), (3, 2, 4)]


WAIT_ROWS = (
    "WITH gone AS (DELETE FROM content_links WHERE source_segment_id = %s RETURNING *)"
    " INSERT INTO ops.waiting_rows (table_name, key, thawed_month, as_of, row)"
    " SELECT 'content_links', jsonb_build_array(gone.id)::text, m.month, now(), row_to_json(gone)"
    " FROM gone CROSS JOIN (VALUES (date '2025-01-01'), ('2025-02-01')) AS m (month)"
)
WAIT_LINKS = (
    "WITH gone AS (DELETE FROM content_links WHERE source_segment_id = %s RETURNING *)"
    " INSERT INTO ops.waiting_links SELECT gone.*, '2025-01-01' FROM gone"
)


def let_it_wait(copy: Connection, world: World) -> None:
    """Move a link to where it waits for a month of the archive, or for two of them."""
    row = copy.execute("SELECT to_regclass('ops.waiting_rows') IS NOT NULL").fetchone()
    copy.execute(WAIT_ROWS if row == (True,) else WAIT_LINKS, (world.segments[0],))


RESERVED = (
    "CREATE TABLE IF NOT EXISTS ops.purged_segments (id uuid PRIMARY KEY, thread_id uuid NOT NULL,"
    " sequence_number integer NOT NULL)"
)


def test_what_the_archive_alone_has_keeps_its_id_and_its_number(world: World) -> None:
    world.execute(RESERVED)
    thread, book = world.threads[0], world.books[0]
    in_archive = uuid4()
    reserve = "INSERT INTO ops.purged_segments VALUES (%s, %s, %s)"
    world.execute(reserve, in_archive, thread, 90)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE thread_id = %s", thread)
        for segment, number in ((world.segments[0], 0), (uuid4(), 1)):
            world.execute(reserve, segment, thread, number)
        plan = world.restore(copy)
        assert states(plan, "content_segments") == {
            "archived": 1,
            "conflict": 1,
            "missing": 2,
            "same": 12,
        }
        # With its thread a reservation goes, and with it it comes back.
        world.execute("DELETE FROM memory_books WHERE id = %s", book)
        world.execute("DELETE FROM ops.purged_segments")
        world.restore(copy, decisions=Decisions(mistakes=frozenset({book}), reason="a mistake"))
        assert world.connection.execute("SELECT * FROM ops.purged_segments").fetchall() == [
            (in_archive, thread, 90)
        ]


def test_a_link_that_waited_at_the_time_of_the_copy_comes_back_as_a_link(world: World) -> None:
    before = world.family(0)
    with world.copied() as copy:
        let_it_wait(copy, world)
        world.execute("DELETE FROM content_links WHERE source_segment_id = %s", world.segments[0])
        assert world.restore(copy).inserts == 1
        assert world.family(0) == before


def test_what_refers_to_a_refused_row_of_its_own_table_stays_out_with_it(world: World) -> None:
    world.execute(
        'CREATE TABLE "Notes" (id integer PRIMARY KEY, said text UNIQUE,'
        ' answers integer REFERENCES "Notes" (id) ON DELETE CASCADE,'
        " thread uuid NOT NULL REFERENCES threads (id) ON DELETE CASCADE)"
    )
    for number, answers in ((1, None), (2, 1), (3, 2), (4, None)):
        world.execute(
            'INSERT INTO "Notes" VALUES (%s, %s, %s, %s)',
            number,
            str(number),
            answers,
            world.threads[0],
        )
    with world.copied() as copy:
        world.execute('DELETE FROM "Notes"')
        world.execute("INSERT INTO \"Notes\" VALUES (9, '1', NULL, %s)", world.threads[2])
        plan = world.restore(copy)
        assert states(plan, "Notes") == {"conflict": 3, "missing": 1}


def test_a_row_that_todays_schema_refuses_stays_out_alone(world: World) -> None:
    with world.copied() as copy:
        world.execute("DELETE FROM content_tags WHERE content_segment_id = %s", world.segments[0])
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[1])
        world.execute("ALTER TABLE content_tags ADD COLUMN shade text NOT NULL DEFAULT 'red'")
        world.execute("ALTER TABLE content_tags ALTER COLUMN shade DROP DEFAULT")
        world.execute(
            "ALTER TABLE content_segments ADD CONSTRAINT no_second"
            " CHECK (sequence_number <> 1) NOT VALID"
        )
        plan = world.restore(copy)
        assert set(reasons(plan, "content_tags")) == {
            "shade must be set today, and the copy has nothing for it",
            "its segment can't be restored",
        }
        assert reasons(plan, "content_segments") == ["no_second refuses it today"]
        assert plan.inserts == 0


def test_a_trigger_that_writes_elsewhere_makes_all_of_it_undone(world: World) -> None:
    others = world.family(1)
    world.execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" UPDATE memory_books SET title = 'ours' WHERE id = '{world.books[2]}';"
        " RETURN NULL; END $$"
    )
    with world.copied() as copy:
        world.execute("DELETE FROM content_tags WHERE content_segment_id = %s", world.segments[0])
        damaged = world.family(0)
        world.execute(
            "CREATE TRIGGER meddle AFTER INSERT ON content_tags FOR EACH ROW"
            " EXECUTE FUNCTION meddle()"
        )
        problem = "memory_books: 0 inserted, 1 updated, 0 deleted, not 0, 0 and 0"
        with pytest.raises(Refused, match=problem):
            world.restore(copy)
        assert (world.family(0), world.family(1)) == (damaged, others)
        world.execute("DROP TRIGGER meddle ON content_tags")
        assert world.restore(copy).inserts == 1


def test_whoever_takes_the_place_meanwhile_keeps_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt fails on him; the second sees him."""
    with world.copied() as copy, other_session(world) as other:
        world.execute("DELETE FROM content_segments WHERE thread_id = %s", world.threads[0])
        pending = [
            (
                "INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number,"
                f" created_at) VALUES ('{world.threads[0]}', '{world.users[0]}', 'text', 2, now())"
            )
        ]

        def interrupted(*arguments: object) -> object:
            if pending:
                other.execute(pending.pop())
            return write_rows(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(restore_module, "write_rows", interrupted)
        plan = world.restore(copy)
        assert states(plan, "content_segments") == {"conflict": 1, "missing": 3, "same": 12}
        assert world.count("ops.restores") == 1


@contextmanager
def other_session(world: World) -> Iterator[Connection]:
    with connect(world.database.url, application="tests") as opened:
        yield opened


def test_a_locked_table_ends_it_with_a_word_about_the_lock(world: World) -> None:
    with world.copied() as copy, other_session(world) as other, other.transaction():
        world.execute("DELETE FROM content_tags WHERE content_segment_id = %s", world.segments[0])
        world.execute("SET lock_timeout = '100ms'")
        other.execute("LOCK TABLE content_tags IN EXCLUSIVE MODE")
        with pytest.raises((OpsError, psycopg.errors.LockNotAvailable), match="lock"):
            world.restore(copy)
        assert world.count("ops.restores") == 0


def test_a_role_without_rights_changes_nothing(world: World) -> None:
    with (
        world.copied() as copy,
        connect(world.database.readonly_url, application="tests") as reader,
    ):
        world.execute("DELETE FROM content_tags WHERE content_segment_id = %s", world.segments[0])
        damaged = world.family(0)
        with pytest.raises((OpsError, psycopg.errors.InsufficientPrivilege)):
            world.restore(copy, live=reader, decisions=Decisions(overwrite_changed=True))
        assert world.family(0) == damaged
