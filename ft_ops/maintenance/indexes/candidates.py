"""Which indexes are worth a rebuild, and in which order."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ft_ops.errors import OpsError
from ft_ops.maintenance.gates import Rewrite
from ft_ops.maintenance.indexes.bloat import Estimate
from ft_ops.maintenance.indexes.catalog import IndexState
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

LEFTOVER_NAME: Final = re.compile(r"(?P<stem>.*)_cc(?:new|old)\d*", re.DOTALL)
"""How REINDEX CONCURRENTLY names the index that it builds, and the one that it replaces."""

_COMPUTED: Final = frozenset({"range probe", "density"})
_UNCERTAIN_FACTOR: Final = 2
_DEFAULT_RATE: Final = 30_000_000.0
_SECONDS_FOR_WAITS: Final = 2.0


@dataclass(frozen=True, slots=True)
class RebuildRules:
    """When an index is worth a rebuild. Uncertain estimates must promise twice the share."""

    min_bytes: int
    min_share: float
    min_reclaimable_bytes: int
    cooldown: timedelta


@dataclass(frozen=True, slots=True)
class RebuildCandidate:
    """An index to rebuild: the bytes to read and write for it, and the seconds that should take.

    ``rests_until`` is in the future when it was rebuilt too short a time ago.
    """

    estimate: Estimate
    work_bytes: int
    predicted_seconds: float
    rests_until: datetime | None = None

    @property
    def index(self) -> IndexState:
        return self.estimate.index

    @property
    def new_bytes(self) -> int:
        """The size to expect; the present one where nothing better is known."""
        return self.estimate.estimated_bytes or self.index.bytes

    @property
    def rewrite(self) -> Rewrite:
        """What the gates ask of it."""
        return Rewrite(
            self.index.table_oid, self.new_bytes, self.predicted_seconds, self.rests_until
        )

    @property
    def bytes_per_second(self) -> float:
        return self.estimate.reclaimable_bytes / self.predicted_seconds


def candidates(
    connection: Connection,
    estimates: Sequence[Estimate],
    rules: RebuildRules,
    named: Collection[str],
    now: datetime,
) -> list[RebuildCandidate]:
    """The bloated indexes, by bytes reclaimed a predicted second; or those ``named``.

    Named ones need be neither bloated nor at rest for long enough; but they must be such as can be
    rebuilt concurrently: OpsError otherwise.
    """
    rate = _rate(connection)
    if named:
        chosen = [_candidate(estimate, rate) for estimate in _named(estimates, named)]
    else:
        rebuilt = _last_rebuilds(connection)
        chosen = [
            _candidate(estimate, rate, _rests_until(estimate.index, rebuilt, rules.cooldown, now))
            for estimate in estimates
            if unfit(estimate.index) is None and is_bloated(estimate, rules)
        ]
    return sorted(chosen, key=lambda c: (-c.bytes_per_second, c.index.qualified_name))


def is_bloated(estimate: Estimate, rules: RebuildRules) -> bool:
    """Whether a rebuild of an index pays by the rules' sizes and shares.

    Never by a ratio to its best days alone: that says nothing of what a build would make of it
    today, and there are GIN indexes that were larger after one.
    """
    if estimate.method not in _COMPUTED:
        return False
    least_share = rules.min_share * (1 if estimate.is_certain else _UNCERTAIN_FACTOR)
    return (
        estimate.index.bytes >= rules.min_bytes
        and estimate.reclaimable_bytes >= rules.min_reclaimable_bytes
        and estimate.reclaimable_share >= least_share
    )


def unfit(index: IndexState) -> str | None:
    """Why an index can't or shouldn't be rebuilt concurrently, None when it can."""
    objections = {
        "it is a partitioned index: name those of its partitions": index.is_partitioned,
        "it belongs to a temporary table": index.is_temporary,
        "PostgreSQL can't rebuild an exclusion constraint concurrently": index.is_exclusion,
        "a BRIN index is summarized, not rebuilt": index.method == "brin",
        "it looks like the leftover of a rebuild, and a rebuild would make it permanent": (
            LEFTOVER_NAME.fullmatch(index.name) is not None
        ),
        "it is invalid": not index.is_valid,
    }
    return next((reason for reason, applies in objections.items() if applies), None)


def _named(estimates: Sequence[Estimate], named: Collection[str]) -> list[Estimate]:
    by_name = {name: estimate for estimate in estimates for name in estimate.index.names}
    unknown = sorted(name for name in set(named) if name not in by_name)
    if unknown:
        raise OpsError(
            f"indexes {', '.join(unknown)}",
            cause="no valid index of a table or partition has that name",
            next_step="name indexes of public plainly, others as schema.index; of a partitioned "
            "index, name those of its partitions",
        )
    chosen = {by_name[name].index.oid: by_name[name] for name in named}
    for estimate in chosen.values():
        reason = unfit(estimate.index)
        if reason:
            raise OpsError(
                f"index {estimate.index.qualified_name}",
                cause=reason,
                next_step="leave it out of the list",
            )
    return list(chosen.values())


def _candidate(
    estimate: Estimate, rate: float, rests_until: datetime | None = None
) -> RebuildCandidate:
    index = estimate.index
    new_bytes = estimate.estimated_bytes or index.bytes
    # The build and its validation each read the table once; the new index is written and read.
    work = 2 * index.table_bytes + 2 * new_bytes
    return RebuildCandidate(estimate, work, _SECONDS_FOR_WAITS + work / rate, rests_until)


def _rate(connection: Connection) -> float:
    rate = one_row(connection.execute(statement("maintenance/rebuild_rate")))[0]
    return float(rate) if rate is not None else _DEFAULT_RATE


def _last_rebuilds(connection: Connection) -> dict[tuple[str, str], datetime]:
    rows = connection.execute(statement("maintenance/last_rebuilds")).fetchall()
    return {(schema, name): finished_at for schema, name, finished_at in rows}


def _rests_until(
    index: IndexState,
    rebuilt: Mapping[tuple[str, str], datetime],
    cooldown: timedelta,
    now: datetime,
) -> datetime | None:
    finished_at = rebuilt.get((index.schema, index.name))
    if finished_at is None or finished_at + cooldown <= now:
        return None
    return finished_at + cooldown
