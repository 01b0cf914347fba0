"""Keeps the replay of CREATE TABLESPACE within the drill's folder.

Its record in the log has an absolute path, and recovery links the copy to that very place, whatever
the base backup's tablespaces were mapped to: on the original's machine that is the live one. In the
drill's own copy of the log that path is made empty, which is how PostgreSQL (since 15) keeps a
tablespace inside the data folder. Nothing else of the record changes, but for its checksum.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from ft_ops.backups.barman.wal import Segment, lsn_number
from ft_ops.backups.provider import Log
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.server import Server
from ft_ops.pg.supervision.walls import confinement

IN_PLACE_SINCE: Final = 150_000
"""The server version from which a tablespace can lie inside the data folder."""

_CREATED = re.compile(
    r"^rmgr: Tablespace .*lsn: ([0-9A-F]+/[0-9A-F]+), .*desc: CREATE", re.MULTILINE
)

# XLogRecord of src/include/access/xlogrecord.h: length, transaction, previous, info, resource
# manager, padding, checksum.
_RECORD = struct.Struct("=IIQBB2xI")
_CHECKSUM_AT: Final = 20
_TABLESPACE_MANAGER: Final = 5
_KIND_OF_RECORD: Final = 0xF0
_CREATE: Final = 0
# What may stand before the main data: its own header, an origin, a transaction above.
_LONG_DATA, _SHORT_DATA, _ORIGIN, _TOPLEVEL = 254, 255, 253, 252
_LONG_HEADER, _SHORT_HEADER = 40, 24
_BLOCK_SIZE_AT: Final = 36
_OID_BYTES: Final = 4


def keep_tablespaces_in(
    server: Server, wal: Path, segments: Sequence[Segment], server_version: int, log: Log
) -> None:
    """Let every tablespace that the log in ``wal`` creates be replayed inside the data folder.

    An OpsError where that can't be done, or can't be known on a machine where nothing else holds
    the server back.
    """
    for _, group in groupby(segments, key=lambda segment: segment.timeline):
        of_timeline = list(group)
        created, problem = _created(server, wal, of_timeline[0], of_timeline[-1])
        if problem is not None and confinement() is None:
            raise _unsafe(f"pg_waldump could not read all of it: {problem}")
        if problem is not None:
            log(f"looked for tablespaces in the log, up to where pg_waldump stopped: {problem}")
        if created and server_version < IN_PLACE_SINCE:
            raise _unsafe(
                "it creates a tablespace, which PostgreSQL can replay in its original "
                "place alone before version 15"
            )
        for lsn in created:
            path = _Records(wal, of_timeline[0]).keep_in(lsn)
            if path is not None:
                log(f"the tablespace that the log creates at {path} is replayed inside the copy")


def _created(
    server: Server, wal: Path, first: Segment, last: Segment
) -> tuple[list[int], str | None]:
    """Where the log creates tablespaces, and what kept us from reading all of it."""
    if not (server.bin_dir / "pg_waldump").is_file():
        return [], f"there is no pg_waldump in {server.bin_dir}"
    arguments = ["--path", str(wal), "--rmgr", "Tablespace", first.name, last.name]
    done = pg.run_program(server, "pg_waldump", arguments)
    problem = done.stderr.strip() if done.returncode != 0 else None
    return [lsn_number(lsn) for lsn in _CREATED.findall(done.stdout)], problem


@dataclass(frozen=True, slots=True)
class _Records:
    """The log of one timeline in a folder, byte by byte. ``first`` is its first segment."""

    wal: Path
    first: Segment

    def keep_in(self, lsn: int) -> str | None:
        """Empty the path of the record at ``lsn``; what it was, None if that is no such record."""
        length = int.from_bytes(self._read(lsn, 4), "little")
        record = bytearray(self._read(lsn, length))
        _, _, _, info, manager, checksum = _RECORD.unpack_from(record)
        is_whole = checksum == _checksum(record)
        if not is_whole or manager != _TABLESPACE_MANAGER or info & _KIND_OF_RECORD != _CREATE:
            return None  # recovery reads no further than a damaged record
        begin = length - _main_data_bytes(record) + _OID_BYTES
        path = bytes(record[begin:]).rstrip(b"\0").decode(errors="replace")
        record[begin:] = bytes(length - begin)
        record[_CHECKSUM_AT : _CHECKSUM_AT + 4] = _checksum(record).to_bytes(4, "little")
        self._write(lsn, bytes(record))
        return path

    def _read(self, lsn: int, count: int) -> bytes:
        found = bytearray()
        for path, offset, bytes_there in self._pieces(lsn, count):
            with path.open("rb") as file:
                file.seek(offset)
                found += file.read(bytes_there)
        return bytes(found)

    def _write(self, lsn: int, content: bytes) -> None:
        for path, offset, bytes_there in self._pieces(lsn, len(content)):
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(content[:bytes_there])
            content = content[bytes_there:]

    def _pieces(self, lsn: int, count: int) -> Iterator[tuple[Path, int, int]]:
        """File, offset and length of the pieces of a record: pages have headers between them."""
        size = self.first.size
        block = self._block_bytes()
        while count > 0:
            if lsn % block == 0:
                lsn += _LONG_HEADER if lsn % size == 0 else _SHORT_HEADER
            piece = min(count, block - lsn % block)
            segment = Segment(lsn // size, self.first.timeline, size)
            yield self.wal / segment.name, lsn % size, piece
            lsn, count = lsn + piece, count - piece

    def _block_bytes(self) -> int:
        with (self.wal / self.first.name).open("rb") as file:
            header = file.read(_LONG_HEADER)
        return int.from_bytes(header[_BLOCK_SIZE_AT:], "little")


def _main_data_bytes(record: bytes | bytearray) -> int:
    at = _RECORD.size
    while record[at] in {_ORIGIN, _TOPLEVEL}:
        at += 3 if record[at] == _ORIGIN else 5
    if record[at] == _SHORT_DATA:
        return record[at + 1]
    if record[at] == _LONG_DATA:
        return int.from_bytes(record[at + 1 : at + 5], "little")
    raise _unsafe(f"a record that creates a tablespace is not understood: {record[at]} at {at}")


def _checksum(record: bytes | bytearray) -> int:
    """CRC-32C of what follows the header, then of the header without the checksum."""
    value = 0xFFFFFFFF
    for part in (record[_RECORD.size :], record[:_CHECKSUM_AT]):
        for byte in part:
            value = _CRC[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC: Final = tuple(map(_crc_of, range(256)))


def _unsafe(cause: str) -> OpsError:
    return OpsError(
        "the log of the copy",
        cause=f"{cause}; replayed, it might write where the live server does",
        next_step="drill on a machine that has neither the live server's folders nor its user: "
        "this says nothing about the backup",
    )
