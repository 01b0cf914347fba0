"""The lists beside a generation of whose content it holds, and of what its links lead to.

An erasure has to know the first without a thaw; a legal hold both: a held link comes back with both
of its ends alone, so the other one may not be erased. So the lists stay in STANDARD. They are
written while the month is exported, from the same batches; a thread whose rows span two batches has
two entries among the subjects, and their segments add up.
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

from ft_ops.archive.month.content import KEYS, Content, Table
from ft_ops.archive.month.generation import Generation
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import read_object
from ft_ops.s3.upload import UploadOnce

SUBJECTS: Final = "subjects"
ENDS: Final = "ends_of_shared_rows"
"""The lists' names among a generation's objects."""

END: Final = "end_"
MAKER: Final = "maker_"
"""How columns of the second begin: `end_1`, `end_2` are segments, `maker_1` a user."""

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


class EndsWriter:
    """Writes the list to a sink, batch by batch; safe to share among threads."""

    def __init__(self, sink: UploadOnce, content: Content) -> None:
        self._ends = {table.name: _end_columns(table) for table in content.shared}
        ends = max((len(table.paths) for table in content.shared), default=0)
        makers = max((len(table.makers) for table in content.shared), default=0)
        names = [f"{END}{n + 1}" for n in range(ends)] + [f"{MAKER}{n + 1}" for n in range(makers)]
        self._schema = pa.schema([(name, pa.uuid()) for name in names])
        self._writer = pq.ParquetWriter(
            sink,  # type: ignore[arg-type]  # a file in all that is called
            self._schema,
            compression="zstd",
            use_dictionary=names[ends:],  # type: ignore[arg-type]
        )
        self._lock = Lock()
        self.rows = 0

    def add(self, table: Table, rows: pa.Table) -> None:
        """Note what each of ``rows`` leads to, where they are a shared table's."""
        ends = self._ends.get(table.name)
        if ends is None:
            return
        columns = {f"{END}{n + 1}": name for n, name in enumerate(ends)}
        columns |= {f"{MAKER}{n + 1}": name for n, name in enumerate(table.makers)}
        values = [
            _storage(rows, columns[name]) if name in columns else _nulls(rows.num_rows)
            for name in self._schema.names
        ]
        with self._lock:
            self._writer.write_table(pa.table([*map(_uuids, values)], schema=self._schema))
            self.rows += rows.num_rows

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


def read_ends(bucket: Bucket, generation: Generation) -> pa.Table | None:
    """The list; None where there is none. Reads one STANDARD object, some 50 bytes a row."""
    for item in generation.objects:
        if item.table == ENDS:
            return pq.read_table(io.BytesIO(read_object(bucket, item.stored)))
    return None


def is_listed(generation: Generation) -> bool:
    """Whether it is known what each shared row of a generation leads to.

    Earlier versions wrote no list. Nor does this one of a row that leads to a segment through
    another table's row.
    """
    if not generation.objects:
        return True
    rows = generation.rows
    has_list = any(item.table == ENDS for item in generation.objects)
    return not any(
        rows.get(table.name) and not (has_list and _end_columns(table))
        for table in generation.require_content().shared
    )


def _end_columns(table: Table) -> tuple[str, ...] | None:
    """The columns that name a shared row's segments; None unless all of them do so by its id."""
    uuids = {column.name for column in table.stored if column.type == "uuid"}
    columns = []
    for path in table.paths:
        named = dict(zip(path[0].parent_columns, path[0].columns, strict=True))
        if len(path) > 1 or path[0].parent != KEYS or named.get("id") not in uuids:
            return None
        columns.append(named["id"])
    return tuple(columns)


def _storage(rows: pa.Table, column: str) -> _Column:
    return rows.column(column).cast(pa.binary(16))


def _nulls(rows: int) -> _Column:
    return pa.chunked_array([pa.nulls(rows, pa.binary(16))])


def _uuids(column: _Column) -> pa.ExtensionArray[_Bytes]:
    return pa.ExtensionArray.from_storage(pa.uuid(), column.combine_chunks())
