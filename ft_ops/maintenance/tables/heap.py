"""How large a table would be if it were written anew: PostgreSQL's own arithmetic, on samples.

Follows heaptuple.c, heaptoast.c and rewriteheap.c of PostgreSQL 16. Sizes are in bytes, pages are
of 8 kB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

PAGE: Final = 8192
_PAGE_SPACE: Final = PAGE - 24
_LINE_POINTER: Final = 4
_HEADER: Final = 23
_SHORT: Final = 127
"""Bytes up to which a value has a header of one byte, and stands without alignment."""
_POINTER: Final = 18
"""What stays in the row of a value that is stored beside it."""
_LEAST_MOVED: Final = 24
TOAST_TARGET: Final = 2032
"""Bytes above which a row's values are stored beside it, unless its table has another target."""
_CHUNK: Final = 1996
_CHUNK_OVERHEAD: Final = 24 + 4 + 4 + 4


@dataclass(frozen=True, slots=True)
class HeapColumn:
    """A column of a table: its length, negative when it varies, its alignment, and its storage."""

    name: str
    length: int
    alignment: int
    storage: str

    @property
    def may_move(self) -> bool:
        """Whether its values are stored beside the row when that gets too long."""
        return self.length == -1 and self.storage in {"x", "e"}


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as a new table has it: its tuple, and the sizes of what is stored beside it."""

    bytes: int
    beside: tuple[int, ...]


def stored_row(
    columns: Sequence[HeapColumn],
    widths: Sequence[int | None],
    *,
    attributes: int,
    target: int = TOAST_TARGET,
) -> StoredRow:
    """One row from the widths of its values, as pg_column_size gives them; None for null.

    ``attributes`` counts columns that were dropped, too: the row has a bit for each of them, and
    they are null in it.
    """
    has_nulls = attributes > len(columns) or any(width is None for width in widths)
    header = _aligned(_HEADER + (-(-attributes // 8) if has_nulls else 0), 8)
    moved: set[int] = set()
    size = _tuple_bytes(header, columns, widths, moved)
    if size > TOAST_TARGET:
        largest = sorted(
            (
                (width, place)
                for place, (column, width) in enumerate(zip(columns, widths, strict=True))
                if column.may_move and width is not None and width > _LEAST_MOVED
            ),
            reverse=True,
        )
        for _, place in largest:
            if size <= target:
                break
            moved.add(place)
            size = _tuple_bytes(header, columns, widths, moved)
    return StoredRow(_aligned(size, 8), tuple(widths[place] or 0 for place in sorted(moved)))


def heap_bytes(rows: float, sample: Sequence[StoredRow], fillfactor: int) -> int:
    """The size of ``rows`` rows like those of ``sample``, written one after the other."""
    if rows <= 0 or not sample:
        return 0
    reserve = PAGE * (100 - fillfactor) // 100
    return _pages(rows / len(sample), (row.bytes for row in sample), reserve)


def toast_bytes(rows: float, sample: Sequence[StoredRow]) -> int:
    """The size of what is stored beside those rows, in its chunks."""
    if rows <= 0 or not sample:
        return 0
    return _pages(rows / len(sample), _chunks(sample), 0)


def _pages(times: float, sizes: Iterable[int], reserve: int) -> int:
    """The size of tuples that fill pages in this order, ``times`` as many as there are."""
    full, free, used = 0, _PAGE_SPACE, 0
    for size in sizes:
        if size + _LINE_POINTER + reserve > free and used:
            full += 1
            free, used = _PAGE_SPACE, 0
        free -= size + _LINE_POINTER
        used += size + _LINE_POINTER
    if not full and not used:
        return 0
    # The last page counts by how much of it is filled, but for the whole table's own last one.
    pages = full + used / max(1, _PAGE_SPACE - reserve)
    return -int(-(times * pages) // 1) * PAGE


def _chunks(sample: Sequence[StoredRow]) -> Iterator[int]:
    for row in sample:
        for size in row.beside:
            whole, rest = divmod(size, _CHUNK)
            yield from (_aligned(_CHUNK + _CHUNK_OVERHEAD, 8),) * whole
            if rest:
                yield _aligned(rest + _CHUNK_OVERHEAD, 8)


def _tuple_bytes(
    header: int, columns: Sequence[HeapColumn], widths: Sequence[int | None], moved: set[int]
) -> int:
    offset = header
    for place, (column, width) in enumerate(zip(columns, widths, strict=True)):
        if width is None:
            continue
        if place in moved:
            offset += _POINTER
        elif column.length > 0:
            offset = _aligned(offset, column.alignment) + column.length
        else:
            if width > _SHORT or column.length == -2 or column.storage == "p":
                offset = _aligned(offset, column.alignment)
            offset += width
    return offset


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
