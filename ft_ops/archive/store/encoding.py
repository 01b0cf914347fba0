"""How each column of a part is written to Parquet: by its type, and by the part's first rows.

Plain values and dictionaries, which whatever reads Parquet reads, in pages of zstd. The delta
encodings of the format's second version would save another sixtieth, and there are readers that
refuse them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_LEVELS: Final = (1, 4, 5)
"""Of zstd, tried in this order. Prose is a quarter smaller with the second than with the first, in
the same time; JSON and moments are a tenth smaller with the third, which takes twice the time."""

_WORTH: Final = 0.95
"""What a higher level has to make of a column, at most, in comparison with a lower one."""

_TRIED_BYTES: Final = 256 << 10
"""Of a column's first values: what is compressed on trial, once at each level."""

_REPEATED: Final = 4
"""A dictionary pays where a value is there as often, on average. Of values that differ it takes
time and a tenth more bytes."""

_LOOKED_AT: Final = 16_384
"""Of a column's first values, in a part: where most of them differ, no more is looked at."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What pyarrow's ParquetWriter is told of the columns, by their paths."""

    dictionaries: list[str] = field(default_factory=list)
    levels: dict[str, int] = field(default_factory=dict)


def encoding_of(rows: pa.Table) -> Encoding:
    """How to write columns that begin with these rows."""
    found = Encoding()
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_list(column.type):
            found.levels[f"{name}.list.element"] = _level(pc.list_flatten(column))
        elif _is_repeated(column):
            found.dictionaries.append(name)
            found.levels[name] = _LEVELS[1]
        else:
            found.levels[name] = _level(column)
    return found


def _is_repeated(values: Any) -> bool:
    """Whether its values are there so often that a dictionary is smaller.

    Ids and moments are sorted, or nearly: what repeats lies together, and zstd finds it.
    """
    kind = values.type
    if isinstance(kind, pa.UuidType) or pa.types.is_timestamp(kind) or pa.types.is_boolean(kind):
        return False
    first = values.slice(0, _LOOKED_AT)
    if _distinct(first) * 2 > _there(first):
        return False
    distinct = _distinct(values)
    return bool(distinct) and distinct * _REPEATED <= _there(values)


def _distinct(values: Any) -> int:
    return int(pc.count_distinct(values).as_py())


def _there(values: Any) -> int:
    return int(len(values) - values.null_count)


def _level(values: Any) -> int:
    """The lowest level than which no higher one is worth its time, on the first values."""
    tried = bytearray()
    for chunk in values.chunks:
        data = chunk.buffers()[-1]
        if data is not None:
            tried += memoryview(data)[: _TRIED_BYTES - len(tried)]
    best, least = _LEVELS[0], float("inf")
    for level in _LEVELS:
        size = len(pa.Codec("zstd", level).compress(bytes(tried)))
        if size <= least * _WORTH:
            best, least = level, size
    return best
