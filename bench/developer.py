"""What a person waits for who tries the project or works on it: the demo, and the tests.

Everything is installed, and has been run before. `make quick` is what somebody runs after each
change, `make test` what is run before one is handed in. There is no reference: the goals are what a
person is willing to wait. BENCH_TESTS=1 runs all tests, too, which takes about ten minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.frame import BenchContext, Result, seconds

ROOT: Final = Path(__file__).parents[1]
DEMO_GOAL: Final = 90.0
QUICK_GOAL: Final = 30.0
TEST_GOAL: Final = 300.0
_SMALL: Final = ("--families", "10", "--months", "86", "--segments", "50")


def run(context: BenchContext) -> Iterator[Result]:
    demo: list[str | Path] = [Path(sys.executable).with_name("ft-ops"), "demo"]
    with tempfile.TemporaryDirectory(prefix="ft-bench-demo-") as folder:
        report = Path(folder) / "report.json"
        small = _SMALL if context.is_quick else ()
        yield _waited("ft-ops demo", [*demo, "--report", report, *small], DEMO_GOAL)
    make_quick = ["make", "--silent", "quick"]
    _run(make_quick)
    yield _waited("make quick", make_quick, QUICK_GOAL)
    if os.environ.get("BENCH_TESTS", "") not in {"", "0"}:
        yield _waited("make test", ["make", "--silent", "test"], TEST_GOAL)


def _waited(work: str, command: Sequence[str | Path], goal: float) -> Result:
    return Result(
        name="developer_" + work.rpartition(" ")[2],
        work=work,
        against="",
        unit="s",
        ours=seconds(lambda: _run(command)),
        goal=goal,
        n=1,
        spread=0.0,
        size="everything installed",
    )


def _run(command: Sequence[str | Path]) -> None:
    """Without the sandbox that other benchmarks have in this process' environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FT_", "AWS_", "DAGSTER_"))
    }
    subprocess.run(command, cwd=ROOT, env=kept, check=True, stdout=subprocess.DEVNULL)
