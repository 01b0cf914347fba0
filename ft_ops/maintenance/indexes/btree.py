"""How large a btree would be if it were built now: PostgreSQL's own arithmetic, on samples.

Follows nbtsort.c, nbtdedup.c and indextuple.c of PostgreSQL 16 (the same since 13). Sizes are in
bytes, pages are of 8 kB.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

PAGE: Final = 8192
_LINE_POINTER: Final = 4
# Less the page's header and trailer, and the line pointers of the high key and the next item.
_LEAF_SPACE: Final = PAGE - 24 - 16 - 2 * _LINE_POINTER
_INTERNAL_FILL: Final = 0.70
_TID: Final = 6
_HEAP_TID_OF_HIGH_KEY: Final = 8
# A posting list ends at a tenth of a page, so that a leaf can be filled close to 90 %.
_LONGEST_POSTING: Final = (PAGE // 10) // 8 * 8 - _LINE_POINTER
_SHORT_VARLENA: Final = 127
LONGEST_AS_IT_IS: Final = 504
"""Bytes up to which a value is never compressed in an index tuple (TOAST_INDEX_TARGET)."""
_PACKED_PAGES: Final = 150


@dataclass(frozen=True, slots=True)
class IndexColumn:
    """One column of an index, as the catalog describes it.

    ``length`` is the type's fixed length, negative when it varies: -2 of a C string, which is how
    an index stores a ``name``. ``expression`` is the column's SQL as the server deparses it, with
    its collation. A value of a column that ``may_shrink`` is compressed when it is long. One that
    ``is_recast`` is stored as another type than the column's, in a way that is not known here.
    """

    expression: str
    length: int
    alignment: int
    is_key: bool
    is_computed: bool
    may_shrink: bool = False
    is_recast: bool = False

    @property
    def is_c_string(self) -> bool:
        return self.length == -2


@dataclass(frozen=True, slots=True)
class LeafItem:
    """What a leaf page holds for its rows. ``truncatable`` bytes go when it becomes a high key."""

    rows: int
    bytes: int
    truncatable: int = 0


Widths = Sequence[int | None]
"""The stored size of each column of one row as pg_column_size gives it; None for null."""


def tuple_bytes(columns: Sequence[IndexColumn], widths: Widths) -> int:
    """The size of one row's index tuple, without its line pointer."""
    # The header, and a bitmap of 32 columns as soon as one is null; both end at 8 bytes.
    offset = 16 if any(width is None for width in widths) else 8
    for column, width in zip(columns, widths, strict=True):
        if width is None:
            continue
        if column.length > 0:
            offset = _aligned(offset, column.alignment) + column.length
            continue
        # A computed value has the 4 byte header that a stored short one has lost.
        stored = width
        if column.is_computed and not column.is_c_string and width - 3 <= _SHORT_VARLENA:
            stored = width - 3
        if stored > _SHORT_VARLENA:
            offset = _aligned(offset, column.alignment)
        offset += stored
    return _aligned(offset, 8)


def tuples_bytes(
    columns: Sequence[IndexColumn], rows: Sequence[tuple[int | None, ...]]
) -> list[int]:
    """The same of each row; most rows have the widths of another one."""
    sizes = {widths: tuple_bytes(columns, widths) for widths in set(rows)}
    return [sizes[widths] for widths in rows]


def rows_per_posting(tuple_size: int) -> int:
    """How many rows of one key a posting list takes at most."""
    return max(1, (_LONGEST_POSTING // 8 * 8 - tuple_size) // _TID)


@lru_cache(maxsize=10_000)
def group_items(tuple_size: int, rows: int) -> tuple[LeafItem, ...]:
    """What deduplication makes of ``rows`` rows that share one key."""
    longest = rows_per_posting(tuple_size)
    items = []
    while rows > 0:
        taken = min(rows, longest)
        size = tuple_size if taken == 1 else _aligned(tuple_size + taken * _TID, 8)
        items.append(LeafItem(taken, size, size - tuple_size))
        rows -= taken
    return tuple(items)


@lru_cache(maxsize=10_000)
def bytes_per_row(tuple_size: int, rows: int) -> float:
    """What one of ``rows`` rows with the same key costs on a leaf page, line pointers included."""
    return sum(item.bytes + _LINE_POINTER for item in group_items(tuple_size, rows)) / rows


def rows_per_leaf(items: Iterable[LeafItem], fillfactor: int) -> float:
    """How many rows a leaf page takes when such items are loaded in this order.

    As in _bt_buildadd: a page is full when less than the fill factor's reserve is left on it; its
    last item then moves to the next page and leaves a truncated copy as the high key.
    """
    reserve = PAGE * (100 - fillfactor) // 100
    full_pages = 0
    full_rows = 0
    free, count, rows = _LEAF_SPACE, 0, 0
    last = LeafItem(0, 0)
    for item in items:
        too_large = free < item.bytes + _HEAP_TID_OF_HIGH_KEY
        if count > 1 and (too_large or free + last.truncatable < reserve):
            full_pages += 1
            full_rows += rows - last.rows
            free, count, rows = _LEAF_SPACE - last.bytes - _LINE_POINTER, 1, last.rows
        free -= item.bytes + _LINE_POINTER
        count += 1
        rows += item.rows
        last = item
    if full_pages == 0:
        return rows * (_LEAF_SPACE - reserve) / max(1, _LEAF_SPACE - free)
    return full_rows / full_pages


def built_bytes(rows: float, leaf_rows: float, key_bytes: float) -> int:
    """The size of a new btree of ``rows`` rows at ``leaf_rows`` a leaf page, in whole pages.

    ``key_bytes`` is the average tuple of an internal page; those are filled to 70 %.
    """
    level = max(1, -(-int(rows) // max(1.0, leaf_rows)))
    pages = level
    fan_out = max(2.0, _LEAF_SPACE * _INTERNAL_FILL / (key_bytes + _LINE_POINTER))
    while level > 1:
        level = -(-level // fan_out)
        pages += level
    return int(pages + 1) * PAGE


def pack_groups(
    groups: Sequence[tuple[int, int]], cap: int, fillfactor: int, chance: random.Random
) -> float:
    """Rows a leaf page for an index that deduplicates, from ``(tuple size, rows of its key)``.

    Each pair belongs to one row drawn at random, so a key of n rows is drawn n times too often and
    counts 1/n. A key with ``cap`` rows or more is as good as endless: full posting lists only.
    """
    drawn = [group_items(size, rows)[: 1 if rows >= cap else None] for size, rows in groups]
    weights = [1 / sum(item.rows for item in items) for items in drawn]
    return _pack(drawn, weights, fillfactor, chance)


def pack_rows(sizes: Sequence[int], fillfactor: int, chance: random.Random) -> float:
    """Rows a leaf page for an index that keeps a tuple for every row, from their sizes."""
    items = {size: [LeafItem(1, size)] for size in set(sizes)}
    return _pack([items[size] for size in sizes], [1.0] * len(sizes), fillfactor, chance)


def _pack(
    drawn: Sequence[Sequence[LeafItem]],
    weights: Sequence[float],
    fillfactor: int,
    chance: random.Random,
) -> float:
    bytes_at_weight = sum(
        weight * sum(item.bytes + _LINE_POINTER for item in items)
        for items, weight in zip(drawn, weights, strict=True)
    )
    repeats = _PACKED_PAGES * PAGE / bytes_at_weight
    stream: list[Sequence[LeafItem]] = []
    owed = 0.0
    # Systematic resampling: every draw comes as often as its weight says, give or take one.
    for items, weight in zip(drawn, weights, strict=True):
        owed += weight * repeats
        stream += [items] * int(owed)
        owed -= int(owed)
    # Of one item there is one order; to draw it takes longest of all.
    if any(items is not stream[0] for items in stream):
        chance.shuffle(stream)
    return rows_per_leaf((item for items in stream for item in items), fillfactor)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
