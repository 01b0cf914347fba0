"""An order-independent digest of every row of a month, computed by the server.

A row's text, under pinned session settings, is hashed to 64 bits with two seeds
(hashtextextended), and the hashes are added up. Equal sums and counts mean equal rows in any
order, short of an accident of 1 in 2^128; this guards against loss and corruption, not against
somebody who may write to both sides. The text form, and so the digest, belongs to the server's
major version, which a certificate names.

The sums are kept by bucket, the last byte of the segment's id (random in UUID versions 4 and 7
alike). That is the form of the certificates of every archive there is: it can't change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from psycopg import sql

from ft_ops.archive.month.content import Content, Table, column_list
from ft_ops.archive.month.source import (
    Source,
    alias_of,
    ends_of,
    key_names,
    matches,
    named_keys,
    rows_of,
)
from ft_ops.pg.connect import Connection
from ft_ops.pg.pace import FULL_SPEED, Pace
from ft_ops.pg.sqlfiles import statement

BUCKETS = 256

PIECE_PAGES = 256
"""Of the segments' table, digested at once: 2 MB, some 35 ms of one processor."""

LAST_PAGE = 2**32 - 2
"""No table has as many (storage/block.h)."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Rows and their two sums; digests of disjoint rows add up to the digest of their union."""

    rows: int
    low: int
    high: int

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        return f"{self.rows}:{self.low:x}:{self.high:x}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The inverse of ``str``: decimal rows, hexadecimal sums."""
        rows, low, high = text.split(":")
        return cls(int(rows), int(low, 16), int(high, 16))


NOTHING = Digest(0, 0, 0)

BucketDigests: TypeAlias = Mapping[int, Digest]
MonthDigests: TypeAlias = Mapping[str, BucketDigests]
"""Table → bucket → digest; a bucket without rows is left out."""


def month_digests(
    connection: Connection, content: Content, source: Source, pace: Pace = FULL_SPEED
) -> MonthDigests:
    """Digest all tables of ``source``; for one instant, wrap it in one snapshot."""
    pieces = (
        table_digests(connection, content.segments, source.with_segments(piece))
        for piece in pace.steps(pieces_of(connection, source.segments))
    )
    return {content.segments.name: _sum(pieces)} | {
        table.name: table_digests(connection, table, source)
        for table in pace.steps(content.tables[1:])
    }


def table_digests(connection: Connection, table: Table, source: Source) -> BucketDigests:
    """Digest one table of ``source`` by bucket."""
    columns = column_list(table.stored, alias_of(table))
    if table.first_format:
        query = statement(f"archive/digest_{table.name}").format(
            columns=columns,
            segments=source.segments,
            narrations=source["photo_narrations"],
            tags=source["content_tags"],
            links=source["content_links"],
        )
    elif table.is_shared:
        query = statement("archive/digest_shared_rows").format(
            keys=named_keys(table),
            ends=ends_of(table, source),
            rows=source[table.name],
            matches=matches("touched", key_names(table), "c", table.key),
            columns=columns,
        )
    else:
        query = statement("archive/digest_rows").format(
            rows=rows_of(table, source), columns=columns
        )
    return {
        bucket: Digest(rows, int(low), int(high))
        for bucket, rows, low, high in _rows(connection, query)
    }


def pieces_of(connection: Connection, segments: sql.Composable) -> Iterator[sql.Composable]:
    """A table as runs of its pages, each a step; a query as it is.

    The last run has no end: what lies behind the pages that are there now is read too.
    """
    if not isinstance(segments, sql.Identifier):
        yield segments
        return
    [[pages]] = connection.execute(
        statement("archive/pages"), {"table": segments.as_string()}
    ).fetchall()
    piece = statement("archive/segments_of_pages")
    for first in range(0, max(pages, 1), PIECE_PAGES):
        end = first + PIECE_PAGES if first + PIECE_PAGES < pages else LAST_PAGE
        yield piece.format(
            segments=segments, lower=sql.Literal(f"({first},0)"), upper=sql.Literal(f"({end},0)")
        )


def _sum(digests: Iterable[BucketDigests]) -> BucketDigests:
    found: dict[int, Digest] = {}
    for by_bucket in digests:
        for bucket, digest in by_bucket.items():
            found[bucket] = found.get(bucket, NOTHING) + digest
    return found


def total(digests: BucketDigests) -> Digest:
    """The digest of a whole table."""
    return sum(digests.values(), NOTHING)


def differences(proven: MonthDigests, found: MonthDigests) -> list[str]:
    """How ``found`` differs from ``proven``, in words, by table; empty if it does not differ."""
    problems = []
    for table in dict.fromkeys([*proven, *found]):
        expected, actual = proven.get(table, {}), found.get(table, {})
        buckets = [b for b in range(BUCKETS) if expected.get(b) != actual.get(b)]
        if buckets:
            rows = f"{total(expected).rows} rows proven, {total(actual).rows} found"
            problems.append(f"{table} differs in {len(buckets)} of {BUCKETS} buckets ({rows})")
    return problems


def buckets_to_json(digests: BucketDigests) -> dict[str, str]:
    """A table's digests as the ledger keeps them."""
    return {str(bucket): str(digest) for bucket, digest in sorted(digests.items())}


def buckets_from_json(data: Mapping[str, str]) -> BucketDigests:
    """The inverse of `buckets_to_json`."""
    return {int(bucket): Digest.parse(text) for bucket, text in data.items()}


def _rows(connection: Connection, query: sql.Composed) -> list[tuple[int, int, Decimal, Decimal]]:
    return connection.execute(query).fetchall()
