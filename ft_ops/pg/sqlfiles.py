"""Finds the project's SQL, in a checkout or in an installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from psycopg import sql

_PACKAGE = Path(__file__).resolve().parent.parent


def sql_root() -> Path:
    """The folder `sql/`: inside the package when installed, beside it in a checkout."""
    installed = _PACKAGE / "sql"
    return installed if installed.is_dir() else _PACKAGE.parent / "sql"


@cache
def statement(name: str) -> sql.SQL:
    """The statement of `sql/<name>.sql`, where ``name`` is ``<room>/<name>``.

    The header comment is left out, so that it may hold braces and percent signs. The body may
    hold psycopg's ``{identifier}`` and ``%(value)s``.
    """
    lines = (sql_root() / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    while lines and (not lines[0].strip() or lines[0].startswith("--")):
        lines.pop(0)
    return sql.SQL("\n".join(lines).rstrip().removesuffix(";"))
