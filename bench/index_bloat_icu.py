"""The estimates of indexes by collations of ICU, against the truth.

The embedded server has no ICU, so these shapes are made on another one. That is the first server
with ICU among `FT_PG_BIN_DIR`, the packages that `make versions` unpacks, and those that the system
has installed. Some keys are equal without being the same bytes: the server keeps every one of
those. One database is made by ICU itself, and its text has the collation of the database. Rows,
churns and the comparison are those of index_bloat, with fewer rows. Without such a server nothing
is measured, and the earlier results stay.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final, LiteralString

from bench.frame import BenchContext, Result
from bench.index_bloat import CHURNS, QUICK_CHURNS, QUICK_ROWS, observe, results
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.schema import load_migrations, run_migrations

ROWS: Final = 20_000
_UNPACKED: Final = Path(__file__).resolve().parent.parent / "build" / "pgbackrest"
_BINARIES: Final = "usr/lib/postgresql/*/bin"

_COLLATIONS: Final[LiteralString] = """
    CREATE COLLATION swedish (provider = icu, locale = 'sv-SE');
    CREATE COLLATION by_number (provider = icu, locale = 'en-u-kn-true');
    CREATE COLLATION whatever_case
        (provider = icu, locale = 'und-u-ks-level2', deterministic = false)
"""
SHAPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "icu_text": 'INDEX {} ON corpus (title COLLATE "und-x-icu")',
        "icu_unique": "UNIQUE INDEX {} ON corpus (email COLLATE swedish)",
        "icu_few_keys": "INDEX {} ON corpus (status COLLATE swedish)",
        "icu_null_heavy": "INDEX {} ON corpus (tag COLLATE by_number)",
        "icu_pair": "INDEX {} ON corpus (status COLLATE swedish, account DESC)",
        "icu_expression": "INDEX {} ON corpus (lower(email) COLLATE swedish)",
        "icu_partial": "INDEX {} ON corpus (title COLLATE swedish) WHERE flag",
        "icu_long": "INDEX {} ON corpus (letter COLLATE swedish)",
        "icu_include": "INDEX {} ON corpus (tag COLLATE swedish) INCLUDE (title)",
        "icu_array": "INDEX {} ON corpus (labels COLLATE swedish)",
        "icu_fillfactor": "INDEX {} ON corpus (title COLLATE swedish) WITH (fillfactor = 70)",
        "icu_equal_few": "INDEX {} ON corpus (status COLLATE whatever_case)",
        "icu_equal_pair": "INDEX {} ON corpus (account, tag COLLATE whatever_case)",
        "icu_equal_unique": "UNIQUE INDEX {} ON corpus (email COLLATE whatever_case, seq)",
        "icu_spgist": "INDEX {} ON corpus USING spgist (title COLLATE swedish)",
        "database": "INDEX {} ON corpus (title)",
        "database_few_keys": "INDEX {} ON corpus (status)",
        "database_pattern": "INDEX {} ON corpus (title text_pattern_ops)",
    }
)


def run(context: BenchContext) -> Iterator[Result]:
    rows = QUICK_ROWS if context.is_quick else ROWS
    chance = random.Random(20_26)
    observations = []
    with _server_with_icu(context) as url:
        if url is None:
            context.log("left out: no server here has ICU; `make versions` unpacks one")
            return
        with connect(url, application="bench") as connection:
            version = connection.info.parameter_status("server_version")
            connection.execute(_COLLATIONS)
            for churn in islice(CHURNS.values(), QUICK_CHURNS if context.is_quick else None):
                seen = observe(connection, churn, rows=rows, chance=chance, shapes=SHAPES)
                observations += seen
                context.log(f"{churn.name}: {len(seen)} indexes")
    size = f"{rows:,} rows, {len(SHAPES)} shapes of indexes, PostgreSQL {version}"
    yield from results("index_bloat_icu", "index bloat estimate, ICU", observations, size)


@contextmanager
def _server_with_icu(context: BenchContext) -> Iterator[str | None]:
    """The URL of a migrated database that ICU sorts, on a server of our own for a block."""
    for bin_dir in _installed():
        with tempfile.TemporaryDirectory(prefix="ft-icu-") as folder:
            root = Path(folder)
            root.chmod(0o755)
            server = pg.Server(_reachable(bin_dir, root), root / "data", root / "run")
            pg.initialise(server)
            pg.configure(server, {"fsync": "off"})
            with pg.running(server, stop_mode="immediate"):
                if _has_icu(server):
                    context.log(f"the server of {bin_dir}")
                    yield _migrated(server)
                    return
    yield None


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


def _has_icu(server: pg.Server) -> bool:
    with connect(server.url(), application="bench") as admin:
        found = admin.execute("SELECT count(*) FROM pg_collation WHERE collprovider = 'i'")
        return bool(one_row(found)[0])


def _migrated(server: pg.Server) -> str:
    name = "icu"
    with connect(server.url(), application="bench") as admin:
        admin.execute(
            "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
            " LOCALE 'C.UTF-8' ENCODING 'UTF8'"
        )
    with connect(server.url(name), application="bench") as admin:
        admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
    url = server.url(name, user="ft_ops")
    with connect(url, application="bench") as connection:
        run_migrations(connection, load_migrations())
    return url
