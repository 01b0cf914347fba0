"""Closes a restored data folder off: nothing in it leads to a file outside the drill's folder.

What was backed up names places of its original: pg_wal may be a link to the disk of the log,
pg_tblspc holds links to tablespaces, tablespace_map would have recovery make them again, and
postmaster.pid names a process. On the original's machine all of that is in use.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ft_ops.errors import OpsError

# Their content is the backup's: where a link takes their place, the backup lacks it.
_CONTENT = frozenset(
    {
        "base",
        "global",
        "pg_xact",
        "pg_multixact",
        "pg_commit_ts",
        "pg_twophase",
        "pg_logical",
        "PG_VERSION",
        "backup_label",
    }
)
# They tell of the original's processes and of what it was doing.
_OF_ITS_ORIGINAL = (
    "postmaster.pid",
    "postmaster.opts",
    "standby.signal",
    "recovery.signal",
    "recovery.done",
)


def close_off(data: Path, folder: Path) -> list[str]:
    """Remove from ``data`` all that leads out of ``folder``; what was removed, in sentences.

    An OpsError where what it leads to is a part of the database: the backup does not hold that.
    Call it before the folder is given to anybody.
    """
    if data.is_symlink() or not data.is_dir():
        raise _not_in_it(data, "the restored data folder is no folder")
    done = list(close_links(data, folder))
    for name in _OF_ITS_ORIGINAL:
        if (data / name).is_file():
            (data / name).unlink()
            done.append(f"{name} is left out")
    _drop_tablespace_map(data)
    # The log comes from the archive alone, and is checked on its way.
    shutil.rmtree(data / "pg_wal", ignore_errors=True)
    (data / "pg_wal" / "archive_status").mkdir(parents=True)
    return done


def write_anew(path: Path, content: str) -> None:
    """Write a file that was not there before: never into what a link leads to."""
    path.unlink(missing_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(content)


def close_links(data: Path, folder: Path) -> Iterator[str]:
    """Remove the links alone. What else was restored lies beside the data: tablespaces."""
    folder = folder.resolve()
    for parent in (data, folder / "tablespaces"):
        for at, folders, files in os.walk(parent):
            for name in (*folders, *files):
                path = Path(at) / name
                said = _close(path, data, folder)
                if said is not None:
                    yield said


def _close(path: Path, data: Path, folder: Path) -> str | None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return _close_link(path, data, folder)
    if stat.S_ISDIR(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        path.unlink()
        return f"{path.name}, which is neither a file nor a folder, is left out"
    if found.st_nlink > 1:
        _make_own(path)
        return f"{path.name}, which had a second name, is a copy"
    return None


def _close_link(path: Path, data: Path, folder: Path) -> str | None:
    target = os.path.realpath(path)
    if Path(target).is_relative_to(folder):
        return None
    place = path.relative_to(data if path.is_relative_to(data) else folder)
    if place.parts[0] in _CONTENT or not path.is_relative_to(data):
        raise _not_in_it(path, f"{place} is a link to {target}")
    path.unlink()
    return f"the link {place} to {target} is left out"


def _make_own(path: Path) -> None:
    """Replace a file by a copy: another name of it may be in use elsewhere."""
    copy = path.with_name(f"{path.name}.own")
    shutil.copy2(path, copy)
    copy.replace(path)


def _drop_tablespace_map(data: Path) -> None:
    """Keep recovery from linking tablespaces to their original places; they are here already."""
    shown = data / "tablespace_map"
    if not shown.is_file():
        return
    lines = shown.read_text(encoding="utf-8", errors="replace").splitlines()
    absent = [
        line for line in lines if line and not (data / "pg_tblspc" / line.split()[0]).exists()
    ]
    if absent:
        raise _not_in_it(shown, f"it names tablespaces that were not restored: {', '.join(absent)}")
    shown.unlink()


def _not_in_it(path: Path, cause: str) -> OpsError:
    return OpsError(
        f"restored folder {path}",
        cause=f"{cause}: what belongs there is not in the folder, and the drill touches no other",
        next_step="let the backup hold all of the data folder; this says nothing about the rest "
        "of it",
    )
