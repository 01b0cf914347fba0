"""A month written by DuckDB's PostgreSQL scanner, and uploaded.

DuckDB and its extension lie in a folder of their own, where `make bench` puts one version of both.
The environment has another DuckDB, by which tests read the archive: DuckDB fetches extensions from
a server of its own, and the package index does not have them for each version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from bench._archive import rows_of
from bench.frame import BenchContext, in_child, seconds
from ft_ops.archive.month.content import TABLES
from ft_ops.months import Month

PACKAGES: Final = Path(__file__).resolve().parent.parent / "build" / "duckdb"
_EXTENSION: Final = "duckdb_extension_postgres_scanner/extensions/*/*.duckdb_extension"
_KEYS: Final = "duckdb/"


def extension() -> Path | None:
    """The scanner, for the DuckDB beside it; None where neither could be had."""
    return next(iter(sorted(PACKAGES.glob(_EXTENSION))), None)


def version(scanner: Path) -> str:
    """``1.5.5``, by the folder in which the extension lies."""
    return scanner.parent.name.removeprefix("v")


def export_and_upload(context: BenchContext, url: str, month: Month, scanner: Path) -> float:
    """How long it takes to write each table to a file and to upload the files.

    The process starts and imports before the time begins, as ours has.
    """
    folder = context.work_dir / "duckdb"
    folder.mkdir(exist_ok=True)
    wrote = in_child(write, url, str(month), str(scanner), str(folder), packages=PACKAGES)
    return wrote.seconds + seconds(lambda: _upload(context, folder))


def written_bytes(context: BenchContext) -> int:
    """The size of the files that were written last."""
    return sum(path.stat().st_size for path in (context.work_dir / "duckdb").iterdir())


def write(url: str, month: str, scanner: str, folder: str) -> None:
    """The month's rows as Parquet files, by as many threads as there are cores.

    The segments are a whole table, which the scanner reads in pieces side by side; PostgreSQL
    selects what belongs to them.
    """
    of = Month.parse(month)
    # A wheel of the package index has no signature of DuckDB's own server.
    with duckdb.connect(config={"allow_unsigned_extensions": True}) as duck:
        duck.execute(f"LOAD '{scanner}'")
        duck.execute(f"ATTACH '{url}' AS pg (TYPE postgres, READ_ONLY)")
        for table in TABLES:
            if table == "content_segments":
                rows = duck.table(f"pg.public.archived_content_segments_{of.suffix}")
            else:
                rows = duck.table_function("postgres_query", ["pg", rows_of(table, of).as_string()])
            rows.write_parquet(f"{folder}/{table}.parquet", compression="zstd")


def _upload(context: BenchContext, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        context.bucket.client.upload_file(str(path), context.bucket.name, f"{_KEYS}{path.name}")
