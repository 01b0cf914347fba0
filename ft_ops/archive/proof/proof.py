"""Proves that what is in the bucket is what is in the database, by bringing it back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from typing import Final

from psycopg import sql

from ft_ops.archive.month.content import Content
from ft_ops.archive.month.digest import MonthDigests, differences, month_digests, total
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.in_thread import in_thread
from ft_ops.archive.month.ledger import enter, month_source, record_proof
from ft_ops.archive.month.source import Source, scratch_table
from ft_ops.archive.month.units import Hashes, hash_rows, units_query
from ft_ops.archive.proof.load import drop_scratch, loaded
from ft_ops.archive.run import Run
from ft_ops.archive.store.layout import manifest_key, part_key
from ft_ops.archive.store.leftovers import discard, leftovers
from ft_ops.archive.store.manifest import build_manifest, software
from ft_ops.archive.store.parquet import arrow_connection, write_parts
from ft_ops.archive.store.program import other_values, put_program
from ft_ops.archive.store.unit_lists import IDENTITY, SHARED, UNIT_LISTS, UNITS
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import put_once

_WHOLE: Final = 1 << 62
"""Bytes: a list is never divided."""


class RowsDiffer(OpsError):
    """The archive's rows are not the database's: these were changed, or the archive is wrong."""


def prove_month(
    run: Run, generation: Generation, source: Source | None = None, *, is_live: bool = False
) -> Generation:
    """Read the stored bytes back, load them as a thaw would, and compare every row's digest.

    Writes the lists of what was proven, and the manifest, and records a certificate. WrongContent
    or Missing name an object that is not what was exported, RowsDiffer the tables that are not (or
    no longer) what the database has; in each case the month stays there, unproven. ``source``: its
    rows elsewhere than in the month's table; with ``is_live`` that is the database all the same.
    """
    started = time.monotonic()
    place = (generation.month, generation.number)
    lists = [part_key(run.target.prefix, name, *place, 0) for name in UNIT_LISTS]
    left = leftovers(run.bucket, (manifest_key(run.target.prefix, *place), *lists))
    generation = enter(run.connection, generation, "proving", run.run_id)
    content = generation.require_content()
    # What comes from another archive may have types that are no more.
    as_target = source is None or is_live
    source = source or month_source(run.connection, generation, content)
    values = {table.name: RowDigest() for table in content}
    with (
        connect(run.url, application="archive proof") as reader,
        in_thread(reader, partial(_digests, run, reader, content, source), name="digest") as there,
    ):
        # Beside others one after the other: two sessions would take two cores from them.
        if run.pace.is_beside_others():
            wait([there])
        with (
            loaded(
                run, generation, purpose="proof", as_target=as_target, exactly=True, digests=values
            ) as copy,
            _hashes(run, generation) as hashes,
        ):
            with _sessions(run) as sessions:
                found = hash_rows(sessions, content, copy, hashes, run.pace)
            sha256 = {name: str(digest) for name, digest in values.items()}
            problems = differences(there.result(), found)
            problems += other_values(generation.sha256, sha256)
            _refuse_differences(generation, problems)
            if left:
                discard(run, generation, left)
            written = _write_unit_lists(run, generation, hashes, copy)
    program = put_program(run.bucket, run.target.prefix)
    generation = replace(generation, sha256=sha256, objects=(*generation.objects, *written))
    return _certify(run, generation, found, program, started)


def _refuse_differences(generation: Generation, problems: Sequence[str]) -> None:
    if problems:
        raise RowsDiffer(
            f"proof of {generation.name}",
            cause="; ".join(problems),
            next_step=f"the rows are still in the database; materialize {generation.asset} for "
            "this month again",
        )


def _write_unit_lists(
    run: Run, generation: Generation, hashes: Hashes, copy: Source
) -> list[ArchivedObject]:
    """Write both lists of a generation from the hashes of its rows, and from the loaded rows.

    Thread and number of each segment are listed, too: they stay taken while it is in the archive
    alone, and a database that adopts the archive learns them here without a thaw.
    """
    columns = {column.name for column in generation.require_content().segments.stored}
    identity = [sql.Identifier("s", name) for name in IDENTITY[1:] if name in columns]
    queries = {
        UNITS: statement("archive/units_with_identity").format(
            units=sql.SQL("({})").format(units_query(hashes.rows)),
            identity=sql.SQL(", ").join([sql.SQL("u.*"), *identity]),
            segments=copy.segments,
        ),
        SHARED: sql.SQL("SELECT table_no, key, low, high FROM {} ORDER BY table_no, key").format(
            hashes.shared
        ),
    }
    written: list[ArchivedObject] = []
    with arrow_connection(run.url) as arrow:
        for name, query in queries.items():
            key = part_key(run.target.prefix, name, generation.month, generation.number, 0)
            written += write_parts(
                arrow,
                query.as_string(),
                run.bucket,
                name,
                repeat(key, 1),
                part_bytes=_WHOLE,
                pace=run.pace,
                seen=lambda batch: None,
            )
    return written


def _certify(
    run: Run,
    generation: Generation,
    found: MonthDigests,
    program: str,
    started: float,
) -> Generation:
    objects, sha256 = generation.objects, generation.sha256 or {}
    certificate = _certificate(run, objects, found, time.monotonic() - started)
    body = build_manifest(
        generation, objects, found, certificate, bucket=run.bucket.name, program=program
    )
    key = manifest_key(run.target.prefix, generation.month, generation.number)
    manifest = put_once(run.bucket, key, body)
    return record_proof(run.connection, generation, objects, found, manifest, certificate, sha256)


@contextmanager
def _hashes(run: Run, generation: Generation) -> Iterator[Hashes]:
    """Two scratch tables for the hashes of the loaded rows, dropped after the block."""
    names = [
        scratch_table(generation.scratch("proof"), generation.month, generation.number, part)
        for part in ("hashes", "shared")
    ]
    drop_scratch(run.connection, names)
    try:
        yield Hashes(*(sql.Identifier("ops", name) for name in names))
    finally:
        drop_scratch(run.connection, names)


@contextmanager
def _sessions(run: Run) -> Iterator[list[Connection]]:
    """The run's session, and another one for a block; beside others the first alone."""
    if run.pace.is_beside_others():
        yield [run.connection]
        return
    with connect(run.url, application="archive proof") as other:
        yield [run.connection, other]


def _digests(run: Run, reader: Connection, content: Content, source: Source) -> MonthDigests:
    """The database's side, in one snapshot, over a connection of its own."""
    with reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return month_digests(reader, content, source, run.pace)


def _certificate(
    run: Run, objects: Sequence[ArchivedObject], digests: MonthDigests, seconds: float
) -> dict[str, object]:
    return {
        "proven_at": datetime.now(UTC).isoformat(),
        "seconds": round(seconds, 3),
        "run_id": run.run_id,
        "digests": {table: str(total(by_bucket)) for table, by_bucket in digests.items()},
        "rows": {table: total(by_bucket).rows for table, by_bucket in digests.items()},
        "objects": [
            {
                "key": item.stored.key,
                "version_id": item.stored.version_id,
                "sha256": item.stored.sha256,
            }
            for item in objects
        ],
        "software": software(str(run.connection.info.server_version)),
    }
