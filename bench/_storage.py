"""A database whose storage is recomputed again and again, for benchmarks to time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from psycopg import sql

from bench.frame import seconds
from ft_ops.months import Month
from ft_ops.partitions import partition_name
from ft_ops.pg.connect import Connection, connect
from ft_ops.storage import (
    Recomputation,
    publish_families,
    publish_users,
    recompute_changed,
    recompute_everything,
)

_READERS: Final = 2
_BATCH_ROWS: Final = 500
_LOCK_WAIT_MS: Final = 1000

# LENGTH counts characters, one NULL makes a segment count as nothing, and a URL's length counts a
# million times: what it arrives at is not compared.
_SPECIFIED: Final = """
    UPDATE families f
    SET storage_used_bytes = (
        SELECT COALESCE(SUM(
            LENGTH(cs.text_content) +
            LENGTH(cs.audio_transcript) +
            LENGTH(cs.audio_url::text) * 1000000 +
            ARRAY_LENGTH(cs.photo_urls, 1) * 500000
        ), 0)
        FROM content_segments cs
        JOIN threads t ON cs.thread_id = t.id
        JOIN memory_books mb ON t.memory_book_id = mb.id
        WHERE mb.family_id = f.id
    )
"""
_EDIT: Final = """
    UPDATE content_segments
    SET text_content = coalesce(text_content, '') || 'x'
    WHERE created_at >= %(start)s
      AND created_at < %(end)s
      AND get_byte(uuid_send(id), 15) %% 32 = %(turn)s
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """One database, whose storage is recomputed again and again; ``month`` is the one to edit."""

    url: str
    connection: Connection
    month: Month
    turns: Iterator[int] = field(default_factory=lambda: cycle(range(32)))

    def forget(self, months: Iterable[Month]) -> None:
        """Drop months of the history."""
        for month in months:
            partition = sql.Identifier(partition_name("content_segments", month))
            self.connection.execute(sql.SQL("DROP TABLE {}").format(partition))

    def first(self) -> float:
        """Seconds of the first recomputation, which writes the whole rollup."""
        took = seconds(self.recompute_everything)
        # Autovacuum would come by before the next one.
        self.connection.execute("VACUUM ANALYZE")
        return took

    def specified(self) -> float:
        """Seconds of the specification's statement."""
        self.spoil()
        return seconds(lambda: self.connection.execute(_SPECIFIED))

    def full(self) -> float:
        """Seconds of a full recomputation and of writing its totals."""
        self.spoil()
        return seconds(self.recompute_everything)

    def changed(self) -> float:
        """Seconds of recomputing and writing after an edit of the month, by its signals."""
        self.edit()
        found: list[Recomputation] = []
        took = seconds(lambda: found.append(self.recompute_changed()))
        assert [month.month for month in found[0].counted] == [self.month], found
        return took

    def changed_in_full(self) -> float:
        """Seconds of the same, counting every month."""
        self.edit()
        return seconds(self.recompute_everything)

    def recompute_everything(self) -> Recomputation:
        done = recompute_everything(
            self.connection, self._session, readers=_READERS, run_id="bench"
        )
        self._publish()
        return done

    def recompute_changed(self) -> Recomputation:
        done = recompute_changed(self.connection, self._session, readers=_READERS, run_id="bench")
        self._publish()
        return done

    def _publish(self) -> None:
        for publish in (publish_families, publish_users):
            publish(self.connection, batch_rows=_BATCH_ROWS, lock_wait_ms=_LOCK_WAIT_MS)

    def _session(self) -> Connection:
        return connect(self.url, application="bench, reading")

    def spoil(self) -> None:
        self.connection.execute("UPDATE families SET storage_used_bytes = -1")
        self.connection.execute("VACUUM families")

    def edit(self) -> None:
        self._publish()  # what the specification's statement wrote is not this edit's
        values = {"start": self.month.start, "end": self.month.end, "turn": next(self.turns)}
        self.connection.execute(_EDIT, values)
        # What edits leave behind is autovacuum's to clean, not the recomputation's to read.
        partition = sql.Identifier(partition_name("content_segments", self.month))
        self.connection.execute(sql.SQL("VACUUM ANALYZE {}").format(partition))
