"""A month of small, varied content, and the steps of its life in the tests' words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from psycopg import sql
from psycopg.types.json import Jsonb

from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import TABLES, archived_name
from ft_ops.archive.month.digest import MonthDigests, month_digests
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import in_database, latest
from ft_ops.archive.month.source import Source, live_source
from ft_ops.archive.month.thaws import Purpose, Thaw, open_thaw
from ft_ops.archive.move.move import Move, move_month
from ft_ops.archive.move.preflight import Preflight, preflight
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge.purge import Purge, PurgePlan, plan_purge, purge_month
from ft_ops.archive.purge.throttle import Throttle, throttle_of
from ft_ops.archive.run import ArchiveRules, ArchiveTarget, Limits, Run
from ft_ops.archive.thaw.refreeze import Refreeze, refreeze
from ft_ops.archive.thaw.thaw import ThawRequest, begin, load
from ft_ops.clock import utc_now
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.s3.bucket import Bucket
from tests.fixtures.postgres import Database

MONTH = Month(2017, 3)
NEXT = MONTH.plus(1)
PRICES = load_prices()
RULES = ArchiveRules(
    retention_years=1,
    purge_enabled=True,
    grace=timedelta(0),
    storage_class="DEEP_ARCHIVE",
    lock=None,
    limits=Limits(replication_lag_seconds=10, latency_ms=10_000, longest_pause_seconds=60),
)

_SEGMENT = (
    "INSERT INTO content_segments (id, thread_id, user_id, content_type, sequence_number,"
    " text_content, created_at) VALUES (%s, %s, %s, 'text', %s, %s, %s)"
)
_NARRATION = (
    "INSERT INTO photo_narrations (content_segment_id, photo_index, narration_text,"
    " created_by, metadata) VALUES (%s, 0, 'a lake', %s, %s)"
)
_TAG = (
    "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by) VALUES (%s, 'summer', %s)"
)
_LINK = (
    "INSERT INTO content_links (source_segment_id, target_segment_id, link_type,"
    " created_by) VALUES (%s, %s, 'reply', %s)"
)

Rows = dict[str, list[tuple[object, ...]]]


@dataclass(slots=True)
class World:
    """One database with one bucket, two families, and content in a few months.

    ``filled`` are the segments that `fill` made last. ``kept`` are the rows of a month that this
    world began with, in the archive.
    """

    database: Database
    connection: Connection
    bucket: Bucket
    users: list[UUID] = field(default_factory=list)
    families: list[UUID] = field(default_factory=list)
    threads: list[UUID] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    filled: list[UUID] = field(default_factory=list)
    kept: Rows = field(default_factory=dict)
    pace: Pace = FULL_SPEED
    rules: ArchiveRules = RULES
    second: Bucket | None = None
    clock: Callable[[], datetime] = utc_now

    @property
    def target(self) -> ArchiveTarget:
        second = self.second
        return ArchiveTarget(
            self.bucket, "archive", 64 << 20, None if second is None else lambda: second
        )

    @property
    def run(self) -> Run:
        """What steps are given; they never sleep."""
        return Run(
            self.connection,
            self.database.url,
            lambda: self.target,
            self.rules,
            "test",
            pace=self.pace,
            clock=self.clock,
            sleep=no_sleep,
        )

    def people(self) -> None:
        """Two families of two users, each with one book of two threads."""
        for number in range(4):
            user = uuid4()
            self.connection.execute(
                "INSERT INTO users (id, clerk_id, email) VALUES (%s, %s, %s)",
                (user, f"clerk_{user}", f"{number}-{user}@example.org"),
            )
            self.users.append(user)
        for owner in self.users[::2]:
            family, book = uuid4(), uuid4()
            self.connection.execute(
                "INSERT INTO families (id, name, owner_id) VALUES (%s, 'family', %s)",
                (family, owner),
            )
            self.connection.execute(
                "INSERT INTO memory_books (id, family_id, title, created_by)"
                " VALUES (%s, %s, 'book', %s)",
                (book, family, owner),
            )
            self.families.append(family)
            for _ in range(2):
                thread = uuid4()
                self.connection.execute(
                    "INSERT INTO threads (id, memory_book_id, started_by) VALUES (%s, %s, %s)",
                    (thread, book, owner),
                )
                self.threads.append(thread)

    def month(self, month: Month) -> None:
        ensure_months(self.connection, "content_segments", [month])

    def segment(
        self,
        month: Month = MONTH,
        *,
        thread: int = 0,
        user: int | None = None,
        text: str | None = "once upon a time",
        sequence: int | None = None,
    ) -> UUID:
        """One text segment; by default the thread's family's first user wrote it."""
        segment = uuid4()
        author = self._first_user(thread) if user is None else self.users[user]
        if sequence is None:
            sequence = self._next_number(thread)
        self.numbers[thread] = max(sequence, self.numbers.get(thread, 0))
        self.connection.execute(
            _SEGMENT, (segment, self.threads[thread], author, sequence, text, month.start)
        )
        return segment

    def _first_user(self, thread: int) -> UUID:
        """The first one of the thread's family."""
        return self.users[(thread // 2) * 2]

    def _next_number(self, thread: int) -> int:
        """One that nothing in the thread has had so far: what was purged keeps its own."""
        [[newest]] = self.connection.execute(
            "SELECT coalesce(max(sequence_number), 0) FROM content_segment_keys"
            " WHERE thread_id = %s",
            (self.threads[thread],),
        ).fetchall()
        return 1 + max(int(newest), self.numbers.get(thread, 0))

    def children(self, segment: UUID, *, user: int = 0) -> None:
        """A narration and a tag of a segment."""
        self._children([segment], user)

    def _children(self, segments: Sequence[UUID], user: int = 0) -> None:
        by, told = self.users[user], Jsonb({"n": 1.10})
        with self.connection.cursor() as cursor:
            cursor.executemany(_NARRATION, [(segment, by, told) for segment in segments])
            cursor.executemany(_TAG, [(segment, by) for segment in segments])

    def link(self, source: UUID, target: UUID, *, user: int = 0) -> None:
        self.connection.execute(_LINK, (source, target, self.users[user]))

    def fill(self, month: Month = MONTH, segments: int = 40) -> list[UUID]:
        """Segments in all threads, with children and links among themselves.

        Sent at once: a round trip for each would be a tenth of a test of the archive.
        """
        self.month(month)
        made = self.filled = [uuid4() for _ in range(segments)]
        first = {thread: self._next_number(thread) for thread in range(min(4, segments))}
        rows = [
            (segment, self.threads[n % 4], self._first_user(n % 4), first[n % 4] + n // 4)
            for n, segment in enumerate(made)
        ]
        for n, row in enumerate(rows):
            self.numbers[n % 4] = row[3]
        by = self.users[0]
        with self.connection.cursor() as cursor:
            cursor.executemany(_SEGMENT, [(*row, "once upon a time", month.start) for row in rows])
            self._children(made[::3])
            cursor.executemany(
                _LINK,
                [(one, other, by) for one, other in zip(made[::4], made[1::4], strict=True)],
            )
        return made

    def two_linked(self) -> tuple[UUID, UUID]:
        """A link of the second user, from the first family's month to the other one's next.

        The fourth user wrote its end. Beside each end there is a thread that no link leads to.
        """
        self.month(MONTH)
        self.month(NEXT)
        one, other = self.segment(thread=0), self.segment(NEXT, thread=3, user=3)
        self.segment(thread=1)
        self.segment(NEXT, thread=2)
        self.link(one, other, user=1)
        return one, other

    def preflight(self, month: Month = MONTH) -> Preflight:
        return preflight(
            self.connection,
            month,
            retention_years=1,
            longest_snapshot_seconds=300,
            now=utc_now(),
        )

    def move(self, month: Month = MONTH) -> Move:
        return move_month(self.run, month)

    def archive(self, month: Month = MONTH) -> Generation:
        """Move a month, if it has not moved, and take its newest generation to the freezer."""
        self.move(month)
        return self.freeze(month)

    def freeze(self, month: Month = MONTH) -> Generation:
        return archive_content(self.run, self.standing(month))

    def standing(self, month: Month = MONTH) -> Generation:
        """The month's generation in the database."""
        generation = in_database(self.connection, month)
        assert generation is not None
        return generation

    def newest(self, month: Month = MONTH) -> Generation:
        """The month's newest generation, wherever it is."""
        generation = latest(self.connection, month)
        assert generation is not None
        return generation

    def verified_backup(self) -> None:
        """Record a backup and the drill that restored it to this moment."""
        name = f"full-{uuid4().hex[:12]}"
        self.connection.execute(
            "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
            " completed_at) VALUES (%s, 'full', 'barman', 'complete', %s, clock_timestamp(),"
            " '{}', clock_timestamp())",
            (name, name),
        )
        self.connection.execute(
            "INSERT INTO ops.restore_drills (backup, target, state, restored_to,"
            " recovery_seconds, certificate, finished_at) VALUES (%s, %s, 'passed',"
            " clock_timestamp(), 1, '{}', clock_timestamp())",
            (name, name),
        )

    def plan(self, month: Month = MONTH, rules: ArchiveRules | None = None) -> PurgePlan:
        """What a dry run shows."""
        run = replace(self.run, rules=rules or self.rules)
        return plan_purge(run, self.standing(month), compare=True)

    def throttle(self) -> Throttle:
        return throttle_of(self.run)

    def purge(self, month: Month = MONTH) -> Purge:
        return purge_month(self.run, plan_purge(self.run, self.standing(month)), self.throttle())

    def ask(
        self,
        month: Month = MONTH,
        *,
        family: int | None = None,
        purpose: Purpose = "thaw",
        days: int = 14,
    ) -> Thaw:
        """Ask Glacier for a month; this endpoint answers at once."""
        request = ThawRequest(
            month, None if family is None else self.families[family], "Bulk", days
        )
        return begin(self.run, request, PRICES, purpose=purpose)

    def thaw(self, month: Month = MONTH, *, family: int | None = None) -> Thaw:
        return load(self.run, self.ask(month, family=family))

    def refreeze(self, month: Month = MONTH) -> Refreeze:
        thaw = open_thaw(self.connection, month)
        assert thaw is not None
        return refreeze(self.run, thaw, self.throttle())

    def archived_and_purged(self, month: Month = MONTH) -> Generation:
        self.archive(month)
        self.verified_backup()
        return self.purge(month).generation

    def rows_when_thawed(self, month: Month = MONTH) -> Rows:
        """A purged month's rows as a thaw brings them; the month stays thawed."""
        self.thaw(month)
        return self.rows(month)

    def digests(self, month: Month = MONTH, source: Source | None = None) -> MonthDigests:
        content = read_content(self.connection)
        live = live_source(content, sql.Identifier(archived_name(month)))
        return month_digests(self.connection, content, source or live)

    def rows(self, month: Month = MONTH, segments: str | None = None) -> Rows:
        """Every row of a month, table by table, as Python values in a fixed order."""
        table = sql.Identifier(segments or archived_name(month))
        found: Rows = {}
        for name in TABLES:
            query = sql.SQL("SELECT * FROM {} AS s ORDER BY s.id").format(table)
            if name == "content_links":
                query = sql.SQL(
                    "SELECT c.* FROM content_links AS c WHERE EXISTS (SELECT FROM {} AS s WHERE"
                    " s.id IN (c.source_segment_id, c.target_segment_id)) ORDER BY c.id"
                ).format(table)
            elif name != "content_segments":
                query = sql.SQL(
                    "SELECT c.* FROM {} AS c JOIN {} AS s ON s.id = c.content_segment_id"
                    " ORDER BY c.id"
                ).format(sql.Identifier(name), table)
            found[name] = self.connection.execute(query).fetchall()
        return found

    def granted_to_others(self) -> list[tuple[object, ...]]:
        """Who but its owner may do something with a month's own table, or with one in ops."""
        return self.connection.execute(
            "SELECT c.relname, a.grantee::regrole::text, a.privilege_type"
            " FROM pg_class AS c, aclexplode(c.relacl) AS a"
            " WHERE a.grantee <> c.relowner AND (c.relispartition OR c.relpersistence = 'u')"
        ).fetchall()

    def count(self, relation: str) -> int:
        row = self.connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*relation.split(".")))
        ).fetchone()
        assert row is not None
        return int(row[0])


def no_sleep(seconds: float) -> None:
    """In place of time.sleep, where only the order of attempts matters."""


def sizes(rows: Rows) -> Sequence[int]:
    """Rows by table, in the order of TABLES."""
    return [len(rows[table]) for table in TABLES]
