"""The log that a pgBackRest repository holds, in the layout of its archive-push."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from ft_ops.backups.barman.archived_wal import ArchivedWal
from ft_ops.backups.barman.wal import WAL_FILE_NAME
from ft_ops.backups.pgbackrest.repository import Repository, StoredFile
from ft_ops.backups.provider import ContentError
from ft_ops.pg.supervision.walls import Walls
from ft_ops.s3 import objects as s3
from ft_ops.s3.bucket import Bucket

_TIMEOUT_SECONDS: Final = 120.0
# A name, the checksum of its content, and a suffix of its compression.
_NAME: Final = re.compile(rf"(?P<file>{WAL_FILE_NAME.pattern})(?:-[0-9a-f]{{40}})?(?:\.[a-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class RepositoryWal(ArchivedWal):
    """The log as it was listed once.

    ``data`` is a data folder of this cluster, which archive-get compares with the archive; None for
    the one that pgBackRest's configuration names.
    """

    repository: Repository
    data: Path | None = None

    def read(self, name: str) -> bytes:
        """A file's content, by archive-get; a ContentError where it is damaged."""
        with tempfile.TemporaryDirectory(dir=self.data.parent if self.data else None) as folder:
            target = Path(folder) / name
            given = [f"--pg1-path={self.data}", "--reset-pg1-host"] if self.data else []
            get = partial(
                self.repository.work, timeout_seconds=_TIMEOUT_SECONDS, walls=Walls((Path(folder),))
            )
            try:
                # In a run of its own: the spool is the server's.
                get("archive-get", *given, "--no-archive-async", name, str(target))
            except ContentError as error:
                raise ContentError(
                    f"WAL file {name}", cause=error.cause, next_step=error.next_step, wal=name
                ) from error
            return target.read_bytes()


def listed_log(
    files: Mapping[str, StoredFile],
    bucket: Bucket,
    repository: Repository,
    data: Path | None = None,
) -> RepositoryWal:
    """What was listed of an archive's folder. Two files of one name are strangers to each other."""
    found: dict[str, s3.Listed] = {}
    strangers = []
    for path, listed in files.items():
        match = _NAME.fullmatch(PurePosixPath(path).name)
        if match is None or match["file"] in found:
            strangers.append(path)
            continue
        found[match["file"]] = s3.Listed(
            key=path,
            etag="",
            bytes=listed.size,
            storage_class="STANDARD",
            last_modified=listed.stored_at,
        )
    return RepositoryWal(bucket, found, tuple(strangers), repository, data)
