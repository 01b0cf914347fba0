"""Restores the files of a full backup.

Its archives stream from the bucket through lz4 into tar: barman-cloud-restore, which does all of it
in one Python process, takes twice as long. A backup with tablespaces, or of another compression,
is restored by that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import lz4.frame  # type: ignore[import-untyped]

from ft_ops.backups.barman.place import Place
from ft_ops.backups.drill.restored_folder import close_links
from ft_ops.backups.provider import ContentError, Log, StoredBackup
from ft_ops.pg.supervision.walls import Walls
from ft_ops.programs import credential_caches, feeding, run
from ft_ops.s3.bucket import Bucket, naming

_ARCHIVE: Final = re.compile(r"data(_\d{4,})?\.tar\.lz4")
"""Behind the first one, where they would be larger than what S3 takes, they are numbered."""
_NO_ARCHIVE: Final = re.compile(r"backup\.info|\..*")
_PIECE_BYTES: Final = 1 << 20
# In records of 1 MiB: by its own of 10 kB it takes three times as long. Nobody gets files by a name
# that the archive gives their owner.
_EXTRACT: Final = ("-x", "-p", "--no-same-owner", "-b", "2048", "-f", "-")


def restore_files(
    place: Place, backup: StoredBackup, folder: Path, log: Log, *, timeout_seconds: float
) -> None:
    """Restore a backup into ``data`` of a folder, and its tablespaces beside that.

    ``timeout_seconds`` are for each archive. Nothing outside the folder is changed by it. A
    ContentError where what an archive holds is no such stream, an OpsError where that can't be
    known.
    """
    if names := _archives(backup):
        data = folder / "data"
        data.mkdir(mode=0o700)
        base = f"{place.base}{backup.provider_id}/"
        for name in names:
            # No kernel keeps a program from changing the rights of a folder that a link of an
            # earlier archive leads to, and an old one not from writing to it.
            for said in close_links(data, folder):
                log(said)
            _unpack(
                place.bucket,
                f"{base}{name}",
                backup.objects[name],
                data,
                walls=Walls((folder,), network=False),
                timeout_seconds=timeout_seconds,
            )
    else:
        _restore_by_barman(place, backup, folder, timeout_seconds=timeout_seconds)


def _archives(backup: StoredBackup) -> Sequence[str]:
    """The archives of a backup in their order; none where there are others than we unpack."""
    names = [name for name in backup.objects if _NO_ARCHIVE.fullmatch(name) is None]
    if backup.tablespaces or not all(map(_ARCHIVE.fullmatch, names)):
        return ()
    return sorted(names, key=lambda name: (len(name), name))


def _restore_by_barman(
    place: Place, backup: StoredBackup, folder: Path, *, timeout_seconds: float
) -> None:
    options = []
    for name in backup.tablespaces:
        location = folder / "tablespaces" / name
        location.mkdir(parents=True)
        options += ["--tablespace", f"{name}:{location}"]
    temporary = folder / "tmp"
    temporary.mkdir()
    run(
        "barman-cloud-restore",
        [*options, *place.arguments, backup.provider_id, str(folder / "data")],
        timeout_seconds=timeout_seconds,
        environment={"TMPDIR": str(temporary)},
        walls=Walls((folder, *credential_caches())),
    )


def _unpack(
    bucket: Bucket, key: str, etag: str, data: Path, *, walls: Walls, timeout_seconds: float
) -> None:
    """Unpack the archive of this ETag into a folder."""
    with feeding(
        "tar", [*_EXTRACT, "-C", str(data)], timeout_seconds=timeout_seconds, walls=walls
    ) as pipe:
        for piece in _decompressed(bucket, key, etag):
            pipe.write(piece)


def _decompressed(bucket: Bucket, key: str, etag: str) -> Iterator[bytes]:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    for piece in _fetched(bucket, key, etag):
        try:
            content = decompressor.decompress(piece)
        except (RuntimeError, EOFError) as error:
            raise _damaged(bucket.url(key), str(error)) from error
        if content:
            yield content
    if not decompressor.eof:
        raise _damaged(bucket.url(key), "it ends in the middle")
    if decompressor.unused_data:
        raise _damaged(bucket.url(key), "it goes on behind its end")


def _fetched(bucket: Bucket, key: str, etag: str) -> Iterator[bytes]:
    """An object's pieces: the next one is fetched while one is being used."""
    with naming(bucket.url(key)), ThreadPoolExecutor(1, thread_name_prefix="archive") as pool:
        found = bucket.client.get_object(Bucket=bucket.name, Key=key, IfMatch=etag)
        ahead = pool.submit(found["Body"].read, _PIECE_BYTES)
        while piece := ahead.result():
            ahead = pool.submit(found["Body"].read, _PIECE_BYTES)
            yield piece


def _damaged(where: str, cause: str) -> ContentError:
    return ContentError(
        where,
        cause=f"it can't be decompressed: {cause}",
        next_step="look for an older version of this object; without one the backup is lost, so "
        "take a full backup now",
    )
