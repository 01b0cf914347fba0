"""Proving a month, against exporting it.

The proof downloads every object by its version, checks its SHA-256, loads it into scratch tables
as a thaw does, takes the digest of every row on both sides, and writes the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench._archive import ArchivedMonth, bench_run
from bench.frame import BenchContext, Result, alternating, seconds
from ft_ops.archive.move.move import move_month
from ft_ops.pg.connect import connect


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    month = template.first.plus(1)
    with context.clone(template) as url, connect(url, application="bench") as connection:
        move_month(bench_run(connection, url, context.bucket), month)
        archived = ArchivedMonth(connection, url, context.bucket, month)

        def export() -> float:
            archived.begin_again()
            return seconds(archived.export)

        def prove() -> float:
            if archived.generation.state != "exported":
                archived.begin_again()
                archived.export()
            return seconds(archived.prove)

        found = alternating(
            {"its export": export, "ours": prove}, repetitions=context.sizes.repetitions
        )
        yield Result.comparing(
            found["ours"],
            found["its export"],
            name="archive_proof",
            work="prove a month",
            against="its export",
            goal=1.5,
            size=f"{template.segments_per_month:,} segments in the month",
        )
