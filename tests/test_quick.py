"""`make quick` leaves out what needs a server, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quick import ROOT, needs_a_server, server_fixtures

TESTS = ROOT / "tests"


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("settings/test_settings.py", False),
        ("backups/test_retention.py", False),
        ("schema/test_migrations.py", True),  # by the fixture `connection`
        ("s3/test_objects.py", True),  # by the fixture `bucket`
        ("sandbox/test_sandbox.py", True),  # by what it imports
        ("backups/test_drill.py", True),  # by its room's `world`
        ("production/test_wheel.py", True),  # by its mark
    ],
)
def test_a_file_is_told_by_what_it_imports_and_takes(name: str, needed: bool) -> None:
    assert needs_a_server(TESTS / name) == needed


def test_what_imports_a_file_that_needs_a_server_needs_one(tmp_path: Path) -> None:
    file = tmp_path / "test_new.py"
    file.write_text("from tests.archive.world import World\n")
    assert needs_a_server(file)


def test_a_fixture_that_takes_one_that_starts_a_server_starts_it_too() -> None:
    assert {"server", "connection", "s3_endpoint", "bucket", "world", "box"} <= server_fixtures()
    assert "inbox" not in server_fixtures()
