"""A month written by DuckDB's PostgreSQL scanner, and uploaded.

DuckDB and its extension lie in a folder of their own, where `make bench` puts one version of both.
The environment has another DuckDB, by which tests read the archive: DuckDB fetches extensions from
a server of its own, and the package index does not have them for each version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from bench._archive import rows_in_order, rows_of
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


def export_and_upload(
    context: BenchContext,
    url: str,
    month: Month,
    scanner: Path,
    writes: Callable[[str, str, str, str], None],
) -> float:
    """How long it takes to write each table to a file, as ``writes`` does, and to upload the files.

    The process starts and imports before the time begins, as ours has.
    """
    folder = context.work_dir / writes.__name__
    folder.mkdir(exist_ok=True)
    wrote = in_child(writes, url, str(month), str(scanner), str(folder), packages=PACKAGES)
    return wrote.seconds + seconds(lambda: _upload(context, folder))


def written(context: BenchContext) -> list[Path]:
    """The files of rows that `write` wrote last."""
    return sorted((context.work_dir / write.__name__).iterdir())


def written_bytes(context: BenchContext) -> int:
    """Their size."""
    return sum(path.stat().st_size for path in written(context))


def write(url: str, month: str, scanner: str, folder: str) -> None:
    """The month's rows as Parquet files, by as many threads as there are cores.

    The segments are a whole table, which the scanner reads in pieces side by side; PostgreSQL
    selects what belongs to them.
    """
    of = Month.parse(month)
    with _attached(url, scanner) as duck:
        for table in TABLES:
            if table == "content_segments":
                rows = duck.table(f"pg.public.archived_content_segments_{of.suffix}")
            else:
                rows = duck.table_function("postgres_query", ["pg", rows_of(table, of).as_string()])
            rows.write_parquet(f"{folder}/{table}.parquet", compression="zstd")


def write_in_order(url: str, month: str, scanner: str, folder: str) -> None:
    """The same rows as they are archived: with their family, in the archive's order."""
    of = Month.parse(month)
    with _attached(url, scanner) as duck:
        for table in TABLES:
            query = rows_in_order(table, of).as_string()
            rows = duck.table_function("postgres_query", ["pg", query])
            rows.write_parquet(f"{folder}/{table}.parquet", compression="zstd")


@contextmanager
def _attached(url: str, scanner: str) -> Iterator[duckdb.DuckDBPyConnection]:
    # A wheel of the package index has no signature of DuckDB's own server.
    with duckdb.connect(config={"allow_unsigned_extensions": True}) as duck:
        duck.execute(f"LOAD '{scanner}'")
        duck.execute(f"ATTACH '{url}' AS pg (TYPE postgres, READ_ONLY)")
        yield duck


def _upload(context: BenchContext, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        context.bucket.client.upload_file(str(path), context.bucket.name, f"{_KEYS}{path.name}")
