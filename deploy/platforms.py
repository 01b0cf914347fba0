"""Look for a wheel of every locked package, for every platform and Python that is supported.

    python deploy/platforms.py UV "3.11 3.12" "x86_64-manylinux_2_28 aarch64-apple-darwin"

Asks the package index, by uv. Prints a line for each platform and Python, and what has no wheel
there: pip then builds it, which takes a compiler. The exit status is 1 when a package is without a
wheel that is not known to be.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LOCK = Path("requirements.lock")

KNOWN = {
    # Apple's command line tools, which bring make and git, bring the compiler too.
    ("aarch64-apple-darwin", "3.14", "watchdog"),
}

_LACKS = re.compile(r"Because ([\w.-]+)==\S+\s+has\s+no\s+(?:usable\s+)?wheels")


def lacking(uv: str, python: str, platform: str, pins: Sequence[str]) -> list[str]:
    """The packages without a wheel; a RuntimeError when uv says anything else."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.in"
        while True:
            kept = [pin for pin in pins if pin.partition("==")[0] not in found]
            wanted.write_text("\n".join(kept))
            command = [uv, "pip", "compile", "--quiet", "--no-deps", "--only-binary", ":all:"]
            command += ["--python-version", python, "--python-platform", platform, str(wanted)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                return found
            lacks = _LACKS.search(done.stderr)
            if lacks is None or lacks[1] in found:
                raise RuntimeError(done.stderr.strip())
            found.append(lacks[1])


def main(uv: str, pythons: str, platforms: str) -> int:
    """Look for every pair; the exit status."""
    pins = re.findall(r"^([\w.-]+==\S+)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    unknown = 0
    for platform in platforms.split():
        for python in pythons.split():
            try:
                missing = lacking(uv, python, platform, pins)
            except RuntimeError as error:
                print(f"{platform}, Python {python}: not known, uv says: {error}", file=sys.stderr)  # noqa: T201
                return 2
            new = [name for name in missing if (platform, python, name) not in KNOWN]
            unknown += len(new)
            said = ", ".join(missing) or "a wheel of each"
            print(f"{platform}, Python {python}: {said}{' (not known before)' if new else ''}")  # noqa: T201
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
