"""Every statement of sql/ parses as PostgreSQL parses it, alone in its file, under a header."""

from __future__ import annotations

import re
from pathlib import Path

import pglast
import pytest

from ft_ops.pg.sqlfiles import sql_root, statement

_NOT_STATEMENTS = {"migrations", "roles"}
_NAMES = sorted(
    path.relative_to(sql_root()).with_suffix("").as_posix()
    for path in sql_root().glob("*/*.sql")
    if path.parent.name not in _NOT_STATEMENTS
)
_STAND_INS = {
    "archive/create_scratch": {"columns": "a text"},
    "archive/update_generation": {"assignments": "a = 1"},
    "archive/update_thaw": {"assignments": "a = 1"},
    "storage/differences": {"counted": "SELECT 1 AS segments"},
}
"""What is composed into a statement and is more than a name."""


@pytest.mark.parametrize("room", sorted({name.split("/")[0] for name in _NAMES}))
def test_each_file_holds_one_statement_under_a_header(room: str) -> None:
    for name in (name for name in _NAMES if name.startswith(f"{room}/")):
        assert Path(sql_root() / f"{name}.sql").read_text(encoding="utf-8").startswith("-- "), name
        assert len(pglast.parse_sql(_filled(name))) == 1, name


def _filled(name: str) -> str:
    """A statement whose placeholders are names, numbered parameters and stand-ins."""
    body = statement(name).as_string()
    for placeholder, stand_in in _STAND_INS.get(name, {}).items():
        body = body.replace(f"{{{placeholder}}}", stand_in)
    body = re.sub(r"\{(\w*)\}", r"composed_\1", body)
    return re.sub(r"%\(\w+\)s|%s", "$1", body).replace("%%", "%")
