"""What happened to each table within the last weeks, by looks at the server's own counters.

The server counts since its beginning, and begins anew after a crash or a reset. So each day's
counters are kept, and the weeks are what lies between two looks without a new beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise, takewhile
from typing import Final

from psycopg.rows import class_row

from ft_ops.clock import MOST_CLOCK_SKEW, other_clock
from ft_ops.maintenance.indexes.btree import PAGE
from ft_ops.maintenance.tables.horizon import LONG_SECONDS, HorizonHolder, horizon_holders
from ft_ops.maintenance.tables.limits import with_settings
from ft_ops.pg.connect import Connection, server_time
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

WEEKS: Final = timedelta(weeks=4)
_LEAST_BYTES: Final = 8 << 20
"""Smaller tables are not looked at: whatever they are set to costs nothing."""


@dataclass(frozen=True, slots=True)
class TableLook:
    """One look at one table, with its size and settings as they are today. Sizes in bytes.

    ``vacuum_settings`` and ``fillfactor_then`` are what it was set to then, None where nobody took
    note. ``off_by`` names what keeps autovacuum away; ``rests`` is false where it takes no rests.
    """

    oid: int
    schema: str
    name: str
    parent_name: str
    heap_bytes: int
    fillfactor: int
    threshold: float
    scale: float
    cost_limit: int
    off_by: str
    rests: bool
    vacuum_settings: str | None
    fillfactor_then: int | None
    looked_at: datetime
    live_rows: int
    dead_rows: int
    updated: int
    hot_updated: int
    newpage_updated: int | None
    deleted: int
    autovacuums: int
    vacuum_trigger: float
    was_held_back: bool

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def dead_share(self) -> float:
        """Dead rows as a share of all."""
        return self.dead_rows / max(1, self.live_rows + self.dead_rows)

    def began_anew(self, before: TableLook) -> bool:
        """Whether the counters were reset since an earlier look."""
        counters = ("updated", "hot_updated", "deleted", "autovacuums")
        return any(getattr(self, name) < getattr(before, name) for name in counters)


@dataclass(frozen=True, slots=True)
class Activity:
    """The looks at one table since its counters last began, oldest first; never empty."""

    looks: tuple[TableLook, ...]

    @property
    def first(self) -> TableLook:
        return self.looks[0]

    @property
    def last(self) -> TableLook:
        return self.looks[-1]

    def since_set(self, setting: str) -> Activity:
        """The looks at which an attribute was what it is today."""
        today = getattr(self.last, setting)
        same = takewhile(lambda look: getattr(look, setting) == today, reversed(self.looks))
        return Activity(tuple(same)[::-1])

    @property
    def days(self) -> float:
        return (self.last.looked_at - self.first.looked_at) / timedelta(days=1)

    @property
    def updated(self) -> int:
        return self.last.updated - self.first.updated

    @property
    def hot_updated(self) -> int:
        return self.last.hot_updated - self.first.hot_updated

    @property
    def newpage_updated(self) -> int | None:
        """Updates that found no room on their row's page; None where the server doesn't count."""
        if self.last.newpage_updated is None or self.first.newpage_updated is None:
            return None
        return self.last.newpage_updated - self.first.newpage_updated

    @property
    def died(self) -> int:
        """Rows that were updated or deleted: each leaves a dead one."""
        return self.updated + self.last.deleted - self.first.deleted

    @property
    def autovacuums(self) -> int:
        return self.last.autovacuums - self.first.autovacuums


def note_activity(connection: Connection, now: datetime) -> None:
    """Take a look at every larger table; ``now`` is what the server's clock says."""
    row = one_row(connection.execute(statement("maintenance/ids_at_last_look"), {"now": now}))
    next_xid, then, seconds = row
    per_second = None if then is None else (next_xid - then) / seconds
    connection.execute(
        with_settings("maintenance/note_activity"),
        {
            "now": now,
            "least_pages": _LEAST_BYTES // PAGE,
            "is_held_back": is_held_back(
                horizon_holders(connection), connection.info.dbname, per_second
            ),
            "next_xid": next_xid,
        },
    )


def forget_activity(connection: Connection, now: datetime) -> None:
    """Forget looks that nobody asks for any more, unless nobody knows how old they are.

    ``now`` is what this machine's clock says.
    """
    server = server_time(connection)
    if other_clock(now, server) is None:
        oldest = server - 2 * WEEKS
        connection.execute(statement("maintenance/forget_activity"), {"before": oldest})


def is_held_back(
    holders: Iterable[HorizonHolder], database: str, ids_per_second: float | None
) -> bool:
    """Whether dead rows of a database's tables have been kept for an hour by somebody.

    A replica does not say for how long it has: that is told by the ids that were taken meanwhile,
    at the rate since an earlier look. Without one, it may have been for long.
    """
    return any(
        holder.is_long
        if holder.seconds is not None or ids_per_second is None
        else holder.age > LONG_SECONDS * ids_per_second
        for holder in holders
        if holder.holds(database, catalogs=False)
    )


def activity(connection: Connection, now: datetime) -> list[Activity]:
    """What is known of each table that is there, of the last weeks."""
    with connection.cursor(row_factory=class_row(TableLook)) as cursor:
        looks = cursor.execute(
            with_settings("maintenance/activity"),
            {"since": now - WEEKS, "until": now + MOST_CLOCK_SKEW},
        ).fetchall()
    return [_since_the_last_beginning(list(of)) for _, of in groupby(looks, key=lambda x: x.oid)]


def _since_the_last_beginning(looks: Sequence[TableLook]) -> Activity:
    begins = [n for n, pair in enumerate(pairwise(looks), 1) if pair[1].began_anew(pair[0])]
    return Activity(tuple(looks[begins[-1] if begins else 0 :]))


def worst_of_each_parent(
    found: Iterable[tuple[float, TableLook, str]],
) -> list[tuple[TableLook, str, int]]:
    """Of what was found of the partitions of one table, the worst, and how many more there are.

    The first of each that is given is how bad it is, the last the words.
    """
    kept: dict[tuple[str, str], list[tuple[float, TableLook, str]]] = {}
    for entry in found:
        look = entry[1]
        kept.setdefault((look.schema, look.parent_name or look.name), []).append(entry)
    worst = [(max(of, key=lambda e: e[0]), len(of) - 1) for of in kept.values()]
    return [(look, words, others) for (_, look, words), others in worst]
