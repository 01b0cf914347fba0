"""The lists beside a generation of what its proof has found, one by one; they stay in STANDARD.

A removal reads them and takes nothing that they don't name; see `ft_ops.archive.month.units`.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import pyarrow.parquet as pq

from ft_ops.archive.copies.read import fetch
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.units import Units
from ft_ops.archive.run import Run
from ft_ops.archive.store.parquet import arrow_connection, read_batches
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import read_object

UNITS: Final = "proven_segments"
SHARED: Final = "proven_shared_rows"
UNIT_LISTS: Final = (UNITS, SHARED)
"""The lists' names among a generation's objects."""

IDENTITY: Final = ("segment_id", "thread_id", "sequence_number")
"""What a segment is called, as the list of segments has it."""

_COLUMNS: Final = {
    UNITS: ["segment_id", "bucket", "rows", "low", "high"],
    SHARED: ["table_no", "key", "low", "high"],
}


def has_unit_lists(generation: Generation) -> bool:
    """Whether a generation was proven with lists: those of earlier versions were not."""
    return any(item.table == UNITS for item in generation.objects)


def load_unit_lists(run: Run, generation: Generation, units: Units) -> None:
    """Fill two tables with the lists of a proven generation."""
    with arrow_connection(run.url) as arrow:
        for name, table in ((UNITS, units.segments_name), (SHARED, units.shared_name)):
            item = next(o for o in generation.objects if o.table == name)
            # Without a name: a process that is killed leaves nothing behind.
            with tempfile.TemporaryFile(prefix="ft-archive-") as file:
                path = Path(f"/dev/fd/{file.fileno()}")
                fetch(run, item.stored, path)
                rows = read_batches(path, _COLUMNS[name], run.pace)
                with arrow.cursor() as cursor:
                    cursor.adbc_ingest(table, rows, mode="append", db_schema_name="ops")


@dataclass(frozen=True, slots=True)
class ProvenIds:
    """What a generation holds, by id: its segments, and shared rows by table number and key."""

    segments: frozenset[UUID]
    shared: frozenset[tuple[int, str]]


def proven_ids(bucket: Bucket, generation: Generation) -> ProvenIds:
    """The ids in both lists of a generation; some 100 bytes of memory for each."""
    tables = {
        item.table: pq.read_table(io.BytesIO(read_object(bucket, item.stored)))
        for item in generation.objects
        if item.table in UNIT_LISTS
    }
    ids: list[UUID] = tables[UNITS].column("segment_id").to_pylist()  # type: ignore[assignment]
    shared = tables[SHARED]
    numbers: list[int] = shared.column("table_no").to_pylist()  # type: ignore[assignment]
    keys: list[str] = shared.column("key").to_pylist()  # type: ignore[assignment]
    return ProvenIds(frozenset(ids), frozenset(zip(numbers, keys, strict=True)))
