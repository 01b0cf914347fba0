"""What held links in archives lead to, by the list of ends beside each generation.

A held link comes back with both of its ends, or not at all. So the segment at its other end, the
thread and the author of that segment, and who made the link, may not be erased while the hold
stands, although none of them is held. In the database the link itself keeps them.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_ops.archive.hold.holds import LegalHold
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.store.content_index import (
    END,
    MAKER,
    IndexedSubject,
    is_listed,
    read_ends,
)
from ft_ops.archive.store.unit_lists import IDENTITY, UNITS
from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import read_object

if TYPE_CHECKING:
    Ids: TypeAlias = pa.ChunkedArray[pa.Scalar[pa.FixedSizeBinaryType]]


@dataclass(frozen=True, slots=True)
class HeldLinks:
    """The segments at the other ends of held links, and who made these links."""

    ends: frozenset[UUID]
    makers: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class KnownHere:
    """Of held threads, what the database says, and no list beside a generation does.

    ``segments`` are its segments, and those of the hold's own user and month, each by 16 bytes and
    in their order; ``erased`` are the threads that it has no more: it does not know their segments.
    """

    segments: bytes
    erased: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class _Held:
    """What a hold holds: its segments, of whom the links, and of which month."""

    segments: Ids
    hold: LegalHold

    def links_of(self, bucket: Bucket, generation: Generation) -> HeldLinks:
        """What those links of a generation lead to that are held."""
        listed = read_ends(bucket, generation)
        if listed is None or not listed.num_rows:
            return HeldLinks(frozenset(), frozenset())
        if self.hold.month != generation.month.first_day:
            listed = listed.filter(self._touched(listed))
        ends: set[UUID] = set()
        for end in _columns(listed, END):
            ends |= _ids(end.filter(pc.invert(pc.is_in(end, value_set=self.segments))))
        makers = {user for maker in _columns(listed, MAKER) for user in _ids(maker)}
        return HeldLinks(frozenset(ends), frozenset(makers))

    def _touched(self, listed: pa.Table) -> pa.BooleanArray:
        """Which rows have one of the held segments at an end, or are by the held user."""
        tests = [pc.is_in(end, value_set=self.segments) for end in _columns(listed, END)]
        if self.hold.user_id is not None:
            by = _binary([self.hold.user_id])
            tests += [pc.is_in(maker, value_set=by) for maker in _columns(listed, MAKER)]
        return _any_of(tests)


def known_here(connection: Connection, hold: LegalHold, threads: Set[UUID]) -> KnownHere:
    """What the database says of held threads, and of what else a hold is on."""
    ids = sorted(threads)
    values = {"threads": ids, "user_id": hold.user_id, "month": hold.month, "hold": hold.id}
    rows = connection.execute(statement("archive/held_segments"), values).fetchall()
    living = connection.execute(statement("archive/living_threads"), {"ids": ids}).fetchall()
    return KnownHere(
        b"".join(sorted(segment.bytes for (segment,) in rows)),
        frozenset(threads) - {thread for (thread,) in living},
    )


def held_links(
    bucket: Bucket,
    hold: LegalHold,
    known: KnownHere,
    stored: Iterable[Generation],
    holding: Iterable[Generation],
) -> Worked[HeldLinks]:
    """What held links of the stored generations lead to, generation by generation.

    Held are those that lead to a segment of a held thread, or of the hold's own user or month, and
    those that its user made. Of a thread that was erased the lists of the generations ``holding``
    anything held know the segments alone. Memory is some 50 bytes for each held segment.
    """
    stored = list(stored)
    in_month = [(g, None) for g in stored if g.month.first_day == hold.month]
    in_erased = [
        (g, known.erased) for g in holding if known.erased and g.month.first_day != hold.month
    ]
    archived = each(
        [*in_month, *in_erased],
        lambda of: _segments(bucket, *of),
        name=lambda of: f"segments of {of[0].name}",
    )
    here = pa.Array.from_buffers(
        pa.binary(16), len(known.segments) // 16, [None, pa.py_buffer(known.segments)]
    )
    segments = [pa.chunked_array([here]), *archived.results]
    held = _Held(pa.chunked_array(chunk for ids in segments for chunk in ids.chunks), hold)
    found = each(stored, lambda g: held.links_of(bucket, g), name=lambda g: f"links of {g.name}")
    return Worked(found.done, (*archived.failed, *found.failed))


def link_at_stake(
    bucket: Bucket,
    generation: Generation,
    ends: Collection[UUID],
    erased: Collection[IndexedSubject],
    *,
    shared: bool,
) -> bool:
    """Whether a held link, or a segment that it leads to, would go with what was erased.

    ``ends`` are what held links lead to, wherever they lie. ``erased`` are the subjects of a
    generation that are to be taken out of it; ``shared``: any of its shared rows, too, of which
    nobody knows to what they lead. What its lists don't tell may be so.
    """
    if not ends or not (erased or shared):
        return False
    known = _binary(ends)
    threads = {s.thread_id for s in erased if s.thread_id is not None}
    if threads and _lie_in(bucket, generation, known, threads):
        return True
    makers = {s.user_id for s in erased if s.thread_id is None and s.user_id is not None}
    listed = read_ends(bucket, generation)
    if listed is None or not is_listed(generation):
        return bool(makers or shared) and not is_listed(generation)
    touched = listed.filter(
        _any_of(pc.is_in(end, value_set=known) for end in _columns(listed, END))
    )
    found = {user for maker in _columns(touched, MAKER) for user in _ids(maker)}
    return (shared and touched.num_rows > 0) or not makers.isdisjoint(found)


def unlisted_months(stored: Iterable[Generation]) -> list[Month]:
    """The months in the archive alone of which it is not known what their links lead to."""
    return sorted({g.month for g in stored if g.state == "purged" and not is_listed(g)})


def living_ends(connection: Connection, ends: Iterable[UUID]) -> tuple[set[UUID], set[UUID]]:
    """The threads of segments, in the database or in an archive alone, and the living's authors."""
    ids = {"ids": sorted(ends)}
    threads = connection.execute(statement("archive/threads_of_ends"), ids).fetchall()
    authors = connection.execute(statement("archive/authors_of_ends"), ids).fetchall()
    return {thread for (thread,) in threads}, {author for (author,) in authors}


def _segments(bucket: Bucket, generation: Generation, threads: Set[UUID] | None) -> Ids:
    """The segments that a generation was proven to hold; only those of ``threads`` if given."""
    found = [_binary([])]
    for listed in _identities(bucket, generation):
        [ids] = _columns(listed, "segment_id")
        if threads is not None and "thread_id" in listed.column_names:
            [within] = _columns(listed, "thread_id")
            ids = ids.filter(pc.is_in(within, value_set=_binary(threads)))
        found.append(ids)
    return pa.chunked_array([chunk for ids in found for chunk in ids.chunks])


def _lie_in(bucket: Bucket, generation: Generation, segments: Ids, threads: Set[UUID]) -> bool:
    """Whether a generation has one of the segments in one of the threads, or may have."""
    known = False
    for listed in _identities(bucket, generation):
        known = True
        [ids] = _columns(listed, "segment_id")
        found = listed.filter(pc.is_in(ids, value_set=segments))
        if "thread_id" not in found.column_names:
            return found.num_rows > 0
        [within] = _columns(found, "thread_id")
        if not threads.isdisjoint(_ids(within)):
            return True
    return not known


def _identities(bucket: Bucket, generation: Generation) -> Iterator[pa.Table]:
    """The list of segments that were proven, if any, with their threads if it has them."""
    for item in generation.objects:
        if item.table == UNITS:
            file = pq.ParquetFile(io.BytesIO(read_object(bucket, item.stored)))
            names = [name for name in IDENTITY[:2] if name in file.schema_arrow.names]
            yield file.read(columns=names)


def _any_of(tests: Iterable[pa.BooleanArray]) -> pa.BooleanArray:
    first, *others = tests
    for test in others:
        first = pc.or_(first, test)
    return first


def _columns(listed: pa.Table, beginning: str) -> list[Ids]:
    names = [name for name in listed.column_names if name.startswith(beginning)]
    return [listed.column(name).cast(pa.binary(16)) for name in names]


def _binary(ids: Iterable[UUID]) -> Ids:
    return pa.chunked_array([pa.array([i.bytes for i in ids], pa.binary(16))])


def _ids(column: Ids) -> set[UUID]:
    values: list[bytes | None] = column.unique().to_pylist()  # type: ignore[assignment]
    return {UUID(bytes=value) for value in values if value is not None}
