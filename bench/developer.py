"""What a person waits for who tries the project or works on it: the demo, and the tests.

Everything is installed, and has been run before. `make quick` is what somebody runs after each
change, `make test` what is run before one is handed in. There is no reference: the goals are what a
person is willing to wait. BENCH_TESTS=1 runs all tests, too, which takes about ten minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.frame import BenchContext, Result, seconds

ROOT: Final = Path(__file__).parents[1]
DEMO_GOAL: Final = 90.0
QUICK_GOAL: Final = 30.0
TEST_GOAL: Final = 300.0
WHY_THE_DEMO_TAKES_LONG: Final = (
    "Two jobs run at once nearly all the while: backups and what is restored from them, one copy"
    " after the other, and beside them what the database itself needs. So both cores are busy, and"
    " what is left is work: some 125 processor seconds in a run that was followed, half of them"
    " Python's, a third PostgreSQL's. The parts below take more together than the whole, for what"
    " ran side by side counts twice"
)
WHY_ALL_TESTS_TAKE_LONG: Final = (
    "Each of the archive's tests exports, proves and often purges and thaws a month of its own, in"
    " a database and a bucket of its own: the archive is two fifths of all. In a run beside other"
    " work there were some 1,090 processor seconds, 44% the tests' own processes', 35%"
    " PostgreSQL's, 9% the S3 endpoint's and 12% other programs'. Two cores are busy all the while,"
    " so 300 s need half of that work; templates of archived months would save 2 to 4%"
)
_SMALL: Final = ("--families", "10", "--months", "86", "--segments", "50")


def run(context: BenchContext) -> Iterator[Result]:
    demo: list[str | Path] = [Path(sys.executable).with_name("ft-ops"), "demo"]
    with tempfile.TemporaryDirectory(prefix="ft-bench-demo-") as folder:
        report = Path(folder) / "report.json"
        small = _SMALL if context.is_quick else ()
        waited = _waited("ft-ops demo", [*demo, "--report", report, *small], DEMO_GOAL)
        yield replace(waited, profile=_steps(report), reason=WHY_THE_DEMO_TAKES_LONG)
    make_quick = ["make", "--silent", "quick"]
    _run(make_quick)
    yield _waited("make quick", make_quick, QUICK_GOAL)
    if os.environ.get("BENCH_TESTS", "") not in {"", "0"}:
        waited = _waited("make test", ["make", "--silent", "test"], TEST_GOAL)
        yield replace(waited, reason=WHY_ALL_TESTS_TAKE_LONG)


def _steps(report: Path) -> Mapping[str, float]:
    """The seconds of each step. Some ran beside others, and before the first the sandbox starts."""
    return {step["name"]: step["seconds"] for step in json.loads(report.read_text())["steps"]}


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
    """Without the sandbox that other benchmarks have in this process' environment.

    What is imported stays compiled, as for everybody who has run it before.
    """
    left_out = ("FT_", "AWS_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    subprocess.run(command, cwd=ROOT, env=kept, check=True, stdout=subprocess.DEVNULL)
