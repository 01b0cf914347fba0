"""Pairs of columns that the planner takes for independent, and that are not.

For `a = x AND b = y` it multiplies the two shares. Where every x comes with one y, as a town with
its country, it expects a small part of the rows that there are, and chooses a plan for few.
Statistics of both together tell it. Which pairs are asked for together is read from the indexes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.items import Worked, each
from ft_ops.maintenance.tables.settings_advice import SettingAdvice
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_LEAST_ROWS: Final = 10_000
_FAR_OFF: Final = 10.0
"""Times as many rows as the planner expects: half of an order of magnitude changes few plans."""

_KNOWN_SHARE: Final = 0.5
_LEAST_TOGETHER: Final = 5
_MOST_PAGES: Final = 3000
_WANTED_ROWS: Final = 30_000
_LONGEST_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns of a table, its pages and rows as they were last counted."""

    oid: int
    schema: str
    table_name: str
    first: str
    second: str
    pages: int
    rows: float

    def __str__(self) -> str:
        return f"{self.schema}.{self.table_name} ({self.first}, {self.second})"


def correlation_advice(
    connection: Connection, log: Callable[[str], None] = lambda line: None
) -> tuple[list[SettingAdvice], Worked[float | None]]:
    """Statistics that are worth creating; and what became of looking at each pair.

    Each pair is sampled under a lock that readers take, one after the other. One that is locked, or
    whose values can't be read, is named and hides no other.
    """
    with connection.cursor(row_factory=class_row(Pair)) as cursor:
        pairs = cursor.execute(
            statement("maintenance/column_pairs"), {"least_rows": _LEAST_ROWS}
        ).fetchall()
    by_name = {str(pair): pair for pair in pairs}
    worked = each(
        pairs,
        lambda pair: how_far_off(connection, pair),
        log=log,
        usable=lambda: not connection.broken,
    )
    found = [
        _advice(by_name[name], factor)
        for name, factor in worked.done
        if factor is not None and factor >= _FAR_OFF
    ]
    return found, worked


def how_far_off(connection: Connection, pair: Pair) -> float | None:
    """How many times as many rows a typical pair of values has as the planner expects.

    None where most values are too rare for a sample to tell.
    """
    is_small = pair.pages <= _MOST_PAGES
    percent = 100.0 if is_small else 100.0 * _MOST_PAGES / pair.pages
    share = min(1.0, _WANTED_ROWS / max(1.0, pair.rows)) if is_small else 1.0
    query = statement("maintenance/pair_counts").format(
        first=_escaped(sql.Identifier(pair.first)),
        second=_escaped(sql.Identifier(pair.second)),
        page=sql.SQL("(ctid::text::point)[0]"),
        table=_escaped(sql.Identifier(pair.schema, pair.table_name)),
    )
    rows = connection.execute(
        query,
        {
            "percent": percent,
            "share": share,
            "of_page": _WANTED_ROWS if is_small else 1,
            "least": _LEAST_TOGETHER,
        },
    ).fetchall()
    return typical_factor(rows)


def typical_factor(counts: Sequence[tuple[int, int, int, int]]) -> float | None:
    """The median over rows of how many times as often pairs come together as chance has it.

    Each is given by the number of rows that have both values, the first, the second, and of all
    rows that were seen. None when rows of rarer pairs, which are not given, are more than half.
    """
    if not counts:
        return None
    seen = counts[0][3]
    known = sum(together for together, *_ in counts)
    if known < _KNOWN_SHARE * seen:
        return None
    factors = sorted(
        (together * seen / (of_first * of_second), together)
        for together, of_first, of_second, _ in counts
    )
    passed = 0
    for factor, together in factors:
        passed += together
        if 2 * passed >= known:
            return factor
    return factors[-1][0]


def _advice(pair: Pair, factor: float) -> SettingAdvice:
    columns = sql.SQL(", ").join(map(sql.Identifier, (pair.first, pair.second)))
    table = sql.Identifier(pair.schema, pair.table_name)
    create = sql.SQL("CREATE STATISTICS {} ON {} FROM {}").format(
        sql.Identifier(pair.schema, _statistics_name(pair)), columns, table
    )
    return SettingAdvice(
        f"{pair.schema}.{pair.table_name}",
        f"statistics of {pair.first} and {pair.second}",
        f"typical values of both come together {factor:,.0f} times as often as the planner expects",
        f"{create.as_string()}; ANALYZE {table.as_string()}",
    )


def _statistics_name(pair: Pair) -> str:
    """As the server makes it, which does so from version 16 on; cut so that no two become one."""
    name = f"{pair.table_name}_{pair.first}_{pair.second}_stat"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    room = _LONGEST_NAME - len(f"_{digest}_stat")
    return f"{name.encode()[:room].decode(errors='ignore')}_{digest}_stat"


def _escaped(name: sql.Identifier) -> sql.Composable:
    """A name for use in a statement with values: it may hold a percent sign."""
    return sql.SQL(name.as_string().replace("%", "%%"))
