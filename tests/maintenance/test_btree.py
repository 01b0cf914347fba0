"""The arithmetic of a btree's pages, as PostgreSQL does it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_ops.maintenance.indexes.btree import (
    IndexColumn,
    LeafItem,
    built_bytes,
    bytes_per_row,
    group_items,
    pack_groups,
    pack_rows,
    rows_per_leaf,
    rows_per_posting,
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


def test_a_text_is_short_up_to_127_bytes_of_which_one_is_its_header() -> None:
    """In an index a longer one is aligned, and so is what a computed one of 4 + 124 bytes was."""
    after_one_byte = IndexColumn("(d)", length=1, alignment=1, is_key=True, is_computed=False)
    assert tuple_bytes([after_one_byte, TEXT], [1, 127]) == 8 + 1 + 127
    assert tuple_bytes([after_one_byte, TEXT], [1, 128]) == 8 + 4 + 128 + 4
    # 130 bytes are 127 without the long header; 131 keep it.
    assert tuple_bytes([after_one_byte, LOWER], [1, 130]) == 8 + 1 + 127
    assert tuple_bytes([after_one_byte, LOWER], [1, 131]) == 8 + 4 + 131 + 1
    assert (tuple_bytes([LOWER], [130]), tuple_bytes([LOWER], [131])) == (136, 144)
    assert (tuple_bytes([LOWER], [11]), tuple_bytes([LOWER], [12])) == (16, 24)
    computed_flag = replace(after_one_byte, is_computed=True)
    assert tuple_bytes([computed_flag], [1]) == 16
    name = replace(LOWER, length=-2)
    assert name.is_c_string
    assert not LOWER.is_c_string
    assert tuple_bytes([name], [11]) == 24


def test_a_null_takes_no_room_but_that_of_the_bitmap() -> None:
    assert tuple_bytes([INTEGER, TEXT, INTEGER], [4, None, 4]) == 24
    assert tuple_bytes([TEXT, INTEGER], [5, 4]) == 8 + 8 + 4 + 4
    with pytest.raises(ValueError, match="zip"):
        tuple_bytes([INTEGER, TEXT], [4])


@given(size=st.integers(2, 40).map(lambda n: 8 * n), rows=st.integers(1, 2000))
def test_posting_lists_hold_every_row_and_end_at_a_tenth_of_a_page(size: int, rows: int) -> None:
    items = group_items(size, rows)
    assert sum(item.rows for item in items) == rows
    assert all(item.bytes <= 812 for item in items)
    assert all(item.bytes >= size + 6 * item.rows for item in items if item.rows > 1)


def test_what_shares_a_key_is_put_into_lists_of_130_rows() -> None:
    """(812 - 4 - 24) / 6 rows behind a key of 24 bytes; a row alone stays a tuple."""
    assert rows_per_posting(24) == 130
    full, rest = LeafItem(130, 808, 784), LeafItem(1, 24, 0)
    assert group_items(24, 1) == (rest,)
    assert group_items(24, 2) == (LeafItem(2, 40, 16),)
    assert group_items(24, 130) == (full,)
    assert group_items(24, 131) == (full, rest)
    assert group_items(24, 261) == (full, full, rest)
    assert bytes_per_row(24, 1) == 28
    assert bytes_per_row(24, 131) == (808 + 4 + 24 + 4) / 131


def test_a_key_that_is_larger_than_a_posting_list_gets_a_tuple_for_each_row() -> None:
    assert rows_per_posting(800) == 1
    assert rows_per_posting(796) == 2
    assert group_items(2000, 3) == (LeafItem(1, 2000),) * 3


@pytest.mark.parametrize(
    ("fillfactor", "rows"),
    [
        # 20 bytes a row of the 8,144 of a leaf, less the reserve of 819, 4,096 or none.
        (90, 366),
        (50, 202),
        # 141 rows leave exactly the reserve of 5,324: the page is not full yet.
        (35, 141),
        (100, 407 - 1),
    ],
)
def test_a_page_is_full_when_less_than_the_reserve_is_left(fillfactor: int, rows: int) -> None:
    assert rows_per_leaf([LeafItem(1, 16)] * 2000, fillfactor) == rows


def test_a_page_holds_two_items_before_it_is_full_whatever_the_reserve() -> None:
    """One of them moves on, so a row stays."""
    assert rows_per_leaf([LeafItem(1, 2000)] * 100, 10) == 1


def test_less_than_a_page_is_carried_on_to_a_whole_one() -> None:
    assert rows_per_leaf([], 90) == 0
    assert rows_per_leaf([LeafItem(1, 16)], 90) == 7325 / 20
    assert rows_per_leaf([LeafItem(1, 16)] * 367, 90) == 7325 / 20
    assert rows_per_leaf([LeafItem(3, 40, 16)] * 2, 90) == 6 * 7325 / 88


def test_an_item_fits_with_the_eight_bytes_that_a_high_key_may_need() -> None:
    """8,144 less two items of 20 bytes: 8,104 are left, and 8,096 go in."""
    small = [LeafItem(1, 16)] * 2
    # The first page ends behind the large one, which moves on and is alone on the second.
    fits = [*small, LeafItem(1, 8096), LeafItem(1, 16), *small]
    assert rows_per_leaf(fits, 100) == 2
    too_large = [*small, LeafItem(1, 8104), LeafItem(1, 16), *small]
    assert rows_per_leaf(too_large, 100) == 1


def test_what_is_cut_from_a_high_key_counts_as_free() -> None:
    """Behind nine lists of 812 bytes 836 are left, and 784 more of what the ninth lists."""
    full = LeafItem(130, 808, 784)
    assert rows_per_leaf([full] * 1000, 82) == 9 * 130
    assert rows_per_leaf([replace(full, truncatable=0)] * 1000, 82) == 8 * 130
    assert rows_per_leaf([full] * 1000, 80) == 8 * 130


def test_the_pages_of_each_level_add_up_with_the_first_that_tells_of_the_others() -> None:
    page = 8192
    assert built_bytes(0, 366, 16) == built_bytes(366, 366, 16) == 2 * page
    assert built_bytes(367, 366, 16) == (2 + 1 + 1) * page
    # 8,144 x 0.7 / 20 are 285.04 on an inner page.
    assert built_bytes(285 * 366, 366, 16) == (285 + 1 + 1) * page
    assert built_bytes(286 * 366, 366, 16) == (286 + 2 + 1 + 1) * page
    # However large the keys, a page leads to two.
    assert built_bytes(5, 1, 5000) == (5 + 3 + 2 + 1 + 1) * page
    assert built_bytes(4, 0.5, 16) == (4 + 1 + 1) * page


def test_a_key_counts_once_however_many_of_its_rows_were_drawn() -> None:
    """Half of the rows drawn are of keys with ten: of the keys they are one in eleven."""
    mixed = pack_groups([(24, 1), (24, 10)] * 50, 100, 90, random.Random(1))
    eleven_keys = [group_items(24, 1)] * 10 + [group_items(24, 10)]
    loaded = rows_per_leaf([item for items in eleven_keys * 300 for item in items], 90)
    assert mixed == pytest.approx(loaded, rel=0.01)


def test_a_key_with_as_many_rows_as_are_counted_is_all_full_lists() -> None:
    chance = random.Random(1)
    below, at = (pack_groups([(24, 1000)] * 10, cap, 90, chance) for cap in (1001, 1000))
    assert at == 9 * 130
    assert below < at
    # 130 in a full list, and 70 that are counted no further.
    assert pack_groups([(24, 200)] * 10, 200, 90, chance) == 9 * 130


def test_a_leaf_of_bigints_holds_366_rows() -> None:
    # What REINDEX makes of a million bigints: 2,733 leaves, 2,745 pages in all.
    per_leaf = pack_rows([16] * 1000, 90, random.Random(1))
    assert round(per_leaf) == 366
    assert built_bytes(1_000_000, per_leaf, 16) == 2745 * 8192
    # So does a sample of which less than every second row is packed.
    assert round(pack_rows([16] * 200_000, 90, random.Random(1))) == 366


def test_wide_tuples_leave_the_rest_of_the_page_empty() -> None:
    assert rows_per_leaf([LeafItem(1, 2000)] * 100, 90) == 3
    assert rows_per_leaf([LeafItem(1, 2000)] * 100, 50) == 2
