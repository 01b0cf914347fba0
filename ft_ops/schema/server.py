"""What the schema needs of its server and its database, checked and told."""

from __future__ import annotations

from dataclasses import dataclass, fields

import psycopg
from psycopg import conninfo
from psycopg.rows import class_row

from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.session import STRANGERS_NEXT_STEP, named, strangers_objects
from ft_ops.pg.sqlfiles import statement

OLDEST_VERSION = 150_000
"""Views that run as their reader (security_invoker) are new in PostgreSQL 15."""


@dataclass(frozen=True, slots=True)
class _Catalog:
    version: str
    version_number: int
    encoding: str
    collation: str
    character_type: str
    collation_version: str | None
    library_version: str | None
    autovacuum: str
    track_counts: str


@dataclass(frozen=True, slots=True)
class _Fitness:
    version: str
    version_number: int
    encoding: str
    is_replica: bool
    is_dagsters: bool
    is_new: bool
    role: str
    owner: str
    is_superuser: bool


@dataclass(frozen=True, slots=True)
class ServerFacts(_Catalog):
    """One database. ``time_zone`` is what a session gets that asks for none."""

    time_zone: str

    @property
    def unusable(self) -> str | None:
        """Why the schema can't live here, None when it can."""
        return _why_unusable(self.version, self.version_number, self.encoding)

    @property
    def warning(self) -> str | None:
        """What may be wrong with its indexes or goes wrong in time, None when nothing is known."""
        found = []
        if self.collation_version != self.library_version:
            found.append(
                f"text was sorted by version {self.collation_version} of {self.collation} and the "
                f"system has {self.library_version}: indexes on text may miss rows"
            )
        off = [name for name in ("autovacuum", "track_counts") if getattr(self, name) != "on"]
        if off:
            found.append(
                f"{' and '.join(off)} of the server is off: nothing is vacuumed or analysed when "
                "it needs it, and what depends on counters of rows and scans is not known"
            )
        return "; ".join(found) or None

    def as_dict(self) -> dict[str, str]:
        return {field.name: str(getattr(self, field.name) or "") for field in fields(self)}


def server_facts(connection: Connection) -> ServerFacts:
    """Read the facts of the connection's database."""
    with connection.cursor(row_factory=class_row(_Catalog)) as cursor:
        catalog = one_row(cursor.execute(statement("schema/server_facts")))
    values = {field.name: getattr(catalog, field.name) for field in fields(catalog)}
    return ServerFacts(**values, time_zone=_default_time_zone(connection))


def require_usable(facts: ServerFacts) -> None:
    """Raise an OpsError where the schema can't live."""
    if facts.unusable is not None:
        raise OpsError(
            "database",
            cause=facts.unusable,
            next_step="create it on PostgreSQL 16 with ENCODING 'UTF8'",
        )


def require_usable_database(connection: Connection) -> None:
    """Refuse a database that the schema can't live in, before anything is written to it."""
    with connection.cursor(row_factory=class_row(_Fitness)) as cursor:
        found = one_row(cursor.execute(statement("schema/fitness")))
    name = f"database {connection.info.dbname}"
    if found.is_replica:
        raise Refused(
            name,
            cause="its server is a replica, and takes no writes",
            next_step="let FT_DATABASE_URL name the primary",
        )
    unusable = _why_unusable(found.version, found.version_number, found.encoding)
    if unusable is not None:
        raise Refused(
            name, cause=unusable, next_step="create it on PostgreSQL 16 with ENCODING 'UTF8'"
        )
    planted = strangers_objects(connection)
    if planted:
        raise Refused(
            name,
            cause=f"what others have made would be taken for ours: {named(planted)}",
            next_step=STRANGERS_NEXT_STEP,
        )
    if found.is_dagsters:
        raise Refused(
            name,
            cause="it is Dagster's own: it holds its runs and events, or belongs to ft_dagster",
            next_step="let FT_DATABASE_URL name the application's database, and "
            "FT_DAGSTER_DATABASE_URL this one",
        )
    if found.is_new and (found.is_superuser or found.role != found.owner):
        why = "is a superuser" if found.is_superuser else f"does not own it, {found.owner} does"
        raise Refused(
            name,
            cause=f"{found.role} {why}; what the migrations make has to belong to the role that "
            "owns the database, as which the jobs run",
            next_step="let FT_DATABASE_URL name ft_ops, to whom sql/roles/bootstrap.sql gives the "
            "database",
        )


def _why_unusable(version: str, version_number: int, encoding: str) -> str | None:
    if version_number < OLDEST_VERSION:
        return f"PostgreSQL {version} has no views that run as their reader: 15 or newer"
    if encoding != "UTF8":
        return f"its encoding is {encoding}, and the families' texts need UTF8"
    return None


def _default_time_zone(connection: Connection) -> str:
    # Ours is pinned to UTC: only a session without our settings shows what others get.
    parameters = connection.info.get_parameters()
    plain = conninfo.make_conninfo(
        **{**parameters, "password": connection.info.password, "options": ""}
    )
    with psycopg.connect(plain, autocommit=True) as other:
        return other.info.parameter_status("TimeZone") or "unknown"
