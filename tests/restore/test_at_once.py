"""Others are at work meanwhile: a second restore, the archive, an erasure, a hold, a kill -9."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from uuid import UUID

import psycopg
import pytest

from ft_ops.archive import add_hold
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.restore import Decisions, RestorePlan
from ft_ops.restore import restore as restore_module
from ft_ops.restore.read.graph import scope_of
from ft_ops.restore.write import write_rows
from tests.fixtures.postgres import Database
from tests.restore.test_other_times import ARCHIVE_JANUARY, JANUARY, other_session, purge_january
from tests.restore.test_restore import reasons, states
from tests.restore.world import World

Meanwhile = Callable[[Connection], object]


@contextmanager
def meanwhile(world: World, monkeypatch: pytest.MonkeyPatch, does: Meanwhile) -> Iterator[None]:
    """Let another session do something once, when the rows are judged and not yet written."""
    with other_session(world) as other:
        pending = [does]

        def interrupted(*arguments: object) -> object:
            if pending:
                pending.pop()(other)
            return write_rows(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(restore_module, "write_rows", interrupted)
        yield
        assert not pending


def lose_thread(world: World, thread: UUID) -> None:
    world.execute("DELETE FROM content_segments WHERE thread_id = %s", thread)


def beside(world: World, copy: Connection) -> Connection:
    """A second session with the copy."""
    url = Database(str(copy.info.dbname), world.database.server_url).url
    return connect(url, application="tests")


def test_two_restores_of_subjects_that_overlap_bring_each_row_back_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, others = world.family(0), world.family(1)
    both = Barrier(2)
    waiting = {"family", "book"}

    def at_the_same_time(*arguments: object) -> object:
        if waiting:
            both.wait(30)
            waiting.clear()
        return write_rows(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(restore_module, "write_rows", at_the_same_time)
    with world.copied() as copy, beside(world, copy) as second_copy, other_session(world) as other:
        lose_thread(world, world.threads[0])
        lose_thread(world, world.threads[1])
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(world.restore, copy)
            second = pool.submit(
                world.restore, second_copy, kind="book", subject=world.books[0], live=other
            )
            plans: list[RestorePlan] = [first.result(60), second.result(60)]
        assert sum(plan.inserts for plan in plans) == 2 * (4 * 3 + 1)
        assert (world.family(0), world.family(1)) == (whole, others)


@pytest.mark.chaos
def test_a_second_restore_of_the_same_subject_is_refused_and_told_by_whom(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = world.family(0)
    with world.copied() as copy, beside(world, copy) as second_copy:
        lose_thread(world, world.threads[0])

        def again(other: Connection) -> None:
            with pytest.raises(Refused, match="another run is at work on it: session"):
                world.restore(second_copy, live=other)

        with meanwhile(world, monkeypatch, again):
            assert world.restore(copy).inserts == 13
        assert world.family(0) == whole


def test_a_month_that_begins_to_move_meanwhile_takes_its_rows_along(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DETACH CONCURRENTLY waits for whoever has seen the partition."""
    with world.copied() as copy, ThreadPoolExecutor(1) as pool:
        lose_thread(world, world.threads[0])

        def detach(other: Connection) -> None:
            pool.submit(
                other.execute,
                f"ALTER TABLE content_segments DETACH PARTITION {JANUARY} CONCURRENTLY",
            )
            query = (
                f"SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = '{JANUARY}'::regclass"
            )
            for _ in range(600):
                with psycopg.connect(world.database.url, autocommit=True) as watching:
                    if watching.execute(query).fetchone() == (True,):
                        return
                time.sleep(0.05)
            raise AssertionError("it never began")

        with meanwhile(world, monkeypatch, detach):
            assert world.restore(copy).inserts == 13
            pool.shutdown()
        there = world.connection.execute(
            f"SELECT count(*) FROM {JANUARY} WHERE thread_id = %s", (world.threads[0],)
        ).fetchone()
        assert there == (2,)


@pytest.mark.parametrize("purged", [pytest.param(False, marks=pytest.mark.chaos), True])
def test_a_month_that_moves_while_the_catalog_is_read_is_looked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch, purged: bool
) -> None:
    whole, others = world.family(0), world.family(1)
    with world.copied() as copy, other_session(world) as other:
        lose_thread(world, world.threads[0])
        pending = [True]

        def interrupted(*arguments: object) -> object:
            if pending:
                pending.pop()
                mover = World(world.database, other)
                if purged:
                    purge_january(mover)
                else:
                    for query in ARCHIVE_JANUARY:
                        mover.execute(query)
            return scope_of(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(restore_module, "scope_of", interrupted)
        plan = world.restore(copy)
        assert not pending
        if purged:
            assert states(plan, "content_segments") == {"archived": 8, "missing": 2, "same": 6}
            assert world.family(1)["memory_books"] == others["memory_books"]
        else:
            assert plan.inserts == 13
            assert placed(world.family(0)) == placed(whole)
            assert placed(world.family(1)) == placed(others)


def placed(family: dict[str, dict[str, dict[str, object]]]) -> object:
    """Segments wherever they are."""
    hot, archived = family.pop("content_segments"), family.pop("archived_content_segments")
    return {**family, "segments": {**hot, **archived}}


@pytest.mark.parametrize("moved", ["thread", pytest.param("book", marks=pytest.mark.chaos)])
def test_what_another_family_is_given_meanwhile_takes_nothing_along(
    world: World, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """Whose a thread is, no foreign key asks: the judgement of an older snapshot would stand."""
    with world.copied() as copy:
        lose_thread(world, world.threads[0])
        before = world.count("content_segments")

        def give(other: Connection) -> None:
            if moved == "thread":
                query = "UPDATE threads SET memory_book_id = %s WHERE id = %s"
                other.execute(query, (world.books[2], world.threads[0]))
            else:
                query = "UPDATE memory_books SET family_id = %s WHERE id = %s"
                other.execute(query, (world.families[1], world.books[0]))

        with meanwhile(world, monkeypatch, give):
            plan = world.restore(copy)
        assert plan.inserts == 0
        assert reasons(plan, "content_segments") == [
            "its thread is another family's now than in the copy"
        ]
        assert world.count("content_segments") == before


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("table", "subject", "reason"),
    [
        ("threads", 0, "its thread was erased"),
        ("memory_books", 0, "its thread was erased"),
        ("users", 1, "its user was erased"),
    ],
)
def test_what_is_erased_meanwhile_stays_erased(
    world: World, monkeypatch: pytest.MonkeyPatch, table: str, subject: int, reason: str
) -> None:
    others = world.family(1)
    lists = {"threads": world.threads, "memory_books": world.books, "users": world.users}
    with world.copied() as copy:
        lose_thread(world, world.threads[0])
        author = world.users[1]
        if table == "users":
            for query in (
                "UPDATE threads SET started_by = %s WHERE started_by = %s",
                "UPDATE content_segments SET user_id = %s WHERE user_id = %s",
                "UPDATE family_invites SET accepted_by = %s WHERE accepted_by = %s",
                "UPDATE content_tags SET tagged_by = %s WHERE tagged_by = %s",
                "UPDATE photo_narrations SET created_by = %s WHERE created_by = %s",
            ):
                world.execute(query, world.users[0], author)

        def erase(other: Connection) -> None:
            other.execute(f"DELETE FROM {table} WHERE id = %s", (lists[table][subject],))

        with meanwhile(world, monkeypatch, erase):
            plan = world.restore(copy)
        assert reason in reasons(plan, "content_segments")
        left = world.family(0)
        mine = "user_id" if table == "users" else "thread_id"
        gone = str(author if table == "users" else world.threads[0])
        assert gone not in {row[mine] for row in left["content_segments"].values()}
        assert world.family(1) == others


def test_a_hold_that_is_placed_meanwhile_keeps_what_it_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.copied() as copy:
        for title, book in (("held", world.books[0]), ("free", world.books[1])):
            world.execute("UPDATE memory_books SET title = %s WHERE id = %s", title, book)

        def hold(other: Connection) -> None:
            add_hold(other, book_id=world.books[0], reason="a court asks", person="the tests")

        with meanwhile(world, monkeypatch, hold):
            plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert plan.overwrites == 1
        titles = {row["id"]: row["title"] for row in world.family(0)["memory_books"].values()}
        assert titles == {str(world.books[0]): "held", str(world.books[1]): "book"}


@pytest.mark.chaos
def test_ids_that_are_used_again_elsewhere_stay_where_they_are(world: World) -> None:
    """Of a segment, of a tag and of a book, now another family's."""
    with world.copied() as copy:
        segment, book, thread = world.segments[0], world.books[1], world.threads[4]
        (tag,) = (
            key
            for key, row in world.family(0)["content_tags"].items()
            if row["content_segment_id"] == str(world.segments[1])
        )
        world.execute("DELETE FROM content_segments WHERE id = %s", segment)
        world.execute("DELETE FROM content_tags WHERE id = %s", tag)
        world.execute("DELETE FROM memory_books WHERE id = %s", book)
        world.execute("DELETE FROM ops.erasures")
        world.insert(
            "content_segments",
            id=segment,
            thread_id=thread,
            user_id=world.users[2],
            content_type="text",
            sequence_number=70,
            created_at="2025-02-03Z",
        )
        world.insert(
            "content_tags",
            id=tag,
            content_segment_id=segment,
            tag_name="theirs",
            tagged_by=world.users[2],
        )
        world.insert(
            "memory_books",
            id=book,
            family_id=world.families[1],
            title="theirs",
            created_by=world.users[2],
        )
        mine, others = world.family(0), world.family(1)
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert (plan.inserts, plan.overwrites) == (0, 0)
        assert (world.family(0), world.family(1)) == (mine, others)


_RESTORES = """
import sys
from uuid import UUID
from ft_ops.pg.connect import connect
from ft_ops.restore import Decisions, Side, Subject, restore_subject
copy, live, family = sys.argv[1:]
with connect(copy, application="tests") as there, connect(live, application="tests") as here:
    print("begins", flush=True)
    restore_subject(Side.of(there), here, Subject("family", UUID(family)), source="a copy",
        as_of=None, decisions=Decisions(), apply=True, run_id="tests")
"""


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_process_that_is_killed_at_any_moment_leaves_all_or_nothing(world: World) -> None:
    chance = random.Random(27)
    whole, others = world.family(0), world.family(1)
    with world.copied() as copy:
        url = Database(str(copy.info.dbname), world.database.server_url).url
        killed = 0
        for _ in range(12):
            for thread in chance.sample(world.threads[:4], 2):
                lose_thread(world, thread)
            damaged = world.family(0)
            arguments = [url, world.database.url, str(world.families[0])]
            with subprocess.Popen(
                [sys.executable, "-c", _RESTORES, *arguments], stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(chance.uniform(0, 0.6))
                process.kill()
                killed += process.wait() != 0
            settle(world)
            assert world.family(0) in (damaged, whole)
            assert world.family(1) == others
            world.restore(copy)
            assert (world.family(0), world.family(1)) == (whole, others)
        assert killed > 2


def settle(world: World) -> None:
    """Until the server has noticed that the process is gone."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    for _ in range(600):
        if world.connection.execute(query).fetchone() == (0,):
            return
        time.sleep(0.05)
    raise AssertionError("the killed session is still there")
