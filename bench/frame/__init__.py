"""The frame of the benchmarks: data, timing, results, and the report that is written of them."""

from bench.frame.context import BenchContext, Sizes, Template
from bench.frame.measure import ChildReport, Samples, alternating, in_child, seconds, slope
from bench.frame.profile import Profile, profile
from bench.frame.results import Curve, Result

__all__ = [
    "BenchContext",
    "ChildReport",
    "Curve",
    "Profile",
    "Result",
    "Samples",
    "Sizes",
    "Template",
    "alternating",
    "in_child",
    "profile",
    "seconds",
    "slope",
]
