"""The project's pages as Markdown: their headings, links and blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_FENCED = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its info string, its text, and the line that it begins in."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[2].strip(), match[3])
        for match in _FENCED.finditer(text)
    ]


def section(page: Path, title: str) -> list[Block]:
    """The fenced blocks below a heading, up to the next one."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fenced = {
        number
        for block in blocks(page)
        for number in range(block.line, block.line + block.text.count("\n") + 2)
    }
    begins = [n for n, line in enumerate(lines, 1) if line.startswith("#") and n not in fenced]
    (start,) = (n for n in begins if lines[n - 1].lstrip("#").strip() == title)
    end = min((n for n in begins if n > start), default=len(lines) + 1)
    return [block for block in blocks(page) if start < block.line < end]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def headings(page: Path) -> list[str]:
    """The anchors that GitHub gives to a page's headings."""
    anchors: list[str] = []
    for title in re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE):
        # Lower case, spaces to hyphens, everything but word characters and hyphens dropped.
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        repeats = sum(re.fullmatch(rf"{slug}(-\d+)?", anchor) is not None for anchor in anchors)
        anchors.append(f"{slug}-{repeats}" if repeats else slug)
    return anchors


def links(page: Path) -> list[str]:
    """The targets of a page's links."""
    return _LINK.findall(prose(page))
