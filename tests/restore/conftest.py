"""The world of the restores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ft_ops.pg.connect import connect
from tests.fixtures.postgres import Database
from tests.restore.world import World


@pytest.fixture(scope="session")
def template(recent_months: Database) -> Database:
    """The world makes its two months itself."""
    return recent_months


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = World(database, connect(database.url, application="tests"))
    made.fill()
    yield made
    made.connection.close()
