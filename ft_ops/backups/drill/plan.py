"""What a drill restores, and to whose point."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ft_ops.backups.inventory.ledger import Entry
from ft_ops.errors import Refused


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """Which full to restore, and to whose point: its own, or a later increment's."""

    backup: Entry
    target: Entry


def newest_plan(entries: Sequence[Entry], *, by_log: bool = True) -> DrillPlan:
    """The newest full, to the newest point behind it; to its own where no log leads from it.

    Refused when there is no full.
    """
    newest = _fulls(entries)[-1]
    if not by_log:
        return DrillPlan(backup=newest, target=newest)
    points = [entry for entry in entries if _is_usable(entry) and entry.kind != "dump"]
    return DrillPlan(backup=newest, target=points[-1])


def moment_plan(entries: Sequence[Entry]) -> DrillPlan | None:
    """The newest increment, by the provider's own way to that moment; None without one.

    For providers that reach no increment from a full: what they restore is no backup of ours.
    """
    increments = [e for e in entries if _is_usable(e) and e.kind == "increment"]
    fulls = [e for e in entries if _is_usable(e) and e.kind == "full"]
    return DrillPlan(backup=fulls[-1], target=increments[-1]) if increments and fulls else None


def files_plan(entries: Sequence[Entry]) -> DrillPlan | None:
    """The newest increment that has files of its own, by those; None without one.

    The log leads to its point from a full as well, and shows nothing of them.
    """
    found = [e for e in entries if _is_usable(e) and e.kind == "increment" and e.needs]
    return DrillPlan(backup=found[-1], target=found[-1]) if found else None


def older_plan(entries: Sequence[Entry], chance: random.Random) -> DrillPlan:
    """Any full but the newest, if there is another, to its own point. Refused without a full."""
    fulls = _fulls(entries)
    chosen = chance.choice(fulls[:-1] or fulls)
    return DrillPlan(backup=chosen, target=chosen)


def named_plan(entries: Sequence[Entry], name: str, *, by_log: bool = True) -> DrillPlan:
    """A plan for a named full, to its own point, or an increment, from the last full before it.

    Where no log leads from a full, or where it has files of its own, an increment is restored
    itself.
    """
    usable = [entry for entry in entries if _is_usable(entry)]
    target = next((entry for entry in usable if entry.name == name), None)
    if target is None or target.kind == "dump":
        raise Refused(
            f"restore drill of {name}",
            cause="there is no complete full backup or increment of that name",
            next_step="take a name from backup_inventory",
        )
    if not by_log or target.needs:
        return DrillPlan(backup=target, target=target)
    fulls = [entry for entry in usable[: usable.index(target) + 1] if entry.kind == "full"]
    if not fulls:
        raise Refused(
            f"restore drill of {name}",
            cause="the full backups before it are gone",
            next_step="choose a later increment",
        )
    return DrillPlan(backup=fulls[-1], target=target)


def _is_usable(entry: Entry) -> bool:
    return entry.state == "complete"


def _fulls(entries: Sequence[Entry]) -> list[Entry]:
    fulls = [entry for entry in entries if _is_usable(entry) and entry.kind == "full"]
    if not fulls:
        raise Refused(
            "restore drill",
            cause="there is no complete full backup",
            next_step="run full_backup first; if there should be one, see backup_inventory",
        )
    return fulls
