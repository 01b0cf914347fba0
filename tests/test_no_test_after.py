"""On a machine that is too slow for all tests, what would begin too late is skipped and counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.quick import ROOT


@pytest.mark.parametrize(("seconds", "outcome"), [("0", "skipped"), ("3600", "passed")])
def test_what_would_begin_later_is_skipped(seconds: str, outcome: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--quick", "-q", "-p", "no:cacheprovider"]
    # In a folder of its own: it would tidy up those of other runs, this one's among them.
    tried = ["tests/test_format.py", "--no-test-after", seconds, "--basetemp", str(tmp_path / "t")]
    done = subprocess.run(
        [*command, *tried], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
    *_, counts = done.stdout.splitlines()
    assert counts.split(" in ")[0].split(" ", 1)[1] == outcome
    assert ("no test begins after 0 s" in done.stdout) == (outcome == "skipped")
