"""The specification's extensions: installed where the server has them, reported where not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

SPECIFIED = ("timescaledb", "uuid-ossp", "vector")


@dataclass(frozen=True, slots=True)
class ExtensionOutcome:
    """One extension after `install_extensions`.

    ``version`` is None unless it is installed; ``reason`` is the server's word of a refusal.
    """

    name: str
    state: Literal["installed", "not offered", "not preloaded", "refused"]
    version: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.name} is {self.state}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class _Offer:
    name: str
    default_version: str | None
    installed_version: str | None
    is_loadable: bool


def install_extensions(
    connection: Connection, *, required: Collection[str] = frozenset()
) -> list[ExtensionOutcome]:
    """Create what can be created; one outcome an extension, by name.

    An OpsError names those of ``required`` that are missing afterwards. TimescaleDB is never
    created without being preloaded: CREATE EXTENSION would end the session.
    """
    names = sorted({*SPECIFIED, *required})
    with connection.cursor(row_factory=class_row(_Offer)) as cursor:
        offers = cursor.execute(statement("schema/extensions"), {"names": names}).fetchall()
    outcomes = [_install(connection, offer) for offer in offers]
    missing = [o for o in outcomes if o.name in required and o.state != "installed"]
    if missing:
        raise OpsError(
            "extensions",
            cause="; ".join(map(str, missing)),
            next_step="install them on the server (an administrator runs "
            "sql/roles/bootstrap.sql), or take them out of FT_REQUIRE_EXTENSIONS",
        )
    return outcomes


def _install(connection: Connection, offer: _Offer) -> ExtensionOutcome:
    if offer.installed_version is not None:
        return ExtensionOutcome(offer.name, "installed", offer.installed_version)
    if offer.default_version is None:
        return ExtensionOutcome(offer.name, "not offered")
    if not offer.is_loadable:
        return ExtensionOutcome(offer.name, "not preloaded")
    try:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(offer.name))
        )
    except psycopg.Error as error:
        if connection.broken:
            raise OpsError(
                f"extension {offer.name}",
                cause=str(error).strip(),
                next_step="read the server's log: CREATE EXTENSION ended the session",
            ) from error
        # Not fatal: the schema works without it, and the outcome says what the server said.
        return ExtensionOutcome(offer.name, "refused", reason=str(error).splitlines()[0])
    return ExtensionOutcome(offer.name, "installed", offer.default_version)
