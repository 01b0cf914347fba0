"""Every statement of sql/ parses as PostgreSQL parses it, under a header of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pglast
import pytest

import ft_ops
from ft_ops.pg.sqlfiles import sql_root, statement, texts

_PACKAGE = Path(ft_ops.__file__).parent
_NOT_STATEMENTS = {"migrations", "roles"}
_ROOMS = sorted(
    path.name for path in sql_root().iterdir() if path.is_dir() and path.name not in _NOT_STATEMENTS
)
_STAND_INS = {
    "archive/create_scratch": {"columns": "a text"},
    "partitions/create_like": {"place": ""},
    "restore/create_texts": {"columns": "a text"},
    "archive/digest_shared_rows": {"ends": "SELECT 1"},
    "archive/hashed_shared_rows": {"ends": "SELECT 1"},
    "archive/export_rows": {"places": "SELECT 1"},
    "archive/fill_segment_families": {"places": "SELECT 1"},
    "archive/export_shared_rows": {"ends": "SELECT 1"},
    "archive/export_shared_rows_by_segment": {"ends": "SELECT 1"},
    "archive/compare_batch": {"belongings": "", "bound": ""},
    "archive/derive_units": {"now": "SELECT 1"},
    "archive/derive_shared_units": {"now": "SELECT 1"},
    "archive/erase_homeless_rows": {"ends": "SELECT 1"},
    "archive/came_back_with": {"ends": "SELECT 1"},
    "archive/thaw_segments": {"conflict": "ON CONFLICT DO NOTHING"},
    "archive/find_earlier": {"now": "SELECT 1"},
    "archive/note_earlier": {"belongings": "SELECT 1"},
    "archive/thaw_earlier_rows": {"conflict": "ON CONFLICT DO NOTHING"},
    "archive/thaw_rows": {"conflict": "ON CONFLICT DO NOTHING"},
    "archive/thaw_arrivals": {"conflict": "ON CONFLICT DO NOTHING"},
    "archive/thaw_units": {"now": "SELECT 1"},
    "archive/thaw_shared_arrivals": {"now": "SELECT 1"},
    "archive/share_with_neighbour": {"now": "SELECT 1"},
    "archive/wait_again": {"ends": "SELECT 1"},
    "archive/update_generation": {"assignments": "a = 1"},
    "archive/update_thaw": {"assignments": "a = 1"},
    "maintenance/table_settings": {"parameters": "null"},
    "maintenance/table_states": {"own": "SELECT 1", "beside": "SELECT 1"},
    "maintenance/note_activity": {"own": "SELECT 1"},
    "maintenance/activity": {"own": "SELECT 1"},
    "maintenance/table_ages": {"own": "SELECT 1", "beside": "SELECT 1"},
    "restore/drop_reference": {"columns": "a = NULL"},
    "restore/overwrite_rows": {"assignments": "a = 1"},
    "restore/write_late": {"assignments": "a = 1", "is_late": "true"},
    "storage/differences": {"counted": "SELECT 1 AS segments"},
}
"""What is composed into a statement and is more than a name."""


@pytest.mark.parametrize("room", _ROOMS)
def test_each_name_is_one_statement_under_a_header(room: str) -> None:
    for name, text in texts(room).items():
        assert text.startswith("-- "), name
        assert len(pglast.parse_sql(_filled(f"{room}/{name}"))) == 1, name


def test_the_code_names_every_statement() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in _PACKAGE.rglob("*.py"))
    unknown = [
        f"{room}/{name}"
        for room in _ROOMS
        for name in texts(room)
        if f"{room}/{name}" not in code and not _composed(room, name, code)
    ]
    assert unknown == []


def _composed(room: str, name: str, code: str) -> bool:
    """Whether the name is put together from a beginning in an f-string and an end in quotes."""
    parts = name.split("_")
    return any(
        f'f"{room}/{"".join(f"{part}_" for part in parts[:cut])}{{' in code
        and re.search(rf"[\"'/]{'_'.join(parts[cut:])}\b", code)
        for cut in range(len(parts))
    )


def _filled(name: str) -> str:
    """A statement whose placeholders are names, numbered parameters and stand-ins."""
    body = statement(name).as_string()
    for placeholder, stand_in in _STAND_INS.get(name, {}).items():
        body = body.replace(f"{{{placeholder}}}", stand_in)
    body = re.sub(r"\{(\w*)\}", r"composed_\1", body)
    return re.sub(r"%\(\w+\)s|%s", "$1", body).replace("%%", "%")
