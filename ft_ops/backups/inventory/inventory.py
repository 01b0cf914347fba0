"""What backups there are: what the store holds and the ledger, held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ft_ops.backups.claims import OtherDatabases
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.copy import Copy, Gap, look_at_copy, replica_of
from ft_ops.backups.inventory.ledger import Entry, State
from ft_ops.backups.inventory.store import Store, look
from ft_ops.backups.inventory.verdicts import restore_verdicts
from ft_ops.backups.points.bucket_records import read_point, written_verdicts
from ft_ops.backups.points.coverage import never_compared, newest_points
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import BackupProvider, Kind, Log, Replica, StoredBackup
from ft_ops.backups.retention.retention import Candidate, Trust
from ft_ops.errors import OpsError
from ft_ops.items import Failed, SomeFailed
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket

_FAILURES_SHOWN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Item:
    """One backup that exists, or should. It counts for something only without a ``problem``.

    ``state`` is the ledger's, and ``entry`` its row; both are None where it doesn't know the
    backup. ``needs`` names the backups that stay as long as this one does.
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
    entry: Entry | None = None
    needs: tuple[str, ...] = ()

    @property
    def was_verified(self) -> bool:
        """Whether it was ever restored and found whole, whatever became of it since."""
        return self.entry is not None and self.entry.was_verified

    @property
    def is_acknowledged(self) -> bool:
        """Whether a person has looked at what is wrong with it, and gave it up."""
        return self.entry is not None and self.entry.is_acknowledged

    @property
    def candidate(self) -> Candidate | None:
        """The backup as retention judges it, None when it does not count."""
        if self.problem is not None or self.taken_at is None:
            return None
        return Candidate(
            self.name,
            self.kind,
            self.taken_at,
            self.trust,
            self.is_held,
            is_acknowledged=self.is_acknowledged,
            needs=self.needs,
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every backup, oldest first, at one moment.

    ``copy_gaps`` are what the copy for disaster recovery lacks, of whatever age; ``holes`` what the
    log lacks from the oldest full on that nobody has given up. ``uncompared`` is what no point of
    late lets a drill compare, ``databases`` the others of the cluster. ``lost_refutations`` are
    those of the bucket that could not be recorded: what they are about may seem better than it is.
    """

    taken_at: datetime
    items: tuple[Item, ...]
    copy_gaps: tuple[Gap, ...] = ()
    holes: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    lost_refutations: tuple[Failed, ...] = ()

    def refuse_lost_refutations(self) -> None:
        """A `SomeFailed` while a refutation is not recorded; called when all else was shown."""
        if self.lost_refutations:
            raise SomeFailed("refutations in the bucket", 0, self.lost_refutations)

    def whole(self, *kinds: Kind) -> list[Item]:
        """Those of these kinds that count, oldest first."""
        return [item for item in self.items if item.problem is None and item.kind in kinds]

    @property
    def broken(self) -> list[Item]:
        return [item for item in self.items if item.problem is not None]

    @property
    def candidates(self) -> list[Candidate]:
        return [c for item in self.items if (c := item.candidate) is not None]


def first_wal(entries: Iterable[Entry], provider: BackupProvider) -> str | None:
    """Where the provider's log has to begin: at its oldest full that nobody has given up.

    One of the time before a pg_upgrade is of another cluster, and no log leads from it to this one.
    """
    return min(
        (
            entry.first_wal
            for entry in entries
            if entry.kind == "full"
            and entry.provider == provider.name
            and entry.cluster in {None, provider.cluster}
            and entry.first_wal is not None
            and entry.state in {"complete", "missing"}
            and not (entry.state == "missing" and entry.is_acknowledged)
        ),
        default=None,
        key=lambda name: name[8:],
    )


def take_inventory(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    *,
    now: datetime,
    log: Log,
) -> Inventory:
    """List the backups, and bring the ledger in line with what exists.

    What the ledger calls complete and the store does not have whole becomes missing, and complete
    again when it is back. What is whole in the bucket and unknown to the ledger is adopted, with
    the verdicts that the bucket tells of it.
    """
    store = look(provider, bucket)
    ledger.fail_dead(connection)
    store = _adopt_unknown(connection, bucket, provider, store, log)
    _follow(connection, store, log)
    known = {
        entry.name: found.objects if (found := store.find(entry)) is not None else {}
        for entry in ledger.entries(connection)
    }
    lost = restore_verdicts(connection, bucket, written_verdicts(bucket), known, log)
    entries = ledger.entries(connection)
    at_work = {entry.name for entry in entries if entry.state == "taking"}
    copy = look_at_copy(bucket, provider.copy_bucket, provider.copied_log())
    items = [
        _item(entry, found, store, copy, entries)
        for entry in entries
        if entry.name not in at_work
        and ((found := store.find(entry)) is not None or not _is_old_failure(entry, now))
    ]
    points = newest_points(connection)
    items += [_stranger(backup) for backup in _strangers(store, entries)]
    return Inventory(
        now,
        tuple(sorted(items, key=lambda item: (item.taken_at or now, item.name))),
        copy_gaps=copy.gaps if copy is not None else (),
        holes=_holes(store, first_wal(entries, provider)),
        uncompared=never_compared(points),
        databases=points[0].databases if points else (),
        lost_refutations=lost,
    )


def follow(connection: Connection, provider: BackupProvider, bucket: Bucket, log: Log) -> None:
    """Let the ledger say which of its backups are whole now."""
    _follow(connection, look(provider, bucket), log)


def count_again(
    connection: Connection, provider: BackupProvider, bucket: Bucket, name: str, log: Log
) -> tuple[StoredBackup | None, str | None]:
    """Look whether one backup is whole now, and let the ledger say so; the backup, and why not."""
    store = look(provider, bucket)
    _follow(connection, store, log, only=name)
    entries = ledger.entries(connection)
    entry = next(entry for entry in entries if entry.name == name)
    return store.find(entry), store.problem(entry, entries)


def _adopt_unknown(
    connection: Connection, bucket: Bucket, provider: BackupProvider, store: Store, log: Log
) -> Store:
    """A point is written last: what has one and is whole only lacks its row in the ledger.

    Returns the store without what its point says to be another cluster's: a bucket may have two.
    What lies on another branch of the log stays a stranger: of a copy that was opened and writes
    here too, or of the time that a recovery took back. It would fill places of ours. So does what
    a copy without a timeline of its own has taken, by the claims on the bucket.
    """
    foreign, aside, others = set(), [], OtherDatabases(connection, bucket, provider.cluster)
    whole = {backup.name: backup for backup in store.backups if backup.condition == "complete"}
    known = {e.name for e in ledger.entries(connection) if e.state != "failed"}
    for name in sorted((store.points & whole.keys()) - known):
        try:
            point = read_point(bucket, name)
            if point.system_identifier != provider.cluster:
                foreign.add(name)
                continue
            if not _is_ours(connection, others, store, point, whole[name].kind):
                aside.append(name)
                continue
        except OpsError as error:
            log(f"{name} is not adopted: {error}")
            continue
        ledger.adopt(connection, provider.name, point, whole[name])
        log(f"adopted {name}: it is whole, and the ledger did not know it")
    if foreign:
        log(f"left alone: {len(foreign)} points of another cluster in this bucket")
    if aside:
        log(
            f"left alone: {', '.join(aside)}, on a branch of the log that this server is not on, "
            "or of another database that has claimed the bucket"
        )
    return replace(store, backups=tuple(b for b in store.backups if b.name not in foreign))


def _is_ours(
    connection: Connection,
    others: OtherDatabases,
    store: Store,
    point: RestorePoint,
    kind: Kind,
) -> bool:
    """Whether this server came through a point; where nobody shows the log, that is not asked.

    It passes by the places of a copy on its own timeline, too: that one's claims tell.
    """
    is_told_by_log = store.log is not None and kind != "dump"
    if store.log is not None and is_told_by_log:
        [[_, now_wal, _]] = connection.execute(statement("backups/wal_position")).fetchall()
        if not store.log.came_through(point.mark.wal, point.mark.lsn, now_wal):
            return False
        is_told_by_log = point.mark.wal[:8] != now_wal[:8]
    return is_told_by_log or not others.may_have_taken(point.name)


def _follow(connection: Connection, store: Store, log: Log, only: str | None = None) -> None:
    """Set what has disappeared to missing, and what is back to complete."""
    entries = ledger.entries(connection)
    for entry in entries:
        if only not in {None, entry.name}:
            continue
        stored = store.find(entry)
        if stored is not None and stored.begins_at_wal is not None and entry.first_wal is None:
            ledger.log_begins(connection, entry.name, stored.begins_at_wal)
        problem = store.problem(entry, entries)
        if entry.state == "complete" and problem is not None:
            ledger.set_state(connection, entry.name, "missing", problem)
            log(f"{entry.name} does not count any more: {problem}")
        elif entry.state == "missing" and problem is None:
            ledger.set_state(connection, entry.name, "complete", None)
            log(f"{entry.name} is back")


def _holes(store: Store, since: str | None) -> tuple[str, ...]:
    return tuple(store.log.holes(since)) if store.log is not None and since is not None else ()


def _is_old_failure(entry: Entry, now: datetime) -> bool:
    return entry.state == "failed" and now - entry.started_at > _FAILURES_SHOWN


def _strangers(store: Store, entries: Sequence[Entry]) -> Iterator[StoredBackup]:
    """What lies in the store and belongs to no entry."""
    known = {id(store.find(entry)) for entry in entries}
    at_work = {entry.name for entry in entries if entry.state == "taking"}
    yield from (b for b in store.backups if id(b) not in known and b.name not in at_work)


def _item(
    entry: Entry,
    stored: StoredBackup | None,
    store: Store,
    copy: Copy | None,
    entries: Sequence[Entry],
) -> Item:
    problem = store.problem(entry, entries)
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
        is_held=store.is_held(entry.name, stored),
        replica=replica_of(entry, stored, copy),
        begins_at_wal=stored.begins_at_wal if stored is not None else None,
        problem=problem,
        state=entry.state,
        stored=stored,
        entry=entry,
        needs=tuple(entry.needs),
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
    if entry.verdict == "proven":
        return "verified" if entry.unread_refutation is None else "unproven"
    return "refuted" if entry.verdict == "refuted" else "unproven"
