"""Proving a month, against exporting it.

The proof downloads every object by its version, checks its SHA-256, loads it into scratch tables
as a thaw does, takes the digest of every row on both sides, and writes the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench._archive import ArchivedMonth, bench_run
from bench.frame import BenchContext, Result, alternating, profile, seconds
from ft_ops.archive.move.move import move_month
from ft_ops.pg.connect import connect

GOAL = 1.5

REASON = (
    "Both sides' rows become text and are hashed by PostgreSQL: the database's while the archive's"
    " are loaded, those of the archive in two sessions when all of it is there. An export hashes"
    " each row once. In the profile `hash_rows` waits for both sessions, `_ingest` is the load with"
    " the digest that needs no PostgreSQL, and `_write_unit_lists` the export of what was proven,"
    " by id"
)


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
        export()
        shown = profile(archived.prove, context.sandbox.server)
        result = Result.comparing(
            found["ours"],
            found["its export"],
            name="archive_proof",
            work="prove a month",
            against="its export",
            goal=GOAL,
            size=f"{template.segments_per_month:,} segments in the month",
        )
        yield replace(result, profile=shown.parts, note=shown.told, reason=REASON)
