"""Sessions on a restored copy, and SQL that its own catalog writes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from psycopg import sql

from ft_ops.pg.connect import Connection, connect

_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # A damaged index may lead a scan in circles.
        "statement_timeout": "2h",
        # A role or a database may be set to read only, and the planner is led by its catalog.
        "default_transaction_read_only": "off",
        # Nobody else uses a copy, so its other cores are ours: PostgreSQL's own default.
        "max_parallel_workers_per_gather": "2",
        # Its table is in /dev/shm, of which a container has 64 MB: an error would look like damage.
        "enable_parallel_hash": "off",
    }
)


def connect_to_copy(url: str) -> Connection:
    """A session of a check, which ends though what it reads is damaged."""
    return connect(url, application="drill", settings=_SETTINGS)


def from_catalog(text: str) -> sql.SQL:
    """SQL that the server itself deparsed: never input."""
    return sql.SQL(text)
