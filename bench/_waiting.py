"""How long a command takes that somebody runs who tries the project or works on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.frame import Result, seconds

ROOT: Final = Path(__file__).parents[1]


def waited(work: str, command: Sequence[str | Path], goal: float) -> Result:
    """A command is run once."""
    return Result(
        name="developer_" + work.rpartition(" ")[2],
        work=work,
        against="",
        unit="s",
        ours=seconds(lambda: run_outside(command)),
        goal=goal,
        n=1,
        spread=0.0,
        size="everything installed",
    )


def run_outside(command: Sequence[str | Path]) -> None:
    """Without the sandbox that other benchmarks have in this process' environment.

    What is imported stays compiled, as for everybody who has run it before.
    """
    left_out = ("FT_", "AWS_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    subprocess.run(command, cwd=ROOT, env=kept, check=True, stdout=subprocess.DEVNULL)
