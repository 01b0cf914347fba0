"""What the store holds at one moment, and whether a backup in it is whole.

A backup is its files, its log up to its point, and its point, all of them readable where they lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ft_ops.backups.dump.objects import stored_dumps
from ft_ops.backups.inventory.ledger import Entry
from ft_ops.backups.points.bucket_records import held_names, point_names
from ft_ops.backups.provider import ArchivedLog, BackupProvider, ProviderName, StoredBackup
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Store:
    """The provider's list, the dumps, the points, the holds and the log, listed once."""

    provider: ProviderName
    backups: tuple[StoredBackup, ...]
    points: frozenset[str]
    held: frozenset[str]
    log: ArchivedLog | None

    def find(self, entry: Entry) -> StoredBackup | None:
        """The backup of an entry: by its name, or by what the provider calls it.

        The name is in a file of its own that can get lost; the provider's own is in the keys.
        """
        by_id = None
        for backup in self.backups:
            if backup.name == entry.name:
                return backup
            if backup.kind == entry.kind and backup.provider_id == entry.provider_id:
                by_id = backup
        return by_id

    def is_held(self, name: str, stored: StoredBackup | None) -> bool:
        """Whether somebody keeps it from every deletion, here or in the provider's own way."""
        return name in self.held or (stored is not None and stored.is_held)

    def problem(self, entry: Entry, entries: Sequence[Entry]) -> str | None:
        """Why a backup that was completed does not count, None if it does.

        ``entries`` are all of the ledger: an increment is as whole as a full before it.
        """
        stored = self.find(entry)
        if self.is_out_of_sight(entry):
            return f"{entry.provider} took it, and FT_BACKUP_PROVIDER is {self.provider} now"
        if stored is None:
            return "it is not there any more, and these operations did not delete it"
        if stored.condition != "complete":
            return stored.problem or stored.condition
        changed = [n for n, etag in (entry.objects or {}).items() if stored.objects.get(n) != etag]
        if changed:
            return f"its objects {', '.join(changed)} are missing or not what was written"
        if entry.name not in self.points:
            return f"its point points/{entry.name}.json is missing: nobody knows where to stop"
        return self._log_problem(entry, stored, entries)

    def is_out_of_sight(self, entry: Entry) -> bool:
        """Whether another provider took it, whose store nobody looks into: nothing is known."""
        return entry.kind != "dump" and entry.provider != self.provider

    def _log_problem(
        self, entry: Entry, stored: StoredBackup, entries: Sequence[Entry]
    ) -> str | None:
        if self.log is None or entry.mark_wal is None or entry.kind == "dump":
            return None
        if entry.kind == "full" or stored.begins_at_wal is not None:
            first = stored.begins_at_wal or entry.first_wal
            return None if first is None else _first(self.log.problems(first, entry.mark_wal))
        return self._increment_problem(entry, entries)

    def _increment_problem(self, entry: Entry, entries: Sequence[Entry]) -> str | None:
        """Why no full before an increment reaches it by the log, None if one does."""
        assert self.log is not None
        assert entry.mark_wal is not None
        nearest = None
        for full in reversed(_fulls_before(entry, entries)):
            if self.is_out_of_sight(full):
                continue
            stored = self.find(full)
            first = full.first_wal or (stored.begins_at_wal if stored is not None else None)
            if stored is None or first is None or stored.condition != "complete":
                nearest = nearest or f"{full.name} before it is not whole itself"
                continue
            problem = _first(self.log.problems(first, entry.mark_wal))
            if problem is None:
                return None
            nearest = nearest or f"from {full.name}: {problem}"
        return f"nothing reaches it: {nearest or 'there is no full before it'}"


def look(provider: BackupProvider, bucket: Bucket) -> Store:
    """List everything once."""
    return Store(
        provider=provider.name,
        backups=(*provider.stored_backups(), *stored_dumps(bucket)),
        points=frozenset(point_names(bucket)),
        held=frozenset(held_names(bucket)),
        log=provider.archived_log(),
    )


def _fulls_before(entry: Entry, entries: Iterable[Entry]) -> list[Entry]:
    return [
        full
        for full in entries
        if full.kind == "full"
        and full.point_at is not None
        and entry.point_at is not None
        and full.point_at <= entry.point_at
        and full.state in {"complete", "missing"}
    ]


def _first(problems: Sequence[str]) -> str | None:
    return problems[0] if problems else None
