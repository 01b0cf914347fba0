"""What is missing of one subject comes back as it was, and nothing else is written."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from ft_ops.archive import add_hold
from ft_ops.errors import Refused
from ft_ops.restore import Decisions, RestorePlan
from ft_ops.restore import restore as restore_module
from ft_ops.restore.plan import plan_digest
from tests.restore.world import MONTHS, World

MISTAKE = "the family's owner wrote that it was a mistake"


def states(plan: RestorePlan, table: str) -> dict[str, int]:
    return next(dict(found.states) for found in plan.tables if found.table == table)


def reasons(plan: RestorePlan, table: str) -> list[str]:
    return [r.why for found in plan.tables if found.table == table for r in found.reasons]


EVERYBODY = Decisions(removed_members=True)


def test_rows_that_were_deleted_come_back_as_they_were(world: World) -> None:
    before, others = world.family(0), world.family(1)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        world.execute("DELETE FROM family_invites WHERE family_id = %s", world.families[0])
        world.execute("DELETE FROM content_tags WHERE content_segment_id = %s", world.segments[1])
        plan = world.restore(copy, decisions=EVERYBODY)
        # The segment with its narration, tag and link, the invitation, the other tag.
        assert plan.inserts == 6
        assert plan.media == (f"https://media.example.org/{world.threads[0]}/0.jpg",)
        assert world.family(0) == before
        assert world.family(1) == others
        audited = world.connection.execute(
            "SELECT user_id, table_name, new_values ->> 'source', new_values -> 'rows'"
            " FROM audit_log WHERE action = 'restore_family'"
        ).fetchall()
        assert audited == [
            (
                UUID(int=0),
                "families",
                "a copy of the tests",
                {
                    "family_invites": {"inserted": 1, "overwritten": 0},
                    "content_segments": {"inserted": 1, "overwritten": 0},
                    "content_links": {"inserted": 1, "overwritten": 0},
                    "content_tags": {"inserted": 2, "overwritten": 0},
                    "photo_narrations": {"inserted": 1, "overwritten": 0},
                },
            )
        ]
        assert world.restore(copy).inserts == 0
        assert world.count("ops.restores") == 1


def test_a_dry_run_says_the_same_and_writes_nothing(world: World) -> None:
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        before = world.family(0)
        plan = world.restore(copy, apply=False)
        assert (plan.inserts, plan.applied) == (4, False)
        assert world.family(0) == before
        assert world.count("ops.restores") == 0
        assert world.restore(copy).tables == plan.tables


def test_a_deleted_book_stays_erased_until_its_deletion_is_named_a_mistake(world: World) -> None:
    before = world.family(0)
    book, gone_before = world.books[0], world.threads[1]
    with world.copied() as copy:
        world.execute("DELETE FROM threads WHERE id = %s", gone_before)
        world.execute("DELETE FROM memory_books WHERE id = %s", book)
        plan = world.restore(copy, kind="book", subject=book)
        assert plan.inserts == 0
        assert plan.count("erased") == plan.rows > 0
        assert {(t.kind, t.id) for t in plan.deletions} == {
            ("book", book),
            ("thread", world.threads[0]),
            ("thread", gone_before),
        }
        decisions = Decisions(mistakes=frozenset({book}), reason=MISTAKE)
        plan = world.restore(copy, kind="book", subject=book, decisions=decisions)
        # What went by itself before the book is another deletion.
        assert {t.id for t in plan.withdrawn} == {book, world.threads[0]}
        after = world.family(0)
        assert after["memory_books"] == before["memory_books"]
        assert before["threads"].keys() - after["threads"].keys() == {str(gone_before)}
        assert len(after["content_segments"]) == len(before["content_segments"]) - 4
        withdrawn = world.connection.execute(
            "SELECT kind, id, reason FROM ops.withdrawn_erasures ORDER BY kind"
        ).fetchall()
        assert withdrawn == [
            ("book", book, MISTAKE),
            ("thread", world.threads[0], MISTAKE),
        ]
        assert world.connection.execute("SELECT id FROM ops.erasures").fetchall() == [
            (gone_before,)
        ]


def test_a_mistake_needs_a_reason_and_a_deletion(world: World) -> None:
    with world.copied() as copy:
        world.execute("DELETE FROM memory_books WHERE id = %s", world.books[0])
        with pytest.raises(Refused, match="without a reason"):
            world.restore(copy, decisions=Decisions(mistakes=frozenset({world.books[0]})))
        with pytest.raises(Refused, match="no deleted part of it"):
            world.restore(
                copy, decisions=Decisions(mistakes=frozenset({world.books[1]}), reason=MISTAKE)
            )
        with pytest.raises(Refused, match="no deleted part of it"):
            world.restore(
                copy,
                kind="family",
                subject=world.families[1],
                decisions=Decisions(mistakes=frozenset({world.books[0]}), reason=MISTAKE),
            )
        assert world.count("ops.withdrawn_erasures") == 0


def test_a_subject_that_the_copy_does_not_know_is_refused(world: World) -> None:
    with world.copied() as copy, pytest.raises(Refused, match="has no row of it"):
        world.restore(copy, subject=uuid4())


def test_the_content_of_an_erased_author_stays_erased(world: World) -> None:
    author = world.users[1]
    before = world.family(0)
    with world.copied() as copy:
        for query in (
            "DELETE FROM content_segments WHERE user_id = %s",
            "UPDATE family_invites SET accepted_by = NULL WHERE accepted_by = %s",
            "DELETE FROM photo_narrations WHERE created_by = %s",
            "DELETE FROM content_tags WHERE tagged_by = %s",
        ):
            world.execute(query, author)
        world.execute(
            "UPDATE threads SET started_by = %s WHERE started_by = %s", world.users[0], author
        )
        world.execute("DELETE FROM users WHERE id = %s", author)
        world.execute("DELETE FROM content_tags WHERE tagged_by = %s", world.users[0])
        world.execute("DELETE FROM family_invites WHERE family_id = %s", world.families[0])
        plan = world.restore(copy, decisions=EVERYBODY)
        assert states(plan, "content_segments") == {"erased": 8, "same": 8}
        assert states(plan, "family_members") == {"erased": 1, "same": 1}
        assert reasons(plan, "content_segments") == ["its user was erased"]
        after = world.family(0)
        assert len(after["content_tags"]) == 8
        # Who accepted it is said of the invitation; without him it is still one.
        (invite,) = after["family_invites"].values()
        (invited,) = before["family_invites"].values()
        assert invite == {**invited, "accepted_by": None}


def test_what_was_changed_stays_unless_asked_for(world: World) -> None:
    before = world.family(0)
    with world.copied() as copy:
        world.execute("UPDATE memory_books SET title = 'new' WHERE id = %s", world.books[0])
        world.execute(
            "UPDATE content_segments SET sequence_number = 77, text_content = 'new' WHERE id = %s",
            world.segments[2],
        )
        changed = world.family(0)
        plan = world.restore(copy)
        assert (plan.count("changed"), plan.overwrites) == (2, 0)
        assert world.family(0) == changed
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert plan.overwrites == 2
        assert world.family(0) == before


def test_a_hold_keeps_what_it_holds_from_being_overwritten(world: World) -> None:
    with world.copied() as copy:
        for title, book in (("held", world.books[0]), ("free", world.books[1])):
            world.execute("UPDATE memory_books SET title = %s WHERE id = %s", title, book)
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        hold(world, book=world.books[0])
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert plan.overwrites == 1
        assert reasons(plan, "memory_books") == ["it is under a legal hold"]
        titles = {row["id"]: row["title"] for row in world.family(0)["memory_books"].values()}
        assert titles == {str(world.books[0]): "held", str(world.books[1]): "book"}
        # What is missing of it comes back: that changes nothing that is held.
        assert str(world.segments[0]) in world.family(0)["content_segments"]


def test_a_hold_reaches_tables_of_later_migrations_too(world: World) -> None:
    world.execute(
        "CREATE TABLE reactions (id uuid PRIMARY KEY, mood text,"
        " segment uuid NOT NULL REFERENCES content_segment_keys (id) ON DELETE CASCADE)"
    )
    for segment in (world.segments[0], world.segments[8]):
        world.insert("reactions", id=segment, mood="glad", segment=segment)
    with world.copied() as copy:
        world.execute("UPDATE reactions SET mood = 'sad'")
        hold(world, book=world.books[0])
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert plan.overwrites == 1
        assert reasons(plan, "reactions") == ["it is under a legal hold"]


def hold(world: World, book: UUID) -> None:
    add_hold(world.connection, book_id=book, reason="a court asks", person="the tests")


def test_a_number_that_is_taken_keeps_one_segment_out_with_what_belongs_to_it(
    world: World,
) -> None:
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE thread_id = %s", world.threads[0])
        world.insert(
            "content_segments",
            thread_id=world.threads[0],
            user_id=world.users[0],
            content_type="text",
            sequence_number=0,
            created_at=MONTHS[0].start,
        )
        plan = world.restore(copy)
        assert states(plan, "content_segments") == {"conflict": 1, "missing": 3, "same": 12}
        assert states(plan, "content_links") == {"conflict": 1, "same": 3}
        assert states(plan, "photo_narrations") == {"conflict": 1, "missing": 3, "same": 12}
        assert reasons(plan, "content_segments") == [
            "its number in the thread is another segment's now"
        ]
        assert plan.inserts == 9


def test_an_address_that_somebody_else_has_now_keeps_the_user_out(world: World) -> None:
    user = world.user()
    with world.copied() as copy:
        address = world.connection.execute(
            "DELETE FROM users WHERE id = %s RETURNING email", (user,)
        ).fetchone()
        assert address is not None
        newer = world.insert("users", clerk_id="another", email=address[0])
        mistake = Decisions(mistakes=frozenset({user}), reason=MISTAKE)
        plan = world.restore(copy, kind="user", subject=user, decisions=mistake)
        assert (plan.inserts, plan.withdrawn) == (0, ())
        assert reasons(plan, "users") == ["users_email_key: another row has it now"]
        world.execute("DELETE FROM users WHERE id = %s", newer)
        plan = world.restore(copy, kind="user", subject=user, decisions=mistake)
        assert plan.inserts == 1


def test_a_users_content_comes_back_and_nobody_elses(world: World) -> None:
    before, author = world.family(0), str(world.users[1])
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE thread_id = %s", world.threads[0])
        plan = world.restore(copy, kind="user", subject=world.users[1])
        assert states(plan, "content_segments") == {"missing": 2, "same": 6}
        after = world.family(0)
        assert {
            key: row
            for key, row in before["content_segments"].items()
            if row["thread_id"] != str(world.threads[0]) or row["user_id"] == author
        } == after["content_segments"]


def test_what_a_user_has_put_on_others_content_comes_back_with_him(world: World) -> None:
    segment, author = world.segments[0], world.users[1]
    for table, column in (("content_tags", "tagged_by"), ("photo_narrations", "created_by")):
        world.execute(
            f"UPDATE {table} SET {column} = %s WHERE content_segment_id = %s", author, segment
        )
    before = world.family(0)
    with world.copied() as copy:
        for table in ("content_tags", "photo_narrations"):
            world.execute(
                f"DELETE FROM {table} WHERE content_segment_id IN (%s, %s)",
                segment,
                world.segments[2],
            )
        assert world.restore(copy, kind="user", subject=author).inserts == 2
        assert world.restore(copy, kind="user", subject=world.users[0]).inserts == 2
        assert world.family(0) == before


def test_one_thread_comes_back_and_its_neighbour_stays_as_it_is(world: World) -> None:
    with world.copied() as copy:
        for thread in world.threads[:2]:
            world.execute("DELETE FROM content_segments WHERE thread_id = %s", thread)
        plan = world.restore(copy, kind="thread", subject=world.threads[0])
        assert states(plan, "content_segments") == {"missing": 4}
        threads = {row["thread_id"] for row in world.family(0)["content_segments"].values()}
        assert str(world.threads[1]) not in threads


def test_links_come_back_with_either_end_but_not_out_of_another_family(world: World) -> None:
    from_other_book = world.link(world.segments[8], world.segments[0], world.users[0])
    from_other_family = world.link(world.segments[16], world.segments[0], world.users[2])
    into_other_family = world.link(world.segments[0], world.segments[17], world.users[0])
    others = world.family(1)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        plan = world.restore(copy, kind="book", subject=world.books[0])
        assert reasons(plan, "content_links") == ["it leads here from another family's content"]
        links = {row[0] for row in world.connection.execute("SELECT id FROM content_links")}
        assert {from_other_book, into_other_family} <= links
        assert from_other_family not in links
        others["content_links"].pop(str(from_other_family))
        assert world.family(1) == others


def test_a_thread_that_was_moved_to_another_family_is_left_alone(world: World) -> None:
    with world.copied() as copy:
        world.execute(
            "UPDATE threads SET memory_book_id = %s WHERE id = %s",
            world.books[2],
            world.threads[0],
        )
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        others = world.family(1)
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert (plan.inserts, plan.overwrites) == (0, 0)
        assert states(plan, "threads") == {"conflict": 1, "same": 3}
        assert world.family(1) == others


def test_what_is_judged_of_a_large_family_is_not_read_anew_for_each_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, read = 600, [0]
    world.execute(
        "INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number,"
        " text_content, created_at) SELECT %s, %s, 'text', 100 + n, 'a', '2025-01-01Z'"
        " FROM generate_series(1, %s) AS n",
        world.threads[0],
        world.users[0],
        rows,
    )
    world.execute(
        "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
        " SELECT id, 'large', user_id FROM content_segments WHERE sequence_number > 100"
    )

    def counted(*arguments: object) -> str:
        found = world.connection.execute(
            "SELECT max(seq_tup_read) FROM pg_stat_xact_all_tables WHERE relname ~ '^restored_'"
        ).fetchone()
        assert found is not None
        read[0] = found[0]
        return plan_digest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(restore_module, "plan_digest", counted)
    with world.copied() as copy:
        world.execute("DELETE FROM content_segments WHERE thread_id = %s", world.threads[0])
        assert world.restore(copy, apply=False).inserts == 2 * rows + 13
    assert rows < read[0] < 100 * rows
