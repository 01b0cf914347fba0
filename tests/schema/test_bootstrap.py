"""The roles are made by an administrator who is no superuser, as on a managed server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from ft_ops.errors import OpsError, Refused
from ft_ops.maintenance.indexes.bloat import extension_schema
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.session import open_schemas
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.schema import (
    differences,
    expected_fingerprint,
    install_extensions,
    load_migrations,
    read_fingerprint,
    run_migrations,
)
from tests.fixtures.postgres import Database

BOOTSTRAP = (sql_root() / "roles" / "bootstrap.sql").read_bytes()


@pytest.fixture(scope="module")
def managed() -> Iterator[pg.Server]:
    """A server whose customer has the role `master`: CREATEROLE, CREATEDB, and his database."""
    root = Path(tempfile.mkdtemp(prefix="ft-managed-"))
    try:
        root.chmod(0o711)
        bin_dir = pg.reachable_binaries(pg.embedded_binaries(16), root / "postgres")
        server = pg.Server(bin_dir=bin_dir, data_dir=root / "data", socket_dir=root / "run")
        pg.initialise(server)
        pg.configure(server, {"fsync": "off"})
        with pg.running(server, stop_mode="immediate"):
            with psycopg.connect(server.url(), autocommit=True) as superuser:
                superuser.execute("CREATE ROLE master LOGIN CREATEROLE CREATEDB")
                superuser.execute("CREATE DATABASE familytales OWNER master")
            for _ in range(2):
                with psycopg.connect(server.url("familytales", user="master")) as master:
                    master.execute(BOOTSTRAP)
            yield server
    finally:
        shutil.rmtree(root)


def test_no_role_can_pass_the_policies_by(managed: pg.Server) -> None:
    with psycopg.connect(managed.url("familytales", user="master")) as master:
        roles = master.execute(
            "SELECT rolname, rolcanlogin, rolsuper OR rolbypassrls OR rolcreaterole"
            " FROM pg_roles WHERE rolname LIKE 'ft\\_%' ORDER BY rolname"
        ).fetchall()
        members = master.execute(
            "SELECT count(*) FROM pg_auth_members WHERE member IN"
            " ('ft_app'::regrole, 'ft_readonly'::regrole)"
        ).fetchone()
    assert roles == [
        ("ft_app", True, False),
        ("ft_ops", True, False),
        ("ft_readonly", True, False),
    ]
    assert members == (0,)


def test_the_operations_own_the_database_and_migrate_it(managed: pg.Server) -> None:
    with connect(managed.url("familytales", user="ft_ops"), application="tests") as connection:
        run_migrations(connection, load_migrations())
        assert differences(read_fingerprint(connection), expected_fingerprint()) == []


def test_nothing_is_open_to_everybody(managed: pg.Server) -> None:
    with psycopg.connect(managed.url("familytales", user="master")) as master:
        rights = master.execute(
            "SELECT has_database_privilege('public', current_database(), 'CONNECT, TEMPORARY'),"
            " has_schema_privilege('public', 'public', 'CREATE'),"
            " has_database_privilege('ft_app', current_database(), 'CONNECT'),"
            " has_database_privilege('ft_app', current_database(), 'TEMPORARY, CREATE')"
        ).fetchone()
    assert rights == (False, False, True, False)


def test_whoever_may_not_read_the_preloaded_libraries_meets_no_error(managed: pg.Server) -> None:
    with connect(managed.url("familytales", user="ft_ops"), application="tests") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SHOW shared_preload_libraries")
        states = {e.name: e.state for e in install_extensions(connection)}
    assert states["timescaledb"] == "not offered"


def test_the_administrator_needs_the_role_that_he_hands_the_database_to(managed: pg.Server) -> None:
    granting = b"EXECUTE format('GRANT ft_ops TO %I', current_user)"
    assert granting in BOOTSTRAP
    with psycopg.connect(managed.url("postgres", user="master"), autocommit=True) as master:
        master.execute("CREATE DATABASE another")
    with psycopg.connect(managed.url("another", user="master"), autocommit=True) as master:
        master.execute("REVOKE ft_ops FROM master")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match='"ft_ops"'):
            master.execute(BOOTSTRAP.replace(granting, b"NULL"))
        master.execute(BOOTSTRAP)


def test_of_the_extensions_functions_only_what_is_called_is_granted(
    database: Database, connection: Connection
) -> None:
    granted = connection.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p CROSS JOIN aclexplode(p.proacl) AS acl"
        " JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass"
        " WHERE d.deptype = 'e' AND acl.grantee = 'ft_ops'::regrole ORDER BY p.pronargs"
    ).fetchall()
    checks = extension_schema(connection, "amcheck", "bt_index_check")
    called = [("bt_index_check(regclass)",), ("bt_index_check(regclass,boolean)",)]
    assert granted == (called if checks else [])
    if checks:
        assert extension_schema(connection, "pgstattuple", "pgstatindex"), "pg_monitor allows it"
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute("REVOKE EXECUTE ON FUNCTION bt_index_check(regclass) FROM ft_ops")
        assert extension_schema(connection, "amcheck", "bt_index_check") is None


@pytest.mark.parametrize("name", ["postgres", "template1"])
def test_a_database_for_maintenance_is_left_as_it_is(managed: pg.Server, name: str) -> None:
    with psycopg.connect(managed.url(name), autocommit=True) as superuser:
        before = _rights(superuser)
        with pytest.raises(psycopg.errors.RaiseException, match="nothing was changed") as refused:
            superuser.execute(BOOTSTRAP)
        assert f"ft.bootstrap={name}" in str(refused.value.diag.message_hint)
        superuser.execute("SET ft.bootstrap = 'familytales'")
        with pytest.raises(psycopg.errors.RaiseException):
            superuser.execute(BOOTSTRAP)
        assert _rights(superuser) == before


def test_dagsters_own_database_is_left_as_it_is(managed: pg.Server) -> None:
    with psycopg.connect(managed.url("postgres"), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE of_dagster")
    with psycopg.connect(managed.url("of_dagster"), autocommit=True) as superuser:
        superuser.execute("CREATE TABLE event_logs (id bigint)")
        with pytest.raises(psycopg.errors.RaiseException, match="Dagster's own"):
            superuser.execute(BOOTSTRAP)


@pytest.mark.parametrize(
    ("made", "within", "told"),
    [
        ("CREATE DATABASE theirs OWNER ft_readonly", "", "it belongs to ft_readonly"),
        (
            "CREATE DATABASE theirs",
            "GRANT CREATE ON DATABASE theirs TO ft_app",
            "ft_app may make schemas in it",
        ),
        (
            "CREATE DATABASE theirs",
            "CREATE TABLE orders (i int)",
            "table public.orders of postgres",
        ),
        ("CREATE DATABASE theirs", "CREATE SCHEMA shop", "schema shop of postgres"),
        ("CREATE DATABASE theirs", "CREATE TYPE size AS ENUM ('s', 'm')", "type public.size of"),
        (
            "CREATE DATABASE theirs",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1",
            r"function public.f\(\) of postgres",
        ),
        (
            # A ledger of sqlx alone makes no database ours: any Rust application has one.
            "CREATE DATABASE theirs",
            "CREATE TABLE _sqlx_migrations (i int)",
            "table public._sqlx_migrations of postgres",
        ),
    ],
)
def test_another_applications_database_is_left_as_it_is_unless_it_is_named(
    managed: pg.Server, made: LiteralString, within: LiteralString, told: str
) -> None:
    """Dagster's own is such a one before its first start: it is empty, and belongs to its role."""
    with psycopg.connect(managed.url("postgres"), autocommit=True) as superuser:
        superuser.execute(made)
        try:
            with psycopg.connect(managed.url("theirs"), autocommit=True) as administrator:
                administrator.execute(within)
                before = _rights(administrator)
                with pytest.raises(psycopg.errors.RaiseException, match=told) as refused:
                    administrator.execute(BOOTSTRAP)
                assert "ft.bootstrap=theirs" in str(refused.value.diag.message_hint)
                assert _rights(administrator) == before
                administrator.execute("SET ft.bootstrap = 'theirs'")
                administrator.execute(BOOTSTRAP)
                assert _rights(administrator)[0] == "ft_ops"
                administrator.execute("RESET ft.bootstrap")
                administrator.execute(BOOTSTRAP)
        finally:
            superuser.execute("DROP DATABASE theirs WITH (FORCE)")


def test_whoever_names_the_database_gets_his_way(managed: pg.Server) -> None:
    with psycopg.connect(managed.url("postgres"), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE rdsadmin")
    with psycopg.connect(managed.url("rdsadmin"), autocommit=True) as superuser:
        superuser.execute("SET ft.bootstrap = 'rdsadmin'")
        superuser.execute(BOOTSTRAP)
        assert _rights(superuser)[0] == "ft_ops"


@pytest.mark.parametrize("administrator", ["master", "postgres"])
def test_both_databases_come_from_nothing_and_a_second_run_changes_nothing(
    managed: pg.Server, administrator: str, tmp_path: Path
) -> None:
    """A managed server's administrator is no superuser; he comes first, and makes the roles.

    His own psql may keep nothing until told to, and show all; his server may log every statement.
    """
    names = {"application": f"app_{administrator}", "dagster": f"dag_{administrator}"}
    (tmp_path / "psqlrc").write_text("\\set AUTOCOMMIT off\n\\set ECHO all\n")
    # What the environment leaves empty stays as it is.
    for logged, password, dagsters in (("ddl", "f1rst\\1", "other"), ("all", "pa'ss\\w $ord", "")):
        with psycopg.connect(managed.url("postgres"), autocommit=True) as superuser:
            superuser.execute(f"ALTER ROLE {administrator} SET log_statement = '{logged}'")
        done = _run_psql(
            *(managed, administrator, "databases.sql", names),
            OPS_PASSWORD=password,
            DAGSTER_PASSWORD=dagsters,
            PSQLRC=str(tmp_path / "psqlrc"),
        )
        assert done.returncode == 0, done.stderr
        assert "pa'ss" not in done.stdout + done.stderr
        # Who may not keep them out of the log is told.
        is_warned = "may have written these passwords into its log" in done.stderr
        assert is_warned == (administrator == "master" and logged == "all")
    with psycopg.connect(managed.url("postgres"), autocommit=True) as superuser:
        superuser.execute(f"ALTER ROLE {administrator} RESET log_statement")
    log = managed.log_file.read_text()
    assert "CREATE DATABASE" in log
    assert "f1rst" not in log
    assert ("w $ord" in log) == (administrator == "master")
    managed.log_file.write_text("")
    with psycopg.connect(managed.url("postgres")) as superuser:
        owners = superuser.execute(
            "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding),"
            " has_database_privilege('public', oid, 'CONNECT')"
            " FROM pg_database WHERE datname = ANY (%s) ORDER BY datname",
            (list(names.values()),),
        ).fetchall()
        passwords = superuser.execute(
            "SELECT rolname FROM pg_authid"
            " WHERE rolname LIKE 'ft\\_%' AND rolpassword IS NOT NULL ORDER BY rolname"
        ).fetchall()
    assert owners == [
        (names["application"], "ft_ops", "UTF8", False),
        (names["dagster"], "ft_dagster", "UTF8", False),
    ]
    assert passwords == [("ft_dagster",), ("ft_ops",)]
    with connect(managed.url(names["application"], user="ft_ops"), application="tests") as ours:
        run_migrations(ours, load_migrations())
    # Whoever mixes the two connection strings up before Dagster's first start makes nothing there.
    with (
        connect(managed.url(names["dagster"], user="ft_dagster"), application="tests") as theirs,
        pytest.raises(Refused, match="it is Dagster's own"),
    ):
        run_migrations(theirs, load_migrations())


@pytest.mark.parametrize(
    ("application", "dagster", "told"),
    [
        ("one", "one", "can't be both the application's and Dagster's"),
        ("one", "postgres", "belongs to postgres, not to ft_dagster"),
        ("template1", "two", "database template1 is a template of new databases"),
        ("postgres", "two", "database postgres is a template of new databases, or the server's"),
        ("one", "template1", "database template1 is a template of new databases"),
    ],
)
def test_neither_database_is_another_ones(
    managed: pg.Server, application: str, dagster: str, told: str
) -> None:
    names = {"application": application, "dagster": dagster}
    done = _run_psql(managed, "postgres", "databases.sql", names)
    assert done.returncode != 0
    assert told in done.stderr
    with psycopg.connect(managed.url("postgres")) as superuser:
        found = superuser.execute(
            "SELECT has_database_privilege('public', 'postgres', 'CONNECT'), count(*)"
            " FROM pg_database WHERE datname IN ('one', 'two')"
        ).fetchone()
    assert found == (True, 0)


def test_an_older_psql_makes_no_roles_without_their_passwords(managed: pg.Server) -> None:
    pretended = {"application": "one", "VERSION_NUM": "140019"}
    done = _run_psql(managed, "postgres", "databases.sql", pretended)
    assert done.returncode != 0
    assert "Use psql 15 or newer" in done.stderr


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ("CREATEDB", "other may make no roles, or no databases"),
        ("CREATEROLE", "other may make no roles, or no databases"),
        ("CREATEROLE CREATEDB", "ft_ops, ft_readonly TO other WITH ADMIN OPTION."),
    ],
)
def test_who_may_not_give_the_passwords_changes_nothing(
    managed: pg.Server, attributes: str, told: str
) -> None:
    with psycopg.connect(managed.url("postgres"), autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE other LOGIN {attributes}")
        try:
            done = _run_psql(
                *(managed, "other", "databases.sql", {"application": "one", "dagster": "two"}),
                OPS_PASSWORD="others",
            )
        finally:
            superuser.execute("DROP ROLE other")
        made = superuser.execute(
            "SELECT FROM pg_database WHERE datname IN ('one', 'two')"
        ).fetchall()
    assert done.returncode != 0
    assert told in done.stderr
    assert not made


def _run_psql(
    managed: pg.Server,
    user: str,
    script: str,
    names: Mapping[str, str],
    *,
    database: str = "postgres",
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(str(managed.bin_dir / "psql"), "-U", user, "-d", database),
            *("--set=ON_ERROR_STOP=1", "-f", str(sql_root() / "roles" / script)),
            *(f"--set={name}={value}" for name, value in names.items()),
        ],
        env={
            **os.environ,
            "PSQLRC": os.devnull,
            "PGHOST": str(managed.socket_dir),
            **environment,
        },
        capture_output=True,
        check=False,
        text=True,
    )


def _rights(connection: psycopg.Connection) -> tuple[object, ...]:
    row = connection.execute(
        "SELECT pg_get_userbyid(datdba), datacl::text FROM pg_database"
        " WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return row


def test_what_lies_in_public_does_not_run_as_the_administrator(managed: pg.Server) -> None:
    """Each function fits a call of the script better than the server's own of that name."""
    with psycopg.connect(managed.url(), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE planted")
    with psycopg.connect(managed.url("planted"), autocommit=True) as superuser:
        superuser.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with psycopg.connect(managed.url("planted", user="ft_app"), autocommit=True) as application:
        for of in ("text", "name"):
            application.execute(
                f"CREATE FUNCTION public.format(text, {of}) RETURNS text LANGUAGE plpgsql AS $$"
                " BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN"
                " ALTER ROLE ft_app SUPERUSER; END IF;"
                " RETURN pg_catalog.format($1, $2); END $$"
            )
    with psycopg.connect(managed.url("planted"), autocommit=True) as superuser:
        superuser.execute("SET ft.bootstrap = 'planted'")
        with pytest.raises(psycopg.errors.RaiseException, match=r"format.* of ft_app"):
            superuser.execute(BOOTSTRAP)
        found = superuser.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = 'ft_app'"
        ).fetchone()
        superuser.execute("ALTER ROLE ft_app NOSUPERUSER")
    assert found == (False,)


OF_EVERY_KIND: LiteralString = """
    CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql RETURN 'planted';
    CREATE FUNCTION public.same(varchar, text) RETURNS boolean LANGUAGE sql RETURN true;
    CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.same);
    CREATE AGGREGATE public.array_agg(text) (SFUNC = array_append, STYPE = text[]);
    CREATE DOMAIN public.small AS int;
    CREATE TABLE public.users (i int);
    CREATE VIEW public.families AS SELECT 1;
    CREATE SEQUENCE public.numbers;
    CREATE COLLATION public.plain (LOCALE = 'C');
    CREATE TEXT SEARCH CONFIGURATION public.english (COPY = pg_catalog.simple);
    CREATE SCHEMA ops;
    CREATE SCHEMA ft_ops
"""


def test_what_others_made_where_names_are_looked_up_is_named_and_nothing_runs(
    managed: pg.Server,
) -> None:
    """The whole script ends as failed, and by then nobody can make more."""
    with psycopg.connect(managed.url(), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE open")
        superuser.execute("GRANT CREATE ON DATABASE open TO ft_app")
    with psycopg.connect(managed.url("open"), autocommit=True) as superuser:
        superuser.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with psycopg.connect(managed.url("open", user="ft_app"), autocommit=True) as application:
        application.execute(OF_EVERY_KIND)
    named = {"PGOPTIONS": "-c ft.bootstrap=open"}
    done = _run_psql(managed, "postgres", "bootstrap.sql", {}, database="open", **named)
    assert done.returncode != 0
    for what in (
        "schema ops of ft_app, ft_ops of ft_app",
        "aggregate public.array_agg(pg_catalog.text) of ft_app",
        "collation public.plain of ft_app",
        "function public.lower(character varying) of ft_app",
        "operator public.=(character varying,pg_catalog.text) of ft_app",
        "sequence public.numbers of ft_app",
        "table public.users of ft_app",
        "text search configuration public.english of ft_app",
        "type public.small of ft_app",
        "view public.families of ft_app",
    ):
        assert what in done.stderr
    with psycopg.connect(managed.url("open", user="ft_app"), autocommit=True) as application:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("CREATE FUNCTION public.more() RETURNS int LANGUAGE sql RETURN 1")
        with pytest.raises(OpsError, match=r"array_agg.* of ft_app") as refused:
            connect(managed.url("open", user="ft_ops"), application="tests")
        assert "DROP" in refused.value.next_step
        application.execute("DROP OPERATOR public.= (varchar, text)")
        application.execute("DROP FUNCTION public.lower(varchar), public.same(varchar, text)")
        application.execute("DROP AGGREGATE public.array_agg(text)")
        application.execute("DROP VIEW public.families")
        with (
            connect(managed.url("open", user="ft_ops"), application="tests") as ours,
            pytest.raises(Refused, match=r"table public\.users of ft_app"),
        ):
            run_migrations(ours, load_migrations())
        application.execute("DROP OWNED BY ft_app")
    done = _run_psql(managed, "postgres", "bootstrap.sql", {}, database="open")
    assert done.returncode == 0, done.stderr


def test_who_was_granted_it_by_name_makes_nothing_in_public_afterwards(managed: pg.Server) -> None:
    with psycopg.connect(managed.url(), autocommit=True) as superuser:
        superuser.execute('CREATE ROLE "Re porter" LOGIN')
        superuser.execute("CREATE DATABASE reported OWNER master")
    with psycopg.connect(managed.url("reported"), autocommit=True) as superuser:
        superuser.execute('GRANT CREATE ON SCHEMA public TO "Re porter", ft_app')
    for told in ("Re porter may no longer create objects in the schema public", ""):
        done = _run_psql(managed, "master", "bootstrap.sql", {}, database="reported")
        assert done.returncode == 0, done.stderr
        assert told in done.stderr
    assert "Re porter" not in done.stderr
    with connect(managed.url("reported", user="ft_ops"), application="tests") as ours:
        assert open_schemas(ours) == []
