"""content_segment_keys holds the identity of every segment, hot or archived, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ft_ops.pg.connect import Connection
from tests.schema.tenants import Tenant, make_tenant

JANUARY = datetime(2024, 1, 15, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 15, tzinfo=UTC)
ARCHIVED_JUNE = datetime(2015, 6, 20, tzinfo=UTC)
HOT, ARCHIVED = "content_segments", "archived_content_segments"


@pytest.fixture
def tenant(connection: Connection) -> Tenant:
    return make_tenant(connection)


@pytest.fixture
def insert(connection: Connection, tenant: Tenant) -> Callable[..., UUID]:
    """Insert a segment of the tenant's thread; returns its id."""

    def insert_segment(
        sequence_number: int,
        created_at: datetime = JANUARY,
        *,
        table: str = HOT,
        known_id: UUID | None = None,
        suffix: str = "",
    ) -> UUID:
        segment = known_id or uuid4()
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (id, thread_id, user_id, content_type, sequence_number,"
                " created_at) VALUES (%s, %s, %s, 'text', %s, %s)" + suffix
            ).format(sql.Identifier(table)),
            (segment, tenant.thread, tenant.owner, sequence_number, created_at),
        )
        return segment

    return insert_segment


@pytest.mark.parametrize(
    ("table", "created_at"), [(HOT, FEBRUARY), (ARCHIVED, ARCHIVED_JUNE)], ids=["hot", "archived"]
)
def test_an_id_is_unique_over_all_months(
    insert: Callable[..., UUID], table: str, created_at: datetime
) -> None:
    segment = insert(10)
    with pytest.raises(psycopg.errors.UniqueViolation) as refusal:
        insert(11, created_at, table=table, known_id=segment)
    assert refusal.value.diag.constraint_name == "content_segment_keys_pkey"


@pytest.mark.parametrize(
    ("table", "created_at"), [(HOT, FEBRUARY), (ARCHIVED, ARCHIVED_JUNE)], ids=["hot", "archived"]
)
def test_a_threads_sequence_number_is_unique_over_all_months(
    insert: Callable[..., UUID], table: str, created_at: datetime
) -> None:
    insert(10)
    with pytest.raises(psycopg.errors.UniqueViolation) as refusal:
        insert(10, created_at, table=table)
    assert (
        refusal.value.diag.constraint_name == "content_segment_keys_thread_id_sequence_number_key"
    )


def test_on_conflict_do_nothing_skips_a_row_that_is_there(
    connection: Connection, insert: Callable[..., UUID]
) -> None:
    segment = insert(10)
    before = _registry(connection)
    insert(11, known_id=segment, suffix=" ON CONFLICT DO NOTHING")
    assert _registry(connection) == before


@pytest.mark.parametrize("change", ["id = gen_random_uuid()", "created_at = %(same_month)s"])
@pytest.mark.parametrize("table", [HOT, ARCHIVED])
def test_a_segment_keeps_its_id_and_its_moment(
    connection: Connection, tenant: Tenant, table: str, change: str
) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="cannot change"):
        connection.execute(
            f"UPDATE {table} SET {change}", {"same_month": datetime.now(UTC).replace(day=3)}
        )


def test_an_update_that_would_move_a_segment_to_another_month_is_refused(
    connection: Connection, tenant: Tenant
) -> None:
    """Otherwise its narrations, tags and links would go with the row that leaves the old month."""
    with pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("UPDATE content_segments SET created_at = %s", (JANUARY,))
    with pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(
            "INSERT INTO content_segments SELECT * FROM content_segments WHERE id = %s"
            " ON CONFLICT (id, created_at) DO UPDATE SET created_at = %s",
            (tenant.segment, JANUARY),
        )
    assert _children(connection, tenant.segment) == 3


def test_an_update_that_sets_the_same_identity_passes(
    connection: Connection, tenant: Tenant
) -> None:
    """As object mappers write it, every column at once."""
    assert (
        connection.execute("UPDATE content_segments SET id = id, created_at = created_at").rowcount
        == 1
    )


def test_keys_follow_a_segment_to_another_place_and_refuse_a_taken_one(
    connection: Connection, insert: Callable[..., UUID]
) -> None:
    segment = insert(10)
    connection.execute("UPDATE content_segments SET sequence_number = 12 WHERE id = %s", (segment,))
    assert _registry(connection) == _segments(connection)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "UPDATE content_segments SET sequence_number = 1 WHERE id = %s", (segment,)
        )


@pytest.mark.parametrize("table", [HOT, ARCHIVED])
def test_narrations_tags_and_links_go_with_their_segment(
    connection: Connection, tenant: Tenant, table: str
) -> None:
    segment = tenant.segment if table == HOT else tenant.archived
    assert _children(connection, segment) == 3
    connection.execute(f"DELETE FROM {table} WHERE id = %s", (segment,))
    assert _children(connection, segment) == 0


def test_a_thread_takes_all_of_its_content_with_it(connection: Connection, tenant: Tenant) -> None:
    connection.execute("DELETE FROM threads WHERE id = %s", (tenant.thread,))
    assert _registry(connection) == _segments(connection) == set()
    assert _children(connection, tenant.segment) + _children(connection, tenant.archived) == 0


def test_rows_written_straight_into_a_partition_are_registered(
    connection: Connection, tenant: Tenant, insert: Callable[..., UUID]
) -> None:
    segment = insert(10, table="content_segments_2024_01")
    assert _registry(connection) == _segments(connection)
    with connection.cursor() as cursor:
        with cursor.copy(
            "COPY content_segments_2024_01 (thread_id, user_id, content_type, sequence_number,"
            " created_at) FROM STDIN"
        ) as copy:
            copy.write_row((tenant.thread, tenant.owner, "text", 11, JANUARY))
        assert _registry(connection) == _segments(connection)
    with pytest.raises(psycopg.errors.UniqueViolation):
        insert(10, FEBRUARY, table="content_segments_2024_02")
    connection.execute("DELETE FROM content_segments_2024_01 WHERE id = %s", (segment,))
    assert _registry(connection) == _segments(connection)


@pytest.mark.parametrize(
    "truncate",
    ["TRUNCATE content_segments", "TRUNCATE archived_content_segments", "TRUNCATE users CASCADE"],
)
def test_truncate_is_refused_because_it_would_leave_the_keys(
    connection: Connection, tenant: Tenant, truncate: str
) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="would leave its keys behind"):
        connection.execute(truncate)


def test_a_month_that_moves_to_the_archive_keeps_keys_children_and_guards(
    connection: Connection, insert: Callable[..., UUID]
) -> None:
    segment = insert(10)
    connection.execute(
        "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
        " SELECT id, 'kept', user_id FROM content_segments WHERE id = %s",
        (segment,),
    )
    connection.execute(
        "ALTER TABLE content_segments DETACH PARTITION content_segments_2024_01 CONCURRENTLY"
    )
    connection.execute(
        "ALTER TABLE archived_content_segments ATTACH PARTITION content_segments_2024_01"
        " FOR VALUES FROM ('2024-01-01Z') TO ('2024-02-01Z')"
    )
    assert _children(connection, segment) == 1
    with pytest.raises(psycopg.errors.UniqueViolation):
        insert(10, FEBRUARY)
    with pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(
            "UPDATE archived_content_segments SET created_at = %s WHERE id = %s",
            (JANUARY + timedelta(days=1), segment),
        )
    connection.execute("DELETE FROM archived_content_segments WHERE id = %s", (segment,))
    assert _children(connection, segment) == 0
    assert _registry(connection) == _segments(connection)


@pytest.mark.parametrize("column", ["created_at", "edited_at", "deleted_at"])
def test_a_moment_without_end_is_no_moment(
    connection: Connection, tenant: Tenant, column: str
) -> None:
    """Arrow and Python have no word for infinity: such a row could not be archived."""
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.RestrictViolation)):
        connection.execute(f"UPDATE content_segments SET {column} = 'infinity'")


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["insert", "insert archived", "renumber", "delete", "upsert"]),
            st.integers(0, 5),
            st.integers(0, 5),
            st.sampled_from([JANUARY, FEBRUARY]),
        ),
        max_size=12,
    )
)
def test_whatever_is_written_the_registry_equals_the_segments(
    connection: Connection, tenant: Tenant, steps: list[tuple[str, int, int, datetime]]
) -> None:
    """Few ids and few numbers, so that most steps collide with an earlier one."""
    statements = {
        "insert": (
            "INSERT INTO content_segments (id, thread_id, user_id, content_type, sequence_number,"
            " created_at) VALUES (%(id)s, %(thread)s, %(user)s, 'text', %(number)s, %(at)s)"
        ),
        "insert archived": (
            "INSERT INTO archived_content_segments (id, thread_id, user_id, content_type,"
            " sequence_number, created_at)"
            " VALUES (%(id)s, %(thread)s, %(user)s, 'text', %(number)s, %(archived)s)"
        ),
        "upsert": (
            "INSERT INTO content_segments (id, thread_id, user_id, content_type, sequence_number,"
            " created_at) VALUES (%(id)s, %(thread)s, %(user)s, 'text', %(number)s, %(at)s)"
            " ON CONFLICT (id, created_at) DO UPDATE SET sequence_number = %(number)s"
        ),
        "renumber": "UPDATE content_segments SET sequence_number = %(number)s WHERE id = %(id)s",
        "delete": "DELETE FROM content_segments WHERE id = %(id)s OR sequence_number = %(number)s",
    }
    with connection.transaction(force_rollback=True):
        for action, id_, number, moment in steps:
            values = {
                "id": UUID(int=id_ + 1),
                "thread": tenant.thread,
                "user": tenant.owner,
                "number": 10 + number,
                "at": moment,
                "archived": ARCHIVED_JUNE,
            }
            with suppress(psycopg.errors.UniqueViolation), connection.transaction():
                connection.execute(statements[action], values)
            rows = _segments(connection)
            assert _registry(connection) == rows
            assert len({row.id for row in rows}) == len(rows)
            assert len({(row.thread_id, row.sequence_number) for row in rows}) == len(rows)


class Key(NamedTuple):
    id: UUID
    created_at: datetime
    thread_id: UUID
    sequence_number: int


def _registry(connection: Connection) -> set[Key]:
    query = "SELECT id, created_at, thread_id, sequence_number FROM content_segment_keys"
    return {Key(*row) for row in connection.execute(query)}


def _segments(connection: Connection) -> set[Key]:
    query = "SELECT id, created_at, thread_id, sequence_number FROM "
    hot = connection.execute(query + HOT).fetchall()
    archived = connection.execute(query + ARCHIVED).fetchall()
    return {Key(*row) for row in (*hot, *archived)}


def _children(connection: Connection, segment: UUID) -> int:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM photo_narrations WHERE content_segment_id = %(id)s)"
        " + (SELECT count(*) FROM content_tags WHERE content_segment_id = %(id)s)"
        " + (SELECT count(*) FROM content_links"
        " WHERE %(id)s IN (source_segment_id, target_segment_id))",
        {"id": segment},
    ).fetchone()
    assert row is not None
    return int(row[0])
