"""What was promised of the backups, and whether the inventory keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Literal

from ft_ops.backups.inventory.ages import is_late, is_stale
from ft_ops.backups.inventory.copy import Gap
from ft_ops.backups.inventory.doubts import doubts
from ft_ops.backups.inventory.inventory import Inventory, Item
from ft_ops.backups.provider import LogState
from ft_ops.backups.retention.retention import Rules, firsts, tiers

Severity = Literal["WARN", "ERROR"]

GLACIER_CLASSES = frozenset({"GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"})


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise and the facts about it. ``broken`` is empty when it is kept."""

    name: str
    kept: str
    broken: tuple[str, ...]
    severity: Severity = "ERROR"

    @property
    def is_kept(self) -> bool:
        return not self.broken

    @property
    def description(self) -> str:
        return "; ".join(self.broken) or self.kept


def inventory_promises(
    inventory: Inventory, rules: Rules, *, replicates: bool, replica_lag: timedelta
) -> list[Promise]:
    """Every promise that the inventory can answer, in the order of the specification."""
    return [
        full_backup_daily(inventory, rules),
        increment_every_six_hours(inventory),
        backups_verified(inventory, rules),
        retention_ladder(inventory, rules),
        disaster_recovery_copy(inventory, replicates=replicates, lag=replica_lag),
        glacier_tier(inventory, rules),
        only_whole_backups(inventory),
        compared_by_drills(inventory),
    ]


def full_backup_daily(inventory: Inventory, rules: Rules) -> Promise:
    """A full backup each day, the newest at most 26 hours old."""
    fulls = inventory.whole("full")
    return Promise(
        "full_backup_daily",
        kept=f"the newest is {_age(inventory, fulls)} old, and no day is missing",
        broken=tuple(_missing_fulls(inventory, fulls, rules)),
    )


def increment_every_six_hours(inventory: Inventory) -> Promise:
    """A point to restore to every six hours over the last day."""
    points = inventory.whole("full", "increment")
    return Promise(
        "increment_every_six_hours",
        kept=f"the newest point is {_age(inventory, points)} old, and none is missing since "
        "yesterday",
        broken=tuple(_gaps(inventory, points)),
    )


def backups_verified(inventory: Inventory, rules: Rules) -> Promise:
    """The newest verified full is young enough, and nothing is refuted, lost or undecided."""
    verified = [item for item in inventory.whole("full") if item.trust == "verified"]
    broken = []
    if not verified:
        broken.append("no full backup was ever restored and found whole: run restore_drill")
    elif is_stale(_moment(verified[-1]), inventory.taken_at, rules.stale):
        broken.append(
            f"the newest verified full, {verified[-1].name}, is {_age(inventory, verified)} old"
        )
    for item in inventory.items:
        if item.entry is not None:
            broken += doubts(item.entry, item.problem)
    lost = (str(refutation) for refutation in inventory.lost_refutations)
    broken += [words for words in lost if words not in broken]
    return Promise(
        "backups_verified",
        kept=f"{len(verified)} fulls are verified, the newest is {_age(inventory, verified)} old",
        broken=tuple(broken),
    )


def retention_ladder(inventory: Inventory, rules: Rules) -> Promise:
    """A verified full for each of the last days, weeks and months since there are backups."""
    verified = [c for c in inventory.candidates if c.kind == "full" and c.trust == "verified"]
    missing = []
    counts = []
    for name, places, period in tiers(rules):
        have = firsts(verified, places, period)
        counts.append(f"{len(have)} of {places} {name}s")
        wanted = _past_periods(inventory, places, period)
        # A ladder that is full reaches back as far as it must, and no further.
        oldest = min(have, default="") if len(have) == places else ""
        missing += [
            f"no verified full of {name} {label}"
            for label in wanted - have.keys()
            if label > oldest
        ]
    return Promise(
        "retention_ladder",
        kept=f"the ladder holds {', '.join(counts)}",
        broken=tuple(sorted(missing)),
    )


def disaster_recovery_copy(inventory: Inventory, *, replicates: bool, lag: timedelta) -> Promise:
    """The newest full that is older than the lag has a whole copy in the other region."""
    name = "disaster_recovery_copy"
    if not replicates:
        problem = "no copy is kept in another region: set FT_DR_BUCKET (or FT_DR_REGION on RDS)"
        return Promise(name, kept="", broken=(problem,), severity="WARN")
    fulls = inventory.whole("full")
    copied = [f for f in fulls if f.replica is not None and f.replica.problem is None]
    broken = [
        f"{full.name}: {_replica_problem(full)}"
        for full in fulls
        if full not in copied and inventory.taken_at - _moment(full) > lag
    ]
    broken += _gap_lines([g for g in inventory.copy_gaps if inventory.taken_at - g.since > lag])
    if copied and inventory.taken_at - _moment(copied[-1]) > lag:
        broken.append(f"the newest copy, {copied[-1].name}, is {_age(inventory, copied)} old")
    if not copied and not broken:
        broken = ["no full backup has a copy yet"] if fulls else ["there is no full backup"]
    return Promise(
        name,
        kept=f"{len(copied)} of {len(fulls)} fulls have their copy, the newest is "
        f"{_age(inventory, copied)} old",
        broken=tuple(broken),
    )


def glacier_tier(inventory: Inventory, rules: Rules) -> Promise:
    """A proven dump in a Glacier class for each month since there are backups."""
    dumps = inventory.whole("dump")
    have = {f"{_moment(dump):%Y-%m}" for dump in dumps}
    months = _past_periods(inventory, rules.months, lambda moment: f"{moment:%Y-%m}")
    # Dumps are taken on a month's first day: the month that the backups began in may have none,
    # and this month's may be under way.
    wanted = months - {min(months, default=""), f"{inventory.taken_at:%Y-%m}"}
    broken = [f"no dump of {month}" for month in sorted(wanted - have)]
    broken += [
        f"{dump.name} is in {', '.join(dump.storage_classes)}"
        for dump in dumps
        if not GLACIER_CLASSES & set(dump.storage_classes)
    ]
    return Promise(
        "glacier_tier",
        kept=f"{len(dumps)} monthly dumps are in Glacier",
        broken=tuple(broken),
    )


def only_whole_backups(inventory: Inventory) -> Promise:
    """Nothing that failed, broke, disappeared, or belongs to another cluster."""
    return Promise(
        "only_whole_backups",
        kept=f"{len(inventory.items)} backups, all whole",
        broken=tuple(f"{item.name}: {item.problem}" for item in inventory.broken),
        severity="WARN",
    )


def compared_by_drills(inventory: Inventory) -> Promise:
    """Nothing stays out of every comparison: a damage there would be found by nobody."""
    others = ""
    if inventory.databases:
        others = (
            f"; of {', '.join(inventory.databases)} no rows, but indexes and tables with each other"
        )
    return Promise(
        "compared_by_drills",
        kept=f"every table, sequence and role is compared{others}",
        broken=inventory.uncompared,
        severity="WARN",
    )


def log_promises(state: LogState, lag_seconds: float, *, has_backups: bool) -> list[Promise]:
    """The archived log is recent, and it has no holes.

    Before the first backup it need not reach the archive yet: without one it restores nothing.
    """
    lag = []
    kept = f"{state.lag_seconds:.0f} s behind"
    if state.restorable_to is None and not has_backups:
        kept = "nothing of the log is in the archive yet, and no backup needs it"
    elif state.restorable_to is None:
        lag.append("nothing of the log is in the archive")
    elif state.lag_seconds > lag_seconds:
        lag.append(
            f"the archive ends at {state.restorable_to:%F %T}Z, {state.lag_seconds:.0f} s ago, "
            f"and {lag_seconds:.0f} s are allowed"
        )
    return [
        Promise("wal_lag", kept=kept, broken=tuple(lag)),
        Promise("wal_continuity", kept="no hole, no stray timeline", broken=state.problems),
    ]


def _missing_fulls(inventory: Inventory, fulls: Sequence[Item], rules: Rules) -> Iterator[str]:
    if not fulls:
        yield "there is no full backup: run full_backup"
        return
    if is_late("full", _moment(fulls[-1]), inventory.taken_at):
        yield f"the newest, {fulls[-1].name}, is {_age(inventory, fulls)} old"
    days = {_day(_moment(full)) for full in fulls}
    for label in sorted(_past_periods(inventory, rules.days - 1, _day) - days):
        yield f"no full backup of {label}"


def _gaps(inventory: Inventory, points: Sequence[Item]) -> Iterator[str]:
    since = inventory.taken_at - timedelta(days=1)
    moments = [_moment(point) for point in points]
    before = [moment for moment in moments if moment < since][-1:]
    chain = [*before, *(moment for moment in moments if moment >= since), inventory.taken_at]
    if len(chain) == 1:
        yield "there is no point to restore to: run incremental_backup"
    for earlier, later in pairwise(chain):
        if is_late("increment", earlier, later):
            yield f"no point between {earlier:%F %T}Z and {later:%F %T}Z"


def _past_periods(inventory: Inventory, places: int, period: Callable[[datetime], str]) -> set[str]:
    """The newest ``places`` periods up to yesterday's, since the first backup that counts.

    Today's is left out: its backup, or its proof, may still come.
    """
    whole = inventory.whole("full")
    found: set[str] = set()
    moment = inventory.taken_at - timedelta(days=1)
    while whole and len(found) < places and moment >= _moment(whole[0]):
        found.add(period(moment))
        moment -= timedelta(days=1)
    return found


def _gap_lines(gaps: Sequence[Gap]) -> list[str]:
    """What the copy lacks, folder by folder, each by its first object."""
    lines = []
    for folder, group in groupby(sorted(gaps, key=lambda gap: gap.key), key=lambda g: g.folder):
        first, *others = group
        more = f", and {len(others)} more of {folder}" if others else ""
        lines.append(f"{first.key} {first.problem}{more}")
    return lines


def _replica_problem(item: Item) -> str:
    return (item.replica.problem if item.replica is not None else None) or "it has no copy"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _age(inventory: Inventory, items: Sequence[Item]) -> str:
    if not items:
        return "(none)"
    hours = (inventory.taken_at - _moment(items[-1])).total_seconds() / 3600
    return f"{hours:.1f} h"


def _moment(item: Item) -> datetime:
    assert item.taken_at is not None
    return item.taken_at
