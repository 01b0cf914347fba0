"""Servers of Debian's packages: what the embedded one lacks is measured on these."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.frame import BenchContext
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.schema import load_migrations, run_migrations

_UNPACKED: Final = Path(__file__).resolve().parent.parent / "build" / "pgbackrest"
_BINARIES: Final = "usr/lib/postgresql/*/bin"


@contextmanager
def debian_server(
    context: BenchContext, is_fit: Callable[[pg.Server], bool]
) -> Iterator[pg.Server | None]:
    """The first server that is fit, running for a block; None where there is none.

    They are looked for in `FT_PG_BIN_DIR`, among the packages that `make versions` unpacks, and
    among those that the system has installed.
    """
    for bin_dir in _installed():
        with tempfile.TemporaryDirectory(prefix="ft-server-") as folder:
            root = Path(folder)
            root.chmod(0o755)
            server = pg.Server(_reachable(bin_dir, root), root / "data", root / "run")
            pg.initialise(server)
            pg.configure(server, {"fsync": "off"})
            with pg.running(server, stop_mode="immediate"):
                if is_fit(server):
                    context.log(f"the server of {bin_dir}")
                    yield server
                    return
    yield None


def migrate(server: pg.Server, database: str) -> str:
    """Bring the schema into an empty database; its URL as the operations role."""
    with connect(server.url(database), application="bench") as admin:
        admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
    url = server.url(database, user="ft_ops")
    with connect(url, application="bench") as connection:
        run_migrations(connection, load_migrations())
    return url


def _installed() -> Iterator[Path]:
    """Folders of server programs, those that were asked for first."""
    if named := os.environ.get("FT_PG_BIN_DIR"):
        yield Path(named)
    yield from sorted(_UNPACKED.glob(_BINARIES), reverse=True)
    yield from sorted(Path("/").glob(_BINARIES), reverse=True)


def _reachable(bin_dir: Path, root: Path) -> Path:
    """Where the server's user may get at it; a package's files lie at places relative to it."""
    if not bin_dir.is_relative_to(_UNPACKED):
        return pg.reachable_binaries(bin_dir, root / "programs")
    shutil.copytree(_UNPACKED / "usr", root / "usr", symlinks=True)
    return root / bin_dir.relative_to(_UNPACKED)
