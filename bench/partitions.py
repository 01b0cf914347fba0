"""Creating 120 months of both tables in one run, against the same statements in psql.

Ours is measured twice. Once it is the whole Dagster run, with its asset checks and an event for
each planned and each created partition, but without the imports of the process. Once it is only the
function that the run calls. psql reads the statements from a file, each month in a transaction, as
we send them: the table, the trigger that keeps its keys, its attachment.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from bench._partitions_job import create
from bench.frame import BenchContext, Result, alternating, in_child, seconds
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.partitions.create import creation
from ft_ops.pg.connect import connect

GOALS = {"run": 2.0, "function": 1.0}
MONTHS = 120
QUICK_MONTHS = 24
OFTEN = 4
FIRST_MONTH = Month(2014, 1)
"""120 months before those that the migrations create."""

REASONS = {
    "run": (
        "The function by itself stands beside it in the table; what the run adds is Dagster's: an"
        " event for each planned and each created partition, and the checks"
    ),
    "function": (
        "The function sends the same statements. Besides, it asks the catalog for what is there,"
        " sets the time-out of each lock, and looks for others' work after each month"
    ),
}


def run(context: BenchContext) -> Iterator[Result]:
    months = QUICK_MONTHS if context.is_quick else MONTHS
    script = context.work_dir / "partitions.sql"
    script.write_text("".join(_statements(months)), encoding="utf-8")
    subjects = {
        "run": lambda: _run(context, months),
        "function": lambda: create_months(context, months),
        "psql": lambda: _psql(context, script),
    }
    found = alternating(subjects, repetitions=context.sizes.repetitions, warm_ups=0)
    del subjects["run"]
    # What the goal of the function is about is smaller than what two runs differ by.
    often = alternating(subjects, repetitions=OFTEN * context.sizes.repetitions, warm_ups=0)
    for subject, suffix in (("run", ""), ("function", "_function")):
        times = found if subject == "run" else often
        result = Result.comparing(
            times[subject],
            times["psql"],
            name=f"partitions{suffix}",
            work=f"create {months} months of both tables, one {subject}",
            against="the same statements in psql",
            goal=GOALS[subject],
            size=f"{months * len(PARENTS)} partitions",
        )
        if subject == "run":
            function = found["function"].median
            shares = {"the function": function, "Dagster": result.ours - function}
            result = replace(result, profile=shares)
        yield replace(result, reason=REASONS[subject])


def _statements(months: int) -> Iterator[str]:
    for parent in PARENTS:
        for month in FIRST_MONTH.until(FIRST_MONTH.plus(months - 1)):
            statements = [step.as_string() for step in creation(parent, month)]
            yield ";\n".join(["BEGIN", *statements, "COMMIT"]) + ";\n"


def _run(context: BenchContext, months: int) -> float:
    with context.empty_database() as url:
        settings = {"FT_DATABASE_URL": url, "FT_FIRST_MONTH": str(FIRST_MONTH)}
        with patch.dict(os.environ, settings):
            return in_child(create, str(months)).seconds


def create_months(context: BenchContext, number: int) -> float:
    """The seconds that the run's function takes for so many months, in an empty schema."""
    months = list(FIRST_MONTH.until(FIRST_MONTH.plus(number - 1)))
    with context.empty_database() as url, connect(url, application="bench") as connection:
        return seconds(lambda: [ensure_months(connection, parent, months) for parent in PARENTS])


def _psql(context: BenchContext, script: Path) -> float:
    psql = context.sandbox.bin_dir / "psql"
    with context.empty_database() as url:
        return seconds(
            lambda: subprocess.run(
                [psql, "--quiet", "--set=ON_ERROR_STOP=1", "--file", script, url], check=True
            )
        )
