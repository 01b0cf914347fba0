"""Two families that have never met, each with a row in every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from ft_ops.pg.connect import Connection

TABLES = (
    "users",
    "families",
    "family_members",
    "family_invites",
    "memory_books",
    "threads",
    "content_segments",
    "archived_content_segments",
    "content_segment_keys",
    "photo_narrations",
    "content_links",
    "content_tags",
    "audit_log",
)
ARCHIVED_AT = datetime(2015, 6, 15, tzinfo=UTC)
_ARCHIVED_MONTH = (
    "CREATE TABLE IF NOT EXISTS archived_content_segments_2015_06 PARTITION OF"
    " archived_content_segments FOR VALUES FROM ('2015-06-01Z') TO ('2015-07-01Z')"
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One family: its owner, a member who is a mere viewer, and the ids of its rows by table.

    ``places`` are the tables that hold the rows, of a partitioned one its months.
    """

    owner: UUID
    viewer: UUID
    family: UUID
    book: UUID
    thread: UUID
    segment: UUID
    archived: UUID
    invite_code: str
    rows: dict[str, list[UUID]]
    places: dict[str, str]


def make_tenant(connection: Connection) -> Tenant:
    """Write a family as the operations role: whatever a tenant can have, at least once."""
    connection.execute(_ARCHIVED_MONTH)
    rows: dict[str, list[UUID]] = {table: [] for table in TABLES}

    def add(table: str, **values: object) -> UUID:
        row = uuid4()
        columns = {"id": row, **values}
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            ),
            list(columns.values()),
        )
        rows[table].append(row)
        return row

    owner, viewer = (add("users", clerk_id=str(uuid4()), email=str(uuid4())) for _ in range(2))
    family = add("families", name="a family", owner_id=owner)
    add("family_members", family_id=family, user_id=owner, role="owner")
    add("family_members", family_id=family, user_id=viewer, role="viewer", invited_by=owner)
    code = str(uuid4())
    add(
        "family_invites",
        family_id=family,
        email="guest@example.org",
        role="editor",
        invited_by=owner,
        invite_code=code,
        expires_at=datetime(2999, 1, 1, tzinfo=UTC),
    )
    book = add("memory_books", family_id=family, title="a book", created_by=owner)
    thread = add("threads", memory_book_id=book, started_by=owner)
    common = {"thread_id": thread, "user_id": owner, "content_type": "text"}
    segment = add("content_segments", sequence_number=1, **common)
    archived = add("archived_content_segments", sequence_number=2, created_at=ARCHIVED_AT, **common)
    rows["content_segment_keys"] = [segment, archived]
    for number, subject in enumerate((segment, archived)):
        add(
            "photo_narrations",
            content_segment_id=subject,
            photo_index=number,
            narration_text="a narration",
            created_by=owner,
        )
        add("content_tags", content_segment_id=subject, tag_name="a tag", tagged_by=owner)
    add(
        "content_links",
        source_segment_id=segment,
        target_segment_id=archived,
        link_type="reply",
        created_by=owner,
    )
    add("audit_log", user_id=owner, action="segment.edit")
    places = {
        place: table for table, ids in rows.items() for place in _places(connection, table, ids)
    }
    return Tenant(owner, viewer, family, book, thread, segment, archived, code, rows, places)


def _places(connection: Connection, table: str, ids: Sequence[UUID]) -> list[str]:
    found = connection.execute(
        sql.SQL(
            "SELECT DISTINCT c.relname FROM {} AS r JOIN pg_class AS c ON c.oid = r.tableoid"
            " WHERE r.id = ANY (%s)"
        ).format(sql.Identifier(table)),
        (list(ids),),
    )
    return [name for (name,) in found]


@contextmanager
def acting_as(connection: Connection, user: UUID | None) -> Iterator[None]:
    """Be the application on behalf of ``user`` for a block; all that it did is undone after it.

    The connection is an administrator's: ``RESET ROLE`` inside the block shows what was done.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL ROLE ft_app")
        connection.execute(
            "SELECT set_config('app.current_user_id', %s, true)", (str(user) if user else "",)
        )
        yield


def attempt(
    connection: Connection,
    query: str | sql.SQL | sql.Composed,
    values: Sequence[object] | Mapping[str, object] | None = None,
) -> str | int:
    """The rows that a statement touched, or the SQLSTATE of its refusal; undone either way."""
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(query, values).rowcount
    except psycopg.Error as error:
        return error.sqlstate or "no SQLSTATE"


def row_versions(connection: Connection, tenant: Tenant) -> set[tuple[str, UUID, str]]:
    """Every row of a tenant with the transaction that wrote it: any change shows.

    Each is looked for where it was written: one that is there no more is missing. To plan all
    months each time would be most of what the test costs that asks after each of its statements.
    """
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, id, xmin::text FROM {} WHERE id = ANY (%s)").format(
            sql.Literal(place), sql.Identifier(place)
        )
        for place in tenant.places
    )
    return set(connection.execute(query, [tenant.rows[t] for t in tenant.places.values()]))
