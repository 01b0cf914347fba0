"""What the archive has of a month that a recovered database lacks, or has as it was earlier.

A database that was recovered to an earlier moment has the rows of that moment. What was archived
later may hold more: segments, links, a tag that somebody added. Such a generation is in the archive
alone, and a thaw brings what is missing. The lists beside each generation say which it is, without
Glacier: by the hashes of each segment with all that belongs to it, and by the keys of shared rows.

A row that the database has stays as it is. Of a segment that differs nobody knows without a thaw
what it lacks; so it is noted with what it has, and its month is not exported again before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from psycopg import sql

from ft_ops.archive.copies.read import fetch
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import (
    ARCHIVED,
    HOT,
    Content,
    archived_name,
    bounds,
    column_list,
    content_from_json,
    content_of_columns,
)
from ft_ops.archive.month.generation import OBJECTS
from ft_ops.archive.month.relation import named_relation
from ft_ops.archive.month.source import Source, key_text, live_source, rows_of
from ft_ops.archive.month.units import hashed, units_query
from ft_ops.archive.recorded.records import GenerationRecord
from ft_ops.archive.run import Run
from ft_ops.archive.store.unit_lists import IDENTITY, SHARED, UNITS
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import StoredObject

_HASHES: Final = ("rows", "low", "high")


@dataclass(frozen=True, slots=True)
class Unlike:
    """How many segments the database has otherwise, and how many rows not at all; one of each."""

    month: Month
    earlier: int = 0
    an_earlier: str = ""
    absent: int = 0
    an_absent: str = ""

    def __bool__(self) -> bool:
        return bool(self.earlier or self.absent)

    @property
    def words(self) -> Iterator[str]:
        """What a person has to know of it."""
        if self.earlier:
            yield (
                f"{self.month}: {self.earlier:,} segments, {self.an_earlier} among them, are here "
                "as they were before they were archived. A thaw of the month brings what was added "
                "to them; the month is not archived again before"
            )
        if self.absent:
            yield (
                f"{self.month}: {self.absent:,} segments and links, {self.an_absent} among them, "
                "are in the archive and not here: a thaw of the month brings them"
            )


def compare_with_lists(
    run: Run, month: Month, found: Sequence[GenerationRecord], *, apply: bool
) -> Unlike:
    """What generations that this database has not proven hold beyond what it has of their month.

    With ``apply`` the segments that it has otherwise are noted. Nothing is known of generations
    that were proven without lists, by earlier versions.
    """
    [[has_keys]] = run.connection.execute(
        statement("archive/month_has_keys").format(**bounds(month))
    ).fetchall()
    if not has_keys:
        return Unlike(month)
    content = read_content(run.connection)
    with _listed(run, content, found):
        _find(run.connection, month, content)
        [[earlier, one]] = run.connection.execute(statement("archive/count_earlier")).fetchall()
        absent = [*_absent(run.connection, content)]
        if apply and earlier:
            _note(run.connection, month, content)
    return Unlike(
        month,
        earlier,
        one or "",
        sum(number for number, _ in absent),
        next((name for number, name in absent if number), ""),
    )


@contextmanager
def _listed(run: Run, content: Content, found: Sequence[GenerationRecord]) -> Iterator[None]:
    """The lists of some generations, newest first, in temporary tables for a block."""
    run.connection.execute(statement("archive/drop_lists"))
    run.connection.execute(statement("archive/stage_listed_segments"))
    run.connection.execute(statement("archive/stage_listed_shared"))
    try:
        for place, record in enumerate(sorted(found, key=_read_last), start=1):
            archived = _content(record)
            # Hashes of other columns say nothing: then each of its segments counts as another.
            is_alike = not archived.differences(content)
            for item in OBJECTS.validate_python(record.row["objects"]):
                if item.table == UNITS:
                    _copy_segments(run, item.stored, place, is_alike=is_alike)
                elif item.table == SHARED:
                    _copy_shared(run, item.stored, archived)
        yield
    finally:
        run.connection.execute(statement("archive/drop_lists"))


def _read_last(record: GenerationRecord) -> tuple[int, int]:
    """Sorts the generation first that was read last."""
    return -(record.row.get("sequence") or 0), -record.generation


def _content(record: GenerationRecord) -> Content:
    described = record.row.get("content")
    return content_from_json(described) if described else content_of_columns(record.row["columns"])


def _copy_segments(run: Run, stored: StoredObject, place: int, *, is_alike: bool) -> None:
    with (
        _read(run, stored) as file,
        run.connection.cursor() as cursor,
        cursor.copy("COPY listed_segments FROM STDIN") as copy,
    ):
        names = ["segment_id", *_HASHES]
        if IDENTITY[1] in file.schema_arrow.names:
            names.append(IDENTITY[1])
        for batch in file.iter_batches(columns=names):
            columns = {name: batch.column(name).to_pylist() for name in names}
            for number, segment in enumerate(columns["segment_id"]):
                thread = columns[IDENTITY[1]][number] if IDENTITY[1] in columns else None
                hashes = [columns[name][number] if is_alike else None for name in _HASHES]
                copy.write_row((place, segment, thread, *hashes))


def _copy_shared(run: Run, stored: StoredObject, content: Content) -> None:
    with (
        _read(run, stored) as file,
        run.connection.cursor() as cursor,
        cursor.copy("COPY listed_shared FROM STDIN") as copy,
    ):
        for batch in file.iter_batches(columns=["table_no", "key"]):
            numbers, keys = (batch.column(name).to_pylist() for name in ("table_no", "key"))
            for number, key in zip(numbers, keys, strict=True):
                copy.write_row((content.names[int(number or 0)], key))


@contextmanager
def _read(run: Run, stored: StoredObject) -> Iterator[pq.ParquetFile]:
    with tempfile.TemporaryFile(prefix="ft-archive-") as file:
        path = Path(f"/dev/fd/{file.fileno()}")
        fetch(run, stored, path)
        yield pq.ParquetFile(path)


def _find(connection: Connection, month: Month, content: Content) -> None:
    # One that a removal was at work on has no parent.
    alone = named_relation(connection, archived_name(month))
    tables: list[sql.Composable] = [sql.Identifier(HOT), sql.Identifier(ARCHIVED)]
    if alone is not None and alone.parent is None:
        tables.append(alone.identifier)
    segments = sql.SQL("({})").format(
        sql.SQL(" UNION ALL ").join(
            statement("archive/rows_of_month").format(
                columns=column_list(content.segments.stored, "s"), segments=table, **bounds(month)
            )
            for table in tables
        )
    )
    now = units_query(sql.SQL("({})").format(hashed(content, live_source(content, segments))))
    connection.execute(statement("archive/find_earlier").format(now=now))


def _absent(connection: Connection, content: Content) -> Iterator[tuple[int, str]]:
    yield from connection.execute(statement("archive/count_absent"))
    for table in content.shared:
        query = statement("archive/count_absent_shared").format(
            table=sql.Literal(table.name), rows=table.identifier, key=key_text(table, "c")
        )
        yield from connection.execute(query)


def _note(connection: Connection, month: Month, content: Content) -> None:
    source = live_source(content, statement("archive/keys_of_earlier").format())
    connection.execute(
        statement("archive/note_earlier").format(
            month=sql.Literal(month.first_day),
            belongings=sql.SQL(" UNION ALL ").join(_named(content, source)),
        )
    )


def _named(content: Content, source: Source) -> Iterator[sql.Composed]:
    for table in content.belongings:
        yield statement("archive/named_belongings").format(
            table=sql.Literal(table.name),
            key=key_text(table, "c"),
            rows=rows_of(table, source),
        )
