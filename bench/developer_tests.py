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
    " the S3 endpoint's and 12% other programs'. The archive's tests were two fifths. What a life"
    " of a month costs is spread: to archive, prove and purge a few rows asks 600 statements and 65"
    " requests of S3, some 0.4 s of PostgreSQL's and 0.7 s of the test's own process, a fifth of it"
    " boto3's. Before a test begins, its database is 35 to 55 ms of PostgreSQL's, each session of"
    " the operations 9 ms, and a client of S3 10 ms; each of three workers collects all tests. A"
    " drill of a backup starts a server and reads each index twice. No kind of work is most of it:"
    " to halve it means fewer lives of months, and fewer restores"
)


def run(context: BenchContext) -> Iterator[Result]:
    if os.environ.get("BENCH_TESTS", "") in {"", "0"}:
        context.log(
            "all tests are left out: they take some ten minutes, and BENCH_TESTS=1 runs them"
        )
        return
    found = waited("make test", ["make", "--silent", "test"], GOAL)
    yield replace(found, reason=WHY_ALL_TESTS_TAKE_LONG)
