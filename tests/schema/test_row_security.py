"""What one tenant can do to another: read nothing, change nothing, learn nothing."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.schema.tenants import (
    ARCHIVED_AT,
    TABLES,
    Tenant,
    acting_as,
    attempt,
    make_tenant,
    row_versions,
)

DENIED = "42501"


@pytest.fixture
def admin(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ours(connection: Connection) -> Tenant:
    return make_tenant(connection)


@pytest.fixture
def theirs(connection: Connection, ours: Tenant) -> Tenant:
    return make_tenant(connection)


def test_every_table_of_the_schema_is_in_this_test_and_under_policies(admin: Connection) -> None:
    protected = admin.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition AND relrowsecurity"
    ).fetchall()
    readable = admin.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace IN"
        " ('public'::regnamespace, 'ops'::regnamespace)"
        " AND has_any_column_privilege('ft_app', oid, 'SELECT, INSERT, UPDATE, REFERENCES')"
    ).fetchall()
    assert {name for (name,) in protected} == {name for (name,) in readable} == set(TABLES)


def test_a_tenant_reads_his_own_rows_and_no_others(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    with acting_as(admin, ours.owner):
        seen = {table: _ids(admin, table) for table in TABLES}
    assert seen == {table: set(ours.rows[table]) for table in TABLES}


@pytest.mark.parametrize("identity", [None, uuid4()], ids=["unset", "unknown"])
def test_without_an_identity_nothing_is_readable(
    admin: Connection, ours: Tenant, identity: UUID | None
) -> None:
    with acting_as(admin, identity):
        assert [table for table in TABLES if _ids(admin, table)] == []


def test_views_show_their_reader_his_own_rows_only(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    with acting_as(admin, ours.owner):
        members = admin.execute("SELECT family_id FROM active_family_members").fetchall()
        books = admin.execute("SELECT id, segment_count FROM memory_book_stats").fetchall()
    assert members == [(ours.family,)] * 2
    assert books == [(ours.book, 1)]


def test_an_update_or_delete_of_everything_touches_own_rows_only(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    before = row_versions(admin, theirs)
    assert len(before) == sum(map(len, theirs.rows.values()))
    for change in _changes_of_everything(admin):
        with acting_as(admin, ours.owner):
            _attempt_kept(admin, change)
            admin.execute("RESET ROLE")
            assert row_versions(admin, theirs) == before, change.as_string(admin)


def test_no_row_can_be_written_that_names_a_stranger_or_his_rows(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    """Every reference of every table, set to theirs in an insert and in an update."""
    outcomes = {}
    for table, column, target in _references(admin):
        stolen = theirs.rows[target][0]
        with acting_as(admin, ours.owner):
            outcomes[f"insert {table}.{column}"] = attempt(
                admin, *_copied(admin, table, ours, {column: stolen})
            )
            outcomes[f"update {table}.{column}"] = attempt(
                admin,
                sql.SQL("UPDATE {} SET {} = %s").format(
                    sql.Identifier(table), sql.Identifier(column)
                ),
                (stolen,),
            )
    assert len(outcomes) > 40
    assert {what: state for what, state in outcomes.items() if state != DENIED} == {}


def test_an_unknown_id_is_refused_as_a_strangers_is(admin: Connection, ours: Tenant) -> None:
    """Otherwise the difference would tell which ids exist."""
    outcomes = {}
    for table, column, _ in _references(admin):
        with acting_as(admin, ours.owner):
            outcomes[f"{table}.{column}"] = attempt(
                admin, *_copied(admin, table, ours, {column: uuid4()})
            )
    assert {what: state for what, state in outcomes.items() if state != DENIED} == {}


def test_own_rows_can_be_written(admin: Connection, ours: Tenant) -> None:
    """What the refusals above are worth: the same statements pass without a stolen id."""
    with acting_as(admin, ours.owner):
        outcomes = {
            table: attempt(admin, *_copied(admin, table, ours, _fresh(table)))
            for table in TABLES
            if table not in {"users", "family_members"}
        }
        admin.execute("SELECT set_config('app.current_user_id', %s, true)", (str(uuid4()),))
        newcomer = attempt(
            admin,
            sql.SQL(
                "INSERT INTO users (id, clerk_id, email)"
                " VALUES (current_user_id(), 'new', 'new@example.org') RETURNING *"
            ),
        )
    assert newcomer == 1
    assert outcomes.pop("archived_content_segments") == DENIED
    assert outcomes.pop("content_segment_keys") == DENIED
    assert set(outcomes.values()) == {1}, outcomes


def test_on_conflict_neither_changes_nor_shows_a_strangers_row(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    outcomes = {}
    for table in TABLES:
        partitioned = table in {"content_segments", "archived_content_segments", "audit_log"}
        keys = "id, created_at" if partitioned else "id"
        taken = {"id": theirs.rows[table][0], **_fresh(table)}
        if partitioned:
            (moment,) = _one(admin, f"SELECT created_at FROM {table} WHERE id = %s", taken["id"])
            taken["created_at"] = moment
        insert, values = _copied(admin, table, ours, taken)
        with acting_as(admin, ours.owner):
            outcomes[table] = attempt(
                admin,
                insert + sql.SQL(f" ON CONFLICT ({keys}) DO UPDATE SET id = excluded.id"),
                values,
            )
    assert set(outcomes.values()) == {DENIED}, outcomes


def test_partitions_and_operations_tables_are_closed(
    admin: Connection, database: Database, ours: Tenant
) -> None:
    closed = admin.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND"
        " (relispartition OR relnamespace = 'ops'::regnamespace)"
    ).fetchall()
    assert len(closed) > 60
    with acting_as(admin, ours.owner):
        outcomes = {name: attempt(admin, f"SELECT FROM {name}") for (name,) in closed}
    assert set(outcomes.values()) == {DENIED}


def test_the_application_can_make_nothing_that_would_get_it_around(database: Database) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as app:
        for attack in (
            "CREATE TEMPORARY TABLE t ()",
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
            "CREATE VIEW public.v AS SELECT * FROM users",
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
            "TRUNCATE content_segments",
            "SET ROLE ft_ops",
            "SET session_replication_role = replica",
            "COPY users FROM STDIN",
        ):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.NotSupportedError)):
                app.execute(attack)


def test_turning_row_security_off_is_an_error_for_a_tenant(admin: Connection, ours: Tenant) -> None:
    with acting_as(admin, ours.owner):
        admin.execute("SET LOCAL row_security = off")
        outcomes = {
            table: attempt(admin, sql.SQL("SELECT FROM {}").format(sql.Identifier(table)))
            for table in TABLES
        }
    assert set(outcomes.values()) == {DENIED}


def test_the_planners_statistics_show_a_tenant_no_values(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    admin.execute("ANALYZE")
    count = "SELECT count(*) FROM pg_stats WHERE schemaname IN ('public', 'ops')"
    assert _one(admin, count) > (0,)
    with acting_as(admin, ours.owner):
        assert _one(admin, count) == (0,)


def test_the_functions_open_to_the_application_are_these(admin: Connection) -> None:
    """Whatever runs as its owner passes the policies by: each of these was looked at."""
    definers = admin.execute(
        "SELECT proname FROM pg_proc WHERE prosecdef AND prorettype <> 'trigger'::regtype"
        " AND pronamespace IN ('public'::regnamespace, 'ops'::regnamespace)"
        " AND has_function_privilege('ft_app', oid, 'EXECUTE')"
    ).fetchall()
    assert {name for (name,) in definers} == {
        "accept_family_invite",
        "fellow_user_ids",
        "may_write_segment",
        "member_book_ids",
        "member_family_ids",
        "member_thread_ids",
        "user_id_of_clerk",
    }
    public = admin.execute(
        "SELECT proname FROM pg_proc WHERE prosecdef AND prorettype <> 'trigger'::regtype"
        " AND pronamespace IN ('public'::regnamespace, 'ops'::regnamespace)"
        " AND has_function_privilege('public', oid, 'EXECUTE')"
    ).fetchall()
    assert public == []


def test_functions_answer_for_the_current_user_alone(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    with acting_as(admin, ours.owner):
        roles = "'owner', 'admin', 'editor', 'member', 'viewer'"
        answers = {
            name: {row[0] for row in admin.execute(f"SELECT {name}")}
            for name in (
                f"member_family_ids({roles})",
                f"member_book_ids({roles})",
                f"member_thread_ids({roles})",
                "fellow_user_ids()",
            )
        }
        writable = _one(
            admin,
            "SELECT may_write_segment(%s), may_write_segment(%s), may_write_segment(%s)",
            ours.archived,
            theirs.segment,
            uuid4(),
        )
    assert list(answers.values()) == [
        {ours.family},
        {ours.book},
        {ours.thread},
        {ours.owner, ours.viewer},
    ]
    assert writable == (True, False, False)


def test_a_viewer_reads_his_family_and_changes_nothing_of_it(
    admin: Connection, ours: Tenant
) -> None:
    family = set(TABLES) - {"users", "family_members", "family_invites", "audit_log"}
    with acting_as(admin, ours.viewer):
        assert [table for table in family if _ids(admin, table) != set(ours.rows[table])] == []
        touched = {
            table: attempt(admin, sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            for table in family
        }
    assert touched.pop("content_segment_keys") == DENIED
    assert set(touched.values()) == {0}


def test_a_removed_member_reads_nothing_more(
    admin: Connection, connection: Connection, ours: Tenant
) -> None:
    connection.execute(
        "UPDATE family_members SET is_active = false WHERE user_id = %s", (ours.viewer,)
    )
    with acting_as(admin, ours.viewer):
        left = {table: _ids(admin, table) for table in TABLES}
    assert {table for table, ids in left.items() if ids} == {"users", "family_members"}
    assert left["users"] == {ours.viewer}


def test_an_admin_cannot_take_the_family_from_its_owner(
    admin: Connection, connection: Connection, ours: Tenant, theirs: Tenant
) -> None:
    connection.execute(
        "UPDATE family_members SET role = 'admin' WHERE user_id = %s", (ours.viewer,)
    )
    give = "UPDATE families SET owner_id = %s"
    with acting_as(admin, ours.viewer):
        assert attempt(admin, "UPDATE families SET name = 'renamed'") == 1
        assert attempt(admin, give, (ours.viewer,)) == DENIED
        assert attempt(admin, "DELETE FROM families") == 0
    with acting_as(admin, ours.owner):
        assert attempt(admin, give, (theirs.owner,)) == DENIED
        assert attempt(admin, give, (ours.viewer,)) == 1


def test_an_invitation_admits_its_bearer_once(
    admin: Connection, ours: Tenant, theirs: Tenant
) -> None:
    accept = "SELECT accept_family_invite(%s)"
    with acting_as(admin, theirs.owner):
        assert _one(admin, accept, ours.invite_code) == (ours.family,)
        assert _ids(admin, "families") == {ours.family, theirs.family}
        assert attempt(admin, accept, (ours.invite_code,)) == "P0002"
        admin.execute("RESET ROLE")
        member = _one(
            admin,
            "SELECT role, is_active, invited_by FROM family_members"
            " WHERE family_id = %s AND user_id = %s",
            ours.family,
            theirs.owner,
        )
    assert member == ("editor", True, ours.owner)


REMOVE_THE_INVITER = """
    UPDATE families
    SET owner_id = (
        SELECT user_id FROM family_members WHERE role = 'viewer' AND family_id = families.id
    );
    DELETE FROM family_members WHERE role = 'owner'
"""


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE family_invites SET expires_at = now() - interval '1 second'",
        "UPDATE family_invites SET accepted_at = now()",
        REMOVE_THE_INVITER,
        "DELETE FROM family_invites",
    ],
    ids=["expired", "used", "its inviter was removed", "withdrawn"],
)
def test_a_void_invitation_admits_nobody(
    admin: Connection, connection: Connection, ours: Tenant, theirs: Tenant, spoil: str
) -> None:
    connection.execute(spoil)
    with acting_as(admin, theirs.owner):
        accept = "SELECT accept_family_invite(%s)"
        assert attempt(admin, accept, (ours.invite_code,)) == "P0002"
    with acting_as(admin, None):
        assert attempt(admin, accept, (theirs.invite_code,)) == "P0002"


def test_a_removed_admin_returns_with_the_role_of_his_new_invitation(
    admin: Connection, connection: Connection, ours: Tenant
) -> None:
    connection.execute(
        "UPDATE family_members SET role = 'admin', is_active = false WHERE user_id = %s",
        (ours.viewer,),
    )
    with acting_as(admin, ours.viewer):
        admin.execute("SELECT accept_family_invite(%s)", (ours.invite_code,))
        admin.execute("RESET ROLE")
        role = _one(admin, "SELECT role FROM family_members WHERE user_id = %s", ours.viewer)
    assert role == ("editor",)


def test_an_operations_connection_fails_where_a_policy_would_filter(
    database: Database, connection: Connection, ours: Tenant
) -> None:
    with connect(database.readonly_url, application="tests") as stranger:
        for table in TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                stranger.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(table)))
    connection.execute("ALTER TABLE threads FORCE ROW LEVEL SECURITY")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        connection.execute("SELECT FROM threads")


def test_the_operations_may_name_whom_they_like(
    connection: Connection, ours: Tenant, theirs: Tenant
) -> None:
    moved = connection.execute(
        "UPDATE content_segments SET user_id = %s WHERE id = %s", (theirs.owner, ours.segment)
    )
    assert moved.rowcount == 1


def _attempt_kept(connection: Connection, query: sql.SQL | sql.Composed) -> None:
    """Run a statement that may be refused, and keep what it did."""
    try:
        with connection.transaction():
            connection.execute(query)
    except psycopg.Error as error:
        # Refused, or an id, a key or a NULL of our own rows stood in the way.
        assert str(error.sqlstate)[:2] in {"42", "23"}, error  # noqa: PT017


def _changes_of_everything(connection: Connection) -> Iterator[sql.Composed]:
    """Each column of each table updated without a condition, and each table emptied.

    An update that reads no column is held by the update's policy alone, so there are both kinds.
    """
    for table in TABLES:
        for column in _columns(connection, table):
            names = sql.Identifier(table), sql.Identifier(column)
            yield sql.SQL("UPDATE {0} SET {1} = {1}").format(*names)
            yield sql.SQL("UPDATE {0} SET {1} = DEFAULT").format(*names)
        yield sql.SQL("DELETE FROM {}").format(sql.Identifier(table))


def _ids(connection: Connection, table: str) -> set[UUID]:
    rows = connection.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(table)))
    return {row for (row,) in rows}


def _one(connection: Connection, query: str, *values: object) -> tuple[object, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row


def _columns(connection: Connection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", (table,)
    )
    return [name for (name,) in rows]


def _references(connection: Connection) -> list[tuple[str, str, str]]:
    """Each foreign key of the tables as (table, column, referenced table), and audit_log's user."""
    rows = connection.execute(
        "SELECT conrelid::regclass::text, attname, confrelid::regclass::text FROM pg_constraint"
        " JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]"
        " WHERE contype = 'f' AND conparentid = 0 AND conrelid::regclass::text = ANY (%s)",
        (list(TABLES),),
    ).fetchall()
    return [*rows, ("audit_log", "user_id", "users")]


def _fresh(table: str) -> dict[str, object]:
    """What a copy of a row must have of its own."""
    fresh: dict[str, dict[str, object]] = {
        "users": {"clerk_id": "fresh", "email": "fresh@example.org"},
        "family_invites": {"invite_code": "fresh"},
        "content_segments": {"sequence_number": 99},
        "content_segment_keys": {"sequence_number": 99},
        "archived_content_segments": {"sequence_number": 99, "created_at": ARCHIVED_AT},
        "photo_narrations": {"photo_index": 99},
        "content_tags": {"tag_name": "fresh"},
        "content_links": {"link_type": "reference"},
    }
    return fresh.get(table, {})


def _copied(
    connection: Connection, table: str, tenant: Tenant, changes: dict[str, object]
) -> tuple[sql.Composed, dict[str, object]]:
    """An insert of a copy of the tenant's first row, with a new id and ``changes``."""
    values = {"id": uuid4(), **_fresh(table), **changes}
    columns = _columns(connection, table)
    picked = sql.SQL(", ").join(
        sql.Placeholder(name) if name in values else sql.Identifier(name) for name in columns
    )
    query = sql.SQL("INSERT INTO {0} ({1}) SELECT {2} FROM {0} WHERE id = %(copied)s").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns)), picked
    )
    return query, {**values, "copied": tenant.rows[table][0]}
