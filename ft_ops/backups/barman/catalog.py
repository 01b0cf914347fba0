"""What barman-cloud says of its backups, held against the objects that are there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from ft_ops.backups.barman.wal import SEGMENT_NAME, Segment
from ft_ops.backups.points.bucket_records import point_key, point_names
from ft_ops.backups.provider import Condition, Replica, StoredBackup
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import NEEDS_RESTORE
from ft_ops.s3.objects import Listed

_INFO = "backup.info"
_ANNOTATIONS = "annotations/"
_KEEP = f"{_ANNOTATIONS}keep"
_DONE = "DONE"
_FAILED = "FAILED"

_WAL_FOLDER = re.compile(r"under prefix \S*/wals/([0-9A-F]{16})/")
_WAL_OBJECT = re.compile(r"/wals/[0-9A-F]{16}/([0-9A-F]{24})")


class BackupInfo(BaseModel):
    """The fields of barman's backup.info that we read."""

    model_config = ConfigDict(frozen=True)

    backup_id: str
    backup_name: str | None = None
    """None for one that somebody took without a name: barman leaves the field out then."""
    status: str
    error: str | None = None
    systemid: str | None = None
    begin_wal: str | None = None
    end_wal: str | None = None
    begin_time_iso: datetime | None = None
    tablespaces: tuple[tuple[str, int, str], ...] | None = None

    @field_validator("begin_wal", "end_wal")
    @classmethod
    def _is_a_segment(cls, name: str | None) -> str | None:
        """Anything else is a damaged file's, and says as little as nothing."""
        return name if name is not None and SEGMENT_NAME.fullmatch(name) else None


class _BackupList(BaseModel):
    backups: tuple[BackupInfo, ...] = Field(alias="backups_list")


_BACKUP_LIST = TypeAdapter(_BackupList)


@dataclass(frozen=True, slots=True)
class Folder:
    """The objects of one backup id."""

    objects: Mapping[str, Listed]

    @property
    def bytes(self) -> int:
        return sum(found.bytes for found in self.objects.values())

    @property
    def etags(self) -> dict[str, str]:
        """What the backup itself consists of; a keep annotation comes and goes."""
        return {
            name: found.etag
            for name, found in self.objects.items()
            if not name.startswith(_ANNOTATIONS)
        }

    @property
    def begun_at(self) -> datetime | None:
        """When its first object was stored."""
        return min((found.last_modified for found in self.objects.values()), default=None)

    @property
    def storage_classes(self) -> tuple[str, ...]:
        return tuple(sorted({found.storage_class for found in self.objects.values()}))

    def classes_of(self, names: Iterable[str]) -> str:
        """The storage classes of some of its objects, in words."""
        return ", ".join(sorted({self.objects[name].storage_class for name in names}))


@dataclass(frozen=True, slots=True)
class Copies:
    """What the bucket for disaster recovery holds: the objects of each id, and WAL segments."""

    bucket: Bucket
    folders: Mapping[str, Folder]
    segments: Collection[str]


def parse_list(output: str) -> tuple[BackupInfo, ...]:
    """Read the output of ``barman-cloud-backup-list --format json``."""
    try:
        return _BACKUP_LIST.validate_json(output).backups
    except ValidationError as error:
        raise OpsError(
            "barman-cloud-backup-list",
            cause=f"its answer is not understood: {error}",
            next_step="use the version of barman that requirements.lock names",
        ) from error


def folders(found: Iterable[Listed], base: str) -> dict[str, Folder]:
    """Backup id → its objects, by their names below ``base`` and the id."""
    grouped: dict[str, dict[str, Listed]] = defaultdict(dict)
    for stored in found:
        if stored.is_folder:
            continue
        backup_id, _, name = stored.key.removeprefix(base).partition("/")
        grouped[backup_id][name] = stored
    return {backup_id: Folder(objects) for backup_id, objects in grouped.items()}


def readable_by_class(stored: Listed) -> bool:
    """Whether an object can be read as far as its storage class says; S3 itself is not asked."""
    return stored.storage_class not in NEEDS_RESTORE


def catalog(
    infos: Iterable[BackupInfo],
    present: Mapping[str, Folder],
    copies: Copies | None,
    *,
    bucket: Bucket,
    base: str,
    system_identifier: str,
    segment_bytes: int,
    is_readable: Callable[[Listed], bool] = readable_by_class,
) -> list[StoredBackup]:
    """Every backup id that has objects or an entry, oldest first, and what is wrong with it."""
    by_id = {info.backup_id: info for info in infos}
    backups = []
    for backup_id in sorted({*by_id, *present}):
        folder = present.get(backup_id, Folder({}))
        info = by_id.get(backup_id)
        condition, problem = _condition(info, folder, system_identifier, is_readable)
        wal = _log_of(info, segment_bytes) if info else []
        backups.append(
            StoredBackup(
                provider_id=backup_id,
                name=(info.backup_name if info else None) or backup_id,
                kind="full",
                condition=condition,
                problem=problem,
                started_at=(info.begin_time_iso if info else None) or folder.begun_at,
                location=bucket.url(f"{base}{backup_id}/"),
                bytes=folder.bytes,
                storage_classes=folder.storage_classes,
                is_held=_KEEP in folder.objects,
                replica=_replica(backup_id, folder, wal, copies, base),
                begins_at_wal=info.begin_wal if info else None,
                objects=folder.etags,
                tablespaces=tuple(name for name, _, _ in (info.tablespaces or ())) if info else (),
            )
        )
    return backups


def stored_increments(bucket: Bucket) -> list[StoredBackup]:
    """The increments: restore points, and the log up to each."""
    names = [name for name in point_names(bucket) if name.startswith("increment-")]
    return [increment(bucket, name) for name in names]


def increment(bucket: Bucket, name: str) -> StoredBackup:
    """One increment. It is as whole as the log before it, which has checks of its own."""
    return StoredBackup(
        provider_id=point_key(name),
        name=name,
        kind="increment",
        condition="complete",
        problem=None,
        started_at=None,
        location=bucket.url(point_key(name)),
        bytes=0,
        storage_classes=(),
        is_held=False,
        replica=None,
    )


def _condition(
    info: BackupInfo | None,
    folder: Folder,
    system_identifier: str,
    is_readable: Callable[[Listed], bool],
) -> tuple[Condition, str | None]:
    if info is None:
        return _condition_without_info(folder)
    if info.systemid not in {None, system_identifier}:
        return "foreign", f"it is of the cluster {info.systemid}, this one is {system_identifier}"
    if info.status == _FAILED:
        return "failed", info.error or "barman-cloud-backup failed"
    if info.status != _DONE:
        return "unfinished", f"its status is {info.status}"
    return _condition_of_objects(info, folder, is_readable)


def _condition_of_objects(
    info: BackupInfo, folder: Folder, is_readable: Callable[[Listed], bool]
) -> tuple[Condition, str | None]:
    if info.begin_wal is None:
        return "damaged", "its backup.info does not say where its log begins"
    missing = _missing_archives(info, folder)
    if missing:
        return "damaged", f"its objects {', '.join(missing)} are missing"
    cold = sorted(name for name, stored in folder.objects.items() if not is_readable(stored))
    if cold:
        return "archived", (
            f"its objects {', '.join(cold)} are in {folder.classes_of(cold)}, where nobody can "
            "read them without asking for them"
        )
    return "complete", None


def _condition_without_info(folder: Folder) -> tuple[Condition, str | None]:
    if _INFO in folder.objects:
        return "damaged", "its backup.info can't be read"
    return "unfinished", (
        f"{len(folder.objects)} objects and no backup.info: its upload died, or somebody removed it"
    )


def _missing_archives(info: BackupInfo, folder: Folder) -> list[str]:
    wanted = ["data", *(str(oid) for _, oid, _ in info.tablespaces or ())]
    archives = {PurePosixPath(name).name.split(".")[0] for name in folder.objects}
    return [f"{name}.tar" for name in wanted if name not in archives]


def _log_of(info: BackupInfo, segment_bytes: int) -> list[str]:
    """The segments that were written during the backup: without them it is nothing."""
    if info.begin_wal is None or info.end_wal is None:
        return []
    first = Segment.parse(info.begin_wal, segment_bytes)
    last = Segment.parse(info.end_wal, segment_bytes)
    return [
        Segment(number, first.timeline, segment_bytes).name
        for number in range(first.number, last.number + 1)
    ]


def _replica(
    backup_id: str, folder: Folder, wal: Iterable[str], copies: Copies | None, base: str
) -> Replica | None:
    if copies is None:
        return None
    copy = copies.folders.get(backup_id, Folder({}))
    problems = list(_copy_problems(folder, copy, wal, copies.segments))
    return Replica(
        location=copies.bucket.url(f"{base}{backup_id}/"),
        problem="; ".join(problems) or None,
    )


def _copy_problems(
    folder: Folder, copy: Folder, wal: Iterable[str], copied_wal: Collection[str]
) -> Iterator[str]:
    missing = sorted(
        name
        for name, stored in folder.objects.items()
        if name not in copy.objects or copy.objects[name].bytes != stored.bytes
    )
    if missing:
        yield f"{', '.join(missing)} missing or of another size"
    cold = sorted(name for name, stored in copy.objects.items() if not readable_by_class(stored))
    if cold:
        yield f"{', '.join(cold)} can't be read there without asking: {copy.classes_of(cold)}"
    missing_wal = [name for name in wal if name not in copied_wal]
    if missing_wal:
        yield f"WAL is missing there: {', '.join(missing_wal)}"


def wal_deletions(dry_run: str, segment_bytes: int) -> list[Segment]:
    """The segments that ``barman-cloud-backup-delete --dry-run`` says it would delete.

    A folder that would go whole is represented by the last segment it can hold.
    """
    last = (1 << 32) // segment_bytes - 1
    whole = [f"{folder}{last:08X}" for folder in _WAL_FOLDER.findall(dry_run)]
    named: list[str] = _WAL_OBJECT.findall(dry_run)
    return sorted(Segment.parse(name, segment_bytes) for name in {*named, *whole})
