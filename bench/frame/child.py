"""The process in which `in_child` calls a function: ``python -m bench.frame.child MODULE NAME …``.

Prints one line of JSON: the seconds of the call, and the largest resident size of the process.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main(module: str, name: str, *arguments: str) -> None:
    function = getattr(importlib.import_module(module), name)
    began = time.perf_counter()
    function(*arguments)
    took = time.perf_counter() - began
    print(json.dumps({"seconds": took, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """The largest resident size that this process has had, by the kernel."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel reports no VmHWM")


if __name__ == "__main__":
    main(*sys.argv[1:])
