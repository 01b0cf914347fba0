"""What `ft-ops demo` runs inside its sandbox: families months segments seed report [port]."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

from rich.console import Console

from ft_ops.errors import OpsError


def main() -> None:
    """Run the demo; with a port, keep the Dagster UI there until Ctrl-C."""
    # Dagster's notices about its own beta parameters are not for whoever watches a demo.
    warnings.simplefilter("ignore")
    from ft_ops.sandbox.demo import DemoSize, run_demo

    families, months, segments, seed, report, *port = sys.argv[1:]
    console = Console()
    try:
        run_demo(
            DemoSize(int(families), int(months), int(segments), int(seed)),
            Path(report),
            console,
        )
    except OpsError as error:
        console.print(f"\nft-ops: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    if port:
        _serve_ui(port[0], console)


def _serve_ui(port: str, console: Console) -> None:
    console.print(f"\nDagster's UI: http://127.0.0.1:{port} (Ctrl-C ends it and the sandbox)")
    program = Path(sys.executable).with_name("dagster")
    arguments = ["dev", "-m", "ft_ops.definitions", "-h", "127.0.0.1", "-p", port]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    try:
        sys.exit(subprocess.run([program, *arguments], check=False, env=environment).returncode)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
