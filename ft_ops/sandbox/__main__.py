"""What `ft-ops demo` becomes: families months segments seed report [port]."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from ft_ops.errors import OpsError
from ft_ops.sandbox.servers import sandbox

_INTERRUPTED: Final = 130
"""As a shell says of a program that Ctrl-C has ended."""

_SLOW_TO_IMPORT: Final = ("dagster_postgres", "adbc_driver_postgresql.dbapi", "pyarrow.parquet")
"""Libraries that read no environment when they are imported."""


def main() -> None:
    """Run the demo; with a port, keep the Dagster UI there until Ctrl-C."""
    # Dagster's notices about its own beta parameters are not for whoever watches a demo.
    warnings.simplefilter("ignore")
    # What a script starts in its background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    families, months, segments, seed, report, *port = sys.argv[1:]
    console = Console()
    try:
        with _in_sandbox():
            from ft_ops.sandbox.demo import DemoSize, run_demo
            from ft_ops.sandbox.ui import serve_ui

            run_demo(
                DemoSize(int(families), int(months), int(segments), int(seed)),
                Path(report),
                console,
            )
            if port:
                serve_ui(int(port[0]), console)
    except KeyboardInterrupt:
        # Dagster makes one of SIGTERM, too. Whoever ended us need not be told how we were built.
        console.print("\nft-ops: ended: the demo was not finished. Next: run it again", style="red")
        sys.exit(_INTERRUPTED)
    except OpsError as error:
        console.print(f"\nft-ops: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)


@contextmanager
def _in_sandbox() -> Iterator[None]:
    """Make this process's environment that of a new sandbox, which ends with the block.

    The settings are read when the definitions are imported: within the block.
    """
    importing = threading.Thread(
        target=lambda: [importlib.import_module(name) for name in _SLOW_TO_IMPORT]
    )
    importing.start()
    with sandbox() as box:
        importing.join()
        inside = box.child_environment(os.environ)
        os.environ.clear()
        os.environ.update(inside)
        yield


if __name__ == "__main__":
    main()
