"""Whether the copy for disaster recovery holds what a restore there would need.

A bucket's replication copies every object: what lies here for longer than the lag and not there is
missing there, whether it is a backup, its log, its point or its proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from ft_ops.backups.dump.objects import DUMPS
from ft_ops.backups.inventory.ledger import Entry
from ft_ops.backups.points.bucket_records import point_key
from ft_ops.backups.provider import ArchivedLog, Replica, StoredBackup
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import is_readable
from ft_ops.s3.objects import Listed, objects


@dataclass(frozen=True, slots=True)
class Gap:
    """An object that the copy lacks, or has otherwise, and since when it should be there."""

    key: str
    since: datetime
    problem: str

    @property
    def folder(self) -> str:
        """What it is of: the names of a bucket's folders say it."""
        return "/".join(self.key.split("/")[:-1])


@dataclass(frozen=True, slots=True)
class Copy:
    """The bucket for disaster recovery, held against the one that it is a copy of."""

    gaps: tuple[Gap, ...]
    points: frozenset[str]
    log: ArchivedLog | None


def look_at_copy(bucket: Bucket, copy: Bucket | None, log: ArchivedLog | None) -> Copy | None:
    """List both, and what is not equal; None where no copy is kept."""
    if copy is None:
        return None
    there = {found.key: found for found in objects(copy, "")}
    gaps = [
        Gap(here.key, here.last_modified, problem)
        for here in objects(bucket, "")
        if (problem := _problem(copy, here, there.get(here.key))) is not None
    ]
    return Copy(tuple(gaps), frozenset(there), log)


def replica_of(entry: Entry, stored: StoredBackup | None, copy: Copy | None) -> Replica | None:
    """A full's copy, and all that is wrong with it: its files, its log up to its point, its point.

    Where the provider makes the copies itself, it is what the provider says.
    """
    replica = stored.replica if stored is not None else None
    if replica is None or stored is None or copy is None:
        return replica
    problems = list(_problems(entry, stored, replica, copy))
    return replace(replica, problem="; ".join(problems) or None)


def _problems(entry: Entry, stored: StoredBackup, replica: Replica, copy: Copy) -> Iterator[str]:
    if replica.problem is not None:
        yield replica.problem
    if copy.log is not None and stored.begins_at_wal is not None and entry.mark_wal is not None:
        yield from copy.log.problems(stored.begins_at_wal, entry.mark_wal)
    if point_key(entry.name) not in copy.points:
        yield f"{point_key(entry.name)} is missing there"


def _problem(copy: Bucket, here: Listed, there: Listed | None) -> str | None:
    if there is None:
        return "is missing there"
    if there.bytes != here.bytes:
        return f"has {there.bytes} bytes there, and {here.bytes} here"
    if not here.key.startswith(f"{DUMPS}/") and not is_readable(copy, there):
        return f"is in {there.storage_class} there: nobody can read it without asking for it"
    return None
