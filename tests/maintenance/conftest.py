"""A database of recent months for the tests of upkeep; those of many months take all of them."""

from __future__ import annotations

import pytest

from tests.fixtures.postgres import Database


@pytest.fixture(scope="session")
def template(recent_months: Database) -> Database:
    """What is kept up is made by the tests."""
    return recent_months
