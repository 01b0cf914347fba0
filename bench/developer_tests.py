"""What a developer waits for before a change is handed in: all tests, `make test`.

Everything is installed, and has been run before. There is no reference: the goal is what a person
is willing to wait. It takes some ten minutes, so it runs where BENCH_TESTS=1 asks for it; where
nothing does, the last figure stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bench._waiting import waited
from bench.frame import BenchContext, Result

GOAL: Final = 300.0
WHY_ALL_TESTS_TAKE_LONG: Final = (
    "Two cores are busy all the while, so 300 s need half of that work. In a run beside other work"
    " there were some 1,090 processor seconds, 44% the tests' own processes', 35% PostgreSQL's, 9%"
    " the S3 endpoint's and 12% other programs'. The archive's tests were two fifths: to export and"
    " to prove a month takes 0.4 of them, to purge it 0.2. Since this was measured, 108 of them"
    " begin with a month that was archived once, and counted by file some 95 processor seconds are"
    " saved in all. What is left is spread over 3,900 tests, and no kind of work is most of it"
)


def run(context: BenchContext) -> Iterator[Result]:
    if os.environ.get("BENCH_TESTS", "") in {"", "0"}:
        context.log(
            "all tests are left out: they take some ten minutes, and BENCH_TESTS=1 runs them"
        )
        return
    found = waited("make test", ["make", "--silent", "test"], GOAL)
    yield replace(found, reason=WHY_ALL_TESTS_TAKE_LONG)
