"""Exporting a month, against reading it at all, and against what one would do without us.

Ours reads segments, narrations, tags, links and subjects in one snapshot, takes the server's
digest of every row, writes Parquet and uploads it. The floor is COPY in binary form of the same
four tables' rows to /dev/null, unsorted. The alternatives are pg_dump -Fc of those rows (put into
tables of their own beforehand, since pg_dump can't select rows), piped into an upload, and
psycopg's rows through pandas into Parquet files that are uploaded.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench._archive import (
    DUMP_KEY,
    PART_BYTES,
    copy_month_apart,
    copy_to_nowhere,
    dump_and_upload,
    pandas_and_upload,
    stored_bytes,
)
from bench.frame import BenchContext, Result, alternating, seconds
from ft_ops.archive.export import ArchiveTarget, export_month
from ft_ops.archive.ledger import Generation, supersede
from ft_ops.archive.move import move_month
from ft_ops.pg.connect import Connection, connect

OURS = "ours"
FLOOR = "COPY BINARY to nowhere"
PG_DUMP = "pg_dump -Fc and an upload"
PANDAS = "psycopg, pandas and an upload"


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template()
    month = template.first.plus(1)
    with context.clone(template) as url, connect(url, application="bench") as connection:
        moved = move_month(connection, month, run_id="bench")
        assert moved is not None
        copy_month_apart(connection, month)
        connection.execute("VACUUM ANALYZE")
        exporter = _Exporter(context, url, connection, moved.generation)
        found = alternating(
            {
                OURS: exporter.ours,
                FLOOR: lambda: seconds(lambda: copy_to_nowhere(context, url, month)),
                PG_DUMP: lambda: seconds(lambda: dump_and_upload(context, url)),
                PANDAS: lambda: seconds(lambda: pandas_and_upload(context, connection, month)),
            },
            repetitions=context.sizes.repetitions,
        )
        size = f"{template.segments_per_month:,} segments in the month"
        for name, against, goal in (
            ("archive_export", FLOOR, 3.0),
            ("archive_export_pg_dump", PG_DUMP, 1.0),
            ("archive_export_pandas", PANDAS, 1.0),
        ):
            yield Result.comparing(
                found[OURS],
                found[against],
                name=name,
                work="export a month",
                against=against,
                goal=goal,
                size=size,
            )
        yield Result(
            name="archive_export_size",
            work="export a month: bytes stored",
            against=PG_DUMP,
            unit="MB",
            ours=exporter.bytes / 1e6,
            reference=stored_bytes(context, DUMP_KEY) / 1e6,
            goal=1.0,
            n=1,
            spread=0.0,
            size=size,
        )


class _Exporter:
    """Exports the month again and again, each time as its next generation."""

    def __init__(
        self, context: BenchContext, url: str, connection: Connection, generation: Generation
    ) -> None:
        self._context = context
        self._url = url
        self._connection = connection
        self._generation = generation
        self.bytes = 0

    def ours(self) -> float:
        target = ArchiveTarget(self._context.bucket, "bench", PART_BYTES)
        generation = supersede(self._connection, self._generation, "measured again", "bench")

        def export() -> None:
            self._generation = export_month(
                self._connection, self._url, target, generation, run_id="bench"
            )

        took = seconds(export)
        self.bytes = self._generation.bytes
        return took
