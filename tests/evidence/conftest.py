"""A database of recent months for the chain of evidence."""

from __future__ import annotations

import pytest

from tests.fixtures.postgres import Database


@pytest.fixture(scope="session")
def template(recent_months: Database) -> Database:
    """Certificates name their months by themselves."""
    return recent_months
