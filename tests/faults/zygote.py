"""A process with everything imported, which forks a child for each step that it is asked to run.

``python -m tests.faults.zygote MODULE…`` reads a line of JSON a step from standard input, and ends
with it. A fork costs milliseconds where a new Python and its imports would cost a second.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from datetime import datetime, timedelta, tzinfo
from itertools import count
from typing import NoReturn

from ft_ops.errors import OpsError
from tests.faults import probe


class Cancelled(BaseException):
    """Raised by SIGINT: like Dagster's own interruption, it is no Exception."""


def main(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
    # Reaps the children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        if os.fork() == 0:
            _be_child(order)


def _be_child(order: dict[str, object]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, _cancel)
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(str(order["socket"]))
    pause_at = order["pause_at"]
    watch = probe.Probe(channel, tuple(pause_at) if isinstance(pause_at, list) else None)
    watch.tell({"started": os.getpid()})
    try:
        watch.tell({"ended": _run(order, watch) | {"points": watch.labels}})
    finally:
        os._exit(0)


def _run(order: dict[str, object], watch: probe.Probe) -> dict[str, object]:
    environment, arguments = order["environment"], order["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.update(environment)
    tempfile.tempdir = None
    if "FT_CLOCK" in environment:
        _break_clock(timedelta(days=int(environment["FT_CLOCK"])))
    module, _, function = str(order["step"]).partition(":")
    step = getattr(importlib.import_module(module), function)
    probe.install(watch)
    try:
        step(*arguments)
    except OpsError as error:
        return {"error": str(error), "kind": type(error).__name__, "is_clear": True, "trace": ""}
    except BaseException as error:  # noqa: BLE001  the harness has to hear of every end
        trace = traceback.format_exc()
        kind = type(error).__name__
        return {"error": str(error), "kind": kind, "is_clear": False, "trace": trace}
    return {"error": "", "kind": "", "is_clear": True, "trace": ""}


def _break_clock(offset: timedelta) -> None:
    """Have every second look at this process's clock be wrong by ``offset``, the first included."""
    readings = count()

    class Broken(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            wrong = next(readings) % 2 == 0
            return datetime.now(tz) + (offset if wrong else timedelta(0))

    for name, module in list(sys.modules.items()):
        if name.startswith(("ft_ops.", "tests.")) and getattr(module, "datetime", None) is datetime:
            module.datetime = Broken  # type: ignore[attr-defined]


def _cancel(*_: object) -> NoReturn:
    raise Cancelled


if __name__ == "__main__":
    main(*sys.argv[1:])
