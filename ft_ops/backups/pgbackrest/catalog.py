"""What pgbackrest says of its backups, held against the files that are there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ft_ops.backups.pgbackrest.repository import PROGRAM, StoredFile, not_understood
from ft_ops.backups.provider import Condition, StoredBackup
from ft_ops.errors import OpsError

NAME: Final = "ft-ops"
"""The annotation that has the name by which these operations know a backup."""

KEEP: Final = "ft-ops-keep"
"""The annotation of one that is held: pgBackRest shows it, and its own expire does not heed it."""

_LABEL: Final = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")
_MANIFEST: Final = "backup.manifest"
_OK, _NO_BACKUPS = 0, 2  # of its info's status codes, those that are certain


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Database(_Model):
    id: int
    repository: int = Field(alias="repo-key")


class _Cluster(_Database):
    system_id: int = Field(alias="system-id")
    version: str


class _Segments(_Model):
    start: str | None = None
    stop: str | None = None


class _Times(_Model):
    start: int
    stop: int


class _Backup(_Model):
    label: str
    type: str
    database: _Database
    timestamp: _Times
    archive: _Segments = _Segments()
    annotation: Mapping[str, str] = {}
    reference: Sequence[str] | None = None
    error: bool | None = None

    @property
    def name(self) -> str:
        return self.annotation.get(NAME, self.label)


class _Status(_Model):
    code: int
    message: str


class _Repository(_Model):
    key: int
    status: _Status


class _Stanza(_Model):
    name: str
    backup: tuple[_Backup, ...]
    db: tuple[_Cluster, ...]
    repo: tuple[_Repository, ...]


_STANZAS: Final = TypeAdapter(tuple[_Stanza, ...])


@dataclass(frozen=True, slots=True)
class StanzaCatalog:
    """What one repository has of one stanza."""

    backups: tuple[_Backup, ...]
    clusters: Mapping[int, _Cluster]

    def archive_of(self, system_identifier: str) -> str | None:
        """The folder of a cluster's log, None where it has none: of the newest of its versions."""
        own = [c for c in self.clusters.values() if str(c.system_id) == system_identifier]
        newest = max(own, key=lambda cluster: cluster.id, default=None)
        return f"{newest.version}-{newest.id}" if newest is not None else None

    @property
    def fulls(self) -> list[str]:
        """The labels of the full backups, whoever took them."""
        return [backup.label for backup in self.backups if backup.type == "full"]

    def needing(self, label: str) -> list[str]:
        """The labels of the backups that can't be restored without one."""
        return [b.label for b in self.backups if label in (b.reference or ())]


def parse_info(answer: object, stanza: str, repository: int) -> StanzaCatalog:
    """Read `info`; an OpsError unless it is certain of what there is.

    It answers with an empty list also where it could not look.
    """
    try:
        stanzas = _STANZAS.validate_python(answer)
    except ValidationError as error:
        raise not_understood("info", error) from error
    found = next((one for one in stanzas if one.name == stanza), None)
    status = next((r.status for r in found.repo if r.key == repository), None) if found else None
    if found is None or status is None or status.code not in {_OK, _NO_BACKUPS}:
        said = status.message if status is not None else "it does not name it"
        raise OpsError(
            f"{PROGRAM} info: stanza {stanza} in repository {repository}",
            cause=said,
            next_step="see `pgbackrest info` and `pgbackrest check`; FT_PGBACKREST_STANZA names "
            "the stanza, which `pgbackrest stanza-create` makes",
        )
    return StanzaCatalog(
        tuple(b for b in found.backup if b.database.repository == repository),
        {one.id: one for one in found.db if one.repository == repository},
    )


def stored_backups(
    catalog: StanzaCatalog, files: Mapping[str, StoredFile], *, system_identifier: str, place: str
) -> list[StoredBackup]:
    """Every label that has files or an entry, oldest first, and what is wrong with it."""
    folders: dict[str, dict[str, StoredFile]] = defaultdict(dict)
    for path, listed in files.items():
        label, _, name = path.partition("/")
        if _LABEL.fullmatch(label) and name:
            folders[label][name] = listed
    names = {backup.label: backup.name for backup in catalog.backups}
    found = [
        _stored(backup, folders.get(backup.label, {}), catalog, names, system_identifier, place)
        for backup in catalog.backups
    ]
    found += [
        _unfinished(label, folder, place) for label, folder in folders.items() if label not in names
    ]
    return sorted(_with_what_they_need(found), key=lambda backup: backup.provider_id)


def _stored(
    backup: _Backup,
    folder: Mapping[str, StoredFile],
    catalog: StanzaCatalog,
    names: Mapping[str, str],
    system_identifier: str,
    place: str,
) -> StoredBackup:
    cluster = catalog.clusters.get(backup.database.id)
    condition, problem = _condition(backup, folder, cluster, system_identifier)
    return StoredBackup(
        provider_id=backup.label,
        name=backup.name,
        kind="full" if backup.type == "full" else "increment",
        condition=condition,
        problem=problem,
        started_at=datetime.fromtimestamp(backup.timestamp.start, UTC),
        location=f"{place}/{backup.label}",
        bytes=sum(listed.size for listed in folder.values()),
        storage_classes=(),
        is_held=KEEP in backup.annotation,
        replica=None,
        begins_at_wal=backup.archive.start,
        objects=_as_a_whole(folder),
        needs=tuple(names.get(label, label) for label in backup.reference or ()),
    )


def _as_a_whole(folder: Mapping[str, StoredFile]) -> dict[str, str]:
    """What tells the files from others: there are as many as the database has, or bundles."""
    manifest = folder.get(_MANIFEST)
    data = [listed.size for name, listed in folder.items() if not name.startswith(_MANIFEST)]
    return {
        _MANIFEST: f"{manifest.size} bytes" if manifest is not None else "",
        "files": f"{len(data)} files, {sum(data)} bytes",
    }


def _condition(
    backup: _Backup,
    folder: Mapping[str, StoredFile],
    cluster: _Cluster | None,
    system_identifier: str,
) -> tuple[Condition, str | None]:
    if cluster is None or str(cluster.system_id) != system_identifier:
        owner = cluster.system_id if cluster is not None else "nobody knows"
        return "foreign", f"it is of the cluster {owner}, this one is {system_identifier}"
    if _MANIFEST not in folder or len(folder) == 1:
        return "damaged", f"its {_MANIFEST if len(folder) != 1 else 'files'} are missing"
    if backup.error:
        return "damaged", "pgBackRest met pages with a wrong checksum when it took it"
    if backup.archive.start is None:
        return "damaged", "it was taken of a stopped server: no log leads on from it"
    return "complete", None


def _unfinished(label: str, folder: Mapping[str, StoredFile], place: str) -> StoredBackup:
    return StoredBackup(
        provider_id=label,
        name=label,
        kind="increment" if "_" in label else "full",
        condition="unfinished",
        problem=f"{len(folder)} files and no entry: it was not finished, or somebody removed it",
        started_at=min((listed.stored_at for listed in folder.values()), default=None),
        location=f"{place}/{label}",
        bytes=sum(listed.size for listed in folder.values()),
        storage_classes=(),
        is_held=False,
        replica=None,
    )


def _with_what_they_need(found: Sequence[StoredBackup]) -> list[StoredBackup]:
    """An increment is as whole as what it needs."""
    whole = {backup.name for backup in found if backup.condition == "complete"}
    return [
        replace(backup, condition="damaged", problem=f"{lacking[0]}, which it needs, is not whole")
        if backup.condition == "complete"
        and (lacking := [n for n in backup.needs if n not in whole])
        else backup
        for backup in found
    ]
