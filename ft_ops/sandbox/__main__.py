"""What `ft-ops demo` runs inside its sandbox: families months segments seed report [port]."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Final

from rich.console import Console

from ft_ops.errors import OpsError

_INTERRUPTED: Final = 130
"""As a shell says of a program that Ctrl-C has ended."""


def main() -> None:
    """Run the demo; with a port, keep the Dagster UI there until Ctrl-C."""
    # Dagster's notices about its own beta parameters are not for whoever watches a demo.
    warnings.simplefilter("ignore")
    from ft_ops.sandbox.demo import DemoSize, run_demo
    from ft_ops.sandbox.ui import serve_ui

    families, months, segments, seed, report, *port = sys.argv[1:]
    console = Console()
    try:
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


if __name__ == "__main__":
    main()
