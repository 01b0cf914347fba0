"""While a hold stands, the database refuses whatever would change what it holds, by whomever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.erase.held import record_archived, search_unsearched
from ft_ops.archive.hold.holds import (
    HeldSubject,
    active_holds,
    add_hold,
    add_searched_hold,
    held_months,
    holds_on,
    list_holds,
    release_hold,
)
from ft_ops.archive.hold.lines import hold_lines
from ft_ops.archive.hold.told import refuse_silenced
from ft_ops.archive.month.content import ARCHIVED, HOT, archived_name
from ft_ops.archive.move.detach import detach_month
from ft_ops.archive.purge.purge import purge_month
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.store.content_index import SUBJECTS
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.s3.objects import delete_version
from ft_ops.schema.migrations import Migration, load_migrations, run_migrations
from tests.archive.world import MONTH, World, no_sleep

EDITS = (
    "text_content = ''",
    "audio_url = 'x'",
    "audio_transcript = 'x'",
    "photo_urls = '{x}'",
    "content_type = 'photo'",
    "is_deleted = true",
    "deleted_at = now()",
    "metadata = '{}'",
    "sequence_number = sequence_number + 1000",
    "text_content = '', view_count = view_count + 1",
)

KINDS = ("month", "family", "book", "thread", "user")


def hold(world: World, kind: str) -> int:
    """A hold of a kind that holds the first thread's segments."""
    book = _one(world, "SELECT memory_book_id FROM threads WHERE id = %s", world.threads[0])
    subject = {
        "month": {"month": MONTH},
        "family": {"family_id": world.families[0]},
        "book": {"book_id": book},
        "thread": {"thread_id": world.threads[0]},
        "user": {"user_id": world.users[0]},
    }[kind]
    return add_hold(world.connection, reason="case 43", **subject).id  # type: ignore[arg-type]


@contextmanager
def application(world: World, user: UUID) -> Iterator[Connection]:
    with psycopg.connect(world.database.app_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.current_user_id', %s, false)", (str(user),))
        yield connection


def _one(world: World, query: str, *values: object) -> object:
    row = world.connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def _of_thread(world: World, thread: UUID) -> set[UUID]:
    query = "SELECT id FROM content_segment_keys WHERE thread_id = %s"
    return {segment for (segment,) in world.connection.execute(query, (thread,))}


def refused(connection: Connection, query: str, *values: object) -> bool:
    """Whether a hold refuses a statement; one that it does not refuse is undone."""
    try:
        with connection.transaction(force_rollback=True):
            changed = connection.execute(query, values).rowcount
    except psycopg.errors.RestrictViolation as error:
        return error.diag.constraint_name == "legal_hold"
    assert changed != 0, f"nothing to change: {query}"
    return False


@pytest.mark.parametrize("archived", [False, True], ids=["hot", "archived"])
@pytest.mark.parametrize("kind", KINDS)
def test_held_segments_and_what_belongs_to_them_stay_as_they_are(
    world: World, kind: str, archived: bool
) -> None:
    made = world.fill()
    if archived:
        world.archive()
    table = ARCHIVED if archived else HOT
    hold(world, kind)
    segment = made[0]
    attempts = [
        *(f"UPDATE {table} SET {edit} WHERE id = %s" for edit in EDITS),
        (
            f"UPDATE {table} SET thread_id = (SELECT id FROM threads WHERE id <> thread_id LIMIT 1)"
            " WHERE id = %s"
        ),
        f"DELETE FROM {table} WHERE id = %s",
        "DELETE FROM photo_narrations WHERE content_segment_id = %s",
        "UPDATE photo_narrations SET narration_text = '' WHERE content_segment_id = %s",
        "DELETE FROM content_tags WHERE content_segment_id = %s",
        "DELETE FROM content_links WHERE source_segment_id = %s",
        "UPDATE content_links SET link_type = 'reference' WHERE source_segment_id = %s",
        "DELETE FROM threads WHERE id = (SELECT thread_id FROM content_segment_keys WHERE id = %s)",
    ]
    with application(world, world.users[0]) as app:
        assert [a for a in attempts if not refused(app, a, segment)] == []
    for owner in (world.database.url, world.database.admin_url):
        with psycopg.connect(owner, autocommit=True) as connection:
            attempts.append("DELETE FROM content_segment_keys WHERE id = %s")
            assert [a for a in attempts if not refused(connection, a, segment)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_content_stays_free(world: World, kind: str) -> None:
    made = world.fill()
    hold(world, kind)
    with application(world, world.users[0]) as app:
        for free in (
            (
                "UPDATE content_segments SET view_count = view_count + 1, reaction_count = 9,"
                " text_content = text_content"
            ),
            "UPDATE threads SET segment_count = 9, participant_count = 2, last_segment_at = now()",
            "UPDATE memory_books SET thread_count = 9, last_activity_at = now()",
            (
                "UPDATE users SET last_login_at = now(), email = 'new@example.org'"
                f" WHERE id = '{world.users[0]}'"
            ),
            "UPDATE families SET settings = '{}'",
        ):
            assert not refused(app, free), free
    assert not refused(world.connection, "UPDATE users SET storage_used_bytes = 1")
    # A neighbour in another family, and in another month, is not concerned.
    world.month(MONTH.plus(1))
    elsewhere = world.segment(MONTH.plus(1), thread=2)
    for query in (
        "UPDATE content_segments SET text_content = 'mine' WHERE id = %s",
        "DELETE FROM content_segments WHERE id = %s",
    ):
        assert not refused(world.connection, query, elsewhere)
    if kind != "month":
        assert not refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[2])
    if kind not in {"month", "user"}:
        assert not refused(world.connection, "DELETE FROM threads WHERE id = %s", world.threads[2])


def test_a_replicas_role_silences_no_hold(world: World) -> None:
    made = world.fill()
    hold(world, "family")
    with psycopg.connect(world.database.admin_url, autocommit=True) as bulk:
        bulk.execute("SET session_replication_role = replica")
        assert refused(bulk, "DELETE FROM content_segments WHERE id = %s", made[0])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_moved_out_of_a_hold(world: World, kind: str) -> None:
    world.fill()
    hold(world, kind)
    attempts = [
        "UPDATE threads SET memory_book_id = %(book)s WHERE id = %(thread)s",
        "UPDATE memory_books SET family_id = %(family)s WHERE family_id = %(held)s",
        "DELETE FROM memory_books WHERE family_id = %(held)s",
        "DELETE FROM families WHERE id = %(held)s",
    ]
    if kind == "family":
        attempts.append("UPDATE families SET name = 'nobody' WHERE id = %(held)s")
    if kind in {"family", "book", "thread", "user"}:
        attempts.append("UPDATE threads SET title = 'nothing' WHERE id = %(thread)s")
    values = {
        "thread": world.threads[0],
        "held": world.families[0],
        "family": world.families[1],
        "book": _one(world, "SELECT memory_book_id FROM threads WHERE id = %s", world.threads[2]),
    }
    for attempt in attempts:
        with (
            pytest.raises(psycopg.errors.RestrictViolation, match="under legal hold"),
            world.connection.transaction(),
        ):
            world.connection.execute(attempt, values)


def test_a_member_can_neither_move_a_held_thread_away_nor_delete_it_there(world: World) -> None:
    world.fill()
    hold(world, "family")
    family, book = uuid4(), uuid4()
    with application(world, world.users[0]) as app:
        app.execute(
            "INSERT INTO families (id, name, owner_id) VALUES (%s, 'g', %s)",
            (family, world.users[0]),
        )
        app.execute(
            "INSERT INTO memory_books (id, family_id, title, created_by) VALUES (%s, %s, 'b', %s)",
            (book, family, world.users[0]),
        )
        for query, values in (
            ("UPDATE threads SET memory_book_id = %s WHERE id = %s", (book, world.threads[0])),
            (
                "UPDATE memory_books SET family_id = %s WHERE family_id = %s",
                (family, world.families[0]),
            ),
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                app.execute(query, values)
    assert world.count("content_segments") == 40


def test_a_held_users_content_goes_with_nobody_elses_thread_or_family(world: World) -> None:
    """He wrote one segment, a tag and a narration in the other family."""
    world.fill()
    world.month(MONTH)
    segment = world.segment(thread=2, user=1, sequence=900)
    other = world.segment(thread=3, sequence=901)
    world.children(other, user=1)
    add_hold(world.connection, user_id=world.users[1], reason="case 44")
    for query, subject in (
        ("DELETE FROM content_segments WHERE id = %s", segment),
        ("DELETE FROM threads WHERE id = %s", world.threads[2]),
        ("DELETE FROM threads WHERE id = %s", world.threads[3]),
        ("DELETE FROM families WHERE id = %s", world.families[1]),
        ("DELETE FROM content_tags WHERE content_segment_id = %s", other),
        ("DELETE FROM photo_narrations WHERE content_segment_id = %s", other),
        ("DELETE FROM users WHERE id = %s", world.users[1]),
        ("UPDATE users SET clerk_id = 'another' WHERE id = %s", world.users[1]),
    ):
        assert refused(world.connection, query, subject), query


def test_what_comes_later_is_held_as_well(world: World) -> None:
    world.fill()
    hold(world, "family")
    book, thread = uuid4(), uuid4()
    world.connection.execute(
        "INSERT INTO memory_books (id, family_id, title, created_by) VALUES (%s, %s, 'b', %s)",
        (book, world.families[0], world.users[0]),
    )
    world.connection.execute(
        "INSERT INTO threads (id, memory_book_id, started_by) VALUES (%s, %s, %s)",
        (thread, book, world.users[0]),
    )
    world.threads.append(thread)
    late = world.segment(thread=4, user=0)
    moved = world.threads[2]
    world.connection.execute("UPDATE threads SET memory_book_id = %s WHERE id = %s", (book, moved))
    for query, subject in (
        ("DELETE FROM content_segments WHERE id = %s", late),
        ("DELETE FROM threads WHERE id = %s", thread),
        ("DELETE FROM memory_books WHERE id = %s", book),
        ("DELETE FROM content_segments WHERE thread_id = %s", moved),
    ):
        assert refused(world.connection, query, subject), query


def test_columns_that_a_later_migration_brings_are_held_and_can_be_changed(world: World) -> None:
    made = world.fill()
    hold(world, "family")
    world.connection.execute("ALTER TABLE content_segments ADD COLUMN mood text DEFAULT 'calm'")
    assert refused(
        world.connection,
        "UPDATE content_segments SET mood = 'none', view_count = 5 WHERE id = %s",
        made[0],
    )
    for change in (
        "ALTER TABLE photo_narrations ALTER COLUMN narration_type TYPE varchar(80)",
        "ALTER TABLE content_segments DROP COLUMN audio_duration_seconds",
        "ALTER TABLE photo_narrations DROP COLUMN language",
    ):
        world.connection.execute(change)
    assert refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[0])


def test_views_go_on_beside_a_generated_column(world: World) -> None:
    """The new row has none of them yet when a trigger looks at it."""
    made = world.fill()
    hold(world, "family")
    for table, column in (("content_segments", "text_content"), ("threads", "title")):
        world.connection.execute(
            sql.SQL(
                "ALTER TABLE {} ADD COLUMN letters integer GENERATED ALWAYS AS "
                "(octet_length({})) STORED"
            ).format(sql.Identifier(table), sql.Identifier(column))
        )
    with application(world, world.users[0]) as app:
        for free, held, subject in (
            ("view_count = view_count + 1", "text_content = 'x'", made[0]),
            ("segment_count = segment_count + 1", "title = 'x'", world.threads[0]),
        ):
            table = "content_segments" if subject == made[0] else "threads"
            assert not refused(app, f"UPDATE {table} SET {free} WHERE id = %s", subject)
            assert refused(app, f"UPDATE {table} SET {held} WHERE id = %s", subject)


VOTES = """
CREATE TABLE narration_votes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    narration_id uuid NOT NULL REFERENCES photo_narrations (id) ON DELETE CASCADE,
    said text
);
INSERT INTO narration_votes (narration_id, said) SELECT id, 'yes' FROM photo_narrations
"""
"""What a later migration may bring: rows that belong to a segment over another table."""

VOTED = "WHERE narration_id IN (SELECT id FROM photo_narrations WHERE content_segment_id = %s)"
OF_SEGMENT = f"FROM narration_votes {VOTED}"


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_table_that_a_later_migration_brought_are_held(world: World, kind: str) -> None:
    made = world.fill()
    world.connection.execute(VOTES)
    number = hold(world, kind)
    attempts = (f"DELETE {OF_SEGMENT}", f"UPDATE narration_votes SET said = 'no' {VOTED}")
    for url in (world.database.url, world.database.admin_url):
        with psycopg.connect(url, autocommit=True) as connection:
            if url == world.database.admin_url:
                connection.execute("SET session_replication_role = replica")
            assert [a for a in attempts if not refused(connection, a, made[0])] == []
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute("TRUNCATE narration_votes")
    release_hold(world.connection, number, "case 43 was settled")
    assert [a for a in attempts if refused(world.connection, a, made[0])] == []


def test_rows_of_a_later_table_that_belong_to_nobody_held_stay_free(world: World) -> None:
    made = world.fill()
    world.connection.execute(VOTES)
    hold(world, "thread")
    others = [s for s in made if s not in _of_thread(world, world.threads[0])]
    narrated = [
        s for (s,) in world.connection.execute("SELECT content_segment_id FROM photo_narrations")
    ]
    free = next(s for s in others if s in narrated)
    assert not refused(world.connection, f"DELETE {OF_SEGMENT}", free)


def test_replies_that_refer_to_each_other_are_held_and_stop_nobody(world: World) -> None:
    """As many as there are, and where they come back to the first."""
    world.fill(segments=4)
    world.connection.execute(
        "CREATE TABLE comments (id integer PRIMARY KEY, said_by uuid REFERENCES users (id),"
        " reply_to integer REFERENCES comments (id) ON DELETE CASCADE,"
        " content_segment_id uuid REFERENCES content_segment_keys (id) ON DELETE CASCADE)"
    )
    world.connection.execute(
        "INSERT INTO comments SELECT n, u.id, nullif(n - 1, 0), k.id"
        " FROM generate_series(1, 400) AS n, users AS u, content_segment_keys AS k"
        " WHERE u.id = %s AND k.thread_id = %s",
        (world.users[2], world.threads[2]),
    )
    [(segment,)] = world.connection.execute(
        "SELECT id FROM content_segment_keys WHERE thread_id = %s", (world.threads[2],)
    )
    moved = "UPDATE content_segments SET thread_id = %s, sequence_number = 90 WHERE id = %s"
    with world.connection.transaction(force_rollback=True):
        # Nothing but the chain leads from the segment to the last of them.
        world.connection.execute("UPDATE comments SET content_segment_id = NULL WHERE id > 1")
        hold(world, "user")
        assert not refused(world.connection, moved, world.threads[3], segment)
        world.connection.execute("UPDATE comments SET said_by = %s WHERE id = 400", world.users[:1])
        assert refused(world.connection, moved, world.threads[3], segment)
    hold(world, "user")
    last = "UPDATE comments SET said_by = NULL WHERE id = 400"
    assert not refused(world.connection, last)
    world.connection.execute("UPDATE comments SET reply_to = 3 WHERE id = 1")
    assert not refused(world.connection, last)
    world.connection.execute("UPDATE comments SET said_by = %s WHERE id = 1", (world.users[0],))
    assert refused(world.connection, last)


def test_a_table_that_comes_while_a_hold_stands_is_held_by_its_migration(world: World) -> None:
    world.fill()
    hold(world, "month")
    migration = Migration(9001, "votes", VOTES, None, b"sum")
    ours = load_migrations()
    run_migrations(world.connection, [*ours, migration])
    assert refused(world.connection, "DELETE FROM narration_votes")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("begins_archived")
def test_a_month_that_stands_alone_is_held_too(world: World, kind: str) -> None:
    """Between two steps of the archive no parent's trigger guards a month's table."""
    made = world.filled
    if kind != "user":
        hold(world, kind)
    detach_month(world.connection, ARCHIVED, MONTH, log=lambda line: None, sleep=no_sleep)
    if kind == "user":
        hold(world, kind)
    alone = archived_name(MONTH)
    for query, subject in (
        (f"DELETE FROM {alone} WHERE id = %s", made[0]),
        (f"UPDATE {alone} SET text_content = '' WHERE id = %s", made[0]),
        ("DELETE FROM photo_narrations WHERE content_segment_id = %s", made[0]),
        ("DELETE FROM content_segment_keys WHERE id = %s", made[0]),
        ("DELETE FROM threads WHERE id = %s", world.threads[0]),
    ):
        assert refused(world.connection, query, subject), query
    assert not refused(
        world.connection, f"UPDATE {alone} SET view_count = 7 WHERE id = %s", made[0]
    )


@pytest.mark.parametrize(
    "table",
    [
        "content_segments",
        "content_segments_2017_03",
        "archived_content_segments",
        "content_segment_keys CASCADE",
        "photo_narrations",
        "content_tags",
        "content_links",
        "threads CASCADE",
        "memory_books CASCADE",
        "families CASCADE",
        "users CASCADE",
        "ops.legal_holds",
        "ops.held_subjects",
    ],
)
def test_truncate_is_refused(world: World, table: str) -> None:
    world.fill()
    hold(world, "family")
    with pytest.raises(psycopg.errors.RestrictViolation), world.connection.transaction():
        world.connection.execute(f"TRUNCATE {table}")


@pytest.mark.usefixtures("begins_archived")
def test_an_archived_month_and_one_that_stands_alone_are_not_truncated(world: World) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.RestrictViolation):
            world.connection.execute(
                sql.SQL("TRUNCATE {}").format(sql.Identifier(archived_name(MONTH)))
            )
        detach_month(world.connection, ARCHIVED, MONTH, log=lambda line: None, sleep=no_sleep)


@pytest.mark.parametrize("kind", KINDS)
def test_a_released_hold_holds_nothing_and_is_still_listed(world: World, kind: str) -> None:
    made = world.fill()
    number = hold(world, kind)
    other = add_hold(world.connection, family_id=world.families[1], reason="another case")
    released = release_hold(world.connection, number, " settled ", person="ada")
    assert (released.release_reason, released.released_by) == ("settled", "ft_ops (ada)")
    assert not refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[0])
    assert refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[2])
    assert [h.id for h in list_holds(world.connection)] == [number, other.id]
    release_hold(world.connection, other.id, "settled")
    assert world.count("ops.held_subjects") == 0
    assert _one(world, "SELECT last_value FROM ops.standing_holds") == 0


def test_a_hold_is_never_edited_deleted_or_revived(world: World) -> None:
    number = hold(world, "family")
    for attack in (
        "DELETE FROM ops.legal_holds",
        "UPDATE ops.legal_holds SET family_id = gen_random_uuid()",
        "UPDATE ops.legal_holds SET reason = 'none'",
        "UPDATE ops.legal_holds SET released_at = now()",
        "UPDATE ops.legal_holds SET released_at = now(), released_by = 'x', release_reason = ' '",
        "DELETE FROM ops.held_subjects",
        "UPDATE ops.held_subjects SET whole = false",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation), world.connection.transaction():
            world.connection.execute(attack)
    release_hold(world.connection, number, "settled")
    for attack in (
        "UPDATE ops.legal_holds SET released_at = NULL",
        "UPDATE ops.legal_holds SET release_reason = 'another'",
        "DELETE FROM ops.legal_holds",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation), world.connection.transaction():
            world.connection.execute(attack)


def test_a_hold_placed_by_hand_counts_as_any_other(world: World) -> None:
    made = world.fill()
    with psycopg.connect(world.database.url, autocommit=True) as plain:
        plain.execute(
            "INSERT INTO ops.legal_holds (family_id, reason) VALUES (%s, 'by hand')",
            (world.families[0],),
        )
    assert refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[0])
    assert refused(world.connection, "DELETE FROM threads WHERE id = %s", world.threads[0])


def test_whoever_places_or_releases_a_hold_by_hand_lets_others_change_content(
    world: World,
) -> None:
    """He waits for a transaction that has changed content, without a lock_timeout of his own."""
    made = world.fill()
    number = hold(world, "thread")
    place = f"INSERT INTO ops.legal_holds (family_id, reason) VALUES ('{world.families[1]}', 'x')"
    release = (
        "UPDATE ops.legal_holds SET released_at = now(), released_by = 'x', release_reason = 'x'"
        f" WHERE id = {number}"
    )
    view = "UPDATE content_segments SET view_count = 1 WHERE id = %s"
    with (
        psycopg.connect(world.database.url, options="-c lock_timeout=5s") as first,
        psycopg.connect(world.database.url, options="-c lock_timeout=5s") as second,
        psycopg.connect(
            world.database.url, autocommit=True, options="-c statement_timeout=15s"
        ) as plain,
        ThreadPoolExecutor(1) as beside,
    ):
        waits = ("SELECT pg_blocking_pids(%s)", (plain.info.backend_pid,))
        for query in (place, release):
            first.execute(view, (made[0],))
            changed = beside.submit(plain.execute, query.encode())
            while world.connection.execute(*waits).fetchone() == ([],):
                assert not changed.done()
            # Who comes in between, and who has to note what he moves into the hold.
            second.execute(view, (made[1],))
            second.rollback()
            first.execute("SELECT ops.search_again(%s)", (number,))
            first.rollback()
            changed.result()
    assert [held.family_id for held in active_holds(world.connection)] == [world.families[1]]


def test_whoever_places_a_hold_by_hand_gives_up_when_others_wait_for_what_he_changed(
    world: World,
) -> None:
    """None of them would go on: each of his waits is too short to be found in a deadlock."""
    made = world.fill()
    place = f"INSERT INTO ops.legal_holds (family_id, reason) VALUES ('{world.families[1]}', 'x')"
    view = "UPDATE content_segments SET view_count = 1 WHERE id = %s"
    with (
        psycopg.connect(world.database.url, options="-c statement_timeout=30s") as plain,
        psycopg.connect(world.database.url, options="-c lock_timeout=10s") as other,
        ThreadPoolExecutor(1) as beside,
    ):
        plain.execute(view, (made[0],))
        other.execute(view, (made[1],))
        changed = beside.submit(other.execute, view.encode(), (made[0],))
        waits = ("SELECT pg_blocking_pids(%s)", (other.info.backend_pid,))
        while world.connection.execute(*waits).fetchone() != ([plain.info.backend_pid],):
            assert not changed.done()
        with pytest.raises(psycopg.errors.LockNotAvailable, match="others wait for what"):
            plain.execute(place)
        plain.rollback()
        changed.result()
        other.commit()
        plain.execute(place)
    assert [held.family_id for held in active_holds(world.connection)] == [world.families[1]]


def test_a_server_whose_triggers_do_not_know_of_a_hold_is_named(world: World) -> None:
    """Logical replication copies no sequence: whoever takes its copy over has the first value."""
    world.month(MONTH)
    refuse_silenced(world.connection)
    for kind, told in (("thread", 0), ("month", 1), ("user", 3)):
        hold(world, kind)
        refuse_silenced(world.connection)
        world.connection.execute("SELECT setval('ops.standing_holds', %s)", (told,))
        with pytest.raises(OpsError, match="is not asked for"):
            refuse_silenced(world.connection)
        world.connection.execute("SELECT ops.count_holds()")
        refuse_silenced(world.connection)


def test_a_release_under_way_does_not_look_like_a_hold_that_nobody_asks_for(world: World) -> None:
    placed = add_hold(world.connection, family_id=world.families[0], reason="case 57")
    with (
        connect(world.database.url, application="release") as other,
        ThreadPoolExecutor(1) as beside,
    ):
        with other.transaction():
            release_hold(other, placed.id, "settled")
            asked = beside.submit(refuse_silenced, world.connection)
            pid = world.connection.info.backend_pid
            while other.execute("SELECT pg_blocking_pids(%s)", (pid,)).fetchone() == ([],):
                assert not asked.done()
        asked.result()


def test_whoever_is_refused_does_not_learn_why(world: World) -> None:
    world.fill()
    number = add_hold(world.connection, family_id=world.families[0], reason="CONFIDENTIAL").id
    with (
        application(world, world.users[0]) as app,
        pytest.raises(psycopg.errors.RestrictViolation) as error,
    ):
        app.execute("DELETE FROM threads")
    said = f"{error.value} {error.value.diag.message_detail} {error.value.diag.message_hint}"
    assert f"legal hold {number}" in said
    assert "CONFIDENTIAL" not in said


def test_no_hold_slips_in_between_a_question_and_its_delete(world: World) -> None:
    """The deleter asked before the hold was placed: it is placed once he has ended, either way."""
    made = world.fill()
    with psycopg.connect(world.database.url) as deleter:
        deleter.execute("DELETE FROM content_segments WHERE id = %s", (made[0],))
        placed = threading.Event()

        def place() -> None:
            with connect(world.database.url, application="placing") as connection:
                add_hold(connection, family_id=world.families[0], reason="case 43")
            placed.set()

        placing = threading.Thread(target=place)
        placing.start()
        assert not placed.wait(0.5)
        deleter.rollback()
        placing.join()
        assert placed.is_set()
        with pytest.raises(psycopg.errors.RestrictViolation):
            deleter.execute("DELETE FROM content_segments WHERE id = %s", (made[0],))


def test_who_keeps_a_hold_from_being_placed_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.fill()
    monkeypatch.setattr(
        "ft_ops.archive.hold.holds.with_escalating_lock_timeout",
        lambda connection, what, action: with_escalating_lock_timeout(
            connection, what, action, waits_ms=(20, 20), sleep=no_sleep
        ),
    )
    with psycopg.connect(world.database.url, application_name="a long one") as other:
        other.execute("UPDATE content_segments SET view_count = 1 WHERE id = %s", (made[0],))
        with pytest.raises(OpsError, match=rf"pid {other.info.backend_pid} \(ft_ops, a long one\)"):
            add_hold(world.connection, family_id=world.families[0], reason="case 43")
    assert list_holds(world.connection) == []
    add_hold(world.connection, family_id=world.families[0], reason="case 43")
    assert len(list_holds(world.connection)) == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_older_snapshot_does_not_get_past_a_hold(world: World, level: str) -> None:
    made = world.fill()
    with psycopg.connect(world.database.url) as deleter:
        deleter.execute(sql.SQL("SET TRANSACTION ISOLATION LEVEL {}").format(sql.SQL(level)))
        deleter.execute("SELECT count(*) FROM content_segments")
        hold(world, "family")
        with pytest.raises(psycopg.errors.SerializationFailure):
            deleter.execute("DELETE FROM content_segments WHERE id = %s", (made[0],))


def test_two_holds_that_are_placed_at_once_are_both_placed(world: World) -> None:
    """Each has written down what it holds, and waits for the other to end."""
    written = threading.Barrier(2, timeout=30)

    class Found(list[tuple[str, bool, list[UUID]]]):
        is_first = True

        def __iter__(self) -> Iterator[tuple[str, bool, list[UUID]]]:
            yield from super().__iter__()
            if self.is_first:
                self.is_first = False
                written.wait()

    def place(thread: UUID) -> None:
        subject = HeldSubject(
            month=None, family_id=None, book_id=None, thread_id=thread, user_id=None
        )
        found = Found([("user", False, [world.users[0]])])
        with connect(world.database.url, application="tests") as connection:
            add_searched_hold(
                connection, subject, found, reason="case 61", person=None, force=False
            )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(place, world.threads[:2]))
    assert len(active_holds(world.connection)) == 2


def test_a_rolled_back_hold_leaves_nothing_behind(world: World) -> None:
    made = world.fill()
    with world.connection.transaction(force_rollback=True):
        world.connection.execute(
            "INSERT INTO ops.legal_holds (family_id, reason) VALUES (%s, 'x')",
            (world.families[0],),
        )
        assert refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[0])
    assert not refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[0])
    number = hold(world, "family")
    with world.connection.transaction(force_rollback=True):
        release_hold(world.connection, number, "in error")
    assert refused(world.connection, "DELETE FROM content_segments WHERE id = %s", made[0])


@pytest.mark.usefixtures("begins_archived")
def test_a_hold_placed_during_a_purge_keeps_what_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.verified_backup()
    plan = world.plan()
    monkeypatch.setattr("ft_ops.archive.purge.remove.BATCH_ROWS", 1)
    throttle = world.throttle()
    counted: list[int] = []
    wait = type(throttle).wait

    def place_at_the_third(self: Throttle) -> None:
        wait(self)
        counted.append(1)
        if len(counted) == 3:
            add_hold(world.connection, family_id=world.families[0], reason="case 43")

    monkeypatch.setattr(type(throttle), "wait", place_at_the_third)
    before = _held_left(world)
    done = purge_month(world.run, plan, throttle)
    assert "case 43" in done.stopped
    assert _held_left(world) >= before - 2
    left = 40 - done.segments
    assert world.count("content_segment_keys") == left < 40
    assert world.count("archived_content_segments") == left


@pytest.mark.usefixtures("begins_archived")
def test_a_hold_between_the_plan_and_the_purge_keeps_the_month(world: World) -> None:
    world.verified_backup()
    plan = world.plan()
    hold(world, "month")
    with suppress(OpsError):
        purge_month(world.run, plan, world.throttle())
    assert world.count("content_segment_keys") == 40
    assert world.count("archived_content_segments") == 40


def test_the_gates_ask_for_links_that_lead_to_held_content(world: World) -> None:
    """Purging one end would take a link of the other, held one along: refused, so said before."""
    world.fill()
    following = MONTH.plus(1)
    world.month(following)
    target = world.segment(following, thread=0)
    theirs = world.segment(MONTH, thread=3)
    world.link(theirs, target)
    thread = add_hold(world.connection, thread_id=world.threads[0], reason="case 43")
    assert thread in holds_on(world.connection, MONTH)
    alone = MONTH.plus(2)
    world.month(alone)
    linking = world.segment(alone, thread=3)
    assert holds_on(world.connection, alone) == []
    world.link(linking, target)
    assert holds_on(world.connection, alone) == [thread]
    assert refused(world.connection, "DELETE FROM content_segment_keys WHERE id = %s", linking)


@pytest.mark.usefixtures("begins_purged")
def test_content_that_only_the_archive_has_is_found_and_kept_in_its_place(world: World) -> None:
    placed = add_hold(world.connection, user_id=world.users[0], reason="case 44")
    assert held_months(world.connection, placed) == []
    recorded = record_archived(world.connection, world.bucket, placed)
    assert [Month.of(m) for m in recorded.archived_months or []] == [MONTH]
    for thread in world.threads[:2]:
        assert refused(world.connection, "DELETE FROM threads WHERE id = %s", thread)
        assert refused(
            world.connection,
            "UPDATE threads SET memory_book_id = (SELECT memory_book_id FROM threads"
            f" WHERE id = '{world.threads[2]}') WHERE id = %s",
            thread,
        )
    assert refused(world.connection, "DELETE FROM families WHERE id = %s", world.families[0])
    # Another family's, where he has tagged; its title is not his.
    assert refused(world.connection, "DELETE FROM threads WHERE id = %s", world.threads[2])
    assert not refused(
        world.connection, "UPDATE threads SET title = 'x' WHERE id = %s", world.threads[2]
    )
    assert f"{MONTH}" in "\n".join(hold_lines(world.connection, recorded))


@pytest.mark.usefixtures("begins_purged")
def test_a_hold_that_was_placed_while_the_bucket_was_away_is_searched_for_later(
    world: World,
) -> None:
    placed = add_hold(world.connection, user_id=world.users[0], reason="case 45")
    nowhere = replace(world.target, bucket=replace(world.bucket, name="is-not-there"))
    away = search_unsearched(replace(world.run, open_target=lambda: nowhere))
    assert [failed.name for failed in away.failed] == [f"search of the archives for {placed}"]
    assert not away.done
    (found,) = search_unsearched(world.run).results
    assert [Month.of(m) for m in found.archived_months or []] == [MONTH]
    assert refused(world.connection, "DELETE FROM threads WHERE id = %s", world.threads[0])
    assert not search_unsearched(world.run).done


@pytest.mark.usefixtures("begins_purged")
def test_a_list_that_can_not_be_read_keeps_a_hold_from_nothing_that_the_others_say(
    world: World,
) -> None:
    readable = world.newest()
    later = MONTH.plus(1)
    world.fill(later)
    lost = world.archive(later)
    (subjects,) = (item.stored for item in lost.objects if item.table == SUBJECTS)
    delete_version(world.bucket, subjects.key, subjects.version_id)
    add_hold(world.connection, user_id=world.users[0], reason="case 46")
    searched = search_unsearched(world.run)
    assert [lost.name in failed.cause for failed in searched.failed] == [True]
    assert readable.name not in searched.failed[0].cause
    assert refused(world.connection, "DELETE FROM threads WHERE id = %s", world.threads[0])
    (hold,) = active_holds(world.connection)
    assert hold.archived_months is None


def test_a_hold_on_a_family_keeps_its_authors_whose_content_lies_in_the_archive(
    world: World,
) -> None:
    world.fill()
    world.month(MONTH)
    world.segment(thread=0, user=3, sequence=900)
    world.archived_and_purged()
    placed = add_hold(world.connection, family_id=world.families[0], reason="case 43")
    assert not refused(world.connection, "DELETE FROM users WHERE id = %s", world.users[3])
    record_archived(world.connection, world.bucket, placed)
    assert refused(world.connection, "DELETE FROM users WHERE id = %s", world.users[3])


def test_a_subject_that_nobody_knows_is_refused_and_another_kinds_id_is_named(
    world: World,
) -> None:
    world.fill()
    family, unknown = world.families[0], uuid4()
    with pytest.raises(Refused, match=rf"it is the id of a family.*--family {family}"):
        add_hold(world.connection, user_id=family, reason="case 45")
    with pytest.raises(Refused, match=r"no family has this id.*--force"):
        add_hold(world.connection, family_id=unknown, reason="case 45")
    with pytest.raises(Refused, match=r"month 2099-01.*--force"):
        add_hold(world.connection, month=Month(2099, 1), reason="case 45")
    assert list_holds(world.connection) == []
    add_hold(world.connection, family_id=unknown, reason="case 45", force=True)
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[2],))
    add_hold(world.connection, thread_id=world.threads[2], reason="erased, but archived")
    assert len(list_holds(world.connection)) == 2


@pytest.mark.parametrize("reason", ["", "  "])
def test_neither_a_hold_nor_its_release_goes_without_a_reason(world: World, reason: str) -> None:
    with pytest.raises(Refused, match="a reason"):
        add_hold(world.connection, family_id=world.families[0], reason=reason)
    placed = add_hold(world.connection, family_id=world.families[0], reason="case 43")
    with pytest.raises(Refused, match="a release needs a reason"):
        release_hold(world.connection, placed.id, reason)


def test_the_list_says_who_when_why_and_which_months(world: World) -> None:
    world.fill()
    world.month(MONTH.plus(1))
    world.segment(MONTH.plus(1), thread=0)
    placed = add_hold(world.connection, family_id=world.families[0], reason="case 43", person="ada")
    lines = "\n".join(hold_lines(world.connection, placed))
    assert f"family {world.families[0]} (family)" in lines
    assert "by ft_ops (ada): case 43" in lines
    assert "in the database: 2017-03 to 2017-04" in lines
    assert "in the archive: not searched yet" in lines
    released = release_hold(world.connection, placed.id, "settled", person="grace")
    ended = "\n".join(hold_lines(world.connection, released))
    assert "by ft_ops (grace): settled" in ended
    audited = world.connection.execute(
        "SELECT action, new_values ->> 'by' FROM audit_log ORDER BY created_at"
    ).fetchall()
    assert audited == [("hold.add", "ft_ops (ada)"), ("hold.release", "ft_ops (grace)")]


def test_pg_dump_and_readers_keep_no_hold_from_being_placed(world: World) -> None:
    with psycopg.connect(world.database.url) as reader:
        reader.execute("SELECT * FROM ops.legal_holds, ops.standing_holds, ops.held_subjects")
        assert hold(world, "family")


def _held_left(world: World) -> int:
    return int(
        str(
            _one(
                world,
                "SELECT count(*) FROM content_segment_keys WHERE thread_id = ANY (%s)",
                world.threads[:2],
            )
        )
    )
