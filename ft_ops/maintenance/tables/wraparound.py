"""How near transaction and multixact ids are to the age at which the server acts by force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

WARN_SHARE: Final = 0.75
FAIL_SHARE: Final = 1.0
"""Above it autovacuum should have frozen the table and has not."""


@dataclass(frozen=True, slots=True)
class Age:
    """A table or database: the ages of its oldest ids, and their shares of the limit."""

    name: str
    transaction_age: int
    multixact_age: int
    transaction_share: float
    multixact_share: float

    @property
    def share(self) -> float:
        return max(self.transaction_share, self.multixact_share)


@dataclass(frozen=True, slots=True)
class Wraparound:
    """Every database and the 20 oldest tables of this one, oldest first; and who holds them."""

    databases: tuple[Age, ...]
    tables: tuple[Age, ...]
    holders: tuple[str, ...]

    @property
    def share(self) -> float:
        return max((age.share for age in (*self.databases, *self.tables)), default=0.0)

    @property
    def level(self) -> Literal["fine", "warn", "fail"]:
        if self.share > FAIL_SHARE:
            return "fail"
        return "warn" if self.share >= WARN_SHARE else "fine"


def wraparound(connection: Connection) -> Wraparound:
    """Read the ages: milliseconds, catalogs only."""
    with connection.cursor(row_factory=class_row(Age)) as cursor:
        databases = cursor.execute(statement("maintenance/database_ages")).fetchall()
        tables = cursor.execute(statement("maintenance/table_ages")).fetchall()
    holders = connection.execute(
        statement("maintenance/xmin_holders"), {"database": None}
    ).fetchall()
    return Wraparound(
        databases=tuple(databases),
        tables=tuple(tables),
        holders=tuple(f"{holder}, {age:,} transactions old" for holder, age in holders),
    )
