"""How a column is written to Parquet follows from its type and its first rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from ft_ops.archive.store.encoding import encoding_of

DRAWN = random.Random(7)
ROWS = 4_000


def _of(values: Sequence[Any], kind: Any = None) -> pa.Table:
    """A column c of these values again and again, in two pieces, as a row group has them."""
    column: Any = pa.array([values[n % len(values)] for n in range(ROWS)], kind)
    pieces: Any = pa.chunked_array([column.slice(0, 10), column.slice(10)])
    return pa.Table.from_arrays([pieces], names=["c"])


@pytest.mark.parametrize(
    ("distinct", "has_dictionary"),
    [(1, True), (ROWS // 4, True), (ROWS // 4 + 1, False), (ROWS, False)],
)
@pytest.mark.parametrize("make", [int, str, float])
def test_a_dictionary_is_for_values_that_are_there_four_times(
    make: type, distinct: int, has_dictionary: bool
) -> None:
    found = encoding_of(_of([make(n) for n in range(distinct)]))
    assert found.dictionaries == (["c"] if has_dictionary else [])


@pytest.mark.parametrize(("distinct", "has_dictionary"), [(8_192, True), (8_193, False)])
def test_of_values_that_begin_all_different_no_more_are_looked_at(
    distinct: int, has_dictionary: bool
) -> None:
    first = [min(n, distinct - 1) for n in range(16_384)]
    column: Any = pa.chunked_array([pa.array(first + [0] * 65_536)])
    found = encoding_of(pa.Table.from_arrays([column], names=["c"]))
    assert found.dictionaries == (["c"] if has_dictionary else [])


def test_null_is_no_value() -> None:
    assert encoding_of(_of([*range(1_000), *[None] * 3_000])).dictionaries == []
    assert encoding_of(_of([None], pa.string())).dictionaries == []
    later: Any = pa.chunked_array([pa.array([None] * 20_000 + ["a"] * 9)])
    assert encoding_of(pa.Table.from_arrays([later], names=["c"])).dictionaries == ["c"]


def test_ids_and_moments_have_no_dictionary_though_they_repeat() -> None:
    ids = encoding_of(_of([UUID(int=n).bytes for n in range(3)], pa.uuid()))
    moments = encoding_of(_of([datetime(2017, 3, day, tzinfo=UTC) for day in (1, 2)]))
    assert ids.dictionaries == moments.dictionaries == []


def test_each_column_is_compressed_as_hard_as_it_is_worth() -> None:
    words = ["".join(DRAWN.choices("abcdefghij", k=DRAWN.randint(2, 9))) for _ in range(800)]
    phrases = [" ".join(DRAWN.choices(words, k=5)) for _ in range(500)]
    prose = [". ".join(DRAWN.choices(phrases, k=8)) for _ in range(ROWS)]
    drawn = [DRAWN.randbytes(16) for _ in range(ROWS)]
    digits = [f"{DRAWN.getrandbits(256):064x}.jpg" for _ in range(ROWS)]
    assert encoding_of(_of(prose)).levels["c"] > 1
    assert encoding_of(_of(drawn, pa.uuid())).levels == {"c": 1}
    assert encoding_of(_of(digits)).levels == {"c": 1}
    assert encoding_of(_of([[line] for line in digits])).levels == {"c.list.element": 1}


def test_a_table_without_rows_has_an_encoding() -> None:
    kinds: list[tuple[str, Any]] = [
        ("t", pa.string()),
        ("n", pa.int32()),
        ("l", pa.list_(pa.string())),
    ]
    found = encoding_of(pa.schema(kinds).empty_table())
    assert found.dictionaries == []
    assert set(found.levels) == {"t", "n", "l.list.element"}
