"""A template with three old months, and the endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database, filled

MONTHS = (Month(2024, 1), Month(2024, 2), Month(2024, 3))


@pytest.fixture(scope="session")
def small(template: Database, worker_id: str) -> Iterator[Database]:
    """The schema with no other months than these, so that a clone costs little."""
    with filled(template, f"ft_model_{worker_id}", _few_months) as made:
        yield made


def _few_months(connection: Connection) -> None:
    today = {p.month for p in partitions_of(connection, "audit_log")}
    for parent in PARENTS:
        keep = sorted(m for m in today if m)[-5:] if parent == "audit_log" else []
        for partition in partitions_of(connection, parent):
            if partition.month not in keep:
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partition.name)))
    ensure_months(connection, "content_segments", MONTHS)
