"""The WAL that a bucket holds, in the layout of barman-cloud-wal-archive."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from ft_ops.backups.barman.wal import (
    HISTORY_NAME,
    SEGMENT_NAME,
    WAL_OBJECT_NAME,
    Hole,
    Segment,
    Switch,
    expected_segments,
    holes,
    lsn_number,
    parse_history,
    refuse_wrong_content,
)
from ft_ops.backups.provider import ContentError
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import is_readable
from ft_ops.s3.objects import Listed, objects, read_current

FETCHERS = 4
"""Segments that are fetched at once. Each is held in memory, compressed and not: 32 MiB at most."""

_DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}


@dataclass(frozen=True, slots=True)
class ArchivedWal:
    """What was listed: file name → its object, and the keys whose names are no WAL file's."""

    bucket: Bucket
    files: Mapping[str, Listed]
    strangers: tuple[str, ...]

    @property
    def segments(self) -> list[str]:
        """The names of the complete segments, oldest timeline first."""
        return sorted(name for name in self.files if SEGMENT_NAME.fullmatch(name))

    @property
    def timelines_without_history(self) -> list[int]:
        """Timelines that have segments here and no history file; the first one needs none."""
        used = {int(name[:8], 16) for name in self.segments}
        told = {int(match[1], 16) for name in self.files if (match := HISTORY_NAME.match(name))}
        return sorted(used - told - {1})

    @property
    def newest_arrival(self) -> datetime | None:
        """When the last segment was stored."""
        arrivals = [self.files[name].last_modified for name in self.segments]
        return max(arrivals, default=None)

    def history(self, timeline: int) -> list[Switch]:
        """The ancestors of a timeline; an OpsError when its history file is missing."""
        if timeline == 1:
            return []
        name = f"{timeline:08X}.history"
        return parse_history(self.read(name).decode())

    def newest(self, segment_bytes: int, timeline: int | None = None) -> Segment | None:
        """The last complete segment, None when there is none.

        With a ``timeline``, of those on the way to it: another branch may have been longer, before
        this server was recovered to an earlier moment. Where its history is missing nobody can
        tell the way: its own segments count, and all of them while it has none.
        """
        found = [Segment.parse(name, segment_bytes) for name in self.segments]
        if timeline is None:
            return max(found, default=None)
        own = [segment for segment in found if segment.timeline == timeline]
        with suppress(OpsError):
            left = {s.timeline: s.lsn // segment_bytes for s in self.history(timeline)}
            own += [segment for segment in found if segment.number < left.get(segment.timeline, 0)]
            found = own
        return max(own or found, default=None)

    def wanted(self, first: Segment, last: Segment) -> list[Segment]:
        """What recovery reads from ``first`` to ``last``, along the last one's history."""
        return expected_segments(first, last, self.history(last.timeline))

    def holes(self, first: Segment, last: Segment) -> list[Hole]:
        """What is missing of the log from ``first`` to ``last``."""
        return holes(self.wanted(first, last), self.files.__contains__)

    def read(self, name: str) -> bytes:
        """A file's content, decompressed; an OpsError when it is missing or damaged."""
        stored = self.files.get(name)
        if stored is None:
            raise OpsError(
                f"WAL file {name}",
                cause=f"the bucket {self.bucket.name} does not hold it",
                next_step="look for it in the server's pg_wal and in the spool; without it no "
                "point behind it can be reached, so take a full backup now",
            )
        suffix = PurePosixPath(stored.key).name.removeprefix(name)
        content = read_current(self.bucket, stored.key)
        if not suffix:
            return content
        if suffix not in _DECOMPRESS:
            raise OpsError(
                self.bucket.url(stored.key),
                cause=f"{suffix} is a compression that is not supported here",
                next_step="let archive_command compress by --gzip",
            )
        try:
            return _DECOMPRESS[suffix](content)
        except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
            raise ContentError(
                self.bucket.url(stored.key),
                cause=f"it can't be decompressed: {error}",
                next_step="restore an older version of this object; without one, no point behind "
                "it can be reached, so take a full backup now",
                wal=name,
            ) from error

    def fetch(
        self, first: Segment, last: Segment, folder: Path, *, system_identifier: str
    ) -> Sequence[Segment]:
        """Write what recovery reads from ``first`` to ``last`` into ``folder``, ready for use.

        History files come along. An OpsError names every hole, or a segment whose content is
        not what its name says.
        """
        missing = self.holes(first, last)
        if missing:
            raise OpsError(
                "WAL archive",
                cause=f"missing between {first.name} and {last.name}: "
                + ", ".join(str(hole) for hole in missing),
                next_step="look for them in the server's pg_wal and in older versions of the "
                "objects; without them, take a full backup now",
            )
        wanted = self.wanted(first, last)
        fetch = partial(self._fetch, folder=folder, system_identifier=system_identifier)
        with ThreadPoolExecutor(FETCHERS, thread_name_prefix="wal") as pool:
            for _ in pool.map(fetch, (segment.name for segment in wanted)):
                pass
        for name in self.files:
            if HISTORY_NAME.fullmatch(name):
                (folder / name).write_bytes(self.read(name))
        return wanted

    def _fetch(self, name: str, *, folder: Path, system_identifier: str) -> None:
        content = self.read(name)
        refuse_wrong_content(name, content, system_identifier=system_identifier)
        (folder / name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class ListedLog:
    """Archived WAL as an `ArchivedLog`: segments have this size.

    ``timeline`` is the one that the server writes. ``accepted`` are the holes, each by its first
    and last segment, that are no news to anybody.
    """

    archived: ArchivedWal
    segment_bytes: int
    accepted: Sequence[tuple[str, str]] = ()
    timeline: int | None = None

    @property
    def newest(self) -> Segment | None:
        """The last complete segment of the server's own line."""
        return self.archived.newest(self.segment_bytes, self.timeline)

    def problems(self, first_wal: str, last_wal: str) -> list[str]:
        """What recovery would lack on its way, or could not read."""
        first = Segment.parse(first_wal, self.segment_bytes)
        last = Segment.parse(last_wal, self.segment_bytes)
        try:
            wanted = self.archived.wanted(first, last)
        except OpsError as error:
            return [f"its log: {error.cause}"]
        missing = holes(wanted, self.archived.files.__contains__)
        found = [f"its log is missing: {', '.join(map(str, missing))}"] if missing else []
        cold = [
            stored
            for segment in wanted
            if (stored := self.archived.files.get(segment.name)) is not None
            and not is_readable(self.archived.bucket, stored)
        ]
        if cold:
            found.append(
                f"{len(cold)} segments of its log are in {cold[0].storage_class}, where nobody can "
                "read them without asking for them"
            )
        return found

    def came_through(self, wal: str, lsn: str, now_wal: str) -> bool:
        """Whether a server that writes ``now_wal`` came through a place in a segment.

        An OpsError when a history file that would tell it is missing.
        """
        mark = Segment.parse(wal, self.segment_bytes)
        now = Segment.parse(now_wal, self.segment_bytes)
        if mark.timeline == now.timeline:
            return mark.number <= now.number
        return any(
            switch.timeline == mark.timeline and lsn_number(lsn) <= switch.lsn
            for switch in self.archived.history(now.timeline)
        )

    def holes(self, first_wal: str) -> list[str]:
        """What is missing from a segment to the newest one."""
        first = Segment.parse(first_wal, self.segment_bytes)
        newest = self.newest
        if newest is None:
            return [f"the bucket holds no WAL at all, and {first.name} is needed"]
        try:
            return [f"WAL is missing: {hole}" for hole in self.missing(first, newest)]
        except OpsError as error:
            return [error.cause]

    def gaps(self, first_wal: str) -> list[tuple[str, str]]:
        """The same by their first and last segments."""
        newest = self.newest
        if newest is None:
            return []
        found = self.missing(Segment.parse(first_wal, self.segment_bytes), newest)
        return [(hole.first.name, hole.last.name) for hole in found]

    def missing(self, first: Segment, last: Segment) -> list[Hole]:
        """What is missing from ``first`` to ``last``, but for what a person has accepted."""
        known = [
            (Segment.parse(one, self.segment_bytes), Segment.parse(other, self.segment_bytes))
            for one, other in self.accepted
        ]
        return [
            hole
            for hole in self.archived.holes(first, last)
            if not any(hole.lies_within(*accepted) for accepted in known)
        ]


def list_wal(bucket: Bucket, prefix: str) -> ArchivedWal:
    """List what begins with ``prefix``: a server's folder ``wals/``, or a part of it."""
    files = {}
    strangers = []
    for stored in objects(bucket, prefix):
        match = WAL_OBJECT_NAME.fullmatch(PurePosixPath(stored.key).name)
        if match is None:
            strangers += [] if stored.is_folder else [stored.key]
        else:
            files[match["file"]] = stored
    return ArchivedWal(bucket, files, tuple(strangers))
