"""What occupies the server's volumes: databases, the log, temporary files, other tablespaces."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from psycopg.rows import class_row

from ft_ops.format import human_bytes
from ft_ops.pg.application import require_monitoring
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

LOG: Final = "pg_wal"
"""The name under which the log's own volume is given, where it has one."""
SERVER: Final = "server"
"""The volume of the data directory, and of all that has none of its own."""
_MAIN: Final = frozenset({"pg_default", "pg_global"})
_LEAST_TOLD: Final = 0.02
_MOST_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A tablespace's bytes; those of its temporary files are among them."""

    name: str
    bytes: int
    temporary_bytes: int


@dataclass(frozen=True, slots=True)
class HeldLog:
    """A replication slot, and the bytes of log that the server keeps for it."""

    name: str
    is_active: bool
    bytes: int

    def __str__(self) -> str:
        idle = "" if self.is_active else ", and nobody reads it"
        return f"slot {self.name} holds back {human_bytes(self.bytes)}{idle}"


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The write-ahead log: its bytes, its files that wait for the archive, and who holds it."""

    bytes: int
    unarchived: int
    held: tuple[HeldLog, ...]


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Everything that the server keeps on its disks. ``databases`` are bytes by name.

    ``spilled_bytes`` are changes that slots have written down for their readers.
    """

    databases: Mapping[str, int]
    tablespaces: tuple[Tablespace, ...]
    log: LogFiles
    spilled_bytes: int = 0

    @property
    def bytes(self) -> int:
        spaces = sum(space.bytes for space in self.tablespaces)
        return spaces + self.log.bytes + self.spilled_bytes


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume: what of it is used, and how large it is; None where nobody said."""

    name: str
    used_bytes: int
    size_bytes: int | None
    words: tuple[str, ...]

    @property
    def share(self) -> float | None:
        return None if self.size_bytes is None else self.used_bytes / self.size_bytes


def server_files(connection: Connection) -> ServerFiles:
    """Measure everything; nothing is locked, nothing is waited for."""
    require_monitoring(connection)
    databases = connection.execute(statement("pg/database_sizes")).fetchall()
    with connection.cursor(row_factory=class_row(Tablespace)) as cursor:
        tablespaces = cursor.execute(statement("pg/tablespace_sizes")).fetchall()
    with connection.cursor(row_factory=class_row(HeldLog)) as cursor:
        held = cursor.execute(statement("pg/log_held")).fetchall()
    row = one_row(connection.execute(statement("pg/log_size")))
    log = LogFiles(int(row[0]), int(row[1]), tuple(held))
    spilled = one_row(connection.execute(statement("pg/spilled_bytes")))[0]
    return ServerFiles(
        {name: int(size) for name, size in databases}, tuple(tablespaces), log, int(spilled)
    )


def volumes(files: ServerFiles, size_bytes: int | None, others: Mapping[str, int]) -> list[Volume]:
    """What is on which volume.

    ``others`` are the tablespaces, or `pg_wal`, that have a volume of their own, with its size; all
    else is on the data directory's, which is ``size_bytes`` large. One that is named and not there
    is no volume.
    """
    # One that bears the main volume's name is counted there.
    no_volumes = _MAIN | {SERVER}
    spaces = {space.name: space for space in files.tablespaces if space.name not in no_volumes}
    own = [
        Volume(name, spaces[name].bytes, size, tuple(_temporary(spaces[name])))
        for name, size in others.items()
        if name in spaces
    ]
    if LOG in others:
        own.append(Volume(LOG, files.log.bytes, others[LOG], tuple(_log_words(files.log))))
    used = files.bytes - sum(volume.used_bytes for volume in own)
    return [Volume(SERVER, used, size_bytes, tuple(_words(files, others, used))), *own]


def volume_here(connection: Connection) -> tuple[int, int] | None:
    """The size of the data directory's volume and its free bytes, of a server on this machine."""
    folder = _data_folder(connection)
    return None if folder is None else _room(folder)


def other_volumes_here(connection: Connection) -> dict[str, tuple[int, int]]:
    """The size and free bytes of each other volume on which a server on this machine has files.

    By the name of the tablespace that lies there, or `pg_wal`. Of a server elsewhere, none.
    """
    main = _data_folder(connection)
    if main is None:
        return {}
    places = {
        name: Path(location)
        for name, location in connection.execute(statement("pg/tablespace_locations"))
    }
    # Only the server's user sees where its log leads.
    places[LOG] = main / LOG
    found = {}
    for name, place in places.items():
        with suppress(OSError):
            if place.stat().st_dev != main.stat().st_dev:
                found[name] = _room(place)
    return found


def _data_folder(connection: Connection) -> Path | None:
    """The data directory, where it is on this machine and its volume can be asked for.

    Itself, not what it lies in: it is a mount as often as not. Nobody but the server's user may
    look into it, but for its volume everybody may ask.
    """
    if not _is_here(connection):
        return None
    folder = Path(one_row(connection.execute(statement("pg/data_directory")))[0])
    with suppress(OSError):
        return folder if folder.is_dir() else None
    return None


def _is_here(connection: Connection) -> bool:
    """Whether the server itself is at the other end of the connection, on this machine.

    Behind a tunnel or a published port of a container it sees other ends than we do.
    """
    host = connection.info.host
    if host.startswith("/"):
        return True
    seen = one_row(connection.execute(statement("pg/ends_of_connection")))
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        if ours.family == socket.AF_UNIX:
            return True
        server, client = ours.getpeername()[:2], ours.getsockname()[:2]
    return ip_address(server[0]).is_loopback and seen == (*server, *client)


def _room(folder: Path) -> tuple[int, int]:
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _words(files: ServerFiles, others: Mapping[str, int], used: int) -> Iterator[str]:
    """What is on the main volume, the largest first, without what is nothing beside the rest."""
    parts = [
        (size, f"database {name} {human_bytes(size)}") for name, size in files.databases.items()
    ]
    for space in files.tablespaces:
        if space.temporary_bytes and space.name not in others:
            size = space.temporary_bytes
            parts.append((size, f"temporary files {human_bytes(size)}"))
        if space.name not in _MAIN and space.name not in others:
            parts.append(
                (space.bytes, f"of that, in tablespace {space.name} {human_bytes(space.bytes)}")
            )
    if files.spilled_bytes:
        size = files.spilled_bytes
        parts.append((size, f"changes that wait for the readers of slots {human_bytes(size)}"))
    if LOG not in others:
        parts.append((files.log.bytes, ", ".join(_log_words(files.log))))
    told = [words for size, words in sorted(parts, reverse=True) if size >= _LEAST_TOLD * used]
    yield from told[:_MOST_TOLD]


def _log_words(log: LogFiles) -> Iterator[str]:
    yield f"log {human_bytes(log.bytes)}"
    for held in log.held:
        if held.bytes >= log.bytes / 10:
            yield str(held)
    if log.unarchived > 1:
        yield f"{log.unarchived} of its files wait for the archive"


def _temporary(space: Tablespace) -> Iterator[str]:
    if space.temporary_bytes:
        yield f"temporary files {human_bytes(space.temporary_bytes)}"
