"""The page on corrections is true of the database: what it keeps is there, what it drops is not."""

from __future__ import annotations

import re

import pytest

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import sql_root
from tests.documents import DOCS, prose

VERDICTS = {"kept", "corrected", "added", "dropped", "replaced"}
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in prose(DOCS / "corrections.md").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| object |", "| statement |"))
]
OBJECTS = {row[0].strip("`"): row[1] for row in ROWS if re.fullmatch(r"`[\w.()]+`", row[0])}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_gives_its_verdict(row: tuple[str, ...]) -> None:
    assert row[1] in VERDICTS
    if row[1] == "replaced":
        assert "](runbook.md#" in row[2]


def test_what_is_kept_corrected_or_added_exists_and_nothing_else(connection: Connection) -> None:
    there = _catalog(connection) | {path.stem for path in (sql_root() / "queries").glob("*.sql")}
    assert {name for name in OBJECTS if name in there} == {
        name for name, verdict in OBJECTS.items() if verdict in {"kept", "corrected", "added"}
    }


def test_every_table_index_view_policy_and_trigger_of_the_product_is_accounted_for(
    connection: Connection,
) -> None:
    rows = connection.execute(
        "SELECT relname FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace"
        " AND NOT relispartition AND relname NOT LIKE '\\_sqlx%'"
        " AND (relkind IN ('r', 'p', 'v') OR relkind IN ('i', 'I') AND relname LIKE 'idx%')"
        " AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')"
    )
    assert {name for (name,) in rows} - OBJECTS.keys() == set()


def _catalog(connection: Connection) -> set[str]:
    rows = connection.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " UNION SELECT proname || '()' FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " UNION SELECT polname FROM pg_policy UNION SELECT tgname FROM pg_trigger"
        " UNION SELECT conname FROM pg_constraint"
        " UNION SELECT attrelid::regclass || '.' || attname FROM pg_attribute WHERE attnum > 0"
    )
    return {name for (name,) in rows}
