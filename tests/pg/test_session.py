"""A session is as it was asked for, and its own; or it is refused, and the refusal says why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import IdleInTransactionSessionTimeout

from ft_ops.archive.store.parquet import arrow_connection
from ft_ops.errors import OpsError, Refused
from ft_ops.items import each
from ft_ops.pg.connect import Connection, connect, connected
from ft_ops.pg.locks import only_one
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import SESSION, stay_open, strangers_objects
from ft_ops.pg.sqlfiles import statement
from tests.fixtures.pgbouncer import PoolMode, needs_pgbouncer, pooled
from tests.fixtures.postgres import Database


def value(connection: Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_what_the_server_sets_for_the_role_gives_way(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        for name, other in (
            ("statement_timeout", "'1s'"),
            ("idle_session_timeout", "'1s'"),
            ("idle_in_transaction_session_timeout", "'1s'"),
            ("lock_timeout", "0"),
            ("search_path", "ops, public"),
            ("DateStyle", "'German'"),
            ("xmloption", "document"),
            ("array_nulls", "off"),
            ("gin_fuzzy_search_limit", "1"),
            ("exit_on_error", "on"),
            ("default_transaction_isolation", "serializable"),
            ("client_min_messages", "error"),
            ("synchronous_commit", "off"),
        ):
            admin.execute(
                sql.SQL("ALTER ROLE ft_ops IN DATABASE {} SET {} = {}").format(
                    sql.Identifier(database.name), sql.Identifier(name), sql.SQL(other)
                )
            )
    with connect(database.url, application="tests") as connection:
        assert {name: value(connection, name) for name in SESSION} == dict(SESSION)
        assert value(connection, "synchronous_commit") == "on"


def test_a_caller_may_ask_for_other_values_in_any_unit(database: Database) -> None:
    settings = {"lock_timeout": "3000ms", "statement_timeout": "60s"}
    with connect(database.url, application="tests", settings=settings) as connection:
        assert value(connection, "lock_timeout") == "3s"
        assert value(connection, "statement_timeout") == "1min"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session_replication_role", "replica"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
        ("allow_system_table_mods", "on"),
    ],
)
def test_what_only_a_superuser_could_take_back_is_refused_by_name(
    database: Database, name: str, value: str
) -> None:
    """No trigger would fire, or a damaged page would be archived as one without rows."""
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER ROLE ft_ops IN DATABASE {} SET {} = {}").format(
                sql.Identifier(database.name), sql.Identifier(name), sql.Literal(value)
            )
        )
    with pytest.raises(OpsError, match=f"{name} is {value}, not ") as refused:
        connect(database.url, application="tests")
    assert f"RESET {name}" in refused.value.next_step
    with pytest.raises(OpsError, match=f"{name} is {value}, not "), arrow_connection(database.url):
        pytest.fail("it was opened")


def test_the_other_driver_s_session_is_as_it_was_asked_for(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        for name, other in (("TimeZone", "Asia/Kathmandu"), ("synchronous_commit", "off")):
            admin.execute(
                sql.SQL("ALTER ROLE ft_ops IN DATABASE {} SET {} = {}").format(
                    sql.Identifier(database.name), sql.Identifier(name), sql.Literal(other)
                )
            )
    with arrow_connection(database.url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('TimeZone') || ' ' || current_setting('synchronous_commit')"
        )
        assert cursor.fetchone() == ("UTC on",)


PLANTED: LiteralString = """
    CREATE FUNCTION public.told(text[], text) RETURNS text[] LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'it ran as %', current_user; END $$;
    CREATE AGGREGATE public.array_agg(text) (SFUNC = public.told, STYPE = text[], INITCOND = '{}');
"""
"""It fits the calls of a session's first statement better than the server's own."""


@pytest.mark.parametrize("schema", ["public", "ops"])
def test_nothing_that_a_stranger_has_planted_runs_in_a_session(
    database: Database, schema: LiteralString
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO ft_app")
        admin.execute("SET SESSION AUTHORIZATION ft_app")
        admin.execute(PLANTED.replace("public", schema))
        with pytest.raises(OpsError, match=f"aggregate {schema}.array_agg.* of ft_app") as refused:
            connect(database.url, application="tests")
        assert "DROP" in refused.value.next_step
        with pytest.raises(OpsError, match="array_agg"):
            connect(database.admin_url, application="tests")
        admin.execute("RESET SESSION AUTHORIZATION")
        admin.execute(f"ALTER FUNCTION {schema}.told OWNER TO ft_ops")
        admin.execute(f"ALTER AGGREGATE {schema}.array_agg(text) OWNER TO postgres")
    with pytest.raises(OpsError, match="it ran as ft_ops"):
        # An administrator's is trusted: that it would have run otherwise is shown here.
        connect(database.url, application="tests", settings={"search_path": f"{schema}, pg_temp"})


def test_what_a_stranger_s_extension_owns_is_as_little_ours(empty_database: Database) -> None:
    """Whoever owns an extension may add his own function to it."""
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        admin.execute("DROP EXTENSION plpgsql CASCADE")
        name = sql.Identifier(empty_database.name)
        admin.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO ft_app").format(name))
        admin.execute("GRANT CREATE ON SCHEMA public TO ft_app")
        admin.execute("SET SESSION AUTHORIZATION ft_app")
        admin.execute("CREATE EXTENSION plpgsql")
        connect(empty_database.url, application="tests").close()
        admin.execute("CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql RETURN 'x'")
        admin.execute("ALTER EXTENSION plpgsql ADD FUNCTION public.lower(varchar)")
    with pytest.raises(OpsError, match=r"function public.lower.* of ft_app"):
        connect(empty_database.url, application="tests")


def test_a_view_that_stands_for_a_table_of_ours_is_not_read(empty_database: Database) -> None:
    """What it calls would run as whoever reads it, from whatever schema."""
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO ft_app")
        admin.execute("SET SESSION AUTHORIZATION ft_app")
        admin.execute("CREATE VIEW _sqlx_migrations AS SELECT pg_terminate_backend(1) AS version")
        with pytest.raises(OpsError, match=r"view public\._sqlx_migrations of ft_app"):
            connect(empty_database.url, application="tests")


def test_a_view_of_somebody_s_beside_our_tables_stops_no_session(database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO ft_readonly")
        admin.execute("SET SESSION AUTHORIZATION ft_readonly")
        admin.execute("CREATE VIEW monthly_figures AS SELECT 1 AS one")
    with connect(database.url, application="tests") as connection:
        assert [(found.name, found.can_run) for found in strangers_objects(connection)] == [
            ("view public.monthly_figures", False)
        ]


def test_what_others_have_elsewhere_makes_no_session_slower(database: Database) -> None:
    """Everybody may make large objects: 60,000 of them once made each session begin in 9 s."""
    name = sql.Identifier(database.name)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO ft_app")
        admin.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO ft_app").format(name))
        admin.execute("SET SESSION AUTHORIZATION ft_app")
        admin.execute("SELECT lo_create(0) FROM generate_series(1, 50)")
        admin.execute("CREATE SCHEMA theirs CREATE TABLE a (i int) CREATE TABLE b (i int)")
        admin.execute("CREATE SEQUENCE public.ours_by_name")
    asked = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement("pg/strangers_objects")
    with connect(database.url, application="tests") as connection:
        plan = one_row(connection.execute(asked))[0][0]["Plan"]
    assert _times(plan, "pg_identify_object") == [1]


def _times(plan: dict[str, Any], function: str) -> list[int]:
    """How often each node of a plan has called a function."""
    own = [int(plan["Actual Loops"])] if plan.get("Function Name") == function else []
    return own + [n for below in plan.get("Plans", []) for n in _times(below, function)]


def test_a_schema_that_is_called_like_the_role_gets_no_table_of_ours(
    database: Database,
) -> None:
    """The default search_path would put it first."""
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA ft_ops AUTHORIZATION ft_ops")
    with connect(database.url, application="tests") as connection:
        connection.execute("CREATE TABLE made_here (i int)")
        row = connection.execute("SELECT 'made_here'::regclass::oid = 'public.made_here'::regclass")
        assert row.fetchone() == (True,)


def test_what_holds_a_snapshot_for_others_outlives_the_idle_time_out(database: Database) -> None:
    settings = {"idle_in_transaction_session_timeout": "200ms"}
    with connect(database.url, application="tests", settings=settings) as connection:
        with connection.transaction():
            stay_open(connection)
            time.sleep(0.5)
        assert value(connection, "idle_in_transaction_session_timeout") == "200ms"
        connection.execute("BEGIN")
        time.sleep(0.5)
        with pytest.raises(IdleInTransactionSessionTimeout):
            connection.execute("SELECT 1")


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
@pytest.mark.parametrize("ignore", ["", "options", "options, extra_float_digits"])
def test_a_pooler_is_refused_by_name(
    database: Database, place: Path, mode: PoolMode, ignore: str
) -> None:
    with pooled(database, place, mode=mode, ignore=ignore) as url:
        with pytest.raises(OpsError, match="pooler") as refused:
            connect(url, application="tests")
        assert "name the server itself" in refused.value.next_step
        if ignore:
            assert "lock_timeout is 0, not 5s" in refused.value.cause
            assert "row_security is on, not off" in refused.value.cause


@needs_pgbouncer
def test_a_pooler_is_refused_also_when_everything_that_was_asked_for_is_in_force(
    database: Database, place: Path
) -> None:
    """The next statement may come to another server process, and the locks with it."""
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        for name, wanted in SESSION.items():
            admin.execute(
                sql.SQL("ALTER ROLE ft_ops IN DATABASE {} SET {} = {}").format(
                    sql.Identifier(database.name),
                    sql.Identifier(name),
                    sql.SQL("public, pg_temp") if name == "search_path" else sql.Literal(wanted),
                )
            )
    with (
        pooled(database, place, mode="transaction", ignore="options") as url,
        pytest.raises(OpsError, match="pooler") as refused,
    ):
        connect(url, application="tests")
    assert "did not arrive" not in refused.value.cause


def test_a_session_whose_setting_does_not_exist_is_refused_in_one_line(database: Database) -> None:
    with pytest.raises(OpsError, match="unrecognized configuration parameter"):
        connect(database.url, application="tests", settings={"no_such_setting": "1"})


def test_who_holds_a_lock_is_named(database: Database) -> None:
    with (
        connect(database.readonly_url, application="tests") as other,
        connect(database.url, application="tests") as connection,
    ):
        other.execute("SELECT pg_advisory_lock(hashtextextended('ft-ops vacuum', 0))")
        with pytest.raises(OpsError) as refused, only_one(connection, "vacuum"):
            pytest.fail("two hold it")
        # Refused is what a run is told that may leave the work to another run.
        assert not isinstance(refused.value, Refused)
        pid = other.info.backend_pid
        assert "held by somebody who is no run of the operations" in refused.value.cause
        assert f"session {pid} (ft_readonly, ft-ops tests)" in refused.value.cause
        assert f"pg_terminate_backend({pid})" in refused.value.next_step
        other.execute("SELECT pg_advisory_unlock_all()")
        with only_one(connection, "vacuum"):
            pass


def test_a_lock_that_could_not_be_had_names_who_holds_what(
    database: Database,
) -> None:
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("LOCK TABLE users")
        with (
            pytest.raises(OpsError, match=rf"users locked by session {holder.info.backend_pid}"),
            connected(
                database.url, application="tests", settings={"lock_timeout": "50ms"}
            ) as connection,
        ):
            connection.execute("SELECT FROM users")


class Interruption(BaseException):
    """What a runner raises in a step that is to end."""


def test_an_interruption_is_none_of_the_drivers_complaints(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when a nested transaction is to begin: what was to follow is not done."""
    wait = psycopg.Connection.wait

    def interrupted(self: Connection, gen: Any, *more: Any) -> Any:
        if gen.__name__ == "_enter_gen" and self.info.transaction_status:
            gen.close()
            raise Interruption
        return wait(self, gen, *more)

    def work(item: str) -> None:
        done.append(item)
        with connection.transaction(), connection.transaction():
            pass

    done: list[str] = []
    monkeypatch.setattr(psycopg.Connection, "wait", interrupted)
    with pytest.raises(Interruption), connected(database.url, application="tests") as connection:
        each(["first", "second"], work)
    assert done == ["first"]
