"""The frame of the benchmarks: data, timing, results, and the report that is written of them."""

from bench.frame.context import BenchContext, Sizes, Template
from bench.frame.measure import Samples, alternating, in_child, seconds
from bench.frame.results import Curve, Result

__all__ = [
    "BenchContext",
    "Curve",
    "Result",
    "Samples",
    "Sizes",
    "Template",
    "alternating",
    "in_child",
    "seconds",
]
