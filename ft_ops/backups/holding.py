"""What a person does to a backup by its name: hold it, release it, give it up.

A hold lies in the bucket, beside what it holds, and in the provider's own way where it has one. To
acknowledge is to say that one has looked at what refuted or broke a backup, and to let retention
delete it; to discard says the same of pieces in the store that no ledger knows. A hole of the log
that is accepted is no news any more, and keeps retention from nothing.
"""

from __future__ import annotations

import re
from datetime import datetime

from ft_ops.backups.claims import claim_bucket, take_over
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import Inventory, Item, first_wal, take_inventory
from ft_ops.backups.points.bucket_records import (
    held_names,
    lift_hold,
    place_hold,
    write_accepted_hole,
)
from ft_ops.backups.providers import Workplace
from ft_ops.backups.retention.deletion import must_be_looked_at
from ft_ops.errors import Refused
from ft_ops.pg.audit import write_audit

_ODD = re.compile(r"[^a-z0-9-]+")


def list_backups(work: Workplace, now: datetime) -> Inventory:
    """Every backup that exists or should, oldest first, as `backup_inventory` lists them."""
    return take_inventory(
        work.connection, work.provider, work.bucket, now=now, log=lambda line: None
    )


def hold_backup(work: Workplace, name: str, *, by: str, reason: str, now: datetime) -> list[str]:
    """Protect a backup and what its restore needs from every deletion; returns their names.

    Refused when there is no such backup, or when it is held already.
    """
    inventory = list_backups(work, now)
    item = _find(inventory, name)
    if item.state in {"deleting", "deleted"}:
        raise _refused(name, "its deletion has begun", "restore it from older versions, if any")
    held = set(held_names(work.bucket))
    if name in held:
        raise _refused(name, "it is held already", "nothing")
    names = [item, *_needed(inventory, item, by_log=work.provider.recovers_by_log)]
    placed = []
    for one in names:
        if one.name in held:
            continue
        why = reason if one is item else f"{name} needs it, which is held: {reason}"
        record = {"backup": one.name, "by": by, "at": now.isoformat(), "reason": why}
        place_hold(work.bucket, one.name, record)
        if _is_going(work, one.name):
            lift_hold(work.bucket, one.name)
            raise _refused(
                one.name,
                "its deletion began at this moment",
                "see `ft-ops backup list`; restore it from older versions, if any",
            )
        if one.stored is not None and one.stored.condition == "complete":
            _in_the_providers_way(work, one, hold=True)
        write_audit(work.connection, "backup_held", "backups", record)
        placed.append(one.name)
    return placed


def release_backup(work: Workplace, name: str, *, by: str, reason: str, now: datetime) -> None:
    """Undo `hold_backup` for one backup; what was held with it stays held.

    Refused while another is held that can't be restored without it.
    """
    inventory = list_backups(work, now)
    item = _find(inventory, name)
    if not item.is_held:
        raise _refused(name, "it is not held", "nothing")
    by_log = work.provider.recovers_by_log
    needing = [
        one.name
        for one in inventory.items
        if one.is_held and item in _needed(inventory, one, by_log=by_log)
    ]
    if needing:
        raise _refused(
            name, f"{', '.join(needing)} is held and needs it", f"release {needing[0]} before it"
        )
    claim_for(work, f"releases {name}")
    if item.stored is not None and item.stored.is_held:
        _in_the_providers_way(work, item, hold=False)
    lift_hold(work.bucket, name)
    record = {"backup": name, "by": by, "at": now.isoformat(), "reason": reason}
    write_audit(work.connection, "backup_released", "backups", record)


def acknowledge_backup(work: Workplace, name: str, *, by: str, reason: str, now: datetime) -> str:
    """Give up a backup that was refuted or is not whole any more; returns what was wrong with it.

    Retention deletes what is left of it from then on. Refused where nothing is wrong.
    """
    item = _find(list_backups(work, now), name)
    entry = item.entry
    assert entry is not None
    problem = entry.finding if item.trust == "refuted" else item.problem
    if problem is None or item.state not in {"complete", "missing"}:
        raise _refused(
            name,
            f"it is {item.state}, {item.trust}, and nothing is known to be wrong with it",
            "drill it by its name if you doubt it",
        )
    ledger.acknowledge(work.connection, name, by=by, reason=reason)
    return problem


def discard_pieces(
    work: Workplace, provider_id: str, *, by: str, reason: str, now: datetime
) -> str:
    """Give up pieces in the store that the ledger does not know; the name they are known by now.

    Refused for what is known, and for what another cluster wrote.
    """
    items = list_backups(work, now).items
    found = next(
        (i for i in items if i.stored is not None and i.stored.provider_id == provider_id), None
    )
    if found is None or found.stored is None:
        raise _refused(
            provider_id, "nothing of that name is in the store", "see `ft-ops backup list`"
        )
    if found.state is not None:
        raise _refused(provider_id, f"it is {found.name}, which the ledger knows", "acknowledge it")
    if found.stored.condition == "foreign":
        raise _refused(
            provider_id, str(found.problem), "let those who run that cluster move it away"
        )
    name = f"discarded-{_ODD.sub('-', provider_id.lower()).strip('-')}"[:63]
    ledger.discard(work.connection, work.provider.name, name, found.stored, by=by, reason=reason)
    return name


def accept_hole(
    work: Workplace, first: str, last: str, *, by: str, reason: str, now: datetime
) -> None:
    """Say that the log lacks ``first`` to ``last`` for good: retention waits for it no longer.

    What can't be reached any more stays named by itself. Refused unless that is a hole, whole, and
    a proven full lies behind it: until then nothing but what is lost leads to the present.
    """
    entries = [item.entry for item in list_backups(work, now).items if item.entry is not None]
    log, since = work.provider.archived_log(), first_wal(entries, work.provider)
    if log is None or since is None or (first, last) not in log.gaps(since):
        raise Refused(
            f"hole of the log from {first} to {last}",
            cause="there is no such hole from the oldest full on",
            next_step="take its first and last segment from the check wal_continuity",
        )
    if not any(_is_proven_behind(entry, last) for entry in entries):
        raise Refused(
            f"hole of the log from {first} to {last}",
            cause="no full that begins behind it is proven",
            next_step="launch take_full_backup, then drill_restore; then accept the hole",
        )
    claim_for(work, f"accepts the hole from {first}")
    record = {"first": first, "last": last, "by": by, "at": now.isoformat(), "reason": reason}
    # The hole is accepted by what lies in the bucket: nobody would find it afterwards, to audit it.
    write_audit(work.connection, "log_hole_accepted", "backups", record)
    write_accepted_hole(work.bucket, work.provider.cluster, first, last, record)


def claim_for(work: Workplace, why: str) -> None:
    """Claim the bucket before something is written there; Refused when it is another database's."""
    claim_bucket(work.connection, work.bucket, work.provider.cluster, why)


def take_backups_over(work: Workplace, *, by: str, reason: str, now: datetime) -> int:
    """Say that this database alone goes on with the backups; returns the number of its claim."""
    place = (work.connection, work.bucket, work.provider.cluster)
    return take_over(*place, by=by, reason=reason, now=now)


def needs_a_look(item: Item) -> bool:
    """Whether a person has to look at a backup before anything may happen to it."""
    return must_be_looked_at(item) or (item.trust == "refuted" and not item.is_acknowledged)


def _find(inventory: Inventory, name: str) -> Item:
    for item in inventory.items:
        if item.name == name and item.entry is not None:
            return item
    raise _refused(name, "the ledger knows no backup of that name", "see `ft-ops backup list`")


def _is_going(work: Workplace, name: str) -> bool:
    """Whether retention has recorded that it deletes a backup, which it does of no unknown one."""
    states = {entry.name: entry.state for entry in ledger.entries(work.connection)}
    return states.get(name) in {"deleting", "deleted"}


def _is_proven_behind(entry: ledger.Entry, wal: str) -> bool:
    is_proven = entry.kind == "full" and entry.state == "complete" and entry.verdict == "proven"
    # Without the timeline: a later one goes on counting.
    return is_proven and entry.first_wal is not None and entry.first_wal[8:] > wal[8:]


def _needed(inventory: Inventory, item: Item, *, by_log: bool) -> list[Item]:
    """What a backup can't be restored without; an increment, the full that its log begins at."""
    by_name = {one.name: one for one in inventory.items}
    found = [by_name[name] for name in item.needs if name in by_name]
    if item.kind == "increment" and by_log and not item.needs and item.taken_at is not None:
        before = [
            one
            for one in inventory.whole("full")
            if one.taken_at is not None and one.taken_at <= item.taken_at
        ]
        found += before[-1:]
    return found + [more for one in found for more in _needed(inventory, one, by_log=by_log)]


def _in_the_providers_way(work: Workplace, item: Item, *, hold: bool) -> None:
    if item.stored is None or item.kind == "dump":
        return
    if item.kind == "increment" and work.provider.recovers_by_log and not item.needs:
        return  # a place in the log: there is nothing that the provider could hold
    (work.provider.hold if hold else work.provider.release)(item.stored)


def _refused(name: str, cause: str, next_step: str) -> Refused:
    return Refused(f"backup {name}", cause=cause, next_step=next_step)
