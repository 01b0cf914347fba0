"""Deletes what a retention plan lets go, and what dead runs of these operations left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ft_ops.backups.claims import claim_bucket
from ft_ops.backups.dump.objects import dump_prefix
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import Inventory, Item
from ft_ops.backups.points.bucket_records import held_names, hide_point
from ft_ops.backups.provider import BackupProvider, Log, StoredBackup
from ft_ops.backups.retention.retention import RetentionPlan, Rules, plan_retention
from ft_ops.errors import Refused
from ft_ops.items import Worked, each
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, objects


@dataclass(frozen=True, slots=True)
class Deletion:
    """One backup to delete, and why it may go."""

    item: Item
    reason: str


def plan_of(inventory: Inventory, rules: Rules) -> RetentionPlan:
    """Retention's plan for what an inventory has found."""
    return plan_retention(
        inventory.candidates,
        rules,
        inventory.taken_at,
        holes=inventory.holes,
        lost_refutations=[str(lost) for lost in inventory.lost_refutations],
    )


def deletions(inventory: Inventory, plan: RetentionPlan, rules: Rules) -> list[Deletion]:
    """What may be deleted now, oldest first: nothing under the plan's refusal.

    Besides what the plan lets go: deletions that a dead run began, what a person gave up, and what
    is left of backups that these operations began and never had complete, once that is older than
    the days that are kept. Everything else that is odd is for a person to judge.
    """
    if plan.refusal is not None:
        return []
    names = {candidate.name for candidate in plan.deletable}
    known = {i.name for i in inventory.items if i.stored is not None and i.name == i.stored.name}
    oldest = inventory.taken_at - timedelta(days=rules.days)
    found = []
    for item in inventory.items:
        if item.stored is not None and item.stored.name in known - {item.name}:
            continue  # what was given up, or left, turned out to be that backup
        reason = _why(item, oldest, is_let_go=item.name in names)
        if reason is not None:
            found.append(Deletion(item, reason))
    needs = {item.name: item.needs for item in inventory.items}
    return sorted(found, key=lambda one: -_depth(one.item.name, needs))


def refuse_undecided(plan: RetentionPlan) -> None:
    """Refused while a refusal of the plan keeps what no rule keeps; called when all was shown.

    Nobody knows then what may go, and a shelf that only grows is not well. On the first days the
    plan refuses too, and there is nothing that would go.
    """
    waiting = [decision.candidate.name for decision in plan.decisions if not decision.is_kept]
    if plan.refusal is not None and waiting:
        raise Refused(
            "backup retention",
            cause=f"{len(waiting)} backups that no rule keeps stay, the oldest is {waiting[0]}: "
            f"{plan.refusal}",
            next_step="mend that (the runbook's section retain_backups says how); the next run "
            "decides again",
        )


def _depth(name: str, needs: Mapping[str, Sequence[str]]) -> int:
    """On how many others, one upon the other, a backup stands: it goes before those."""
    return 1 + max((_depth(needed, needs) for needed in needs.get(name, ())), default=-1)


def must_be_looked_at(item: Item) -> bool:
    """Whether it was verified once and is not now, and no person has looked at it yet."""
    if item.state == "deleting":
        return False  # it was let go while it was good, and is half gone
    is_good = item.trust == "verified" and item.problem is None
    return item.was_verified and not is_good and not item.is_acknowledged


def delete_backups(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    inventory: Inventory,
    chosen: Sequence[Deletion],
    log: Log,
) -> Worked[None]:
    """Delete each of ``chosen``; one that fails stops itself alone.

    Refused when another database has claimed the bucket. Killed in between, the next run finishes
    what was begun. Call it in the run that made the plan, with the retention's lock held.
    """
    if chosen:
        claim_bucket(connection, bucket, provider.cluster, f"deletes {chosen[0].item.name}")
    going = {deletion.item.name for deletion in chosen}
    staying = [
        needed
        for item in inventory.items
        if item.name not in going and (needed := _as_needed(item)) is not None
    ]

    def delete(deletion: Deletion) -> None:
        item = deletion.item
        _refuse_held(bucket, item.name)
        ledger.set_state(connection, item.name, "deleting", deletion.reason)
        try:
            # Whoever places a hold looks at the state behind it: one of the two sees the other.
            _refuse_held(bucket, item.name)
        except Refused:
            if item.entry is not None:
                ledger.set_state(connection, item.name, item.entry.state, item.entry.error)
            raise
        if item.stored is not None:
            _delete(provider, bucket, item.stored, staying, log)
        hide_point(bucket, item.name)
        ledger.set_state(connection, item.name, "deleted", deletion.reason)
        log(f"deleted {item.name}: {deletion.reason}")

    return each(chosen, delete, name=lambda deletion: deletion.item.name, log=log)


def _refuse_held(bucket: Bucket, name: str) -> None:
    if name in held_names(bucket):
        raise Refused(
            f"delete {name}",
            cause="it is held since the plan was made",
            next_step="nothing: it stays until `ft-ops backup release`",
        )


def _why(item: Item, oldest: datetime, *, is_let_go: bool) -> str | None:
    """Why a backup may be deleted, None if it may not."""
    if item.is_held or item.entry is None:
        return None
    if item.state == "deleting":
        return "a dead run began to delete it"
    if must_be_looked_at(item):
        return None
    is_left_over = _is_left_over(item)
    if item.is_acknowledged and (is_let_go or is_left_over or item.state == "missing"):
        return f"given up by {item.entry.acknowledged_by}: {item.entry.acknowledgement}"
    if is_let_go:
        return "no rule keeps it"
    is_old = item.taken_at is not None and item.taken_at < oldest
    return f"left over: {item.problem}" if is_old and is_left_over else None


def _as_needed(item: Item) -> StoredBackup | None:
    """A backup that stays, with where its log begins even while its files are out of sight.

    None for what was never complete: it needs no log.
    """
    entry = item.entry
    if entry is None:
        return item.stored
    if not entry.was_ever_whole:
        return None
    if item.stored is not None:
        return replace(item.stored, begins_at_wal=item.begins_at_wal or entry.first_wal)
    return StoredBackup(
        provider_id=entry.provider_id or "",
        name=entry.name,
        kind=entry.kind,
        condition="damaged",
        problem=item.problem,
        started_at=entry.started_at,
        location="",
        bytes=0,
        storage_classes=(),
        is_held=False,
        replica=None,
        begins_at_wal=entry.first_wal,
    )


def _delete(
    provider: BackupProvider,
    bucket: Bucket,
    stored: StoredBackup,
    staying: Sequence[StoredBackup],
    log: Log,
) -> None:
    if stored.kind != "dump":
        provider.delete(stored, staying, log)
        return
    for part in objects(bucket, dump_prefix(stored.name)):
        hide(bucket, part.key)


def _is_left_over(item: Item) -> bool:
    """Whether these operations began it and never had it complete, by their own record."""
    return (
        item.stored is not None
        and item.entry is not None
        and item.state == "failed"
        and not item.entry.was_ever_whole
    )
