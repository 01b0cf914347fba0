"""What the application does. An action is a name and three numbers that choose among what there is.

The database may refuse it; then nothing has changed. What it grants, the oracle believes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from psycopg import sql

from tests.model.oracle import LINKS, SEGMENTS
from tests.model.place import PARENTS
from tests.model.writer import Finding, Writer, chosen

Action: TypeAlias = tuple[str, int, int, int]


class Application(Writer):
    """The writer, with what it may be asked to do."""

    __slots__ = ()

    def act(self, action: Action) -> None:
        """Do it; a psycopg.Error when the database refuses."""
        name, *numbers = action
        ACTIONS[name](self, *numbers)

    def insert(self, a: int, b: int, c: int) -> None:
        """A segment, also a late one."""
        thread = self.a_thread(b)
        author = chosen(self.members(thread), c)
        connection = self.acting(author, c)
        self.new_segment(chosen(self.months, a), thread, author, c, connection=connection)

    def insert_naively(self, a: int, b: int, c: int) -> None:
        """A segment with the sequence number after the last one that can be seen."""
        thread = self.a_thread(b)
        [(last,)] = self.place.owner.execute(
            "SELECT coalesce(max(sequence_number), 0) FROM content_segment_keys"
            " WHERE thread_id = %s",
            (thread,),
        )
        author = chosen(self.members(thread), c)
        self.new_segment(chosen(self.months, a), thread, author, c, sequence=last + 1)

    def edit(self, a: int, b: int, c: int) -> None:
        segment = self.a_segment(a)
        if self.update_segment(
            self.by_somebody(c, self.thread_of(segment)),
            segment,
            "text_content = %s, is_edited = true, edited_at = now()",
            self.new_word(b),
        ):
            self.refuse_held("an edit", [(SEGMENTS, segment)], alone=True)

    def view(self, a: int, b: int, c: int) -> None:
        segment = self.a_segment(a)
        self.update_segment(
            self.by_somebody(c, self.thread_of(segment)), segment, "view_count = view_count + 1"
        )

    def hide(self, a: int, b: int, c: int) -> None:
        """The product's own deletion: a mark."""
        segment = self.a_segment(a)
        self.update_segment(
            self.by_somebody(c, self.thread_of(segment)),
            segment,
            "is_deleted = NOT is_deleted, deleted_at = now()",
        )

    def delete_segment(self, a: int, b: int, c: int) -> None:
        segment = self.a_segment(a)
        connection = self.by_somebody(c, self.thread_of(segment))
        for parent in PARENTS:
            deleted = connection.execute(
                sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(parent)), (segment,)
            )
            if deleted.rowcount:
                self.refuse_held("the deletion of a segment", [(SEGMENTS, segment)])
                self.oracle.delete([(SEGMENTS, segment)])
                return

    def delete_thread(self, a: int, b: int, c: int) -> None:
        thread = self.a_thread(a)
        segments = self.oracle.in_threads({thread})
        if self.delete_row(self.by_somebody(c, thread), "threads", thread):
            self.refuse_held("the deletion of a thread", segments)
            self.oracle.delete_thread(thread)
            self.gone_threads.add(thread)

    def delete_book(self, a: int, b: int, c: int) -> None:
        book = chosen(sorted(self.oracle.books), a)
        threads = {t for t, its in self.oracle.threads.items() if its == book}
        segments = self.oracle.in_threads(threads)
        if self.delete_row(self.by_somebody(c, min(threads, default=None)), "memory_books", book):
            self.refuse_held("the deletion of a book", segments)
            self.oracle.delete_book(book)
            self.gone_threads |= threads

    def delete_family(self, a: int, b: int, c: int) -> None:
        family = chosen(sorted(self.oracle.families), a)
        books = {book for book, its in self.oracle.books.items() if its == family}
        threads = {t for t, book in self.oracle.threads.items() if book in books}
        segments = self.oracle.in_threads(threads)
        owner = self.oracle.families[family]
        if self.delete_row(self.acting(owner, c), "families", family):
            self.refuse_held("the deletion of a family", segments)
            self.oracle.delete_family(family)
            self.gone_threads |= threads

    def delete_user(self, a: int, b: int, c: int) -> None:
        user = chosen(sorted(self.oracle.users), a)
        written = [key for key in self.oracle.rows if self.oracle.author_of(key) == user]
        if self.delete_row(self.acting(user, c), "users", user):
            self.refuse_held("the deletion of a user", written)
            self.oracle.delete_user(user)
            self.gone_users.add(user)

    def leave(self, a: int, b: int, c: int) -> None:
        """A membership ends."""
        family, user = chosen(sorted(self.oracle.members), a)
        self.place.owner.execute(
            "DELETE FROM family_members WHERE family_id = %s AND user_id = %s", (family, user)
        )
        self.oracle.members.discard((family, user))

    def join(self, a: int, b: int, c: int) -> None:
        self.new_member(
            chosen(sorted(self.oracle.families), a), chosen(sorted(self.oracle.users), b)
        )

    def start(self, a: int, b: int, c: int) -> None:
        """Somebody new, a book, or a thread."""
        if c % 3 == 0:
            self.new_member(chosen(sorted(self.oracle.families), a), self.new_user())
        elif c % 3 == 1:
            family = chosen(sorted(self.oracle.families), a)
            self.new_book(family, self.oracle.families[family])
        else:
            book = chosen(sorted(self.oracle.books), a)
            self.new_thread(book, self.oracle.families[self.oracle.books[book]])

    def narrate(self, a: int, b: int, c: int) -> None:
        segment = self.a_segment(a)
        author = chosen(self.members(self.thread_of(segment)), b)
        self.new_child("photo_narrations", segment, author, c)

    def renarrate(self, a: int, b: int, c: int) -> None:
        narration = chosen(self.oracle.of_table("photo_narrations"), a)
        query = "UPDATE photo_narrations SET narration_text = %s WHERE id = %s RETURNING *"
        arguments = (self.new_word(b), narration[1])
        if self.write_row(self.by_somebody(c), query, arguments, "photo_narrations"):
            self.refuse_held("the change of a narration", [narration], alone=True)

    def tag(self, a: int, b: int, c: int) -> None:
        segment = self.a_segment(a)
        author = chosen(self.members(self.thread_of(segment)), b)
        self.new_child("content_tags", segment, author, c)

    def link(self, a: int, b: int, c: int) -> None:
        self.new_link(self.a_segment(a), self.a_segment(b), c)

    def relink(self, a: int, b: int, c: int) -> None:
        """A link gets another segment at its end, and words that are JSON's null."""
        link, target = chosen(self.oracle.of_table(LINKS), a), self.a_segment(b)
        query = (
            "UPDATE content_links SET target_segment_id = %s, metadata = 'null' WHERE id = %s"
            " RETURNING *"
        )
        if self.write_row(self.by_somebody(c), query, (target, link[1]), LINKS):
            self.refuse_held("the move of a link", [link], alone=True)

    def delete_child(self, a: int, b: int, c: int) -> None:
        """A narration, a tag, a link or a reaction."""
        key = chosen([k for t in sorted(self.oracle.children) for k in self.oracle.of_table(t)], a)
        segments = self.oracle.segments_of(key)
        connection = self.by_somebody(c, self.thread_of(segments[0][1]))
        if self.delete_row(connection, *key):
            self.refuse_held("the deletion of a child", [key])
            self.oracle.delete([key])

    def move_thread(self, a: int, b: int, c: int) -> None:
        """To a book, of the same family or of another."""
        thread, book = self.a_thread(a), chosen(sorted(self.oracle.books), b)
        before = self.oracle.books[self.oracle.threads[thread]]
        moved = self.by_somebody(c, thread).execute(
            "UPDATE threads SET memory_book_id = %s WHERE id = %s", (book, thread)
        )
        if moved.rowcount:
            if self.oracle.books[book] != before:
                self.refuse_held("the move of a thread", self.oracle.in_threads({thread}))
            self.oracle.threads[thread] = book

    def move_book(self, a: int, b: int, c: int) -> None:
        book = chosen(sorted(self.oracle.books), a)
        family = chosen(sorted(self.oracle.families), b)
        threads = {t for t, its in self.oracle.threads.items() if its == book}
        moved = self.by_somebody(c, min(threads, default=None)).execute(
            "UPDATE memory_books SET family_id = %s WHERE id = %s", (family, book)
        )
        if moved.rowcount:
            if family != self.oracle.books[book]:
                self.refuse_held("the move of a book", self.oracle.in_threads(threads))
            self.oracle.books[book] = family

    def move_segment(self, a: int, b: int, c: int) -> None:
        """To another thread, at its end."""
        segment, thread = self.a_segment(a), self.a_thread(b)
        before = self.oracle.family_of((SEGMENTS, segment))
        sequence = self.sequences.get(thread, 0) + 1
        if self.update_segment(
            self.by_somebody(c, self.thread_of(segment)),
            segment,
            "thread_id = %s, sequence_number = %s",
            thread,
            sequence,
        ):
            self.sequences[thread] = sequence
            if self.oracle.family_of((SEGMENTS, segment)) != before:
                self.refuse_held("the move of a segment", [(SEGMENTS, segment)])

    def reuse_segment(self, a: int, b: int, c: int) -> None:
        """An id that a segment has, or had."""
        known = sorted(
            {i for t, i in self.oracle.gone if t == SEGMENTS}
            | {i for t, i in self.oracle.rows if t == SEGMENTS}
        )
        thread = self.a_thread(b)
        author = self.members(thread)[0]
        self.new_segment(
            chosen(self.months, c),
            thread,
            author,
            c,
            segment=chosen(known, a),
            connection=self.place.as_user(author),
        )

    def reuse_thread(self, a: int, b: int, c: int) -> None:
        """An id that a thread had, in whatever book."""
        book = chosen(sorted(self.oracle.books), b)
        user = self.oracle.families[self.oracle.books[book]]
        self.new_thread(book, user, chosen(sorted(self.gone_threads), a))

    def reuse_user(self, a: int, b: int, c: int) -> None:
        user = chosen(sorted(self.gone_users), a)
        self.place.owner.execute(
            "INSERT INTO users (id, clerk_id, email) VALUES (%s, %s, %s)",
            (user, f"clerk {self.new_id()}", f"{self.new_id()}@example.org"),
        )
        self.oracle.users.add(user)

    def rename_thread(self, a: int, b: int, c: int) -> None:
        """Another id for a thread: its segments, wherever they are, would not follow."""
        thread, other = self.a_thread(a), self.new_id()
        segments = self.oracle.in_threads({thread})
        renamed = self.by_somebody(c, thread).execute(
            "UPDATE threads SET id = %s WHERE id = %s", (other, thread)
        )
        if renamed.rowcount:
            if segments:
                raise Finding("a thread with content in the archive got another id")
            self.oracle.threads[other] = self.oracle.threads.pop(thread)

    def react(self, a: int, b: int, c: int) -> None:
        """A row of a table that a later migration has made."""
        table = chosen(self.reaction_tables, b)
        child = self.oracle.children[table]
        above = chosen(self.oracle.of_table(child.parent), a)
        self.write_row(
            self.place.owner,
            f"INSERT INTO {table} (id, {child.ends[0]}, said) VALUES (%s, %s, %s) RETURNING *",
            (self.new_id(), above[1], self.new_word(c)),
            table,
        )


ACTIONS: Final[dict[str, Callable[[Application, int, int, int], None]]] = {
    function.__name__: function
    for function in (
        Application.insert,
        Application.insert_naively,
        Application.edit,
        Application.view,
        Application.hide,
        Application.delete_segment,
        Application.delete_thread,
        Application.delete_book,
        Application.delete_family,
        Application.delete_user,
        Application.leave,
        Application.join,
        Application.start,
        Application.narrate,
        Application.renarrate,
        Application.relink,
        Application.tag,
        Application.link,
        Application.delete_child,
        Application.move_thread,
        Application.move_book,
        Application.move_segment,
        Application.reuse_segment,
        Application.reuse_thread,
        Application.reuse_user,
        Application.rename_thread,
        Application.react,
    )
}
