"""Finds the project's SQL, in a checkout or in an installed wheel.

A file of `sql/<room>/` holds the statements of one step. Each begins with ``-- name: <name>`` and
goes on with comments on its locks and its cost. A name is unique in its room, so that a statement
can move to another file without a change in the code. A file without names holds one statement,
which is called like the file: the product queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from psycopg import sql

_PACKAGE = Path(__file__).resolve().parent.parent
_NAME: Final = "-- name: "


def sql_root() -> Path:
    """The folder `sql/`: inside the package when installed, beside it in a checkout."""
    installed = _PACKAGE / "sql"
    return installed if installed.is_dir() else _PACKAGE.parent / "sql"


class _Named(sql.SQL):
    """A statement that knows its name."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name

    def format(self, *args: Any, **kwargs: Any) -> sql.Composed:
        return _NamedWhole(super().format(*args, **kwargs), self.name)


class _NamedWhole(sql.Composed):
    """A statement with its identifiers in it, which still knows its name."""

    def __init__(self, parts: sql.Composed, name: str) -> None:
        super().__init__(list(parts))
        self.name = name


def name_of(query: object) -> str | None:
    """The name of a statement that came from `statement`; None of any other."""
    return query.name if isinstance(query, _Named | _NamedWhole) else None


@cache
def statement(name: str) -> sql.SQL:
    """A statement of `sql/`, where ``name`` is ``<room>/<name>``; a KeyError when there is none.

    Its header comment is left out, so that it may hold braces and percent signs. The body may
    hold psycopg's ``{identifier}`` and ``%(value)s``.
    """
    room, _, statement_name = name.partition("/")
    return _Named(_without_header(texts(room)[statement_name]), name)


@cache
def texts(room: str) -> Mapping[str, str]:
    """Every statement of a room, by name, with its header comment.

    A ValueError when two statements have one name.
    """
    found: dict[str, str] = {}
    for path in sorted((sql_root() / room).glob("*.sql")):
        for name, text in _statements(path):
            if name in found:
                raise ValueError(f"{path}: the room {room} has a statement {name} already")
            found[name] = text
    return found


def _statements(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    if not text.startswith(_NAME):
        yield path.stem, text
        return
    for part in ("\n" + text).split("\n" + _NAME)[1:]:
        name, _, rest = part.partition("\n")
        yield name.strip(), rest


def _without_header(text: str) -> str:
    lines = text.splitlines()
    while lines and (not lines[0].strip() or lines[0].startswith("--")):
        lines.pop(0)
    return "\n".join(lines).rstrip().removesuffix(";")


def quoted(*names: str) -> str:
    """A name as it stands in a statement that a person copies, whatever signs are in it."""
    return sql.Identifier(*names).as_string()
