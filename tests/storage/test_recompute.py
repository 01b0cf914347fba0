"""Storage equals a sum in Python, whatever happened in between and whoever writes meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.storage import Recomputation, recompute_everything
from tests.fixtures.postgres import Database
from tests.storage.world import (
    MONTHS,
    World,
    changed,
    everything,
    expected,
    insert,
    make_world,
    stored,
)

MONTH = MONTHS[1]
PARTITION = f"content_segments_{MONTH.suffix}"


def counted(done: Recomputation) -> set[Month]:
    return {month.month for month in done.counted}


@pytest.fixture
def world(connection: Connection) -> World:
    """A world whose storage was computed once."""
    made = make_world(connection, seed=5)
    changed(connection)
    return made


@pytest.fixture
def second(database: Database) -> Iterator[Connection]:
    """Somebody else's session."""
    with connect(database.url, application="second") as opened:
        yield opened


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("recompute", [changed, everything])
def test_storage_equals_a_sum_in_python(
    connection: Connection, seed: int, recompute: Callable[[Connection], Recomputation]
) -> None:
    make_world(connection, seed)
    recompute(connection)
    assert stored(connection) == expected(connection)


def test_an_empty_database_has_totals_of_zero(connection: Connection) -> None:
    world = make_world(connection, 1, segments=0)
    assert changed(connection).months > len(MONTHS)
    assert stored(connection) == expected(connection)
    assert set(expected(connection).families.values()) == {0}
    assert len(world.families) == 3


def test_archived_content_counts_for_nobody(world: World) -> None:
    connection = world.connection
    before = expected(connection)
    connection.execute(f"ALTER TABLE content_segments DETACH PARTITION {PARTITION}")
    connection.execute(
        f"ALTER TABLE archived_content_segments ATTACH PARTITION {PARTITION}"
        f" FOR VALUES FROM ('{MONTH.start}') TO ('{MONTH.end}')"
    )
    done = changed(connection)
    assert done.reasons == {MONTH: "left content_segments"}
    assert stored(connection) == expected(connection) != before
    # And it counts for nobody ever after, without anybody looking at it again.
    assert changed(connection).reasons == {}


# What may happen to content, each as one step. Those below EVENTS go past row triggers.


def add(world: World) -> None:
    world.add_segment(world.dice.choice(MONTHS))


def add_and_roll_back(world: World) -> None:
    with world.connection.transaction(force_rollback=True):
        add(world)


def add_behind_a_savepoint(world: World) -> None:
    with world.connection.transaction():
        with world.connection.transaction(force_rollback=True):
            add(world)
        add(world)


def _update(world: World, assignment: str, *values: object) -> None:
    segments = world.segments()
    if segments:
        world.connection.execute(
            f"UPDATE content_segments SET {assignment} WHERE id = %s",
            (*values, world.pick(segments)),
        )


def edit(world: World) -> None:
    column = world.dice.choice(["text_content", "audio_transcript"])
    _update(world, f"{column} = %s", world.dice.choice([None, "", "edited 👋", "again"]))


def edit_media(world: World) -> None:
    _update(world, "audio_url = %s", world.dice.choice([None, "https://media.example/2.m4a"]))
    _update(world, "photo_urls = %s", world.dice.choice([None, [], ["x"], ["x", "y"]]))


def look(world: World) -> None:
    _update(world, "view_count = view_count + 1")


def delete_softly(world: World) -> None:
    _update(world, "is_deleted = %s", world.dice.choice([True, False, None]))


def change_author(world: World) -> None:
    _update(world, "user_id = %s", world.pick(world.users))


def move_segment(world: World) -> None:
    _update(world, "thread_id = %s", world.pick(world.threads))


def delete(world: World) -> None:
    segments = world.segments()
    if segments:
        gone = world.pick(segments)
        world.connection.execute("DELETE FROM content_segments WHERE id = %s", (gone,))


def move_thread(world: World) -> None:
    world.connection.execute(
        "UPDATE threads SET memory_book_id = %s WHERE id = %s",
        (world.pick(world.books), world.pick(world.threads)),
    )


def move_book(world: World) -> None:
    world.connection.execute(
        "UPDATE memory_books SET family_id = %s WHERE id = %s",
        (world.pick(world.families), world.pick(world.books)),
    )


def delete_thread(world: World) -> None:
    if len(world.threads) > 3:
        thread = world.threads.pop(world.dice.randrange(len(world.threads)))
        world.connection.execute("DELETE FROM threads WHERE id = %s", (thread,))


def move_member(world: World) -> None:
    world.connection.execute("DELETE FROM family_members WHERE user_id = %s", (world.users[2],))
    row = {"family_id": world.pick(world.families), "user_id": world.users[2]}
    insert(world.connection, "family_members", row)


def add_straight_into_the_partition(world: World) -> None:
    world.sequence += 1
    world.connection.execute(
        f"INSERT INTO {PARTITION} (thread_id, user_id, content_type, sequence_number, created_at,"
        " text_content) VALUES (%s, %s, 'text', %s, %s, 'direct')",
        (world.pick(world.threads), world.pick(world.users), world.sequence, MONTH.start),
    )


def truncate(world: World) -> None:
    ids = f"SELECT id FROM {PARTITION}"
    world.connection.execute(f"DELETE FROM content_segment_keys WHERE id IN ({ids})")
    with world.connection.transaction():
        world.connection.execute(f"ALTER TABLE {PARTITION} DISABLE TRIGGER keep_keys")
        world.connection.execute(f"TRUNCATE {PARTITION}")
        world.connection.execute(f"ALTER TABLE {PARTITION} ENABLE TRIGGER keep_keys")


def change_while_detached(world: World) -> None:
    with world.connection.transaction():
        world.connection.execute(f"ALTER TABLE content_segments DETACH PARTITION {PARTITION}")
        world.connection.execute(f"UPDATE {PARTITION} SET text_content = 'while detached'")
        world.connection.execute(
            f"ALTER TABLE content_segments ATTACH PARTITION {PARTITION}"
            f" FOR VALUES FROM ('{MONTH.start}') TO ('{MONTH.end}')"
        )


def change_with_triggers_off(world: World) -> None:
    with world.connection.transaction():
        world.connection.execute(f"ALTER TABLE {PARTITION} DISABLE TRIGGER USER")
        world.connection.execute(f"UPDATE {PARTITION} SET text_content = 'unseen'")
        world.connection.execute(f"ALTER TABLE {PARTITION} ENABLE TRIGGER USER")
        for change in ("inserted", "updated", "deleted"):
            world.connection.execute(
                f"ALTER TABLE {PARTITION} ENABLE ALWAYS TRIGGER note_{change}_content"
            )


def move_thread_with_the_trigger_off(world: World) -> None:
    with world.connection.transaction():
        world.connection.execute("ALTER TABLE threads DISABLE TRIGGER note_moved_thread")
        move_thread(world)
        world.connection.execute("ALTER TABLE threads ENABLE ALWAYS TRIGGER note_moved_thread")


EVENTS: list[Callable[[World], None]] = [
    add,
    add_and_roll_back,
    add_behind_a_savepoint,
    edit,
    edit_media,
    look,
    delete_softly,
    change_author,
    move_segment,
    delete,
    move_thread,
    move_book,
    move_member,
    delete_thread,
]
PAST_TRIGGERS: list[Callable[[World], None]] = [
    add_straight_into_the_partition,
    truncate,
    change_while_detached,
    change_with_triggers_off,
    move_thread_with_the_trigger_off,
]


@pytest.mark.parametrize("event", [*EVENTS, *PAST_TRIGGERS])
def test_every_kind_of_change_is_followed(world: World, event: Callable[[World], None]) -> None:
    for _ in range(3):
        event(world)
    changed(world.connection)
    assert stored(world.connection) == expected(world.connection)
    assert everything(world.connection).disagreements == 0


@pytest.mark.parametrize("seed", range(6))
def test_incremental_and_full_agree_to_the_byte_after_any_history(
    connection: Connection, seed: int
) -> None:
    world = make_world(connection, seed, segments=25)
    dice = random.Random(seed)
    for _ in range(12):
        happened = dice.choices([*EVENTS, *EVENTS, *PAST_TRIGGERS], k=dice.randint(1, 6))
        for event in happened:
            event(world)
        changed(connection)
        assert stored(connection) == expected(connection), [event.__name__ for event in happened]
    assert everything(connection).disagreements == 0


def test_only_the_month_that_changed_is_counted(world: World) -> None:
    assert changed(world.connection).counted == ()
    world.add_segment(MONTH)
    world.connection.execute("UPDATE content_segments SET is_deleted = false")
    changed(world.connection)
    world.connection.execute(
        "UPDATE content_segments SET text_content = 'longer than before ' || text_content"
        " WHERE created_at >= %s AND created_at < %s",
        (MONTH.start, MONTH.end),
    )
    done = changed(world.connection)
    assert done.reasons == {MONTH: "content changed"}
    assert counted(done) == {MONTH}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE content_segments SET view_count = 7, reaction_count = 3, is_edited = true",
        "UPDATE content_segments SET text_content = reverse(text_content)",
        "UPDATE content_segments SET created_at = created_at, user_id = user_id",
        "DELETE FROM content_segments WHERE is_deleted",
        "UPDATE threads SET title = 'renamed'",
        "VACUUM ANALYZE content_segments",
    ],
)
def test_what_moves_no_byte_marks_no_month(world: World, statement: str) -> None:
    world.connection.execute(statement)
    assert changed(world.connection).reasons == {}
    assert stored(world.connection) == expected(world.connection)


def test_an_unchanged_row_of_the_rollup_is_not_written_again(world: World) -> None:
    versions = "SELECT xmin::text, ctid::text FROM ops.storage_rollup WHERE month < '2024-03-01'"
    before = world.connection.execute(versions).fetchall()
    world.add_segment(Month(2024, 3))
    everything(world.connection)
    assert world.connection.execute(versions).fetchall() == before


def test_the_application_marks_months_without_rights_in_ops(
    world: World, database: Database
) -> None:
    world.connection.execute("UPDATE family_members SET role = 'editor'")
    with psycopg.connect(database.app_url) as app:
        app.execute("SELECT set_config('app.current_user_id', %s, false)", (str(world.users[1]),))
        app.execute(
            "INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number,"
            " created_at, text_content) VALUES (%s, %s, 'text', 9999, %s, 'from the application')",
            (world.threads[0], world.users[1], MONTH.start),
        )
    assert changed(world.connection).reasons == {MONTH: "content changed"}
    assert stored(world.connection) == expected(world.connection)


def test_replica_mode_does_not_silence_the_marks(world: World, database: Database) -> None:
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("UPDATE content_segments SET text_content = 'replicated'")
        admin.execute("UPDATE threads SET memory_book_id = %s", (world.books[4],))
    changed(world.connection)
    assert stored(world.connection) == expected(world.connection)


def test_a_month_whose_triggers_are_off_is_counted_every_time(world: World) -> None:
    world.connection.execute(f"ALTER TABLE {PARTITION} DISABLE TRIGGER note_updated_content")
    for text in ("one", "three"):
        world.connection.execute(f"UPDATE {PARTITION} SET text_content = %s", (text,))
        assert changed(world.connection).reasons == {MONTH: "triggers are off"}
        assert stored(world.connection) == expected(world.connection)


def test_a_partition_attached_later_carries_the_marks(world: World) -> None:
    old = Month(2023, 12)
    with world.connection.transaction():
        world.connection.execute("CREATE TABLE late (LIKE content_segments INCLUDING ALL)")
        world.connection.execute(
            "ALTER TABLE content_segments ATTACH PARTITION late"
            f" FOR VALUES FROM ('{old.start}') TO ('{old.end}')"
        )
    assert changed(world.connection).reasons == {old: "not counted yet"}
    world.add_segment(old)
    world.connection.execute("UPDATE late SET is_deleted = false, text_content = 'late'")
    assert changed(world.connection).reasons == {old: "content changed"}
    assert stored(world.connection) == expected(world.connection)


def test_a_change_that_commits_after_the_snapshot_keeps_its_mark(
    world: World, second: Connection
) -> None:
    with second.transaction():
        second.execute("UPDATE content_segments SET text_content = 'not yet'")
        assert changed(world.connection).reasons == {}
    changed(world.connection)
    assert stored(world.connection) == expected(world.connection)


def test_a_thread_that_moves_while_content_arrives_is_followed(
    world: World, second: Connection
) -> None:
    """Its mover does not see the newcomer, and the newcomer is counted before the move commits."""
    thread = world.threads[0]
    with second.transaction():
        second.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        second.execute(
            "UPDATE threads SET memory_book_id = %s WHERE id = %s", (world.books[4], thread)
        )
        world.connection.execute(
            "INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number,"
            " created_at, text_content) VALUES (%s, %s, 'text', 9999, %s, 'newcomer')",
            (thread, world.users[0], Month(2024, 8).start),
        )
        changed(world.connection)
    changed(world.connection)
    assert stored(world.connection) == expected(world.connection)


def test_what_is_written_during_a_run_waits_for_the_next(world: World, second: Connection) -> None:
    world.connection.execute("UPDATE content_segments SET text_content = 'first'")
    before = expected(world.connection)

    def meddle(_line: str) -> None:
        second.execute("UPDATE content_segments SET text_content = 'second'")
        second.execute("UPDATE memory_books SET family_id = %s", (world.families[2],))

    changed(world.connection, meddle)
    assert stored(world.connection) == before
    changed(world.connection)
    assert stored(world.connection) == expected(world.connection)


def test_totals_under_concurrent_writers_are_those_of_the_snapshot_named(
    world: World, database: Database
) -> None:
    """Writers journal what they do, with their transaction; the named snapshot tells who counts."""
    connection = world.connection
    connection.execute(
        "CREATE TABLE journal (xid xid8 DEFAULT pg_current_xact_id(), family uuid, author uuid,"
        " bytes bigint)"
    )
    connection.execute(
        "INSERT INTO journal (family, bytes) SELECT family_id, bytes FROM ops.storage_families"
    )
    connection.execute(
        "INSERT INTO journal (author, bytes) SELECT user_id, bytes FROM ops.storage_users"
    )
    stop = threading.Event()
    writers = [
        threading.Thread(target=_write_until, args=(world, database, seed, stop))
        for seed in range(2)
    ]
    for writer in writers:
        writer.start()
    try:
        for round_number in range(6):
            done = changed(connection) if round_number % 2 else everything(connection)
            assert done.disagreements == 0
            for column, table in (("family", "families"), ("author", "users")):
                key = "family_id" if column == "family" else "user_id"
                totals: dict[UUID, int] = dict(
                    connection.execute(
                        f"SELECT {key}, bytes FROM ops.storage_{table} WHERE bytes <> 0"
                    )
                )
                visible: dict[UUID, int] = dict(
                    connection.execute(
                        f"SELECT {column}, sum(bytes)::bigint FROM journal"
                        f" WHERE pg_visible_in_snapshot(xid, %s::pg_snapshot)"
                        f" AND {column} IS NOT NULL GROUP BY 1 HAVING sum(bytes) <> 0",
                        (done.snapshot.name,),
                    )
                )
                assert totals == visible
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    changed(connection)
    assert stored(connection) == expected(connection)


def _write_until(world: World, database: Database, seed: int, stop: threading.Event) -> None:
    """Insert, edit and delete segments of one's own, journalled in the same transaction."""
    dice = random.Random(seed)
    owner = {
        thread: (book, family)
        for thread, book, family in world.connection.cursor()
        .connection.execute(
            "SELECT t.id, b.id, b.family_id FROM threads t"
            " JOIN memory_books b ON b.id = t.memory_book_id"
        )
        .fetchall()
    }
    mine: list[tuple[UUID, UUID, UUID, int]] = []
    with connect(database.url, application="writer") as connection:
        number = 10_000 * (seed + 1)
        while not stop.is_set():
            number += 1
            with connection.transaction():
                thread = dice.choice(list(owner))
                family, author = owner[thread][1], dice.choice(world.users)
                text = "x" * dice.randint(0, 50)
                moment = dice.choice(MONTHS).start
                row = connection.execute(
                    "INSERT INTO content_segments (thread_id, user_id, content_type, created_at,"
                    " sequence_number, text_content) VALUES (%s, %s, 'text', %s, %s, %s)"
                    " RETURNING id",
                    (thread, author, moment, number, text),
                ).fetchone()
                assert row is not None
                mine.append((row[0], family, author, len(text)))
                _journal(connection, family, author, len(text))
                if len(mine) > 5:
                    gone, family, author, size = mine.pop(dice.randrange(len(mine)))
                    connection.execute("DELETE FROM content_segments WHERE id = %s", (gone,))
                    _journal(connection, family, author, -size)


def _journal(connection: Connection, family: UUID, author: UUID, size: int) -> None:
    connection.execute("INSERT INTO journal (family, bytes) VALUES (%s, %s)", (family, size))
    connection.execute("INSERT INTO journal (author, bytes) VALUES (%s, %s)", (author, size))


def test_a_full_run_finds_and_mends_what_no_signal_named(world: World) -> None:
    world.connection.execute("UPDATE ops.storage_rollup SET text_bytes = text_bytes + 1")
    world.connection.execute("UPDATE ops.storage_users SET bytes = bytes - 7")
    assert changed(world.connection).counted == ()
    done = everything(world.connection)
    assert done.disagreements > 0
    (example,) = done.examples[:1]
    assert example["recorded_bytes"] == int(str(example["counted_bytes"])) + 1
    assert stored(world.connection) == expected(world.connection)
    assert everything(world.connection).disagreements == 0


def test_a_full_run_tells_marked_users_from_others_of_the_same_month(world: World) -> None:
    """Twenty segments of the first user and one of each other; then every sum is made wrong."""
    connection = world.connection
    connection.execute("DELETE FROM content_segments")
    for user in [world.users[0]] * 20 + world.users[1:]:
        segment = world.add_segment(MONTH)
        connection.execute(
            "UPDATE content_segments SET user_id = %s, is_deleted = false, text_content = 'four',"
            " audio_transcript = NULL, audio_url = NULL, photo_urls = NULL WHERE id = %s",
            (user, segment),
        )
    changed(connection)
    marked = world.users[1]
    connection.execute(
        "UPDATE content_segments SET text_content = 'noted' WHERE user_id = %s", (marked,)
    )
    connection.execute("UPDATE ops.storage_rollup SET text_bytes = 3")
    done = everything(connection)
    assert done.reasons == {MONTH: "content changed"}
    unmarked = connection.execute(
        "SELECT memory_book_id::text, user_id::text FROM ops.storage_rollup WHERE user_id <> %s",
        (marked,),
    ).fetchall()
    found = {(str(example["memory_book_id"]), str(example["user_id"])) for example in done.examples}
    assert found == set(unmarked)
    assert stored(connection) == expected(connection)


def test_two_runs_at_once_are_refused(world: World, second: Connection) -> None:
    def again(_line: str) -> None:
        with pytest.raises(Refused, match="another run is at work"):
            changed(second)

    world.add_segment(MONTH)
    everything(world.connection, again)


def test_a_partition_without_bounds_in_time_is_refused_by_name(world: World) -> None:
    world.connection.execute("CREATE TABLE rest PARTITION OF content_segments DEFAULT")
    with pytest.raises(Refused, match="partition rest"):
        changed(world.connection)


def test_a_count_that_takes_longer_than_the_idle_time_out_goes_on(
    database: Database, world: World
) -> None:
    """The session that holds the snapshot waits in its transaction while others count."""
    settings = {"idle_in_transaction_session_timeout": "300ms"}
    with (
        psycopg.connect(database.admin_url) as blocker,
        connect(database.url, application="storage", settings=settings) as connection,
    ):
        release = threading.Timer(1.5, blocker.rollback)

        def reader() -> Connection:
            opened = connect(database.url, application="reader", settings=settings)
            if not release.is_alive():
                blocker.execute("LOCK TABLE threads IN ACCESS EXCLUSIVE MODE")
                release.start()
            return opened

        recompute_everything(connection, reader, readers=1, run_id="x")
        release.join()
    assert stored(world.connection) == expected(world.connection)
