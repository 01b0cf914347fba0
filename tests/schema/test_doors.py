"""What stands between the application's role, the readers' and the operations'."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from ft_ops.pg.audit import SYSTEM_USER, write_audit
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.schema import differences, read_fingerprint
from tests.fixtures.postgres import Database
from tests.schema.tenants import make_tenant

CONTENT = (
    "text_content",
    "audio_transcript",
    "photo_urls",
    "narration_text",
    "tag_name",
    "link_type",
    "metadata",
    "row",
)


def acting(connection: psycopg.Connection, user: UUID) -> None:
    connection.execute("SELECT set_config('app.current_user_id', %s, false)", (str(user),))


def test_the_system_users_trail_is_written_and_read_by_the_operations_alone(
    database: Database, connection: Connection
) -> None:
    write_audit(connection, "archive.purge", "content_segments", {})
    for url in (database.app_url, database.readonly_url):
        with psycopg.connect(url, autocommit=True) as other:
            acting(other, SYSTEM_USER)
            assert other.execute("SELECT count(*) FROM audit_log").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                other.execute(
                    "INSERT INTO audit_log (user_id, action) VALUES (%s, 'archive.purge')",
                    (SYSTEM_USER,),
                )
    with psycopg.connect(database.app_url, autocommit=True) as app:
        acting(app, SYSTEM_USER)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(
                "INSERT INTO users (id, clerk_id, email) VALUES (%s, 'c', 'e')", (SYSTEM_USER,)
            )
        user = uuid4()
        acting(app, user)
        app.execute("INSERT INTO audit_log (user_id, action) VALUES (%s, 'login')", (user,))
        assert app.execute("SELECT action FROM audit_log").fetchall() == [("login",)]
    assert connection.execute("SELECT count(*) FROM audit_log").fetchone() == (2,)


@pytest.mark.parametrize(
    ("moment", "is_taken"),
    [
        ("now() - interval '4 minutes'", True),
        ("clock_timestamp() + interval '4 minutes'", True),
        ("now() - interval '6 minutes'", False),
        ("clock_timestamp() + interval '6 minutes'", False),
        ("'-infinity'", False),
        ("'infinity'", False),
        ("'2017-03-05 12:00Z'", False),
    ],
)
def test_the_application_s_trail_is_of_the_moment_at_which_it_is_written(
    database: Database, connection: Connection, moment: LiteralString, is_taken: bool
) -> None:
    for month in ("-infinity", "2017-03-01Z"):
        until = "2017-03-01Z" if month == "-infinity" else "2017-04-01Z"
        bounds = sql.SQL("FROM ({}) TO ({})").format(sql.Literal(month), sql.Literal(until))
        name = sql.Identifier(f"audit_before_{until[:7]}")
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF audit_log FOR VALUES {}").format(name, bounds)
        )
    user = uuid4()
    written = f"INSERT INTO audit_log (user_id, action, created_at) VALUES (%s, 'login', {moment})"
    with psycopg.connect(database.app_url, autocommit=True) as app:
        acting(app, user)
        if is_taken:
            app.execute(written, (user,))
        else:
            # The latter where no month would take it.
            with pytest.raises(
                (psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)
            ):
                app.execute(written, (user,))
    with connect(database.url, application="tests") as operations:
        operations.execute(
            "INSERT INTO audit_log (user_id, action, created_at) VALUES (%s, 'x', '2017-03-05Z')",
            (user,),
        )


def test_readers_of_the_operations_tables_read_no_content(connection: Connection) -> None:
    readable = connection.execute(
        "SELECT a.attrelid::regclass::text, a.attname FROM pg_attribute AS a"
        " JOIN pg_class AS c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'ops'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND a.attnum > 0 AND a.attname = ANY (%s)"
        " AND has_column_privilege('ft_readonly', c.oid, a.attnum, 'SELECT')",
        (list(CONTENT),),
    ).fetchall()
    assert readable == []


def test_what_runs_as_its_owner_looks_nothing_up_in_public(connection: Connection) -> None:
    paths = connection.execute(
        "SELECT p.oid::regprocedure::text, setting FROM pg_proc AS p"
        " LEFT JOIN LATERAL unnest(p.proconfig) AS setting ON setting LIKE 'search_path=%'"
        " WHERE p.prosecdef AND p.pronamespace IN ('public'::regnamespace, 'ops'::regnamespace)"
        " AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')"
    ).fetchall()
    assert len(paths) > 15
    assert {path for _, path in paths} == {"search_path=pg_catalog, pg_temp"}


@pytest.mark.parametrize("role", ["ft_app", "ft_readonly"])
def test_nobody_attaches_the_operations_triggers_to_a_table_of_his_own(
    database: Database, connection: Connection, role: str
) -> None:
    """They believe their row: that of a temporary table could delete somebody's segment."""
    functions = connection.execute(
        "SELECT p.oid::regproc::text FROM pg_proc AS p"
        " WHERE p.prorettype = 'trigger'::regtype AND p.proowner = 'ft_ops'::regrole"
    ).fetchall()
    assert {"forget_segment_key", "ops.release_hold"} <= {name for (name,) in functions}
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO {role}")
        admin.execute(f"GRANT USAGE ON SCHEMA ops TO {role}")
    url = database.app_url if role == "ft_app" else database.readonly_url
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TEMPORARY TABLE mine (id uuid, created_at timestamptz)")
        for (function,) in functions:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                other.execute(
                    "CREATE TRIGGER believed AFTER DELETE ON mine"
                    f" FOR EACH ROW EXECUTE FUNCTION {function}()"
                )


def test_no_operator_in_public_runs_as_who_owns_a_function(
    database: Database, connection: Connection
) -> None:
    """A database born before 15 lets PUBLIC create there: varchar = text would be found in it."""
    tenant = make_tenant(connection)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("ALTER SCHEMA public OWNER TO postgres")
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        with psycopg.connect(database.app_url, autocommit=True) as app:
            app.execute(
                "CREATE FUNCTION public.planted(varchar, text) RETURNS boolean LANGUAGE plpgsql"
                " AS $$ BEGIN IF current_user = 'ft_ops' THEN RAISE EXCEPTION 'as its owner';"
                " END IF; RETURN $1::text OPERATOR(pg_catalog.=) $2; END $$"
            )
            app.execute(
                "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text,"
                " FUNCTION = public.planted)"
            )
            acting(app, tenant.owner)
            assert app.execute("SELECT count(*) FROM memory_books").fetchone() == (1,)
            assert app.execute("SELECT public.user_id_of_clerk('nobody')").fetchone() == (None,)
            with pytest.raises(psycopg.errors.NoDataFound):
                app.execute("SELECT public.accept_family_invite('no code')")
        bootstrap = (sql_root() / "roles" / "bootstrap.sql").read_bytes()
        with pytest.raises(psycopg.errors.RaiseException, match=r"function public.planted\("):
            admin.execute(bootstrap)
        admin.execute("DROP FUNCTION public.planted CASCADE")
        admin.execute(bootstrap)
        with (
            psycopg.connect(database.app_url, autocommit=True) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1")


def test_differences_name_an_open_schema(connection: Connection, database: Database) -> None:
    before = read_fingerprint(connection)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    (found,) = differences(read_fingerprint(connection), before)
    assert "schema public" in str(found)
