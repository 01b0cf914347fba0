"""The page says first what needs somebody, and never that something is well when it is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ft_ops.overview import Picture, page
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status

NOW = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
SETTINGS = Settings(runbook_url="https://docs.example.org")


def of(status: Status, what: str = "b", figure: str = "c", **others: object) -> Standing:
    return Standing("a", what, status, figure, **others)  # type: ignore[arg-type]


def test_the_worst_comes_first_and_the_verdict_counts_it() -> None:
    standings = [
        of(Status.GOOD, "fine", "1"),
        of(Status.WARNING, "odd", "2", section="odd"),
        of(Status.UNKNOWN, "dark", "?", reason="its ledger is locked"),
        of(Status.BAD, "broken", "3", reason="why", section="broken"),
    ]
    text = page(standings, [Picture("Size", "data:image/png;base64,xyz")], NOW, SETTINGS)
    order = [text.index(word) for word in ("broken", "dark", "odd", "In order", "fine", "### Size")]
    assert order == sorted(order)
    assert text.startswith("**one thing needs a person now**, 1 more will, one is not known.")
    assert "[what to do](https://docs.example.org/runbook.md#broken)" in text
    assert "runbook: odd" in page(standings, [], NOW, Settings())


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([Status.GOOD], "All is well."),
        ([Status.GOOD, Status.UNKNOWN], "**one thing is not known**; of the rest"),
        (
            [Status.UNKNOWN, Status.UNKNOWN, Status.WARNING],
            "**2 things are not known**, one thing needs a look; of the rest",
        ),
        ([Status.GOOD, Status.WARNING], "Nothing is broken, one thing needs a look."),
        ([Status.BAD, Status.BAD], "**2 things need a person now**, 0 more will."),
    ],
)
def test_the_verdict(statuses: list[Status], verdict: str) -> None:
    assert page([of(status) for status in statuses], [], NOW, SETTINGS).startswith(verdict)


def test_what_one_section_of_the_runbook_mends_is_one_thing() -> None:
    """A check that failed, and the lines of each query that is too slow."""
    slow = [of(Status.BAD, what, section="slow") for what in ("the check", "thread", "search")]
    text = page([*slow, of(Status.WARNING, section="slow")], [], NOW, SETTINGS)
    assert text.startswith("**one thing needs a person now**, 0 more will.")
    other = of(Status.WARNING, section="other")
    text = page([*slow, other], [], NOW, SETTINGS)
    assert text.startswith("**one thing needs a person now**, 1 more will.")


def test_what_is_unknown_says_until_when_it_was_known() -> None:
    since = datetime(2026, 3, 1, 6, 2, tzinfo=UTC)
    text = page([of(Status.UNKNOWN, reason="not measured", since=since)], [], NOW, SETTINGS)
    assert "not measured (known until 2026-03-01 06:02 UTC)" in text
    assert "(since 2026-03-01 06:02 UTC)" in page([of(Status.BAD, since=since)], [], NOW, SETTINGS)


def test_words_from_errors_stay_in_their_cell() -> None:
    """An error's text may hold line breaks, bars and markup."""
    standing = of(Status.GOOD, reason="one | two\n<script> [x](y) `z`")
    [row] = [line for line in page([standing], [], NOW, SETTINGS).splitlines() if "one" in line]
    assert row.count(" | ") == 4
    assert "\\<script\\>" in row
    assert "\\[x\\](y)" in row
