"""How many requests of the product a server answers: pgbench's clients, each without a pause."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import conninfo

from bench.frame.load import scripts, write_scripts
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from ft_ops.sandbox import Sandbox

CLIENTS: Final = 4
"""Two a core: while one of them waits for its client, the other works."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What the clients got done: the seconds it took, and milliseconds by kind of request."""

    seconds: float
    latencies: Mapping[str, tuple[float, ...]]

    @property
    def per_second(self) -> float:
        return sum(map(len, self.latencies.values())) / self.seconds


def closed_loop(box: Sandbox, folder: Path, url: str, seconds: int) -> Rate:
    """Run the product's mix for so long in the database of ``url``, which has its people.

    ``folder`` takes pgbench's scripts and its log. An error of any client ends this as failed.
    """
    with connect(url, application="bench") as connection:
        people = int(one_row(connection.execute("SELECT count(*) FROM bench.people"))[0])
    with tempfile.TemporaryDirectory(prefix="rate-", dir=folder) as name:
        prefix = Path(name) / "log"
        command = [str(box.bin_dir / "pgbench"), "--no-vacuum", "--log", f"--log-prefix={prefix}"]
        command += [f"--client={CLIENTS}", f"--time={seconds}", "--protocol=prepared"]
        command += [f"--define=people={people}", *write_scripts(Path(name))]
        target = conninfo.make_conninfo(url, user="ft_app", application_name="pgbench")
        subprocess.run([*command, target], check=True, stdout=subprocess.DEVNULL)
        return Rate(seconds, _latencies(prefix))


def _latencies(prefix: Path) -> Mapping[str, tuple[float, ...]]:
    """Of pgbench's log: client, number, microseconds, script, and the moment of the end."""
    names = list(scripts())
    found: dict[str, list[float]] = {name: [] for name in names}
    for path in prefix.parent.glob(f"{prefix.name}.[0-9]*"):
        for line in path.read_text(encoding="ascii").splitlines():
            fields = line.split()
            found[names[int(fields[3])]].append(int(fields[2]) / 1000)
    return {name: tuple(values) for name, values in found.items()}
