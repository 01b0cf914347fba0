"""Storage use, recomputed: in full against the specification's function, and after one month.

Ours counts by month, book and user in one snapshot, and writes families and users; the function's
statement, which counts only what families have, visits them one by one. Before each run the
figures of all families are wrong, for both. After an edit of every thirty-second segment of the
last month, about a day's worth, that month alone is counted, against a full recomputation after the
same edit; with a history of some months, and with one three times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from psycopg import sql

from bench.frame import BenchContext, Result, Samples, Template, alternating, seconds
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

FULL_GOAL: Final = 1 / 10
CHANGED_GOAL: Final = 1 / 5
LONGER: Final = 3
LONGER_GOAL: Final = 1.25

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


def run(context: BenchContext) -> Iterator[Result]:
    yield from _by_volume(context, context.template())
    yield from _by_history(context)


def _by_volume(context: BenchContext, template: Template) -> Iterator[Result]:
    with context.clone(template) as url, connect(url, application="bench") as connection:
        subject = _Subject(url, connection, template.last)
        first = subject.first()
        found = alternating(
            {
                "specified": subject.specified,
                "full": subject.full,
                "changed": subject.changed,
                "changed, full": subject.changed_in_full,
            },
            repetitions=context.sizes.repetitions,
        )
    yield Result.comparing(
        found["full"],
        found["specified"],
        name="storage_full",
        work="storage, recomputed in full",
        against="the specification's function",
        goal=FULL_GOAL,
        size=template.size,
    )
    yield Result(
        name="storage_first",
        work="storage, computed for the first time",
        against="the specification's function",
        unit="s",
        ours=first,
        reference=found["specified"].median,
        goal=None,
        n=1,
        spread=0.0,
        size=template.size,
        note="it also writes the rollup, which later runs compare with",
    )
    yield _changed_against_full(
        found["changed"], found["changed, full"], "storage_changed", template
    )


def _by_history(context: BenchContext) -> Iterator[Result]:
    """Months of a third of the size, so that the longer history is no larger than the rest."""
    sizes = context.sizes
    templates = {
        name: context.template(months=months, segments_per_month=sizes.segments_per_month // LONGER)
        for name, months in (("short", sizes.months), ("long", LONGER * sizes.months))
    }
    with ExitStack() as stack:
        subjects: dict[str, Callable[[], float]] = {}
        for name, template in templates.items():
            url = stack.enter_context(context.clone(template))
            connection = stack.enter_context(connect(url, application="bench"))
            subject = _Subject(url, connection, template.last)
            subject.first()
            subjects |= {name: subject.changed, f"{name}, full": subject.changed_in_full}
        found = alternating(subjects, repetitions=sizes.repetitions)
    long = templates["long"]
    yield Result.comparing(
        found["long"],
        found["short"],
        name="storage_changed_by_history",
        work=f"storage after one month changed, {long.months} months of history",
        against=f"{templates['short'].months} months of history",
        goal=LONGER_GOAL,
        size=long.size,
    )
    yield _changed_against_full(found["long"], found["long, full"], "storage_changed_long", long)


def _changed_against_full(changed: Samples, full: Samples, name: str, of: Template) -> Result:
    return Result.comparing(
        changed,
        full,
        name=name,
        work=f"storage after one month of {of.months} changed",
        against="the same, recomputed in full",
        goal=CHANGED_GOAL,
        size=of.size,
    )


@dataclass(frozen=True, slots=True)
class _Subject:
    """One database, whose storage is recomputed again and again; ``month`` is the one to edit."""

    url: str
    connection: Connection
    month: Month
    turns: Iterator[int] = field(default_factory=lambda: cycle(range(32)))

    def first(self) -> float:
        """Seconds of the first recomputation, which writes the whole rollup."""
        took = seconds(self.recompute_everything)
        # Autovacuum would come by before the next one.
        self.connection.execute("VACUUM ANALYZE")
        return took

    def specified(self) -> float:
        """Seconds of the specification's statement."""
        self._spoil()
        return seconds(lambda: self.connection.execute(_SPECIFIED))

    def full(self) -> float:
        """Seconds of a full recomputation and of writing its totals."""
        self._spoil()
        return seconds(self.recompute_everything)

    def changed(self) -> float:
        """Seconds of recomputing and writing after an edit of the month, by its signals."""
        self._edit()
        found: list[Recomputation] = []
        took = seconds(lambda: found.append(self._recompute_changed()))
        assert [month.month for month in found[0].counted] == [self.month], found
        return took

    def changed_in_full(self) -> float:
        """Seconds of the same, counting every month."""
        self._edit()
        return seconds(self.recompute_everything)

    def recompute_everything(self) -> Recomputation:
        done = recompute_everything(
            self.connection, self._session, readers=_READERS, run_id="bench"
        )
        self._publish()
        return done

    def _recompute_changed(self) -> Recomputation:
        done = recompute_changed(self.connection, self._session, readers=_READERS, run_id="bench")
        self._publish()
        return done

    def _publish(self) -> None:
        for publish in (publish_families, publish_users):
            publish(self.connection, batch_rows=_BATCH_ROWS, lock_wait_ms=_LOCK_WAIT_MS)

    def _session(self) -> Connection:
        return connect(self.url, application="bench, reading")

    def _spoil(self) -> None:
        self.connection.execute("UPDATE families SET storage_used_bytes = -1")
        self.connection.execute("VACUUM families")

    def _edit(self) -> None:
        self._publish()  # what the specification's statement wrote is not this edit's
        values = {"start": self.month.start, "end": self.month.end, "turn": next(self.turns)}
        self.connection.execute(_EDIT, values)
        # What edits leave behind is autovacuum's to clean, not the recomputation's to read.
        partition = sql.Identifier(partition_name("content_segments", self.month))
        self.connection.execute(sql.SQL("VACUUM ANALYZE {}").format(partition))
