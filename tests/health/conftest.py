"""A database with families and content, and ways to measure it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect
from ft_ops.sandbox.sample import make_sample
from tests.fixtures.postgres import Database, filled

FIRST = Month(2025, 1)
LAST = Month(2025, 4)


@pytest.fixture(scope="session")
def sampled_template(template: Database, worker_id: str) -> Iterator[Database]:
    """Some families with four months of content, analysed."""
    with filled(template, f"ft_sampled_{worker_id}", _fill) as made:
        yield made


def _fill(connection: Connection) -> None:
    make_sample(
        connection,
        families=8,
        first=FIRST,
        last=LAST,
        segments_per_month=600,
        seed=1,
        progress=lambda line: None,
    )


@pytest.fixture
def sampled(database: Database) -> Database:
    """The test's database, with families and content."""
    return database


@pytest.fixture
def reader(sampled: Database) -> Iterator[Connection]:
    """A connection as the asset query_latency opens it: read-only."""
    settings = {"default_transaction_read_only": "on"}
    with connect(sampled.url, application="tests", settings=settings) as opened:
        yield opened
