"""What each role was granted is needed: one right less, and something that needs it is denied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import dagster as dg
import psycopg
import pytest
from psycopg import RawCursor, sql

from ft_ops.definitions import defs
from ft_ops.errors import Refused
from ft_ops.health import PRODUCT_QUERIES, Parameters
from ft_ops.health.latency.measure import as_application
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import sql_root, statement
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.schema import load_migrations, run_migrations
from tests.fixtures.postgres import Database
from tests.schema.tenants import Tenant, attempt, make_tenant

BOOTSTRAP = (sql_root() / "roles" / "bootstrap.sql").read_bytes()

RIGHTS: LiteralString = """
    SELECT acl.privilege_type, granted.kind, granted.name
    FROM (
        SELECT 'SCHEMA', nspname::text, nspowner, nspacl FROM pg_namespace
        UNION ALL
        SELECT 'TABLE', oid::regclass::text, relowner, relacl FROM pg_class
        UNION ALL
        SELECT 'FUNCTION', oid::regprocedure::text, proowner, proacl FROM pg_proc
    ) AS granted (kind, name, owner, acl)
    CROSS JOIN aclexplode(granted.acl) AS acl
    WHERE acl.grantee = %s::regrole AND acl.grantee <> granted.owner
    ORDER BY 2, 3, 1
"""

MEMBERSHIPS: LiteralString = """
    SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'ft_ops'::regrole ORDER BY 1
"""

APPLICATION = (Path(__file__).parent / "application.sql").read_text(encoding="utf-8")

_BARMANS_WORDS = "'ft_ops' is missing required privileges"

EVERY_TABLE: LiteralString = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind IN ('r', 'p', 'v') AND NOT relispartition
      AND relnamespace IN ('public'::regnamespace, 'ops'::regnamespace)
      AND relname <> '_sqlx_migrations'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
"""


@dataclass(frozen=True, slots=True)
class Right:
    """One privilege of a role on one object, as REVOKE words it."""

    privilege: LiteralString
    kind: LiteralString
    name: LiteralString

    def revoke(self, role: LiteralString) -> LiteralString:
        return f"REVOKE {self.privilege} ON {self.kind} {self.name} FROM {role}"


Deed = Callable[[Connection], str | int]
"""Something that a role does, and what came of it: rows, or the SQLSTATE of a refusal."""


def rights(connection: Connection, role: str) -> list[Right]:
    return [Right(*row) for row in connection.execute(RIGHTS, (role,))]


def superfluous(
    connection: Connection, role: LiteralString, deeds: Mapping[str, Deed]
) -> list[Right]:
    """The rights without which a role can do as much as with them.

    ``connection`` is an administrator's. Everything is undone.
    """
    with connection.transaction(force_rollback=True):
        assert list(_failing(connection, role, deeds)) == []
    found = []
    for right in rights(connection, role):
        with connection.transaction(force_rollback=True):
            connection.execute(right.revoke(role))
            if not any(_failing(connection, role, deeds)):
                found.append(right)
    return found


def _failing(
    connection: Connection, role: LiteralString, deeds: Mapping[str, Deed]
) -> Iterator[str]:
    connection.execute(f"SET LOCAL ROLE {role}")
    return (name for name, deed in deeds.items() if isinstance(deed(connection), str))


def saying(query: str, values: Mapping[str, object] | None = None) -> Deed:
    return lambda connection: attempt(connection, query, values)


def asking(name: str, parameters: Parameters) -> Deed:
    """One of the product queries."""

    def ask(connection: Connection) -> str | int:
        query = PRODUCT_QUERIES[name]
        try:
            with connection.transaction(), RawCursor(connection) as cursor:
                cursor.execute(statement(f"queries/{name}"), query.arguments(parameters))
                return cursor.rowcount
        except psycopg.Error as error:
            return error.sqlstate or "no SQLSTATE"

    return ask


def product_queries(tenant: Tenant) -> dict[str, Deed]:
    """What the product shows to the family's owner, by its query."""
    visitor = Parameters(tenant.thread, tenant.family, tenant.owner, ("a tag",))
    return {name: asking(name, visitor) for name in PRODUCT_QUERIES}


NOT_FOR_READERS = {
    # Content of families whose month is not there to say who may read it.
    "ops.waiting_links",
    "ops.waiting_rows",
    # Nothing to read: transactions fail to serialize on it.
    "ops.hold_changes",
}


@pytest.fixture
def admin(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        # What everybody may use needs no grant: hardened databases allow it to nobody.
        connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
        yield connection


@pytest.fixture
def tenant(admin: Connection, connection: Connection) -> Tenant:
    """A family; the administrator's session speaks for its owner."""
    made = make_tenant(connection)
    admin.execute("SELECT set_config('app.current_user_id', %s, false)", (str(made.owner),))
    return made


def test_the_application_needs_what_it_is_granted(admin: Connection, tenant: Tenant) -> None:
    values = {name: getattr(tenant, name) for name in Tenant.__slots__}
    deeds = {
        **product_queries(tenant),
        **{query: saying(query, values) for query in APPLICATION.split(";\n") if query},
    }
    assert superfluous(admin, "ft_app", deeds) == []


def test_readers_need_what_they_are_granted(admin: Connection, tenant: Tenant) -> None:
    tables = {name for (name,) in admin.execute(EVERY_TABLE)} - NOT_FOR_READERS
    deeds = {
        **product_queries(tenant),
        **{name: saying(f"SELECT FROM {name}") for name in tables},
    }
    assert superfluous(admin, "ft_readonly", deeds) == []


def test_nobody_comes_in_without_leave_to_connect(admin: Connection, database: Database) -> None:
    for role, url in (("ft_app", database.app_url), ("ft_readonly", database.readonly_url)):
        psycopg.connect(url).close()
        admin.execute(
            sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(
                sql.Identifier(database.name), sql.Identifier(role)
            )
        )
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url)


def test_the_operations_migrate_a_database_that_is_theirs(empty_database: Database) -> None:
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        name = sql.Identifier(empty_database.name)
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(name))
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO ft_ops").format(name))
    with (
        connect(empty_database.url, application="tests") as connection,
        pytest.raises(Refused, match="ft_ops does not own it"),
    ):
        run_migrations(connection, load_migrations())


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A migrated sandbox: roles belong to a whole server, which no other test may miss them on."""
    with sandbox(announce=lambda line: None) as opened:
        with connect(opened.database_url, application="tests") as connection:
            run_migrations(connection, load_migrations())
        yield opened


@contextmanager
def without(box: Sandbox, grant: str) -> Iterator[None]:
    """The sandbox's operations role less one grant of bootstrap.sql, for a block."""
    with psycopg.connect(box.server.url("familytales"), autocommit=True) as admin:
        admin.execute(f"REVOKE {grant} FROM ft_ops".encode())
        try:
            yield
        finally:
            admin.execute(BOOTSTRAP)


def failure(job: str) -> str:
    """What a run of a job says of its failure."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance, raise_on_error=False
        )
    told = [
        str(event.step_failure_data.user_failure_data.description)
        for event in result.all_node_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    ]
    assert told, f"{job} ran as if nothing were missing"
    return told[0]


@pytest.fixture
def deployment(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, by the environment."""
    for name, value in box.environment().items():
        monkeypatch.setenv(name, value)
    return box


NEEDED_BY: Mapping[str, tuple[str, str]] = {
    "pg_monitor": ("vacuum_analyze", "it can't see other users' sessions"),
    "EXECUTE ON FUNCTION pg_backup_start(text,boolean)": ("take_full_backup", "pg_backup_start"),
    "EXECUTE ON FUNCTION pg_backup_stop(boolean)": ("take_full_backup", "pg_backup_stop"),
    "EXECUTE ON FUNCTION pg_create_restore_point(text)": ("take_full_backup", _BARMANS_WORDS),
    "EXECUTE ON FUNCTION pg_switch_wal()": ("take_full_backup", _BARMANS_WORDS),
}
"""What ft_ops is granted for its jobs, by the job that needs it, and what that says without."""

FOUND_OUT_LATE = {
    "EXECUTE ON FUNCTION pg_backup_stop(boolean)",
    "EXECUTE ON FUNCTION pg_create_restore_point(text)",
    "EXECUTE ON FUNCTION pg_switch_wal()",
}
"""What barman-cloud asks for only once it has copied the whole server."""


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param(grant, marks=pytest.mark.chaos if grant in FOUND_OUT_LATE else ())
        for grant in NEEDED_BY
    ],
)
def test_a_job_fails_without_its_grant_and_names_it(deployment: Sandbox, grant: str) -> None:
    job, told = NEEDED_BY[grant]
    with without(deployment, grant):
        assert told in failure(job)


def test_latency_is_measured_as_the_application_by_its_grant(deployment: Sandbox) -> None:
    def measured_as() -> str:
        with (
            connect(deployment.database_url, application="tests") as connection,
            as_application(connection, "ft_app") as role,
        ):
            return role

    assert measured_as() == "ft_app"
    with without(deployment, "ft_app"):
        assert measured_as() == "ft_ops"


def test_the_operations_are_granted_nothing_else(deployment: Sandbox) -> None:
    with psycopg.connect(deployment.server.url("familytales")) as admin:
        theirs = {role for (role,) in admin.execute(MEMBERSHIPS)}
        theirs |= {
            f"{right.privilege} ON {right.kind} {right.name}" for right in rights(admin, "ft_ops")
        }
    assert theirs == {*NEEDED_BY, "ft_app"}
