"""The arithmetic of a btree's pages, as PostgreSQL does it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ft_ops.maintenance.indexes.btree import (
    IndexColumn,
    Item,
    built_bytes,
    group_items,
    pack_rows,
    rows_per_leaf,
    tuple_bytes,
)

INTEGER = IndexColumn("(a)", length=4, alignment=4, is_key=True, is_computed=False)
UUID = IndexColumn("(b)", length=16, alignment=1, is_key=True, is_computed=False)
TEXT = IndexColumn("(c)", length=-1, alignment=4, is_key=True, is_computed=False)
LOWER = IndexColumn("(lower(c))", length=-1, alignment=4, is_key=True, is_computed=True)


def test_tuples_are_aligned_and_nulls_cost_a_bitmap() -> None:
    assert tuple_bytes([INTEGER], [4]) == 16
    assert tuple_bytes([UUID], [16]) == 24
    assert tuple_bytes([INTEGER, UUID], [4, 16]) == 32
    assert tuple_bytes([INTEGER], [None]) == 16
    assert tuple_bytes([INTEGER, UUID], [None, 16]) == 32


def test_short_text_is_not_aligned_and_a_computed_one_loses_its_long_header() -> None:
    assert tuple_bytes([INTEGER, TEXT], [4, 5]) == 24
    assert tuple_bytes([TEXT], [8]) == 16
    assert tuple_bytes([LOWER], [11]) == 16
    assert tuple_bytes([TEXT], [200]) == tuple_bytes([LOWER], [200]) == 208


@given(size=st.integers(2, 40).map(lambda n: 8 * n), rows=st.integers(1, 2000))
def test_posting_lists_hold_every_row_and_end_at_a_tenth_of_a_page(size: int, rows: int) -> None:
    items = group_items(size, rows)
    assert sum(item.rows for item in items) == rows
    assert all(item.bytes <= 812 for item in items)
    assert all(item.bytes >= size + 6 * item.rows for item in items if item.rows > 1)


def test_a_leaf_of_bigints_holds_366_rows() -> None:
    # What REINDEX makes of a million bigints: 2,733 leaves, 2,745 pages in all.
    per_leaf = pack_rows([16] * 1000, 90, random.Random(1))
    assert round(per_leaf) == 366
    assert built_bytes(1_000_000, per_leaf, 16) == 2745 * 8192


def test_wide_tuples_leave_the_rest_of_the_page_empty() -> None:
    assert rows_per_leaf([Item(1, 2000)] * 100, 90) == 3
    assert rows_per_leaf([Item(1, 2000)] * 100, 50) == 2
