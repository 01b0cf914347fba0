"""The end of a removal: rows are counted beside everybody, and stay as they were counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.hold.holds import add_hold, release_hold
from ft_ops.archive.month.ledger import month_table
from ft_ops.archive.move.counted import KeptRows, count_kept, keep_rows
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import name_of, statement
from ft_ops.schema.drift import differences
from ft_ops.schema.fingerprint import expected_fingerprint, read_fingerprint
from tests.archive.test_identity import dying
from tests.archive.world import World

MONTHS_OWN = sql.Identifier("archived_content_segments_2017_03")
COPY = sql.Identifier("ops", "kept_2017_03")
COUNTS = ("archive/count_rows", "archive/count_copied")
BEHIND_THE_COUNT = ("archive/forget_kept",)
AT_ONCE, PARENTS = LOCKS = ("archive/lock_at_once", "archive/lock_parents")

Removal = Callable[[World], Callable[[], object]]


def _purge(world: World) -> Callable[[], object]:
    world.archive()
    world.verified_backup()
    return world.purge


def _refreeze(world: World) -> Callable[[], object]:
    world.archived_and_purged()
    world.thaw()
    return world.refreeze


def _with_edited(world: World, removal: Removal) -> tuple[list[UUID], Callable[[], object]]:
    """One segment of each thread that is not what was proven; and the removal of all others."""
    made = world.fill()
    end = removal(world)
    edited = made[36:]
    for segment in edited:
        world.connection.execute(
            "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
            " VALUES (%s, 'late', %s)",
            (segment, world.users[0]),
        )
    return edited, end


def _segments(world: World) -> list[object]:
    """Those of the month, by id: each has its key, and no other key is there."""
    found = [segment for (segment, *_) in world.rows()["content_segments"]]
    keys = world.connection.execute("SELECT id FROM content_segment_keys ORDER BY id").fetchall()
    assert [key for (key,) in keys] == found
    return found


@contextmanager
def before(
    world: World, patch: pytest.MonkeyPatch, steps: tuple[str, ...], act: Callable[[], object]
) -> Iterator[list[str]]:
    """``act`` comes before each of these statements, once the removal's end has begun."""
    execute = type(world.connection).execute
    came: list[str] = []
    has_begun = False

    def then(self: Connection, query: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal has_begun
        name = name_of(query) if self is world.connection else None
        has_begun = has_begun or name == "archive/count_rows"
        if name is not None and has_begun and name in steps:
            came.append(name)
            act()
        return execute(self, query, *arguments, **named)

    with patch.context() as own:
        own.setattr(type(world.connection), "execute", then)
        yield came


@pytest.mark.parametrize("removal", [_purge, _refreeze])
def test_a_thread_can_be_deleted_during_every_count_at_the_end_of_a_removal(
    world: World, monkeypatch: pytest.MonkeyPatch, removal: Removal
) -> None:
    edited, end = _with_edited(world, removal)
    with connect(world.database.url, application="eraser") as other:
        other.execute("SET lock_timeout = '1s'")

        def delete() -> None:
            with other.transaction(force_rollback=True):
                other.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))

        with before(world, monkeypatch, COUNTS, delete) as counts:
            end()
    assert len(counts) > 3
    assert _segments(world) == sorted(edited)


@pytest.mark.parametrize("removal", [_purge, _refreeze])
def test_a_thread_that_is_deleted_behind_the_count_leaves_table_and_copy(
    world: World, monkeypatch: pytest.MonkeyPatch, removal: Removal
) -> None:
    edited, end = _with_edited(world, removal)
    with connect(world.database.url, application="eraser") as other:

        def delete() -> None:
            other.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))

        with before(world, monkeypatch, BEHIND_THE_COUNT, delete) as came:
            end()
    assert len(came) == 1
    assert _segments(world) == sorted(edited[:3])


def test_while_somebody_reads_the_table_that_is_to_go_nobody_waits_for_threads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, end = _with_edited(world, _purge)
    with connect(world.database.url, application="reader") as reader:

        def act() -> None:
            if len(came) == 1:
                reader.execute("BEGIN")
                reader.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(MONTHS_OWN))
            elif len(came) == 3:
                reader.execute("COMMIT")

        with before(world, monkeypatch, LOCKS, act) as came:
            end()
    # Twice in vain, then for both tables; only then for threads, and for both again.
    assert came == [AT_ONCE] * 4 + [PARENTS] + [AT_ONCE] * 2


def test_autovacuum_is_kept_from_a_copy_until_it_is_the_month(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, end = _with_edited(world, _purge)
    options = "SELECT reloptions FROM pg_class WHERE oid = %s::regclass"

    def look() -> None:
        found.append(world.connection.execute(options, ("ops.kept_2017_03",)).fetchall())

    found: list[object] = []
    with before(world, monkeypatch, BEHIND_THE_COUNT, look):
        end()
    assert found == [[(["autovacuum_enabled=false"],)]]
    months_own = (MONTHS_OWN.as_string(),)
    assert world.connection.execute(options, months_own).fetchall() == [(None,)]


def test_a_thread_that_is_deleted_while_its_rows_are_copied_takes_them_along(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deletion is not committed yet when the copy sees them: the copy waits for it."""
    edited, end = _with_edited(world, _purge)
    copying = world.connection.info.backend_pid
    with (
        connect(world.database.url, application="eraser") as other,
        connect(world.database.url, application="watcher") as watcher,
        ThreadPoolExecutor(1) as beside,
    ):
        ends: list[Future[None]] = []

        def commit_when_waited_for() -> None:
            while watcher.execute(
                "SELECT cardinality(pg_blocking_pids(%s)) = 0", (copying,)
            ).fetchone() == (True,):
                pass
            other.execute("COMMIT")

        def delete() -> None:
            if not ends:
                other.execute("BEGIN")
                other.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
                ends.append(beside.submit(commit_when_waited_for))

        with before(world, monkeypatch, ("archive/copy_kept",), delete):
            end()
        ends[0].result()
    assert _segments(world) == sorted(edited[:3])


def test_between_two_batches_of_a_copy_any_thread_can_be_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited, end = _with_edited(world, _purge)
    monkeypatch.setattr("ft_ops.archive.move.copy.BATCH_ROWS", 1)
    copied: list[int] = []
    with connect(world.database.url, application="eraser") as other:
        other.execute("SET lock_timeout = '1s'")

        def delete() -> None:
            copied.append(world.count("ops.kept_2017_03"))
            if copied[-1] == 3:
                other.execute("DELETE FROM threads WHERE id = ANY (%s)", (world.threads[:3],))

        with before(world, monkeypatch, ("archive/copy_kept",), delete):
            end()
    assert copied == [0, 1, 2, 3]
    assert _segments(world) == edited[3:]


def test_a_row_whose_author_was_deleted_past_the_triggers_is_named_and_has_a_way_out(
    world: World,
) -> None:
    edited, end = _with_edited(world, _purge)
    author = world.users[2]
    with psycopg.connect(world.database.admin_url) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("CREATE TEMP TABLE author AS SELECT * FROM users WHERE id = %s", (author,))
        admin.execute("DELETE FROM users WHERE id = %s", (author,))
        admin.commit()
        theirs = min(edited[2:4])
        with pytest.raises(Refused, match=rf"2 rows .* segment {theirs} among them, and their"):
            end()
        assert world.count("archived_content_segments_2017_03") == 40
        admin.execute("INSERT INTO users SELECT * FROM author")
    world.purge()
    assert _segments(world) == sorted(edited)


def test_two_rows_of_one_id_stay_both(world: World) -> None:
    """Whoever wrote the second one did so past the triggers. Each row is looked for by its key."""
    edited, end = _with_edited(world, _purge)
    with psycopg.connect(world.database.admin_url) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(
            "CREATE TEMP TABLE twins AS SELECT * FROM archived_content_segments WHERE id = %s",
            (edited[0],),
        )
        admin.execute("UPDATE twins SET created_at = created_at + interval '1 hour'")
        admin.execute("INSERT INTO archived_content_segments SELECT * FROM twins")
    end()
    assert [row[0] for row in world.rows()["content_segments"]] == sorted([*edited, edited[0]])


_INSERT = (
    "INSERT INTO {} (id, thread_id, user_id, content_type, sequence_number, created_at)"
    " SELECT gen_random_uuid(), thread_id, user_id, content_type, 9999, created_at"
    " FROM archived_content_segments_2017_03 LIMIT 1"
)
_UPDATE, _DELETE = "UPDATE {} SET view_count = 7", "DELETE FROM {}"


def test_between_count_and_drop_no_row_comes_changes_or_goes_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whomever, whatever he sets, and though his snapshot shows the month attached."""
    edited, end = _with_edited(world, _purge)
    refused = 0
    with (
        psycopg.connect(world.database.admin_url, autocommit=True) as admin,
        psycopg.connect(world.database.admin_url) as older,
    ):
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM users")
        admin.execute("SET session_replication_role = replica")

        def by_hand() -> None:
            nonlocal refused
            for table in (MONTHS_OWN, COPY):
                for query in (_INSERT, _UPDATE, _DELETE):
                    with pytest.raises(psycopg.errors.ObjectInUse, match="removal of its month"):
                        admin.execute(sql.SQL(query).format(table))
                    refused += 1
            with pytest.raises(psycopg.errors.ObjectInUse, match="removal of its month"):
                older.execute(sql.SQL(_INSERT).format(MONTHS_OWN))
            older.rollback()

        with before(world, monkeypatch, BEHIND_THE_COUNT, by_hand):
            end()
    assert refused == 6
    assert _segments(world) == sorted(edited)


def _past_the_trigger(table: sql.Identifier, change: str) -> sql.Composed:
    return sql.SQL(
        "ALTER TABLE {0} DISABLE TRIGGER keep_counted; "
        + change
        + "; ALTER TABLE {0} ENABLE ALWAYS TRIGGER keep_counted"
    ).format(table)


@pytest.mark.parametrize(
    "altered",
    [
        _past_the_trigger(MONTHS_OWN, _INSERT.replace("{}", "{0}")),
        _past_the_trigger(COPY, "DELETE FROM {0}"),
        sql.SQL("TRUNCATE {}").format(COPY),
        sql.SQL("DROP TRIGGER keep_counted ON {}").format(MONTHS_OWN),
    ],
    ids=["come", "gone", "truncated", "unkept"],
)
def test_who_goes_past_the_trigger_keeps_the_table_from_being_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch, altered: sql.Composed
) -> None:
    edited, end = _with_edited(world, _purge)
    with connect(world.database.url, application="owner") as other:

        def then(*arguments: Any) -> KeptRows:
            found = count_kept(*arguments)
            other.execute(altered)
            return found

        with monkeypatch.context() as patch:
            patch.setattr("ft_ops.archive.purge.settle.count_kept", then)
            with pytest.raises(Refused, match="somebody has altered"):
                end()
        found = other.execute(
            sql.SQL("SELECT id FROM {} WHERE sequence_number = 9999").format(MONTHS_OWN)
        ).fetchall()
        stranger = [segment for (segment,) in found]
    world.purge()
    assert [row[0] for row in world.rows()["content_segments"]] == sorted(edited + stranger)


def test_a_migration_that_is_reverted_behind_the_count_keeps_the_table_from_being_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its function go the triggers that keep the rows."""
    edited, end = _with_edited(world, _purge)
    function = "ops.keep_counted_row()"
    with connect(world.database.url, application="owner") as other:
        [[definition]] = other.execute(
            "SELECT pg_get_functiondef(%s::regprocedure)", (function,)
        ).fetchall()

        def then(*arguments: Any) -> KeptRows:
            found = count_kept(*arguments)
            other.execute(f"DROP FUNCTION {function} CASCADE")
            return found

        with monkeypatch.context() as patch:
            patch.setattr("ft_ops.archive.purge.settle.count_kept", then)
            with pytest.raises(Refused, match="somebody has altered"):
                end()
        assert world.count("archived_content_segments_2017_03") == 40
        other.execute(definition)
    world.purge()
    assert _segments(world) == sorted(edited)


@pytest.mark.parametrize(
    "lost",
    [
        "DELETE FROM ops.kept_2017_03 WHERE thread_id = {}",
        "UPDATE ops.kept_2017_03 SET id = gen_random_uuid() WHERE thread_id = {}",
    ],
    ids=["gone", "another"],
)
def test_a_table_is_not_dropped_when_a_row_that_stays_is_not_among_those_copied(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: LiteralString
) -> None:
    """By its identity: as many others are not enough."""
    edited, end = _with_edited(world, _purge)
    copied = 3 if lost.startswith("DELETE") else 4

    def lose() -> None:
        if copies.count("archive/keep_counted") == 2:
            world.connection.execute(sql.SQL(lost).format(sql.Literal(world.threads[3])))

    with (
        before(world, monkeypatch, ("archive/keep_counted",), lose) as copies,
        pytest.raises(Refused, match=f"4 are to stay, and 3 of them are among {copied} that are"),
    ):
        end()
    assert world.count("archived_content_segments_2017_03") == 40
    world.purge()
    assert _segments(world) == sorted(edited)


@pytest.mark.parametrize("place", ["copy_alone", "count_kept", "lock_as_counted"])
def test_a_run_goes_on_that_died_while_the_rows_were_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    edited, end = _with_edited(world, _purge)
    with dying(monkeypatch, f"purge.settle.{place}"):
        end()
    odd = differences(read_fingerprint(world.connection), expected_fingerprint())
    assert [str(one) for one in odd] == []
    world.purge()
    assert _segments(world) == sorted(edited)
    _can_be_edited(world)


def test_a_month_that_is_put_back_can_be_edited_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was removed is of threads that are deleted: what is left is the table as it is."""
    made = world.fill()
    end = _purge(world)
    world.connection.execute(
        "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
        " SELECT id, 'late', %s FROM content_segment_keys WHERE thread_id = %s",
        (world.users[0], world.threads[3]),
    )
    with dying(monkeypatch, "purge.settle.count_kept"):
        end()
    world.connection.execute("DELETE FROM threads WHERE id <> %s", (world.threads[3],))
    world.purge()
    assert _segments(world) == sorted(made[3::4])
    _can_be_edited(world)
    # An edit or an erasure of a segment would not reach what the dead run had copied.
    [[left]] = world.connection.execute("SELECT to_regclass('ops.kept_2017_03')").fetchall()
    assert left is None


def test_a_column_that_comes_behind_the_count_has_the_run_begin_its_end_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited, end = _with_edited(world, _purge)

    with (
        connect(world.database.url, application="migration") as other,
        before(
            world,
            monkeypatch,
            BEHIND_THE_COUNT,
            lambda: other.execute(
                "ALTER TABLE archived_content_segments ADD COLUMN IF NOT EXISTS mood text"
            ),
        ),
        pytest.raises(Refused, match=r'was altered meanwhile: .* "mood"\. Next: run again'),
    ):
        end()
    world.purge()
    assert set(edited) <= set(_segments(world))


def test_a_thread_that_is_deleted_in_the_instant_of_the_detach_stops_no_purge(
    world: World,
) -> None:
    """No cascade reaches its rows: the month is no partition any more, and no table of its own."""
    edited, end = _with_edited(world, _purge)
    world.connection.execute(statement("archive/follow_deletes").format(table=MONTHS_OWN))
    world.connection.execute("SET lock_timeout = '50ms'")
    with connect(world.database.url, application="reader") as reader, reader.transaction():
        reader.execute("SELECT FROM archived_content_segments")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            world.connection.execute(
                sql.SQL(
                    "ALTER TABLE archived_content_segments DETACH PARTITION {} CONCURRENTLY"
                ).format(MONTHS_OWN)
            )
    world.connection.execute("RESET lock_timeout")
    world.connection.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    assert world.count("archived_content_segments_2017_03") == 40
    end()
    assert _segments(world) == sorted(edited[:3])


def test_who_silences_the_triggers_deletes_no_row_of_the_copy_by_hand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His thread is gone while he does, and there again when the table is dropped."""
    edited, end = _with_edited(world, _purge)
    thread = world.threads[3]
    with psycopg.connect(world.database.admin_url, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("CREATE TEMP TABLE again AS SELECT * FROM threads WHERE id = %s", (thread,))

        def lose() -> None:
            admin.execute("DELETE FROM threads WHERE id = %s", (thread,))
            with pytest.raises(psycopg.errors.ObjectInUse, match="removal of its month"):
                admin.execute(
                    sql.SQL("DELETE FROM {} WHERE thread_id = %s").format(COPY), (thread,)
                )
            admin.execute("INSERT INTO threads SELECT * FROM again")

        with before(world, monkeypatch, BEHIND_THE_COUNT, lose) as came:
            end()
    assert len(came) == 1
    assert _segments(world) == sorted(edited)


def _left_by_the_detach(world: World) -> None:
    """Rows of a thread that was deleted when no cascade reached the month; their author is held."""
    with psycopg.connect(world.database.admin_url) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("DELETE FROM threads WHERE id = %s", (world.threads[3],))
    add_hold(world.connection, user_id=world.users[2], reason="case 44")


def test_rows_of_an_erased_thread_that_are_held_since_are_put_back_with_their_month(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.fill()
    end = _purge(world)
    with dying(monkeypatch, "purge.purge.remove_content"):
        end()
    _left_by_the_detach(world)
    assert "hold" in world.purge().stopped
    assert [row[0] for row in world.rows()["content_segments"]] == sorted(made)


def test_rows_of_an_erased_thread_that_are_held_since_let_no_copy_be_made_without_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited, end = _with_edited(world, _purge)
    with dying(monkeypatch, "purge.purge.settle"):
        end()
    _left_by_the_detach(world)
    with pytest.raises(Refused, match=r"deleted, and .* legal hold 1.* Next: release that hold"):
        world.purge()
    assert world.count("archived_content_segments_2017_03") == 40
    release_hold(world.connection, 1, reason="closed")
    world.purge()
    assert _segments(world) == sorted(edited[:3])


@pytest.mark.usefixtures("begins_archived")
def test_a_month_that_an_earlier_version_attaches_again_can_be_edited(world: World) -> None:
    """It leaves the trigger there."""
    generation = world.standing()
    keep_rows(world.run, month_table(world.connection, generation), "a purge")
    _can_be_edited(world)
    world.connection.execute("DELETE FROM archived_content_segments WHERE sequence_number = 1")
    assert world.count("content_segment_keys") == 36


def _can_be_edited(world: World) -> None:
    """Of every month that is attached, each segment."""
    edited = world.connection.execute("UPDATE archived_content_segments SET view_count = 9")
    assert edited.rowcount == world.count("content_segment_keys") > 0
