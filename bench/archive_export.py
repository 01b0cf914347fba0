"""Exporting a month, against merely reading it, and against other tools.

Ours reads segments, narrations, tags and links in one snapshot, lists whom they belong to, writes
Parquet and uploads it. The lower limit is COPY of the same four tables' rows, in binary form and
unsorted, to /dev/null. The alternatives are pg_dump -Fc of those rows (put into tables of their own
beforehand, since pg_dump can't select rows), piped into an upload; psycopg's rows through pandas
into Parquet files that are uploaded; and DuckDB's PostgreSQL scanner into Parquet files (zstd) that
are uploaded, where `make bench` could fetch it. What DuckDB writes are the rows; ours have a column
more, the family, and the list beside them is counted apart. DuckDB is also asked for the rows as
they are archived, with their family and in that order; and the digest of the rows' values is taken
once more, by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pyarrow.parquet as pq

from bench import _duckdb
from bench._archive import (
    DUMP_KEY,
    ArchivedMonth,
    bench_run,
    copy_month_apart,
    copy_to_nowhere,
    dump_and_upload,
    pandas_and_upload,
    stored_bytes,
)
from bench.frame import BenchContext, Result, Samples, alternating, profile, seconds
from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.move.move import move_month
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.pg.connect import connect

OURS = "ours"
FLOOR = "COPY BINARY to nowhere"
PG_DUMP = "pg_dump -Fc and an upload"
PANDAS = "psycopg, pandas and an upload"
DUCKDB = "DuckDB's PostgreSQL scanner to Parquet (zstd) and an upload"
DUCKDB_IN_ORDER = "DuckDB's scanner, the rows with their family and in the archive's order"

ROWS_AT_ONCE: Final = 4000
"""Of a batch whose digest is taken: about as many as PostgreSQL sends at once."""

SEGMENTS_THREAD = "export_0"
"""The longer of the two that export: the segments', beside what belongs to them."""

WHY_SLOWER_THAN_COPY = (
    "The floor neither sorts, joins, compresses, checksums nor sends anything, nor looks for what"
    " an earlier run has left. In the profile of the segments' thread, `execute` waits until"
    " PostgreSQL has joined each row with its family and sorted the month, and `steps` until the"
    " rows have become Arrow; `write_table` is Parquet and zstd, and `store.encoding` tries how to"
    " compress each column; `write` is SHA-256, `result` waits for the upload, and `call_within`"
    " for S3's other answers. The digest of each row's values, by which an archive is proven"
    " without PostgreSQL, is taken in another thread, and so is what belongs to the segments. The"
    " core-seconds show who works meanwhile: on few cores they wait for each other, and the S3"
    " server's are the sandbox's own, not S3's"
)
WHY_SLOWER_THAN_PG_DUMP = (
    "pg_dump reads the rows from tables that hold them alone, in the order in which they lie:"
    " putting them there, and finding which they are, is not in its time. Ours joins each row with"
    " its family and sorts the month, takes SHA-256 of every part, and lists whose rows they are;"
    " the profile is the one of the comparison with COPY"
)

WHY_SLOWER_THAN_DUCKDB = (
    "DuckDB reads the month's table as it lies, in pieces side by side, and looks at no other. An"
    " archive keeps the rows of a family together, so that it is restored from a few row groups:"
    " PostgreSQL has to find the family of each row among all threads, and to sort. And the archive"
    " can be proven without PostgreSQL, by a digest of each row's values. The two lines below say"
    " what each takes: DuckDB itself in this order, and the digest alone. Both cores are busy all"
    " the while, so what these take is added to the time, and no order of the work hides it"
)


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    month = template.first.plus(1)
    size = f"{template.segments_per_month:,} segments in the month"
    with context.clone(template) as url, connect(url, application="bench") as connection:
        move_month(bench_run(connection, url, context.bucket), month)
        copy_month_apart(connection, month)
        connection.execute("VACUUM ANALYZE")
        archived = ArchivedMonth(connection, url, context.bucket, month)

        def ours() -> float:
            archived.begin_again()
            return seconds(archived.export)

        ours()  # the first of a process imports, and learns the database's types
        subjects: dict[str, Callable[[], float]] = {
            OURS: ours,
            FLOOR: lambda: seconds(lambda: copy_to_nowhere(context, url, month)),
            PG_DUMP: lambda: seconds(lambda: dump_and_upload(context, url)),
            PANDAS: lambda: seconds(lambda: pandas_and_upload(context, connection, month)),
        }
        scanner = _duckdb.extension()
        if scanner is None:
            context.log("DuckDB is left out: `make bench` could not fetch its scanner")
        else:
            by_duckdb = partial(_duckdb.export_and_upload, context, url, month, scanner)
            subjects[DUCKDB] = lambda: by_duckdb(_duckdb.write)
            subjects[DUCKDB_IN_ORDER] = lambda: by_duckdb(_duckdb.write_in_order)
        found = alternating(subjects, repetitions=context.sizes.repetitions, warm_ups=0)
        archived.begin_again()
        shown = profile(archived.export, context.sandbox.server, worker=SEGMENTS_THREAD)
        for name, against, goal, reason in (
            ("archive_export", FLOOR, 3.0, WHY_SLOWER_THAN_COPY),
            ("archive_export_pg_dump", PG_DUMP, 1.0, WHY_SLOWER_THAN_PG_DUMP),
        ):
            result = Result.comparing(
                found[OURS],
                found[against],
                name=name,
                work="export a month",
                against=against,
                goal=goal,
                size=size,
            )
            yield replace(result, profile=shown.parts, note=shown.told, reason=reason)
        yield Result.comparing(
            found[OURS],
            found[PANDAS],
            name="archive_export_pandas",
            work="export a month",
            against=PANDAS,
            goal=1.0,
            size=size,
        )
        yield Result(
            name="archive_export_size",
            work="export a month: bytes stored",
            against=PG_DUMP,
            unit="MB",
            ours=archived.generation.bytes / 1e6,
            reference=stored_bytes(context, DUMP_KEY) / 1e6,
            goal=1.0,
            n=1,
            spread=0.0,
            size=size,
        )
        if scanner is not None:
            yield from _against_duckdb(context, archived.generation, found, size)
            yield _digest(context, size)


def _against_duckdb(
    context: BenchContext, generation: Generation, found: Mapping[str, Samples], size: str
) -> Iterator[Result]:
    """The time, the rows' own files, and these with the list of whom the rows belong to."""
    time = Result.comparing(
        found[OURS],
        found[DUCKDB],
        name="archive_export_duckdb",
        work="export a month",
        against=DUCKDB,
        goal=1.0,
        size=size,
    )
    yield replace(time, reason=WHY_SLOWER_THAN_DUCKDB)
    yield Result.comparing(
        found[OURS],
        found[DUCKDB_IN_ORDER],
        name="archive_export_duckdb_in_order",
        work="export a month",
        against=DUCKDB_IN_ORDER,
        goal=None,
        size=size,
    )
    rows = sum(item.stored.bytes for item in generation.objects if item.table in TABLES)
    for name, work, stored, goal in (
        ("rows_size", "bytes of the rows' own files", rows, 1.0),
        ("size", "bytes stored, with the list of whom they belong to", generation.bytes, None),
    ):
        yield Result(
            name=f"archive_export_duckdb_{name}",
            work=f"export a month: {work}",
            against=DUCKDB,
            unit="MB",
            ours=stored / 1e6,
            reference=_duckdb.written_bytes(context) / 1e6,
            goal=goal,
            n=1,
            spread=0.0,
            size=size,
        )


def _digest(context: BenchContext, size: str) -> Result:
    """What one thread takes for the digest of all the rows' values, once they are in memory."""
    batches = [
        batch
        for path in _duckdb.written(context)
        for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE)
    ]
    took = Samples(tuple(seconds(partial(_digest_of, batches)) for _ in range(3)))
    return Result(
        name="archive_export_digest",
        work="export a month: the digest of its rows' values, by itself",
        against="",
        unit="s",
        ours=took.median,
        goal=None,
        n=took.n,
        spread=took.spread,
        size=size,
    )


def _digest_of(batches: Iterable[Any]) -> None:
    digest = RowDigest()
    for batch in batches:
        digest.add(batch)
