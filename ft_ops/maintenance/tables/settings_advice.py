"""Settings of tables that the last weeks speak for. Shown with their evidence, never applied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ft_ops.format import human_bytes
from ft_ops.maintenance.tables.activity import Activity, TableLook, worst_of_each_parent
from ft_ops.pg.sqlfiles import quoted

LEAST_DAYS: Final = 13.5
"""Less is no evidence: a week may be a release, or a holiday."""

_LEAST_HEAP_BYTES: Final = 100 * 10**6
_DEAD_SHARE: Final = 0.1
_RARE: Final = 1 / 7
"""Autovacuums a day: rarer than once a week."""

_BEHIND: Final = 2.0
_BEHIND_LOOKS: Final = 0.5
_FEWEST_LOOKS: Final = 7
_MOST_COST: Final = 10_000
"""More than that the server does not take."""

_LEAST_UPDATES: Final = 10_000
_HOT_SHARE: Final = 0.8
_NO_ROOM_SHARE: Final = 0.3
_LEAST_FILLFACTOR: Final = 70
_VERSIONS_OF_ROOM: Final = 2
_PAGE_BYTES: Final = 8168


@dataclass(frozen=True, slots=True)
class SettingAdvice:
    """One setting that would help a table: why, in words, and the statement to set it."""

    table: str
    setting: str
    evidence: str
    statement: str


def settings_advice(found: Iterable[Activity]) -> list[SettingAdvice]:
    """What to set, table by table; of a table's partitions the one that needs it most.

    A table that is younger than two weeks, or whose counters are, has no evidence yet.
    """
    known = [a for a in found if a.days >= LEAST_DAYS]
    return sorted(
        [*_scale_factors(known), *_cost_limits(known), *_fillfactors(known)],
        key=lambda advice: (advice.table, advice.setting),
    )


def _scale_factors(found: Iterable[Activity]) -> list[SettingAdvice]:
    """Tables that autovacuum comes to so rarely that a tenth of them and more is dead meanwhile."""
    entries = []
    values = {}
    for table in found:
        look, peak = table.last, max(table.looks, key=lambda x: x.dead_share)
        daily = table.died / table.days
        value = max(0.001, _two_digits((daily - look.threshold) / max(1, look.live_rows)))
        if (
            look.heap_bytes >= _LEAST_HEAP_BYTES
            and peak.dead_share >= _DEAD_SHARE
            and not peak.was_held_back
            and table.autovacuums / table.days < _RARE
            and value < look.scale / 2
        ):
            entries.append((peak.dead_share * look.heap_bytes, look, _rare_words(table, peak)))
            values[look.oid] = f"{value:g}"
    return [
        _advice(look, "autovacuum_vacuum_scale_factor", values[look.oid], evidence, others)
        for look, evidence, others in worst_of_each_parent(entries)
    ]


def _rare_words(table: Activity, peak: TableLook) -> str:
    dead = human_bytes(peak.dead_share * table.last.heap_bytes)
    return (
        f"{table.died / table.days:,.0f} rows a day died, autovacuum came {table.autovacuums} "
        f"times in {table.days:.0f} days, and on {peak.looked_at:%Y-%m-%d} {peak.dead_share:.0%} "
        f"of the rows were dead, {dead}; with this it comes about once a day"
    )


def _cost_limits(found: Iterable[Activity]) -> list[SettingAdvice]:
    """Tables that autovacuum works on and does not get done, while nobody holds dead rows."""
    entries = []
    for table in found:
        free = [look for look in table.looks if not look.was_held_back]
        behind = [look for look in free if look.dead_rows > _BEHIND * look.vacuum_trigger]
        if (
            table.last.heap_bytes >= _LEAST_HEAP_BYTES
            and len(free) >= _FEWEST_LOOKS
            and len(behind) >= _BEHIND_LOOKS * len(free)
            and table.autovacuums / table.days >= _RARE
        ):
            worst = max(behind, key=lambda x: x.dead_rows / max(1.0, x.vacuum_trigger))
            words = (
                f"autovacuum came {table.autovacuums} times in {table.days:.0f} days and did not "
                f"keep up: at {len(behind)} of {len(free)} looks more than twice the rows that "
                f"call it were dead, {worst.dead_rows:,} at most, and no old snapshot held them"
            )
            entries.append((float(worst.dead_rows), table.last, words))
    return [
        _advice(
            look,
            "autovacuum_vacuum_cost_limit",
            str(min(_MOST_COST, 2 * look.cost_limit)),
            evidence,
            others,
        )
        for look, evidence, others in worst_of_each_parent(entries)
        if look.cost_limit < _MOST_COST
    ]


def _fillfactors(found: Iterable[Activity]) -> list[SettingAdvice]:
    """Tables whose updates find no room beside their row, and so touch every index.

    Updates of an indexed column do so whatever the fillfactor: the server counts them apart.
    """
    entries = []
    values = {}
    for table in found:
        look, newpage = table.last, table.newpage_updated
        if newpage is None or table.updated < max(_LEAST_UPDATES, 0.1 * look.live_rows):
            continue
        hot, no_room = table.hot_updated / table.updated, newpage / table.updated
        value = _fillfactor_for(look)
        if hot < _HOT_SHARE and no_room >= _NO_ROOM_SHARE and value < look.fillfactor:
            words = (
                f"of {table.updated:,} updates in {table.days:.0f} days {hot:.0%} were HOT, and "
                f"{no_room:.0%} found no room on their page; with this a page has room for two "
                "new versions, once it was written anew"
            )
            entries.append((float(newpage), look, words))
            values[look.oid] = str(value)
    return [
        _advice(look, "fillfactor", values[look.oid], evidence, others)
        for look, evidence, others in worst_of_each_parent(entries)
    ]


def _fillfactor_for(look: TableLook) -> int:
    """Room on each page for two more rows of the average width."""
    width = look.heap_bytes / max(1, look.live_rows + look.dead_rows)
    free = round(100 * _VERSIONS_OF_ROOM * width / _PAGE_BYTES)
    return min(95, max(_LEAST_FILLFACTOR, 100 - free))


def _advice(look: TableLook, setting: str, value: str, evidence: str, others: int) -> SettingAdvice:
    table = quoted(look.schema, look.name)
    more = f"; likewise {others} more partitions of {look.parent_name}" if others else ""
    return SettingAdvice(
        look.qualified_name,
        setting,
        f"{evidence}{more}",
        f"ALTER TABLE {table} SET ({setting} = {value})",
    )


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
