"""Sessions on a restored copy: of its checks, and of what is done in it once it is proven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from psycopg import sql

from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import RestoredCopy
from ft_ops.errors import OpsError
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


@dataclass(frozen=True, slots=True)
class ProvenCopy:
    """The copy of a drill whose checks have passed: open to be changed, and about to go.

    Everything that was committed before ``at`` is in it.
    """

    point: str
    at: datetime
    open: Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What came of another step in a proven copy, in words; ``problem`` where it was not well.

    It says nothing about the backup: the drill's verdict is what it was.
    """

    words: str
    problem: OpsError | None = None


NextStep: TypeAlias = Callable[[ProvenCopy], Aftermath]
"""What is done in a copy once it is proven. What it raises fails the run, and not the drill."""


def connect_to_copy(url: str) -> Connection:
    """A session of a check, which ends though what it reads is damaged."""
    return connect(url, application="drill", settings=_SETTINGS)


def proven_copy(copy: RestoredCopy, point: RestorePoint) -> ProvenCopy:
    """The copy of a drill, once every check has passed."""

    @contextmanager
    def opened() -> Iterator[Connection]:
        with copy.reopened() as url, closing(connect_to_copy(url)) as connection:
            yield connection

    return ProvenCopy(point.name, point.at, opened)


def from_catalog(text: str) -> sql.SQL:
    """SQL that the server itself deparsed: never input."""
    return sql.SQL(text)
