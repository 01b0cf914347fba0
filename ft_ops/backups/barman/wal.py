"""WAL segments: their names, their order, and the holes between them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ft_ops.backups.provider import ContentError
from ft_ops.errors import OpsError

SEGMENT_NAME: Final = re.compile(r"[0-9A-F]{24}")
HISTORY_NAME: Final = re.compile(r"([0-9A-F]{8})\.history")
WAL_FILE_NAME: Final = re.compile(
    r"[0-9A-F]{24}(\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history"
)
WAL_OBJECT_NAME: Final = re.compile(rf"(?P<file>{WAL_FILE_NAME.pattern})(\.[a-z0-9]+)?")
"""A file's name and, behind it, the suffix of its compression."""

_BACKED_UP_AGAIN = (
    "look for an older version of the object in the bucket; without one, no point behind it can "
    "be reached, so take a full backup now"
)

_LSN_BYTES_IN_A_LOG = 1 << 32
# XLogLongPageHeaderData in src/include/access/xlog_internal.h: magic, info, timeline, address,
# remaining length, padding, system identifier, segment size.
_HEADER = struct.Struct("=HHIQI4xQI")


def is_read_by_recovery(name: str, since: str | None = None) -> bool:
    """Whether recovery asks an archive for a file: not for a segment that was left half written.

    Each server that is promoted from one timeline leaves its own, under the same name. Nor does it
    ask for a segment before ``since``, where it begins.
    """
    if SEGMENT_NAME.fullmatch(name) is None:
        return HISTORY_NAME.fullmatch(name) is not None
    return since is None or name[8:] >= since[8:]


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A place in the log. ``number`` counts segments of ``size`` bytes from LSN 0/0 on."""

    number: int
    timeline: int
    size: int = 16 << 20

    @classmethod
    def parse(cls, name: str, size: int) -> Segment:
        """Read a segment's name, 24 hexadecimal digits; anything else is an OpsError."""
        if SEGMENT_NAME.fullmatch(name) is None:
            raise OpsError(
                f"WAL segment {name!r}",
                cause="a segment's name has 24 hexadecimal digits",
                next_step="see who wrote this name into the archive or the ledger",
            )
        log, low = int(name[8:16], 16), int(name[16:], 16)
        return cls(log * (_LSN_BYTES_IN_A_LOG // size) + low, int(name[:8], 16), size)

    @property
    def name(self) -> str:
        log, low = divmod(self.number, _LSN_BYTES_IN_A_LOG // self.size)
        return f"{self.timeline:08X}{log:08X}{low:08X}"


@dataclass(frozen=True, slots=True)
class Switch:
    """A timeline ended at ``lsn``, where its child began."""

    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Segments that are missing between others, first and last included."""

    first: Segment
    last: Segment

    @property
    def segments(self) -> int:
        return self.last.number - self.first.number + 1

    def lies_within(self, first: Segment, last: Segment) -> bool:
        """Whether all of it is between these two, on their timeline.

        A later timeline has segments of the same numbers, which are others.
        """
        timelines = {self.first.timeline, self.last.timeline, first.timeline, last.timeline}
        is_between = first.number <= self.first.number and self.last.number <= last.number
        return is_between and len(timelines) == 1

    def __str__(self) -> str:
        if self.segments == 1:
            return self.first.name
        return f"{self.first.name} to {self.last.name} ({self.segments} segments)"


def lsn_number(text: str) -> int:
    """The byte position that ``1/6B374D48`` means."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def parse_history(text: str) -> list[Switch]:
    """The ancestors that a timeline's history file lists, oldest first.

    One line an ancestor: its number, the LSN where it was left, a reason
    (src/backend/access/transam/timeline.c).
    """
    switches = []
    for line in text.splitlines():
        fields = line.split("#")[0].split()
        if fields:
            switches.append(Switch(int(fields[0]), lsn_number(fields[1])))
    return switches


def expected_segments(first: Segment, last: Segment, history: Sequence[Switch]) -> list[Segment]:
    """Every segment that recovery reads from ``first`` to ``last``, each on its timeline.

    ``history`` is of the last one's timeline. The segment in which a timeline was left is read
    from the child, which begins with a copy of it. An OpsError when the log of ``first`` does not
    lead to ``last``: it lies on another branch, or behind the place where its timeline was left.
    """
    left = {switch.timeline: switch.lsn // first.size for switch in history}
    if first.timeline != last.timeline and left.get(first.timeline, -1) < first.number:
        raise OpsError(
            f"WAL from {first.name} to {last.name}",
            cause=f"timeline {last.timeline} did not come through {first.name}: the server was "
            "recovered to an earlier moment, or another server continues from there",
            next_step="choose a full and a point of the same timeline",
        )
    begins = [0, *(switch.lsn // first.size for switch in history)]
    timelines = [*(switch.timeline for switch in history), last.timeline]
    expected = []
    for number in range(first.number, last.number + 1):
        timeline = max(
            (t for t, begin in zip(timelines, begins, strict=True) if begin <= number),
            default=last.timeline,
        )
        expected.append(Segment(number, timeline, first.size))
    return expected


def holes(expected: Iterable[Segment], present: Callable[[str], bool]) -> list[Hole]:
    """The runs of ``expected`` segments that are not ``present`` by name, each on one timeline."""
    found: list[Hole] = []
    for segment in expected:
        if present(segment.name):
            continue
        before = found[-1].last if found else None
        if before == replace(segment, number=segment.number - 1):
            found[-1] = Hole(found[-1].first, segment)
        else:
            found.append(Hole(segment, segment))
    return found


def refuse_wrong_content(name: str, content: bytes, *, system_identifier: str) -> None:
    """Compare a segment's first page with its name; a ContentError says what else it is.

    A segment of another cluster, or of another place, has a valid name only.
    """
    what = f"WAL segment {name}"
    if len(content) < _HEADER.size:
        raise ContentError(
            what, cause=f"it has {len(content)} bytes", next_step=_BACKED_UP_AGAIN, wal=name
        )
    _, _, timeline, address, _, system, size = _HEADER.unpack_from(content)
    if str(system) != system_identifier:
        raise ContentError(
            what,
            cause=f"it was written by the cluster {system}, this one is {system_identifier}",
            next_step="find out which other server archives into this bucket and stop it; then "
            "take a full backup",
            wal=name,
        )
    if size != len(content):
        raise ContentError(
            what,
            cause=f"it has {len(content)} bytes instead of {size}",
            next_step=_BACKED_UP_AGAIN,
            wal=name,
        )
    actual = Segment(address // size, timeline, size).name
    if actual != name:
        raise ContentError(
            what, cause=f"its content is {actual}", next_step=_BACKED_UP_AGAIN, wal=name
        )


def spans(names: Iterable[str], size: int) -> Mapping[int, tuple[Segment, Segment]]:
    """Timeline → its first and last segment among ``names``."""
    found: dict[int, tuple[Segment, Segment]] = {}
    for name in names:
        segment = Segment.parse(name, size)
        first, last = found.get(segment.timeline, (segment, segment))
        found[segment.timeline] = min(first, segment), max(last, segment)
    return dict(sorted(found.items()))
