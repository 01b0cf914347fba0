"""Who keeps dead rows from being removed and ids from being frozen, and what makes him let go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

LONG_SECONDS: Final = 3600.0
_IDS: Final = 1 << 32
_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class HorizonHolder:
    """Whoever holds the horizon of a ``database``, None for all of them, at a transaction ``xid``.

    ``age`` is in transactions. ``of_catalogs``: it holds nothing but catalogs. ``seconds`` is for
    how long; None of a replica and a slot, which do not tell.
    """

    name: str
    remedy: str
    database: str | None
    of_catalogs: bool
    age: int
    xid: int
    seconds: float | None

    def __str__(self) -> str:
        return f"{self.name}, {self.age:,} transactions old"

    @property
    def is_long(self) -> bool:
        """Whether it may have been there for an hour."""
        return self.seconds is None or self.seconds >= LONG_SECONDS

    def holds(self, database: str | None, *, catalogs: bool) -> bool:
        """Whether tables of a database, or shared ones, are held; ``catalogs`` or others."""
        in_reach = database is None or self.database in {None, database}
        return in_reach and (catalogs or not self.of_catalogs)

    def is_at_or_before(self, cutoff: int) -> bool:
        """Whether a vacuum that stopped at an id could not get beyond this one. Ids go round."""
        return (cutoff - self.xid) % _IDS < _IDS // 2


def horizon_holders(connection: Connection) -> list[HorizonHolder]:
    """Everybody, those whose id others merely repeat before these, then the oldest first."""
    with connection.cursor(row_factory=class_row(HorizonHolder)) as cursor:
        return cursor.execute(statement("maintenance/horizon_holders")).fetchall()


def in_words(holders: Iterable[HorizonHolder]) -> str:
    """The first of them, and how many more there are."""
    found = list(dict.fromkeys(map(str, holders)))
    more = [f"{len(found) - _TOLD} more"] if len(found) > _TOLD else []
    return "; ".join([*found[:_TOLD], *more])
