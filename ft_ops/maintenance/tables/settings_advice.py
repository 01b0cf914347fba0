"""Settings of tables that the last weeks speak for. Shown with their evidence, never applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

_SCALE: Final = "autovacuum_vacuum_scale_factor"
_THRESHOLD: Final = "autovacuum_vacuum_threshold"
_LEAST_SCALE: Final = 0.001
_FEW_DAYS: Final = 2.0
_USUAL_THRESHOLD: Final = 50
_OF_THE_SERVER: Final = frozenset({"autovacuum", "track_counts"})

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

    A table that is younger than two weeks, or whose counters or settings are, has no evidence yet:
    what was before a change says nothing of what is set now.
    """
    tables = list(found)
    vacuumed = _known(tables, "vacuum_settings")
    return sorted(
        [
            *_turned_off(vacuumed),
            *_triggers(vacuumed),
            *_cost_limits(vacuumed),
            *_fillfactors(_known(tables, "fillfactor_then")),
        ],
        key=lambda advice: (advice.table, advice.setting),
    )


def _known(tables: Iterable[Activity], setting: str) -> list[Activity]:
    since = [table.since_set(setting) for table in tables]
    return [table for table in since if table.days >= LEAST_DAYS]


def _turned_off(found: Iterable[Activity]) -> list[SettingAdvice]:
    """Tables that autovacuum may not come to, and that are full of dead rows."""
    entries = []
    for table in found:
        look, peak = table.last, _peak(table)
        if look.off_by and _is_full_of_dead_rows(table):
            words = f"autovacuum is kept away, and {_dead_words(table, peak)}"
            entries.append((peak.dead_share * look.heap_bytes, look, words))
    return [
        _advice(look, {look.off_by: "on"}, evidence, others)
        for look, evidence, others in worst_of_each_parent(entries)
    ]


def _triggers(found: Iterable[Activity]) -> list[SettingAdvice]:
    """Tables that autovacuum comes to so rarely that a tenth of them and more is dead meanwhile."""
    entries = []
    values = {}
    for table in found:
        look, peak = table.last, _peak(table)
        value = _trigger_for(look, table.died / table.days)
        is_rare = table.autovacuums / table.days < _RARE
        if not look.off_by and value and is_rare and _is_full_of_dead_rows(table):
            words = f"{_rare_words(table, peak)}; with this it comes {_how_often(table, value)}"
            entries.append((peak.dead_share * look.heap_bytes, look, words))
            values[look.oid] = value
    return [
        _advice(look, values[look.oid], evidence, others)
        for look, evidence, others in worst_of_each_parent(entries)
    ]


def _trigger_for(look: TableLook, daily: float) -> dict[str, str]:
    """What calls autovacuum after so many dead rows; empty where it is about that already.

    A threshold that is most of them, or more, has to go down itself: no factor makes up for it.
    """
    rows = max(1, look.live_rows)
    if look.threshold <= daily / 2:
        scale = max(_LEAST_SCALE, _two_digits((daily - look.threshold) / rows))
        return {_SCALE: f"{scale:g}"} if scale < look.scale / 2 else {}
    threshold = max(_USUAL_THRESHOLD, round(_two_digits(daily / 2)))
    if threshold >= look.threshold / 2:
        return {}
    scale = max(_LEAST_SCALE, _two_digits((daily - threshold) / rows))
    return {_THRESHOLD: str(threshold)} | ({_SCALE: f"{scale:g}"} if scale < look.scale else {})


def _peak(table: Activity) -> TableLook:
    return max(table.looks, key=lambda look: look.dead_share)


def _is_full_of_dead_rows(table: Activity) -> bool:
    """Whether it is large, and a tenth of it and more was dead, and nobody held that."""
    peak = _peak(table)
    return (
        table.last.heap_bytes >= _LEAST_HEAP_BYTES
        and peak.dead_share >= _DEAD_SHARE
        and not peak.was_held_back
    )


def _dead_words(table: Activity, peak: TableLook) -> str:
    dead = human_bytes(peak.dead_share * table.last.heap_bytes)
    return f"on {peak.looked_at:%Y-%m-%d} {peak.dead_share:.0%} of the rows were dead, {dead}"


def _rare_words(table: Activity, peak: TableLook) -> str:
    return (
        f"{table.died / table.days:,.0f} rows a day died, autovacuum came {table.autovacuums} "
        f"times in {table.days:.0f} days, and {_dead_words(table, peak)}"
    )


def _how_often(table: Activity, settings: Mapping[str, str]) -> str:
    """How often these call autovacuum: where few rows die, the least factor still asks for many."""
    look = table.last
    threshold = float(settings.get(_THRESHOLD, look.threshold))
    dead = threshold + float(settings.get(_SCALE, look.scale)) * look.live_rows
    days = dead * table.days / max(1, table.died)
    return "about once a day" if days < _FEW_DAYS else f"after {dead:,.0f} dead rows"


def _cost_limits(found: Iterable[Activity]) -> list[SettingAdvice]:
    """Tables that autovacuum works on and does not get done, while nobody holds dead rows."""
    entries = []
    for table in found:
        free = [look for look in table.looks if not look.was_held_back]
        behind = [look for look in free if look.dead_rows > _BEHIND * look.vacuum_trigger]
        if (
            table.last.heap_bytes >= _LEAST_HEAP_BYTES
            # Without rests no limit slows it down, and it is not called where it is off.
            and table.last.rests
            and not table.last.off_by
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
            {"autovacuum_vacuum_cost_limit": str(min(_MOST_COST, 2 * look.cost_limit))},
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
        _advice(look, {"fillfactor": values[look.oid]}, evidence, others)
        for look, evidence, others in worst_of_each_parent(entries)
    ]


def _fillfactor_for(look: TableLook) -> int:
    """Room on each page for two more rows of the average width."""
    width = look.heap_bytes / max(1, look.live_rows + look.dead_rows)
    free = round(100 * _VERSIONS_OF_ROOM * width / _PAGE_BYTES)
    return min(95, max(_LEAST_FILLFACTOR, 100 - free))


def _advice(
    look: TableLook, settings: Mapping[str, str], evidence: str, others: int
) -> SettingAdvice:
    values = ", ".join(f"{name} = {value}" for name, value in settings.items())
    more = f"; likewise {others} more partitions of {look.parent_name}" if others else ""
    command = f"ALTER TABLE {quoted(look.schema, look.name)} SET ({values})"
    if _OF_THE_SERVER.issuperset(settings):
        command = f"ALTER SYSTEM SET {values}; SELECT pg_reload_conf()"
    return SettingAdvice(look.qualified_name, ", ".join(settings), f"{evidence}{more}", command)


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
