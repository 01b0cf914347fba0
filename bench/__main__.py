"""Runs benchmarks: ``python -m bench [NAME…]``; all of them without a name.

BENCH_QUICK=1 runs them on little data, which says whether they work and no more: its results go
to bench/results-quick.json, a full run's to bench/results.json and from there into
docs/performance.md. Exit status 1 when a benchmark fails; a goal that is missed is a result.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.frame.context import FULL, QUICK, BenchContext
from bench.frame.report import summary, write_report
from bench.frame.results import (
    BENCH,
    FULL_RESULTS,
    QUICK_RESULTS,
    Result,
    keep_results,
    read_results,
)


def main(names: Sequence[str]) -> int:
    known = benchmarks()
    if unknown := sorted(set(names) - set(known)):
        print(
            f"bench: there is no {', '.join(unknown)}; there are {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    is_quick = os.environ.get("BENCH_QUICK", "") not in {"", "0"}
    path = QUICK_RESULTS if is_quick else FULL_RESULTS
    failed = _run_all(names or known, path, is_quick=is_quick)
    print()
    kept = {n: k for n, k in read_results(path).items() if not names or k.benchmark in names}
    for line in summary(kept):
        print(line)
    print(f"\nresults: {path}")
    if not is_quick:
        print(f"report: {write_report(read_results(path))}")
    for name in failed:
        print(f"bench: {name} failed, see above", file=sys.stderr)
    return 1 if failed else 0


def benchmarks() -> list[str]:
    """The names of all benchmarks, in alphabetical order."""
    return sorted(path.stem for path in BENCH.glob("*.py") if not path.stem.startswith("_"))


def _run_all(names: Sequence[str], path: Path, *, is_quick: bool) -> list[str]:
    failed = []
    with ExitStack() as stack:
        work_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ft-bench-")))
        context = BenchContext(QUICK if is_quick else FULL, is_quick, work_dir, stack)
        for name in names:
            context.log(f"== {name}")
            try:
                results = list(_entry(name)(context))
            except Exception:  # noqa: BLE001  one benchmark's failure must not end the others
                traceback.print_exc()
                failed.append(name)
                continue
            # Nothing could be measured, for want of a server that has it: the former results stand.
            if results:
                keep_results(path, name, results, context.machine)
        context.log("done")
    return failed


def _entry(name: str) -> Callable[[BenchContext], Iterable[Result]]:
    run: Callable[[BenchContext], Iterable[Result]] = importlib.import_module(f"bench.{name}").run
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
