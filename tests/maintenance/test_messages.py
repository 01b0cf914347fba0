"""What the server says of a vacuum is read as what it means, in whatever language it says it."""

from __future__ import annotations

import pytest

from ft_ops.maintenance.tables.messages import Meaning, Notice


@pytest.mark.parametrize(
    ("sqlstate", "text", "meaning"),
    [
        ("55P03", 'skipping vacuum of "big" --- lock not available', "locked"),
        ("42P01", 'skipping vacuum of "big" --- relation no longer exists', "gone"),
        ("01000", 'permission denied to vacuum "big", skipping it', "denied"),
        ("01000", 'permission denied to analyze "big", skipping it', "denied"),
        # PostgreSQL 15
        ("01000", 'skipping "big" --- only table or database owner can vacuum it', "denied"),
        ("01000", 'skipping "pg_authid" --- only superuser can analyze it', "denied"),
        (
            "01000",
            "cutoff for removing and freezing tuples is far in the past",
            "old horizon",
        ),
        ("01000", "cutoff for freezing multixacts is far in the past", "old horizon"),
        ("01000", "oldest xmin is far in the past", "old horizon"),
        (
            "01000",
            'bypassing nonessential maintenance of table "a.public.big" as a failsafe',
            "failsafe",
        ),
        (
            "01000",
            'page is not marked all-visible but visibility map bit is set in relation "big" page 7',
            "damage",
        ),
        ("01000", 'index "i" contains 9 row versions, but table contains 8 row versions', "damage"),
        ("XX001", "anything at all", "damage"),
        ("01000", "there is no permission in this text of somebody's function", "other"),
    ],
)
def test_a_warning_means_what_its_text_or_state_says(
    sqlstate: str, text: str, meaning: Meaning
) -> None:
    assert Notice("WARNING", sqlstate, text).meaning == meaning


@pytest.mark.parametrize(
    ("function", "meaning"),
    [
        ("vacuum_is_permitted_for_relation", "denied"),
        ("vacuum_get_cutoffs", "old horizon"),
        ("vacuum_set_xid_limits", "old horizon"),
        ("lazy_check_wraparound_failsafe", "failsafe"),
    ],
)
def test_a_translated_warning_is_known_by_the_function_that_says_it(
    function: str, meaning: Meaning
) -> None:
    assert Notice("WARNING", "01000", "Achtung", function).meaning == meaning


def test_information_means_nothing_but_for_a_truncation_that_was_given_up() -> None:
    said = 'vacuuming "a.public.big" as a failsafe'
    assert Notice("INFO", "00000", said).meaning is None
    given_up = 'table "big": stopping truncate due to conflicting lock request'
    assert Notice("INFO", "00000", given_up).meaning == "not truncated"
