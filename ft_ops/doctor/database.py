"""The application's database: reachable, migrated, owned, and not more open than it must be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg import conninfo
from psycopg.rows import class_row

from ft_ops.doctor.backups import examine_backups
from ft_ops.doctor.findings import Finding, asked, failed
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connect, describe, is_local, sslmode
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import STRANGERS_NEXT_STEP, named, open_schemas, strangers_objects
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import load_migrations, migration_states
from ft_ops.settings import Settings

OLDEST_MAJOR_VERSION = 15
"""Views that run as their reader (security_invoker) are new in PostgreSQL 15."""

BOOTSTRAP = "as the database's administrator: psql -X -v ON_ERROR_STOP=1 -f sql/roles/bootstrap.sql"

_EXTENSIONS = ("amcheck", "pg_stat_statements", "pgstattuple", "timescaledb", "uuid-ossp", "vector")


@dataclass(frozen=True, slots=True)
class _Session:
    role: str
    is_superuser: bool
    bypasses_policies: bool
    owns_database: bool
    encoding: str
    version: str
    major_version: int
    is_replica: bool


@dataclass(frozen=True, slots=True)
class _Encryption:
    is_encrypted: bool
    protocol: str


@dataclass(frozen=True, slots=True)
class _TenantRole:
    name: str
    is_there: bool
    passes_policies: bool
    passes_by: list[str]
    is_operations: bool


@dataclass(frozen=True, slots=True)
class _Privilege:
    name: str
    is_granted: bool
    lost: str


@dataclass(frozen=True, slots=True)
class _Extension:
    name: str
    default_version: str | None
    installed_version: str | None


def examine_database(settings: Settings, now: datetime) -> Iterator[Finding]:
    """The server, the migrations, the roles, the privileges, the extensions and the backups."""
    try:
        url = settings.require_database_url()
        connection = connect(url, application="doctor")
    except OpsError as error:
        yield failed("database", error)
        return
    with connection:
        yield asked("database", lambda: _server(_session(connection), describe(url)))
        yield asked("encryption", lambda: _encryption(connection, url))
        yield asked("migrations", lambda: _migrations(connection))
        yield asked("roles", lambda: _roles(connection, _session(connection), settings.app_role))
        yield asked("schemas", lambda: _schemas(connection))
        yield asked("privileges", lambda: _privileges(connection))
        yield asked("extensions", lambda: _extensions(connection, settings))
        yield from examine_backups(connection, settings, now)


def _session(connection: Connection) -> _Session:
    with connection.cursor(row_factory=class_row(_Session)) as cursor:
        return one_row(cursor.execute(statement("doctor/session")))


def _server(session: _Session, place: str) -> Finding:
    detail = f"{place}, PostgreSQL {session.version}"
    if session.major_version < OLDEST_MAJOR_VERSION:
        cause = f"{detail}: views that run as their reader need {OLDEST_MAJOR_VERSION} or newer"
        return Finding("database", "failed", cause, "upgrade the server; 16 is what is tested most")
    if session.encoding != "UTF8":
        mend = "create the database anew with ENCODING 'UTF8'"
        return Finding("database", "failed", f"{detail}: its encoding is {session.encoding}", mend)
    if session.is_replica:
        mend = "let FT_DATABASE_URL name the primary"
        return Finding("database", "failed", f"{detail}: it is a replica, and read only", mend)
    return Finding("database", "ok", detail)


def _encryption(connection: Connection, url: str) -> Finding:
    """How what passes between here and the server is protected."""
    name = "encryption"
    if is_local(conninfo.conninfo_to_dict(url)):
        return Finding(name, "ok", "the server is on this machine")
    with connection.cursor(row_factory=class_row(_Encryption)) as cursor:
        found = cursor.execute(statement("doctor/encryption")).fetchone()
    if found is None or not found.is_encrypted:
        return Finding(
            name,
            "limited",
            "none: passwords and content pass readably, because sslmode is disable",
            "let the server offer TLS, and take sslmode=disable out of FT_DATABASE_URL, unless the "
            "network between is private",
        )
    if sslmode(url) not in {"verify-ca", "verify-full"}:
        return Finding(
            name,
            "limited",
            f"{found.protocol}, but nobody asks whether the server is the one that was meant",
            "add sslmode=verify-full and sslrootcert to FT_DATABASE_URL",
        )
    return Finding(name, "ok", f"{found.protocol}, and the server's certificate is verified")


def _migrations(connection: Connection) -> Finding:
    states = migration_states(connection, load_migrations())
    wrong = [state for state in states if state.state not in {"applied", "pending"}]
    pending = [state for state in states if state.state == "pending"]
    if wrong:
        return Finding(
            "migrations",
            "failed",
            "; ".join(f"{state.version} {state.description} is {state.state}" for state in wrong),
            "ft-ops migrate run says what to do about each",
        )
    if pending:
        names = ", ".join(f"{state.version} {state.description}" for state in pending)
        return Finding("migrations", "failed", f"pending: {names}", "ft-ops migrate run")
    return Finding("migrations", "ok", f"all {len(states)} applied")


def _roles(connection: Connection, session: _Session, application: str) -> Finding:
    problems = list(_role_problems(connection, session, application))
    if problems:
        return Finding("roles", "failed", "; ".join(problems), BOOTSTRAP)
    return Finding(
        "roles",
        "ok",
        f"{session.role} owns everything and is no superuser; ft_app and ft_readonly are under "
        "row level security",
    )


def _role_problems(connection: Connection, session: _Session, application: str) -> Iterator[str]:
    if session.is_superuser:
        yield f"{session.role} is a superuser: connect as ft_ops"
    if session.bypasses_policies:
        yield f"{session.role} has BYPASSRLS: ALTER ROLE {session.role} NOBYPASSRLS"
    if not session.owns_database:
        yield f"the database does not belong to {session.role}"
    foreign = [row[0] for row in connection.execute(statement("doctor/foreign_tables"))]
    if foreign:
        yield f"{session.role} does not own {', '.join(foreign)}"
    with connection.cursor(row_factory=class_row(_TenantRole)) as cursor:
        asked = cursor.execute(statement("doctor/tenant_roles"), {"application": application})
        for role in asked.fetchall():
            yield from _tenant_problems(role, session.role)
    granted = connection.execute(statement("doctor/partition_grants")).fetchall()
    if granted:
        told = ", ".join(f"{table} to {role}" for table, role in granted)
        yield f"partitions are granted directly: {told} (REVOKE them: only parents have policies)"


def _tenant_problems(role: _TenantRole, operations: str) -> Iterator[str]:
    if not role.is_there:
        yield f"{role.name} does not exist"
    if role.passes_policies:
        yield f"{role.name} passes row level security by"
    for other in role.passes_by:
        yield (
            f"{role.name} passes row level security by as a member of {other}: "
            f"REVOKE {other} FROM {role.name}"
        )
    if role.is_operations:
        yield f"{role.name} is a member of {operations}"


def _schemas(connection: Connection) -> Finding:
    """Whether what our sessions look up is ours, and stays so."""
    planted = strangers_objects(connection)
    problems = [str(schema) for schema in open_schemas(connection)]
    if planted:
        problems.append(f"not ours, nor an administrator's: {named(planted)}")
    if problems:
        return Finding("schemas", "failed", "; ".join(problems), STRANGERS_NEXT_STEP)
    objects = connection.execute(statement("doctor/large_objects")).fetchall()
    if objects:
        # PostgreSQL lets everybody make them; only a superuser could take that away.
        told = ", ".join(f"{count} of {owner}" for owner, count in objects)
        return Finding(
            "schemas",
            "failed",
            f"there are large objects ({told}), of which no archive, hold or erasure knows",
            "see pg_largeobject_metadata; move what is needed into a table, then lo_unlink them",
        )
    return Finding("schemas", "ok", "whatever a name leads to is the operations' or the server's")


def _privileges(connection: Connection) -> Finding:
    with connection.cursor(row_factory=class_row(_Privilege)) as cursor:
        found = cursor.execute(statement("doctor/privileges")).fetchall()
    missing = [privilege for privilege in found if not privilege.is_granted]
    if missing:
        told = "; ".join(f"without {privilege.name}, {privilege.lost}" for privilege in missing)
        return Finding("privileges", "limited", told, BOOTSTRAP)
    return Finding("privileges", "ok", ", ".join(privilege.name for privilege in found))


def _extensions(connection: Connection, settings: Settings) -> Finding:
    names = sorted({*_EXTENSIONS, *settings.require_extensions})
    with connection.cursor(row_factory=class_row(_Extension)) as cursor:
        found = cursor.execute(statement("doctor/extensions"), {"names": names}).fetchall()
    told = ", ".join(_extension_told(extension) for extension in found)
    absent = {extension.name for extension in found if extension.installed_version is None}
    missing = sorted(absent & settings.require_extensions)
    if missing:
        return Finding(
            "extensions",
            "failed",
            f"FT_REQUIRE_EXTENSIONS names {', '.join(missing)}; {told}",
            BOOTSTRAP + ", or take them out of FT_REQUIRE_EXTENSIONS",
        )
    uninstalled = [e.name for e in found if e.name in absent and e.default_version is not None]
    if uninstalled:
        return Finding("extensions", "limited", told, BOOTSTRAP)
    return Finding("extensions", "ok", told)


def _extension_told(extension: _Extension) -> str:
    if extension.installed_version is not None:
        return f"{extension.name} {extension.installed_version}"
    state = "not offered by this server" if extension.default_version is None else "not installed"
    return f"{extension.name} {state}"
