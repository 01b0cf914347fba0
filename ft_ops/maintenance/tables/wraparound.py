"""How near transaction and multixact ids are to the age at which the server acts by force.

Tables of the application and the operations are frozen by the weekly vacuum at half of that age.
The server's catalogs, and whole databases with them, live at up to all of it by design: autovacuum
freezes them when they get there, and comes to databases that let nobody else in, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg.rows import class_row

from ft_ops.maintenance.tables.horizon import HorizonHolder, horizon_holders
from ft_ops.maintenance.tables.limits import with_settings
from ft_ops.maintenance.tables.need import FREEZE_SHARE
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

Level = Literal["fine", "warn", "fail"]

WARN_SHARE: Final = 0.75
FAIL_SHARE: Final = 1.0
"""Of the age that forces a freeze, for a table of ours: the weekly vacuum should have frozen it."""

SERVERS_WARN_SHARE: Final = 1.1
SERVERS_FAIL_SHARE: Final = 1.5
"""For what is autovacuum's: it begins at 1, and needs its time."""

_LEVELS: Final[tuple[Level, ...]] = ("fine", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Age:
    """A table or database: the ages of its oldest ids, and their shares of the limit.

    ``failsafe_share`` reaches 1 where vacuums leave all but freezing undone. ``is_open`` is false
    of a database that nobody may connect to, such as template0. ``is_shared``: a catalog of all
    databases. Only the session that made a temporary table can vacuum it.
    """

    name: str
    transaction_age: int
    multixact_age: int
    transaction_share: float
    multixact_share: float
    failsafe_share: float = 0.0
    is_ours: bool = True
    is_open: bool = True
    is_shared: bool = False
    is_temporary: bool = False

    @property
    def share(self) -> float:
        return max(self.transaction_share, self.multixact_share)

    def is_kept_by(self, holder: HorizonHolder, database: str | None) -> bool:
        """Whether it stays old as long as somebody is there who holds its database.

        Its limit is what its age is a share of. Who holds multixact ids the server does not tell.
        """
        if not holder.holds(database, catalogs=not self.is_ours):
            return False
        if self.transaction_share < self.multixact_share:
            return holder.is_long
        return holder.age * self.transaction_share > FREEZE_SHARE * self.transaction_age

    @property
    def level(self) -> Level:
        warn, fail = (
            (WARN_SHARE, FAIL_SHARE) if self.is_ours else (SERVERS_WARN_SHARE, SERVERS_FAIL_SHARE)
        )
        if self.share > fail or self.failsafe_share >= 1:
            return "fail"
        return "warn" if self.share >= warn else "fine"


@dataclass(frozen=True, slots=True)
class Wraparound:
    """Every database, and the oldest tables of this one, oldest first; and who holds them."""

    databases: tuple[Age, ...]
    tables: tuple[Age, ...]
    holders: tuple[HorizonHolder, ...]
    database: str = ""

    @property
    def share(self) -> float:
        return max((age.share for age in (*self.databases, *self.tables)), default=0.0)

    @property
    def level(self) -> Level:
        found = {age.level for age in (*self.databases, *self.tables)}
        return max(found, key=_LEVELS.index, default="fine")

    def problems(self) -> list[str]:
        """What is too old and what helps, in words; the worst first. Empty on a healthy server."""
        problems = [_words(age, "table") for age in _worst_first(self.tables)]
        problems += [_words(age, "database") for age in _worst_first(self.databases)]
        if keeper := next(filter(self._is_in_the_way, self.holders), None):
            problems.append(f"no vacuum gets beyond what is held by {keeper}: {keeper.remedy}")
        return problems

    def _is_in_the_way(self, holder: HorizonHolder) -> bool:
        tables = ((None if age.is_shared else self.database, age) for age in self.tables)
        databases = ((age.name, age) for age in self.databases)
        return any(
            age.level != "fine" and not age.is_temporary and age.is_kept_by(holder, database)
            for database, age in (*tables, *databases)
        )


def _worst_first(ages: Sequence[Age]) -> list[Age]:
    found = [age for age in ages if age.level != "fine"]
    return sorted(found, key=lambda age: (-_LEVELS.index(age.level), -age.share))


def _words(age: Age, kind: str) -> str:
    at = f"{kind} {age.name} is at {age.share:.0%} of the age that forces a freeze"
    if age.is_temporary:
        return f"{at}: it is temporary, and only its session can vacuum it: end that session"
    if age.is_open:
        return f"{at}: launch vacuum_emergency"
    return f"{at}: nobody may connect to it, so autovacuum has to: see whether it is on"


def wraparound(connection: Connection) -> Wraparound:
    """Read the ages: milliseconds, catalogs only."""
    with connection.cursor(row_factory=class_row(Age)) as cursor:
        databases = cursor.execute(statement("maintenance/database_ages")).fetchall()
        tables = cursor.execute(with_settings("maintenance/table_ages")).fetchall()
    return Wraparound(
        databases=tuple(databases),
        tables=tuple(tables),
        holders=tuple(horizon_holders(connection)),
        database=connection.info.dbname,
    )
