"""What a person waits for who tries the project or works on it: the demo, and the quick tests.

Everything is installed, and has been run before. `make quick` is what somebody runs after each
change. There is no reference: the goals are what a person is willing to wait.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench._waiting import run_outside, waited
from bench.frame import BenchContext, Result

DEMO_GOAL: Final = 90.0
QUICK_GOAL: Final = 30.0
WHY_THE_DEMO_TAKES_LONG: Final = (
    "Two jobs run at once nearly all the while: backups and what is restored from them, one copy"
    " after the other, and beside them what the database itself needs. So both cores are busy, and"
    " what is left is work: some 125 processor seconds in a run that was followed, half of them"
    " Python's, a third PostgreSQL's. The parts below take more together than the whole, for what"
    " ran side by side counts twice"
)
_SMALL: Final = ("--families", "10", "--months", "86", "--segments", "50")


def run(context: BenchContext) -> Iterator[Result]:
    demo: list[str | Path] = [Path(sys.executable).with_name("ft-ops"), "demo"]
    with tempfile.TemporaryDirectory(prefix="ft-bench-demo-") as folder:
        report = Path(folder) / "report.json"
        small = _SMALL if context.is_quick else ()
        found = waited("ft-ops demo", [*demo, "--report", report, *small], DEMO_GOAL)
        yield replace(found, profile=_steps(report), reason=WHY_THE_DEMO_TAKES_LONG)
    make_quick = ["make", "--silent", "quick"]
    run_outside(make_quick)
    yield waited("make quick", make_quick, QUICK_GOAL)


def _steps(report: Path) -> Mapping[str, float]:
    """The seconds of each step. Some ran beside others, and before the first the sandbox starts."""
    return {step["name"]: step["seconds"] for step in json.loads(report.read_text())["steps"]}
