"""A full backup's files, by our own way and by barman's; archives that are damaged or hostile."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pytest

from ft_ops.backups.barman.place import Place
from ft_ops.backups.barman.unpack import restore_files
from ft_ops.backups.provider import ContentError, StoredBackup
from ft_ops.errors import OpsError
from ft_ops.pg.supervision.walls import Walls
from ft_ops.programs import feeding
from ft_ops.s3.bucket import open_bucket
from tests.backups.world import Standing

_SECONDS = 60.0
_NAME = "data.tar.lz4"


def test_both_ways_restore_the_same_files(standing: Standing, tmp_path: Path) -> None:
    place, backup = standing.world.provider.place, standing.full.stored
    # What we don't unpack is restored by barman, which lists the archives itself.
    for way, objects in {"ours": backup.objects, "barman's": {"data.tar.gz": "another"}}.items():
        (tmp_path / way).mkdir()
        found = replace(backup, objects=objects)
        restore_files(place, found, tmp_path / way, print, timeout_seconds=_SECONDS)
    assert _tree(tmp_path / "ours" / "data") == _tree(tmp_path / "barman's" / "data")
    assert "global/pg_control" in _tree(tmp_path / "ours" / "data")


@pytest.mark.parametrize("damage", ["cut off", "another byte", "twice"])
def test_a_damaged_archive_is_named(standing: Standing, tmp_path: Path, damage: str) -> None:
    whole = lz4.frame.compress(_tar({"PG_VERSION": b"16\n"}))
    content = {"cut off": whole[:-4], "another byte": b"\0" + whole[1:], "twice": whole * 2}[damage]
    with pytest.raises(ContentError, match=_NAME):
        restore_files(
            _place(standing),
            _stored(standing, content),
            tmp_path,
            print,
            timeout_seconds=_SECONDS,
        )


def test_another_object_than_the_backups_is_not_unpacked(
    standing: Standing, tmp_path: Path
) -> None:
    stored = _stored(standing, lz4.frame.compress(_tar({"PG_VERSION": b"16\n"})))
    other = replace(stored, objects={_NAME: standing.full.stored.objects[_NAME]})
    with pytest.raises(OpsError, match="was refused") as refused:
        restore_files(_place(standing), other, tmp_path, print, timeout_seconds=_SECONDS)
    assert not isinstance(refused.value, ContentError)
    assert list((tmp_path / "data").iterdir()) == []


def test_an_archive_writes_nothing_beside_the_folder(standing: Standing, tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    members: dict[str, bytes | Path | None] = {
        "link": outside,
        "link/through it": b"x",
        "../../outside/above it": b"x",
    }
    stored = _stored(standing, lz4.frame.compress(_tar(members)))
    with pytest.raises(OpsError, match="tar"):
        restore_files(_place(standing), stored, folder, print, timeout_seconds=_SECONDS)
    assert list(outside.iterdir()) == []


def test_an_archive_changes_nothing_through_a_link_of_an_earlier_one(
    standing: Standing, tmp_path: Path
) -> None:
    folder, below = tmp_path / "folder", tmp_path / "outside" / "below"
    folder.mkdir()
    below.mkdir(mode=0o700, parents=True)
    archives = [
        lz4.frame.compress(_tar(members))
        for members in ({"link": below.parent}, {"link/below": None, "link/below/file": b"x"})
    ]
    stored = _stored(standing, *archives)
    said: list[str] = []
    restore_files(_place(standing), stored, folder, said.append, timeout_seconds=_SECONDS)
    assert stat.S_IMODE(below.stat().st_mode) == 0o700
    assert list(below.iterdir()) == []
    assert (folder / "data" / "link" / "below" / "file").read_bytes() == b"x"
    assert said == [f"the link link to {below.parent} is left out"]


@pytest.mark.parametrize(
    ("does", "seconds", "said"),
    [
        ("echo no more >&2; exit 3", _SECONDS, "sh: exit status 3: no more"),
        ("sleep 60", 1, "sh: it did not end within 1 s"),
    ],
)
def test_a_program_that_reads_no_more_fails_the_writing(
    tmp_path: Path, does: str, seconds: float, said: str
) -> None:
    """Its pipe is broken, while there is more than a pipe and its buffer hold."""
    walls = Walls((tmp_path,), network=False)
    with (
        pytest.raises(OpsError, match=said),
        feeding("sh", ["-c", does], timeout_seconds=seconds, walls=walls) as pipe,
    ):
        pipe.write(bytes(10_000_000))


def _stored(standing: Standing, *archives: bytes) -> StoredBackup:
    """A backup in another bucket than the standing one's."""
    place = _place(standing)
    names = [_NAME, *(f"data_{number:04}.tar.lz4" for number in range(1, len(archives)))]
    objects = {}
    for name, archive in zip(names, archives, strict=True):
        key = f"{place.base}another/{name}"
        made = place.bucket.client.put_object(Bucket=place.bucket.name, Key=key, Body=archive)
        objects[name] = made["ETag"].strip('"')
    return replace(standing.full.stored, provider_id="another", objects=objects)


def _place(standing: Standing) -> Place:
    # What lies in its own bucket is counted.
    bucket = open_bucket(os.environ["FT_ARCHIVE_BUCKET"])
    return replace(standing.world.provider.place, bucket=bucket)


def _tar(members: Mapping[str, bytes | Path | None]) -> bytes:
    """An archive of files, of links where a path is the content, and of folders where none is."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(member)
            elif content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o777
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _tree(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every path below a folder, with its rights and its content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }
