"""Deletes what a retention plan lets go, and what dead runs left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ft_ops.backups.dump.objects import dump_prefix
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import Inventory, Item
from ft_ops.backups.points.bucket_records import hide_point
from ft_ops.backups.provider import BackupProvider, Log, StoredBackup
from ft_ops.backups.retention.retention import RetentionPlan, Rules
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, objects


@dataclass(frozen=True, slots=True)
class Deletion:
    """One backup to delete, and why it may go."""

    item: Item
    reason: str


def deletions(inventory: Inventory, plan: RetentionPlan, rules: Rules) -> list[Deletion]:
    """What may be deleted now, oldest first: nothing under the plan's refusal.

    Besides what the plan lets go: deletions that a dead run began, and what is left of backups
    that failed, once it is older than the days that are kept. A damaged backup, or one of another
    cluster, is for people to judge.
    """
    if plan.refusal is not None:
        return []
    names = {candidate.name for candidate in plan.deletable}
    oldest = inventory.taken_at - timedelta(days=rules.days)
    found = []
    for item in inventory.items:
        if item.name in names:
            found.append(Deletion(item, "no rule keeps it"))
        elif item.state == "deleting":
            found.append(Deletion(item, "a dead run began to delete it"))
        elif _is_left_over(item) and item.taken_at is not None and item.taken_at < oldest:
            found.append(Deletion(item, f"left over: {item.problem}"))
    return found


def delete_backups(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    inventory: Inventory,
    chosen: Sequence[Deletion],
    log: Log,
) -> None:
    """Delete each of ``chosen``. Killed in between, the next run finishes what was begun.

    Call it in the run that made the plan, with the retention's lock held.
    """
    going = {deletion.item.name for deletion in chosen}
    staying = [
        item.stored
        for item in inventory.items
        if item.name not in going and item.stored is not None
    ]
    for deletion in chosen:
        item = deletion.item
        if item.state is not None:
            ledger.set_state(connection, item.name, "deleting", deletion.reason)
        if item.stored is not None:
            _delete(provider, bucket, item.stored, staying, log)
        hide_point(bucket, item.name)
        if item.state is not None:
            ledger.set_state(connection, item.name, "deleted", deletion.reason)
        log(f"deleted {item.name}: {deletion.reason}")


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
    return item.stored is not None and item.stored.condition in {"unfinished", "failed"}
