"""The morning's page as one HTML file that needs nothing else: no script, no font, no network.

What is wrong is said in words, with a colour beside them. Every text of the database, of errors and
of settings is escaped, and a policy in the file's head lets no script run whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Final

from ft_ops.health import sparkline
from ft_ops.overview.causes import Cause, causes
from ft_ops.overview.morning_page import ENOUGH_POINTS, NOT_DRAWN, Picture, summary
from ft_ops.settings import Settings, runbook_link
from ft_ops.standing import Standing, Status, age_in_words

_WORD: Final = {
    Status.BAD: "broken",
    Status.UNKNOWN: "not known",
    Status.WARNING: "look",
    Status.GOOD: "good",
}
_SHORT: Final = 300
"""Characters of a reason that stand open; a longer one is opened by a click."""


def html_page(
    standings: Sequence[Standing], pictures: Iterable[Picture], now: datetime, settings: Settings
) -> str:
    """The page: the verdict, a line for each cause that needs somebody, pictures, what is good."""
    found = causes(standings)
    urgent = [cause for cause in found if cause.status != Status.GOOD]
    calm = [cause for cause in found if cause.status == Status.GOOD]
    worst = found[0].status if found else Status.GOOD
    verdict = summary(standings).replace("**", "")
    parts = [
        "<h1>FamilyTales operations</h1>",
        f'<p class="verdict {_class(worst)}">{escape(verdict[:1].upper() + verdict[1:])}</p>',
        f"<p>As of {now:%A, %Y-%m-%d %H:%M} UTC.</p>",
    ]
    if urgent:
        parts += ["<h2>Needs somebody</h2>", _table(urgent, now, settings)]
    for picture in pictures:
        title = escape(_flat(picture.title))
        image = f'<img alt="{title}" src="{escape(picture.source)}">'
        parts += [f"<h2>{title}</h2>", f"<p>{image}</p>"]
    if calm:
        parts += ["<h2>In order</h2>", _table(calm, now, settings)]
    body = "\n".join(parts)
    return f"{_HEAD.replace('TITLE', f'FamilyTales operations, {now:%Y-%m-%d}')}{body}{_END}"


def plain_page(standings: Sequence[Standing], now: datetime) -> str:
    """The same in short, as a mail's text: the verdict, and what needs somebody."""
    lines = [f"{summary(standings).replace('**', '')} As of {now:%Y-%m-%d %H:%M} UTC.", ""]
    for cause in causes(standings):
        if cause.status != Status.GOOD:
            first = cause.standings[0]
            more = len(cause.standings) - 1
            lines.append(
                f"{_WORD[cause.status]}: {_flat(first.area)}: {_flat(first.what)}, "
                f"{_flat(first.figure)}{f' (and {more} more of its cause)' if more else ''}"
            )
    return "\n".join(lines).rstrip() + "\n"


def _table(found: Iterable[Cause], now: datetime, settings: Settings) -> str:
    rows = "\n".join(_row(cause, now, settings) for cause in found)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("state", "what", "figure", "why"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def _row(cause: Cause, now: datetime, settings: Settings) -> str:
    first, *others = cause.standings
    cells = [
        f'<td><span class="state {_class(cause.status)}">{_WORD[cause.status]}</span></td>',
        f"<td><small>{escape(_flat(first.area))}</small><br>{escape(_flat(first.what))}</td>",
        f"<td>{escape(_flat(first.figure))}{_history(first)}</td>",
        f"<td>{_why(first, now)}{_others(first, others, now)}{_what_to_do(cause, settings)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _others(first: Standing, others: Sequence[Standing], now: datetime) -> str:
    """What has the same cause, in the same line; the same words are not said again."""
    items = "".join(
        f"<li>{_WORD[s.status]}: {escape(_flat(s.area))}: {escape(_flat(s.what))}, "
        f"{escape(_flat(s.figure))}{_history(s)}"
        f"{'' if s.reason == first.reason else f'<br>{_why(s, now)}'}</li>"
        for s in others
    )
    return f"<ul>{items}</ul>" if items else ""


def _why(standing: Standing, now: datetime) -> str:
    reason = _flat(standing.reason)
    text = escape(reason)
    if len(reason) > _SHORT:
        short, rest = escape(reason[:_SHORT]), escape(reason[_SHORT:])
        text = f"<details><summary>{short} …</summary>… {rest}</details>"
    if standing.since is None:
        return text
    word = "known until" if standing.status == Status.UNKNOWN else "since"
    moment = f"{word} {standing.since:%Y-%m-%d %H:%M} UTC, {age_in_words(standing.since, now)}"
    return f"{text} <small>({moment})</small>".strip()


def _what_to_do(cause: Cause, settings: Settings) -> str:
    """The sections of the runbook, each once."""
    if cause.status == Status.GOOD:
        return ""
    sections = dict.fromkeys(s.section for s in cause.standings if s.section)
    links = []
    for section in sections:
        link = _flat(runbook_link(settings, section))
        is_page = link.startswith("http")
        name = escape(_flat(section))
        links.append(f'<a href="{escape(link)}">{name}</a>' if is_page else f"<b>{name}</b>")
    return f'<p class="do">What to do: runbook, {", ".join(links)}</p>' if links else ""


def _history(standing: Standing) -> str:
    if len(standing.history) < ENOUGH_POINTS:
        return ""
    source = sparkline(standing.history, standing.limit)
    if source is None:
        return f"<br><small>{NOT_DRAWN}</small>"
    first, last = standing.history[0].sampled_at, standing.history[-1].sampled_at
    return f'<br><img class="line" alt="from {first:%Y-%m-%d} to {last:%Y-%m-%d}" src="{source}">'


def _class(status: Status) -> str:
    return status.name.lower()


def _flat(text: str) -> str:
    """One line, without what is not to be seen: a sign that turns the reading direction, too."""
    return " ".join("".join(s if s.isprintable() else " " for s in text).split())


_HEAD: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; --bad: #c62828; --unknown: #7b3fa0; --warning: #9a5b00;
 --good: #2e7d32; --line: #8886; }
@media (prefers-color-scheme: dark) {
 :root { --bad: #ff8a80; --unknown: #d9a8ff; --warning: #ffc266; --good: #86d68b; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 1.5rem auto;
 padding: 0 1rem; }
h1 { font-size: 1.2rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th:nth-child(1) { width: 7.5rem; } th:nth-child(2) { width: 15rem; }
th:nth-child(3) { width: 12rem; }
@media (min-width: 50rem) { table { table-layout: fixed; } }
th, td { border-bottom: 1px solid var(--line); padding: .45rem .6rem; text-align: left;
 vertical-align: top; overflow-wrap: anywhere; }
@media (max-width: 50rem) { table, tbody, tr, td { display: block; } thead { display: none; }
 td { border: 0; padding: .15rem 0; } tr { border-bottom: 1px solid var(--line);
 padding: .6rem 0; } }
th { font-weight: 600; }
ul { margin: .4rem 0 0; padding-left: 1.1rem; } .do { margin: .3rem 0 0; }
img { max-width: 100%; } img.line { height: 1.6rem; }
.verdict { font-size: 1.25rem; font-weight: 600; border-left: .4rem solid; padding-left: .7rem; }
.state { border: 1px solid; border-left-width: .4rem; border-radius: .2rem; padding: 0 .4rem;
 white-space: nowrap; font-weight: 600; }
.bad { color: var(--bad); } .unknown { color: var(--unknown); }
.warning { color: var(--warning); } .good { color: var(--good); }
</style>
</head>
<body>
"""
_END: Final = "\n</body>\n</html>\n"
