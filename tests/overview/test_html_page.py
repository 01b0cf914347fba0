"""The page as one HTML file: safe whatever a name holds, one line for each cause, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from ft_ops.overview.causes import causes
from ft_ops.overview.html_page import html_page, plain_page
from ft_ops.overview.morning_page import ENOUGH_POINTS, Picture, page
from ft_ops.settings import Settings
from ft_ops.standing import Point, Standing, Status

NOW = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
SETTINGS = Settings(runbook_url="https://docs.example.org")
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> & \u202e\ud800\n\x00"


class Read(HTMLParser):
    """What a browser finds in a page: its elements, their attributes, and what is to be read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1] += f" {data}"

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


def of(status: Status, what: str = "b", figure: str = "c", **others: object) -> Standing:
    return Standing("a", what, status, figure, **others)  # type: ignore[arg-type]


def read(standings: list[Standing], *pictures: Picture) -> Read:
    return Read(html_page(standings, pictures, NOW, SETTINGS))


def measured(number: int) -> tuple[Point, ...]:
    return tuple(Point(NOW - timedelta(days=n), float(n)) for n in range(number))


@pytest.mark.parametrize("strange", [float("nan"), float("-inf"), 1e300])
def test_a_figure_that_is_no_number_costs_its_own_plot_and_nothing_else(strange: float) -> None:
    course = (*measured(ENOUGH_POINTS), Point(NOW, strange))
    told = [
        of(Status.GOOD, "strange", history=course, limit=5.0),
        of(Status.WARNING, "next", history=measured(9)),
    ]
    found = read(told)
    assert [tag for tag, _ in found.elements].count("img") == 1
    [row] = [row for row in found.rows if "strange" in row]
    assert "its course is not known" in row
    markdown = page(told, [], NOW, SETTINGS)
    assert markdown.count("data:image") == markdown.count("its course is not known") == 1


@pytest.mark.parametrize("status", list(Status))
def test_nothing_that_a_name_holds_becomes_an_element(status: Status) -> None:
    told = Standing(
        HOSTILE, HOSTILE, status, HOSTILE, HOSTILE * 20, since=NOW, section=HOSTILE, limit=1
    )
    plain = Standing("a", "b", status, "c", "d" * 2000, since=NOW, section="e", limit=1)
    for settings in (SETTINGS, Settings(), Settings(runbook_url="https://x.org/\"'><script>")):
        hostile = html_page([told], [Picture(HOSTILE, "data:,")], NOW, settings)
        harmless = html_page([plain], [Picture("f", "data:,")], NOW, settings)
        assert Read(hostile).tags() <= Read(harmless).tags()
        attributes = {name for _, found in Read(hostile).elements for name in found}
        assert attributes <= {name for _, found in Read(harmless).elements for name in found}
        assert all(sign.isprintable() or sign == "\n" for sign in hostile)


def test_the_file_needs_nothing_else_and_runs_nothing() -> None:
    found = read([of(Status.WARNING, history=measured(9))], Picture("Size", "data:image/png,x"))
    assert not found.tags() & {"script", "link", "iframe", "object", "form", "base"}
    sources = [a["src"] for _, a in found.elements if "src" in a]
    assert len(sources) == 2
    assert all(str(source).startswith("data:") for source in sources)
    [policy] = [a["content"] for _, a in found.elements if "http-equiv" in a]
    assert str(policy).startswith("default-src 'none'")
    assert not any(name.startswith("on") for _, found in found.elements for name in found)


def test_a_state_is_a_word_beside_its_colour() -> None:
    words = {
        Status.BAD: "broken",
        Status.UNKNOWN: "not known",
        Status.WARNING: "look",
        Status.GOOD: "good",
    }
    for status, word in words.items():
        [_, row] = read([of(status)]).rows
        assert row.split() == [*word.split(), "a", "b", "c"]


def test_what_has_one_cause_is_one_line() -> None:
    refused = "the connection failed: refused"
    standings = [
        of(Status.GOOD, "fine", section="disk"),
        of(Status.BAD, "check of the disk", "failed", section="disk"),
        of(Status.UNKNOWN, "archive", reason=refused),
        of(Status.WARNING, "disk", "98 GB", section="disk"),
        of(Status.UNKNOWN, "storage", reason=refused, section="storage"),
        of(Status.BAD, "other", section="other"),
    ]
    found = [[s.what for s in cause.standings] for cause in causes(standings)]
    assert found == [
        ["check of the disk", "disk"],
        ["other"],
        ["archive", "storage"],
        ["fine"],
    ]
    rows = read(standings).rows
    assert len(rows) == 2 + len(found)  # the two tables' heads
    assert "98 GB" in rows[1]
    assert sum("storage" in row for row in rows) == 1
    assert sum(refused in row for row in rows) == 1
    assert plain_page(standings, NOW).count("\n") == 2 + 3


def test_two_reasons_of_equal_words_are_one_cause_only_while_nothing_is_known() -> None:
    assert len(causes([of(Status.BAD, reason="full"), of(Status.BAD, reason="full")])) == 2
    assert len(causes([of(Status.UNKNOWN, reason=""), of(Status.UNKNOWN, reason="")])) == 2


def test_a_course_is_drawn_only_of_enough_measurements() -> None:
    few = of(Status.GOOD, history=measured(ENOUGH_POINTS - 1))
    many = of(Status.GOOD, history=measured(ENOUGH_POINTS))
    assert "img" not in read([few]).tags()
    assert "img" in read([many]).tags()
    assert "data:image" not in page([few], [], NOW, SETTINGS)
    assert "data:image" in page([many], [], NOW, SETTINGS)


def test_an_error_is_one_cause_whichever_table_it_names() -> None:
    missing = [of(Status.UNKNOWN, reason=f'relation "ops.{n}" does not exist') for n in "abc"]
    other = of(Status.UNKNOWN, reason='permission denied for table "a"')
    assert [len(cause.standings) for cause in causes([*missing, other])] == [3, 1]


def test_moments_are_said_as_distances_too() -> None:
    [_, row] = read([of(Status.BAD, since=NOW - timedelta(hours=3))]).rows
    assert "since 2026-03-02 03:30 UTC, 3.0 h ago" in row
    [_, row] = read([of(Status.UNKNOWN, since=NOW - timedelta(days=3))]).rows
    assert "known until 2026-02-27 06:30 UTC, 3 days ago" in row


def test_a_cause_leads_to_its_section() -> None:
    found = read([of(Status.BAD, section="disk"), of(Status.GOOD, section="fine")])
    links = [a["href"] for tag, a in found.elements if tag == "a"]
    assert links == ["https://docs.example.org/runbook.md#disk"]
