"""Timing: alternating, repeated, and with a child process where memory is what counts."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_ops.errors import OpsError


@dataclass(frozen=True, slots=True)
class Samples:
    """The same thing measured several times, in the order of the repetitions."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median; 0 where the median is."""
        middle = self.median
        return (max(self.values) - min(self.values)) / middle if middle else 0.0

    def over(self, reference: Samples) -> Samples:
        """The ratio within each repetition: what the machine did meanwhile struck both."""
        return Samples(tuple(a / b for a, b in zip(self.values, reference.values, strict=True)))


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes, by the clock on the wall."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def alternating(
    subjects: Mapping[str, Callable[[], float]], *, repetitions: int, warm_ups: int = 1
) -> dict[str, Samples]:
    """Measure all subjects in turn, ``repetitions`` times, each round in the reverse order.

    A subject prepares what it needs and returns what it measured, mostly ``seconds(…)``. Taking
    turns keeps a drift of the machine from striking one of them alone. The first ``warm_ups``
    rounds fill caches and aren't counted.
    """
    names = list(subjects)
    values: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warm_ups + repetitions):
        for name in names if turn % 2 == 0 else reversed(names):
            value = subjects[name]()
            if turn >= warm_ups:
                values[name].append(value)
    return {name: Samples(tuple(found)) for name, found in values.items()}


@dataclass(frozen=True, slots=True)
class ChildReport:
    """What one call in a fresh process took. ``peak_bytes`` is its largest resident size."""

    seconds: float
    peak_bytes: int


def in_child(
    function: Callable[..., object], *arguments: str, packages: Path | None = None
) -> ChildReport:
    """Call a module's function in a Python process of its own; its arguments are strings.

    What lies in the folder ``packages`` is imported before what the environment has.

    The peak is the kernel's VmHWM of that process, imports included. (ru_maxrss would do for a
    fork, but survives an exec: a small child of a large parent would report the parent.)
    """
    command = [sys.executable, "-m", "bench.frame.child", function.__module__, function.__name__]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | ({} if packages is None else {"PYTHONPATH": str(packages)}),
    )
    if done.returncode != 0:
        raise OpsError(
            f"{function.__module__}.{function.__name__} in a process of its own",
            cause=f"exit status {done.returncode}: {done.stderr.strip()[-2000:]}",
            next_step="see the cause",
        )
    report = json.loads(done.stdout.splitlines()[-1])
    return ChildReport(report["seconds"], report["peak_bytes"])


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent b of cost = a x size^b, by least squares on logarithms: 1 is proportional."""
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    ).slope
