"""What backups there are: the provider's list and the ledger, held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ft_ops.backups.dump.objects import stored_dumps
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.ledger import Entry, State
from ft_ops.backups.points.bucket_records import point_names, read_point
from ft_ops.backups.provider import BackupProvider, Kind, Log, ProviderName, Replica, StoredBackup
from ft_ops.backups.retention.retention import Candidate, Trust
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket

_FAILURES_SHOWN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Item:
    """One backup that exists, or should. It counts for something only without a ``problem``.

    ``state`` is the ledger's, None where it doesn't know the backup.
    """

    name: str
    kind: Kind
    taken_at: datetime | None
    trust: Trust
    verified_at: datetime | None
    restored_to: datetime | None
    bytes: int
    location: str
    storage_classes: tuple[str, ...]
    is_held: bool
    replica: Replica | None
    begins_at_wal: str | None
    problem: str | None
    state: State | None
    stored: StoredBackup | None

    @property
    def candidate(self) -> Candidate | None:
        """The backup as retention judges it, None when it does not count."""
        if self.problem is not None or self.taken_at is None:
            return None
        return Candidate(self.name, self.kind, self.taken_at, self.trust, self.is_held)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every backup, oldest first, at one moment."""

    taken_at: datetime
    items: tuple[Item, ...]

    def whole(self, *kinds: Kind) -> list[Item]:
        """Those of these kinds that count, oldest first."""
        return [item for item in self.items if item.problem is None and item.kind in kinds]

    @property
    def broken(self) -> list[Item]:
        return [item for item in self.items if item.problem is not None]

    @property
    def candidates(self) -> list[Candidate]:
        return [c for item in self.items if (c := item.candidate) is not None]

    @property
    def first_wal(self) -> str | None:
        """Where the log has to begin for the oldest full that counts."""
        return min((i.begins_at_wal for i in self.whole("full") if i.begins_at_wal), default=None)


def take_inventory(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    *,
    now: datetime,
    log: Log,
) -> Inventory:
    """List the backups, and bring the ledger in line with what exists.

    What the ledger calls complete and the provider does not have becomes missing, and complete
    again when it is back. What is whole in the bucket and unknown to the ledger is adopted.
    """
    stored = [*provider.stored_backups(), *stored_dumps(bucket)]
    _adopt_unknown(connection, bucket, provider.name, stored, log)
    _follow(connection, stored, log)
    entries = ledger.entries(connection)
    at_work = {entry.name for entry in entries if entry.state == "taking"}
    items = [
        _item(entry, found)
        for entry in entries
        if entry.name not in at_work
        and ((found := _find(stored, entry)) is not None or not _is_old_failure(entry, now))
    ]
    named = {item.name for item in items} | at_work
    items += [_stranger(backup) for backup in stored if backup.name not in named]
    return Inventory(now, tuple(sorted(items, key=lambda item: (item.taken_at or now, item.name))))


def _adopt_unknown(
    connection: Connection,
    bucket: Bucket,
    provider: ProviderName,
    stored: Sequence[StoredBackup],
    log: Log,
) -> None:
    """A point is written last: what has one and is whole only lacks its row in the ledger."""
    whole = {backup.name: backup for backup in stored if backup.condition == "complete"}
    known = {e.name for e in ledger.entries(connection) if e.state != "failed"}
    for name in sorted((set(point_names(bucket)) & whole.keys()) - known):
        backup = whole[name]
        point = read_point(bucket, name)
        ledger.adopt(connection, provider, point, backup)
        log(f"adopted {name}: it is whole, and the ledger did not know it")


def _follow(connection: Connection, stored: Sequence[StoredBackup], log: Log) -> None:
    """Set what has disappeared to missing, and what is back to complete."""
    for entry in ledger.entries(connection):
        problem = why_it_does_not_count(entry, _find(stored, entry))
        if entry.state == "complete" and problem is not None:
            ledger.set_state(connection, entry.name, "missing", problem)
            log(f"{entry.name} does not count any more: {problem}")
        elif entry.state == "missing" and problem is None:
            ledger.set_state(connection, entry.name, "complete", None)
            log(f"{entry.name} is back")


def _is_old_failure(entry: Entry, now: datetime) -> bool:
    return entry.state == "failed" and now - entry.started_at > _FAILURES_SHOWN


def _find(stored: Iterable[StoredBackup], entry: Entry) -> StoredBackup | None:
    return next((backup for backup in stored if backup.name == entry.name), None)


def why_it_does_not_count(entry: Entry, stored: StoredBackup | None) -> str | None:
    """Why a backup that was completed does not count, None if it does."""
    if stored is None:
        return "it is not there any more, and these operations did not delete it"
    if stored.condition != "complete":
        return stored.problem or stored.condition
    changed = [n for n, etag in (entry.objects or {}).items() if stored.objects.get(n) != etag]
    if changed:
        return f"its objects {', '.join(changed)} are missing or not what was written"
    return None


def _item(entry: Entry, stored: StoredBackup | None) -> Item:
    problem = why_it_does_not_count(entry, stored)
    if entry.state != "complete":
        problem = f"{entry.state}: {entry.error or problem}"
    return Item(
        name=entry.name,
        kind=entry.kind,
        taken_at=entry.point_at or entry.started_at,
        trust=_trust(entry),
        verified_at=entry.verified_at,
        restored_to=entry.restored_to,
        bytes=stored.bytes if stored is not None else 0,
        location=stored.location if stored is not None else "",
        storage_classes=stored.storage_classes if stored is not None else (),
        is_held=stored is not None and stored.is_held,
        replica=stored.replica if stored is not None else None,
        begins_at_wal=stored.begins_at_wal if stored is not None else None,
        problem=problem,
        state=entry.state,
        stored=stored,
    )


def _stranger(backup: StoredBackup) -> Item:
    """A backup that the ledger doesn't know: never one that counts."""
    return Item(
        name=backup.name,
        kind=backup.kind,
        taken_at=backup.started_at,
        trust="unproven",
        verified_at=None,
        restored_to=None,
        bytes=backup.bytes,
        location=backup.location,
        storage_classes=backup.storage_classes,
        is_held=backup.is_held,
        replica=backup.replica,
        begins_at_wal=backup.begins_at_wal,
        problem=f"{backup.condition}: {backup.problem}"
        if backup.condition != "complete"
        else "it has no restore point: these operations did not take it, or died before its end",
        state=None,
        stored=backup,
    )


def _trust(entry: Entry) -> Trust:
    if entry.verified_at is not None:
        return "verified"
    return "doubtful" if entry.was_verified else "unproven"
