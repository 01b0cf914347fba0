"""Sample families with years of content, written by the server itself and known from a seed.

The averages are those of the specification's sizing section: eight members, five books and a
hundred threads a family, text segments of 500 bytes, content of all four types. Rows depend on
the arguments alone: the same call makes the same rows, byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

MOST_SEGMENTS_PER_MONTH = 3_000_000
"""Above it, a row's place in its month no longer fits a bigint in microseconds."""

_PEOPLE = (
    "users",
    "families",
    "family_members",
    "family_invites",
    "memory_books",
    "threads",
)
CONTENT = (
    "content_segments",
    "photo_narrations",
    "content_tags",
    "content_links",
    "audit_log",
)
_SCRATCH = ("passages", "seats", "threads", "slots")


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What a sample wrote: ``rows`` by table, and the ``seconds`` it took.

    ``bytes`` is the size on disk of these tables and of the registry of segment keys, with their
    indexes and TOAST.
    """

    rows: Mapping[str, int]
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a month that is filled: ``start`` inclusive, ``end`` exclusive, UTC."""

    month: Month
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """What a sample's rows follow from; ``spans`` are its months in their order."""

    families: int
    spans: tuple[Span, ...]
    segments_per_month: int
    seed: int


def make_sample(
    connection: Connection,
    *,
    families: int,
    first: Month,
    last: Month,
    segments_per_month: int,
    seed: int,
    progress: Callable[[str], None],
    until: datetime | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SampleReport:
    """Fill an empty schema with ``families`` and their content, in one transaction.

    Each month from ``first`` to ``last`` receives ``segments_per_month`` segments, spread evenly
    over it in UTC, with narrations, tags, links and audit rows; nothing is dated at or after
    ``until``. Every trigger and foreign key is active. Killed half way it leaves nothing behind.
    ``progress`` is told each step.

    Refused when the database has any user, and when a month lacks a partition; an OpsError when
    the range of months is empty, ``until`` lies before the last one, or a number is out of range.
    """
    sample = SamplePlan(families, tuple(_spans(first, last, until)), segments_per_month, seed)
    _check_sizes(families, segments_per_month, seed)
    began = clock()
    with only_one(connection, "sample"), connection.transaction():
        _refuse_a_used_database(connection)
        _refuse_missing_partitions(connection, [span.month for span in sample.spans])
        connection.execute("SET LOCAL work_mem = '64MB'")
        # Compiling each month's statements would take longer than running them.
        connection.execute("SET LOCAL jit = off")
        progress(f"{families:,} families")
        fill_scratch(connection, sample)
        rows = insert_people(connection, sample) | dict.fromkeys(CONTENT, 0)
        for index, span in enumerate(sample.spans):
            progress(
                f"{segments_per_month:,} segments of {span.month} "
                f"({index + 1} of {len(sample.spans)})"
            )
            for table in CONTENT:
                rows[table] += insert_month(connection, sample, table, index)
        for table in _SCRATCH:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(f"sample_{table}")))
    progress("statistics")
    tables = [*rows, "content_segment_keys"]
    for table in tables:
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier("public", table)))
    return SampleReport(rows, _size(connection, tables), clock() - began)


def _spans(first: Month, last: Month, until: datetime | None) -> list[Span]:
    if last < first:
        raise OpsError(
            f"sample of {first} to {last}",
            cause="the last month comes before the first",
            next_step="swap them",
        )
    if until is not None and until <= last.start:
        raise OpsError(
            f"sample of {last}",
            cause=f"nothing may be dated at or after {until.isoformat()}",
            next_step="leave out the months to come",
        )
    return [
        Span(month, month.start, month.end if until is None else min(month.end, until))
        for month in first.until(last)
    ]


def _check_sizes(families: int, segments_per_month: int, seed: int) -> None:
    limits = {
        "families": (families, 1, 1_000_000),
        "segments a month": (segments_per_month, 1, MOST_SEGMENTS_PER_MONTH),
        "seed": (seed, 0, 2**31),
    }
    for name, (value, least, most) in limits.items():
        if not least <= value <= most:
            raise OpsError(
                f"sample with {value} as {name}",
                cause=f"it must lie between {least:,} and {most:,}",
                next_step="choose a number in that range",
            )


def _refuse_a_used_database(connection: Connection) -> None:
    row = one_row(connection.execute(statement("sandbox/count_users")))
    users, sampled, seeds = row
    if users == 0:
        return
    if sampled < users:
        cause = f"it has {users - sampled:,} users that no sample made"
    else:
        cause = f"it already holds the sample of seed {', '.join(seeds)}"
    raise Refused(
        f"sample in database {connection.info.dbname}",
        cause=cause,
        next_step="use an empty database, such as a new sandbox's",
    )


def _refuse_missing_partitions(connection: Connection, months: Sequence[Month]) -> None:
    missing: list[str] = []
    for parent in ("content_segments", "audit_log"):
        attached = {
            partition.month
            for partition in partitions_of(connection, parent)
            if not partition.is_detaching
        }
        missing += [f"{parent}_{month.suffix}" for month in months if month not in attached]
    if missing:
        shown = ", ".join(missing[:6]) + (", …" if len(missing) > 6 else "")
        raise Refused(
            f"sample of {months[0]} to {months[-1]}",
            cause=f"{len(missing)} partitions are missing: {shown}",
            next_step="materialize content_segments_partitions and audit_log_partitions "
            "for these months",
        )


def fill_scratch(connection: Connection, sample: SamplePlan) -> None:
    """Make the temporary tables that the others draw from; they end with the session."""
    for table in _SCRATCH:
        connection.execute(statement(f"sandbox/create_sample_{table}"))
        connection.execute(statement(f"sandbox/fill_sample_{table}"), _people(sample))
        # Autovacuum does not see temporary tables: without statistics the joins go astray.
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(f"sample_{table}")))


def insert_people(connection: Connection, sample: SamplePlan) -> dict[str, int]:
    """Families and what they have but for content; the rows by table."""
    return {table: _insert(connection, table, _people(sample)) for table in _PEOPLE}


def insert_month(connection: Connection, sample: SamplePlan, table: str, index: int) -> int:
    """One of the tables of CONTENT, in the month of that index; the number of rows.

    Narrations, tags and audit rows follow the month's segments, links those of all before it.
    """
    # Their numbers are without gaps, and the index knows the last: counting them takes long.
    row = one_row(connection.execute("SELECT max(slot) + 1 FROM sample_slots"))
    month = {
        "seed": sample.seed,
        "slots": row[0],
        "segments": sample.segments_per_month,
        "preceding": index * sample.segments_per_month,
        "month_start": sample.spans[index].start,
        "month_end": sample.spans[index].end,
    }
    return _insert(connection, table, month)


def _people(sample: SamplePlan) -> dict[str, object]:
    return {
        "seed": sample.seed,
        "families": sample.families,
        "first": sample.spans[0].start,
        "until": sample.spans[-1].end,
    }


def _insert(connection: Connection, table: str, parameters: Mapping[str, object]) -> int:
    return connection.execute(statement(f"sandbox/insert_{table}"), parameters).rowcount


def _size(connection: Connection, tables: list[str]) -> int:
    row = one_row(connection.execute(statement("sandbox/measure_size"), {"tables": tables}))
    return int(row[0])
