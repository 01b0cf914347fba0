"""Which tables are worth writing anew, by what means, and what that takes. Nothing is done here."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ft_ops.format import human_bytes, human_duration
from ft_ops.maintenance.tables.table_bloat import TableEstimate
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import quoted, statement

WORTH_SHARE: Final = 0.30
WORTH_BYTES: Final = 100 * 10**6
_REPACK_SINCE: Final = 190_000
_USUAL_RATE: Final = 10e6
"""Bytes a second that are written anew, as long as no rebuild of an index has told."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the server has to write a table anew, and how many bytes a second it writes.

    ``pg_repack`` is the version of that extension, None where the database has none.
    """

    version: int
    pg_repack: str | None
    bytes_per_second: float

    @property
    def is_ours(self) -> bool:
        """Whether the job repack_tables does it, which compares the rows."""
        return self.version < _REPACK_SINCE and self.pg_repack is not None

    def command(self, schema: str, name: str) -> str:
        """What writes a table anew, as it is typed."""
        table = quoted(schema, name)
        if self.version >= _REPACK_SINCE:
            return f"REPACK (CONCURRENTLY) {table}"
        if self.is_ours:
            return f"the job repack_tables, which runs pg_repack --table={shlex.quote(table)}"
        return "pg_repack, which this database does not have: VACUUM FULL would shut everybody out"


@dataclass(frozen=True, slots=True)
class Advice:
    """A table to write anew: what that frees, how it is done, and what it takes meanwhile.

    The new table and its new indexes stand beside the old ones until these are dropped.
    """

    estimate: TableEstimate
    command: str
    needs_bytes: int
    seconds: float

    @property
    def words(self) -> str:
        table = self.estimate.table
        return (
            f"{table.qualified_name}: {human_bytes(self.estimate.reclaimable_bytes)} of "
            f"{human_bytes(table.bytes)} ({self.estimate.reclaimable_share:.0%}) would be free; by "
            f"{self.command}; it needs {human_bytes(self.needs_bytes)} of disk meanwhile, and some "
            f"{human_duration(self.seconds)}"
        )


def is_worth_it(estimate: TableEstimate) -> bool:
    """Whether so much would be free, for certain, that somebody should plan it."""
    return (
        estimate.is_certain
        and estimate.reclaimable_bytes >= WORTH_BYTES
        and estimate.reclaimable_share >= WORTH_SHARE
    )


def means_of(connection: Connection) -> Means:
    """The means of this server, and the speed that rebuilds of its indexes had."""
    row = one_row(connection.execute(statement("maintenance/repack_means")))
    rate = one_row(connection.execute(statement("maintenance/rebuild_rate")))[0]
    return Means(row[0], row[1], float(rate) if rate is not None else _USUAL_RATE)


def repack_advice(estimates: Iterable[TableEstimate], means: Means) -> list[Advice]:
    """Those that are worth it, the most to gain first."""
    found = [advice_of(estimate, means) for estimate in filter(is_worth_it, estimates)]
    return sorted(found, key=lambda advice: -advice.estimate.reclaimable_bytes)


def advice_of(estimate: TableEstimate, means: Means) -> Advice:
    """What writing one table anew takes; its present size where no better one is known."""
    table = estimate.table
    anew = table.bytes if estimate.estimated_bytes is None else estimate.estimated_bytes
    needs = anew + table.index_bytes
    # It is read to be copied; by our own job once before and once after, too, to compare its rows.
    times_read = 3 if means.is_ours else 1
    seconds = (times_read * table.bytes + needs) / means.bytes_per_second
    return Advice(estimate, means.command(table.schema, table.name), needs, seconds)
