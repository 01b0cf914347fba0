"""The page on partitions moves rows out of a default or odd partition, and loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from ft_ops.months import Month
from ft_ops.partitions import coverage
from ft_ops.pg.connect import Connection
from tests.documents import DOCS, blocks
from tests.schema.tenants import Tenant, make_tenant

NAMED = "ARRAY['content_segments_default']"
MONTHS = [Month(2031, 1), Month(2031, 2), Month(2031, 3)]


@pytest.fixture
def tenant(connection: Connection) -> Tenant:
    return make_tenant(connection)


def test_rows_of_a_default_partition_go_into_their_months(
    connection: Connection, tenant: Tenant
) -> None:
    connection.execute(
        "CREATE TABLE content_segments_default PARTITION OF content_segments DEFAULT"
    )
    written = [_insert(connection, tenant, n, month.start) for n, month in enumerate(MONTHS)]
    run_the_page(connection, NAMED)
    assert _tagged(connection) == sorted(written)
    assert coverage(connection, "content_segments", MONTHS).is_complete


def test_rows_of_months_in_local_time_go_into_their_months(
    connection: Connection, tenant: Tenant
) -> None:
    """What bounds written as dates mean in New York: each partition touches two months."""
    with connection.transaction():
        connection.execute("SET LOCAL TimeZone = 'America/New_York'")
        for month in MONTHS[:2]:
            connection.execute(
                f"CREATE TABLE content_segments_{month.suffix} PARTITION OF content_segments"
                f" FOR VALUES FROM ('{month.first_day}') TO ('{month.plus(1).first_day}')"
            )
    moments = [
        datetime(2031, 1, 15, tzinfo=UTC),
        datetime(2031, 2, 1, 3, tzinfo=UTC),
        datetime(2031, 3, 1, 3, tzinfo=UTC),
    ]
    written = [_insert(connection, tenant, n, moment) for n, moment in enumerate(moments)]
    run_the_page(connection, "ARRAY['content_segments_2031_01', 'content_segments_2031_02']")
    assert _tagged(connection) == sorted(written)
    assert coverage(connection, "content_segments", MONTHS).is_complete


def test_a_month_that_another_partition_overlaps_stops_it_and_nothing_changes(
    connection: Connection, tenant: Tenant
) -> None:
    with connection.transaction():
        connection.execute(
            "CREATE TABLE content_segments_default PARTITION OF content_segments"
            " FOR VALUES FROM ('2031-01-01Z') TO ('2031-01-10Z')"
        )
        connection.execute(
            "CREATE TABLE other PARTITION OF content_segments"
            " FOR VALUES FROM ('2031-01-10Z') TO ('2031-02-01Z')"
        )
    written = _insert(connection, tenant, 1, MONTHS[0].start)
    with pytest.raises(Exception, match="would overlap partition"):
        run_the_page(connection, NAMED)
    connection.execute("ROLLBACK")
    assert _tagged(connection) == [written]


def run_the_page(connection: Connection, odd: str) -> None:
    (block,) = (b for b in blocks(DOCS / "partitions.md") if b.info == "sql")
    assert block.text.count(NAMED) == 1
    connection.execute(block.text.replace(NAMED, odd).encode())


def _insert(connection: Connection, tenant: Tenant, number: int, moment: datetime) -> UUID:
    segment = uuid4()
    connection.execute(
        "INSERT INTO content_segments (id, thread_id, user_id, content_type, sequence_number,"
        " created_at) VALUES (%s, %s, %s, 'text', %s, %s)",
        (segment, tenant.thread, tenant.owner, 100 + number, moment),
    )
    connection.execute(
        "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
        " VALUES (%s, 'moved', %s)",
        (segment, tenant.owner),
    )
    return segment


def _tagged(connection: Connection) -> list[UUID]:
    """The segments of 2031 that have their row, their key and their tag."""
    rows = connection.execute(
        "SELECT s.id FROM content_segments AS s"
        " JOIN content_segment_keys AS k ON k.id = s.id AND k.created_at = s.created_at"
        " JOIN content_tags AS t ON t.content_segment_id = k.id"
        " WHERE s.created_at >= '2031-01-01Z' ORDER BY s.id"
    ).fetchall()
    return [row[0] for row in rows]
