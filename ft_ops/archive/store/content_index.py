"""The list of subjects beside a generation: whose content a month holds.

An erasure has to know that without a thaw, so the list stays in STANDARD. It is written while
the month is exported, from the same batches; a thread whose rows span two batches has two
entries, and their segments add up.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from ft_ops.archive.month.content import Table
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import read_object
from ft_ops.s3.upload import UploadOnce

SUBJECTS: Final = "subjects"
"""The list's name among a generation's objects."""

if TYPE_CHECKING:
    _Bytes: TypeAlias = pa.Array[pa.Scalar[pa.FixedSizeBinaryType]]
    _Column: TypeAlias = pa.ChunkedArray[pa.Scalar[pa.FixedSizeBinaryType]]

_SCHEMA = pa.schema(
    [
        ("family_id", pa.uuid()),
        ("thread_id", pa.uuid()),
        ("user_id", pa.uuid()),
        ("segments", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class IndexedSubject:
    """Segments of one author in one thread of one family; none for who only tagged or narrated."""

    family_id: UUID | None
    thread_id: UUID | None
    user_id: UUID | None
    segments: int


class SubjectsWriter:
    """Writes the list to a sink, batch by batch; safe to share among threads."""

    def __init__(self, sink: UploadOnce) -> None:
        self._writer = pq.ParquetWriter(
            sink,  # type: ignore[arg-type]  # a file in all that is called
            _SCHEMA,
            compression="zstd",
            use_dictionary=["segments"],  # type: ignore[arg-type]
        )
        self._lock = Lock()
        self.rows = 0

    def add(self, table: Table, rows: pa.Table) -> None:
        """Note whose ``rows`` of ``table`` they are: by family, and by each user they name."""
        is_segments = not table.paths
        family = _storage(rows, table.family_column)
        # The audit log has neither families nor threads.
        has_thread = is_segments and "thread_id" in rows.column_names
        thread = _storage(rows, "thread_id") if has_thread else _nulls(rows.num_rows)
        for maker in table.makers or (None,):
            users = _nulls(rows.num_rows) if maker is None else _storage(rows, maker)
            keys = pa.Table.from_arrays([family, thread, users], names=_SCHEMA.names[:3])
            self._write(keys, counts_segments=is_segments)

    def _write(self, rows: pa.Table, *, counts_segments: bool) -> None:
        # By one thread, which keeps their order: a family's entries lie together, and are small.
        groups = rows.group_by(rows.column_names, use_threads=False)
        grouped = groups.aggregate([([], "count_all")])
        counts = grouped.column("count_all")
        if not counts_segments:
            counts = pa.chunked_array([pa.array([0] * grouped.num_rows, pa.int64())])
        keys = [_uuids(grouped.column(name)) for name in rows.column_names]
        with self._lock:
            self._writer.write_table(pa.table([*keys, counts], schema=_SCHEMA))
            self.rows += grouped.num_rows

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def read_subjects(bucket: Bucket, generation: Generation) -> Iterator[IndexedSubject]:
    """Whose content a generation holds; reads one small STANDARD object."""
    for item in generation.objects:
        if item.table == SUBJECTS:
            table = pq.read_table(io.BytesIO(read_object(bucket, item.stored)))
            for row in table.to_pylist():
                yield IndexedSubject(**row)


def list_object(rows: int, sink: UploadOnce) -> ArchivedObject:
    """The list as one of the generation's objects."""
    return ArchivedObject(SUBJECTS, 0, rows, sink.stored)


def _storage(rows: pa.Table, column: str) -> _Column:
    return rows.column(column).cast(pa.binary(16))


def _nulls(rows: int) -> _Column:
    return pa.chunked_array([pa.nulls(rows, pa.binary(16))])


def _uuids(column: _Column) -> pa.ExtensionArray[_Bytes]:
    return pa.ExtensionArray.from_storage(pa.uuid(), column.combine_chunks())
