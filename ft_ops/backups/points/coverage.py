"""What no drill can compare, because no point of late knows what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ft_ops.backups.points.points import RestorePoint
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

POINTS: Final = 8
"""How many of the newest points are looked at: those of some two days."""

WITHOUT_CHECKSUMS: Final = (
    "the server has no data checksums, so a flipped bit is found only where a row or an index "
    "differs: stop the server and run pg_checksums --enable"
)
"""What to do about a cluster that initdb made without them: PostgreSQL's default before 18."""


def newest_points(connection: Connection) -> list[RestorePoint]:
    """The newest points of backups that count, newest first."""
    rows = connection.execute(statement("backups/newest_points"), {"limit": POINTS}).fetchall()
    return [RestorePoint.from_json(row[0]) for row in rows]


def never_compared(points: Sequence[RestorePoint]) -> tuple[str, ...]:
    """What none of ``points``, newest first, lets a drill compare, in sentences."""
    if not points:
        return ()
    found = uncompared(points[0])
    for point in points[1:]:
        others = uncompared(point)
        found = {name: why for name, why in found.items() if name in others}
    said = [f"{name}: {why}" for name, why in sorted(found.items())]
    if points[0].has_checksums is False:
        said.append(WITHOUT_CHECKSUMS)
    return tuple(said)


def uncompared(point: RestorePoint) -> dict[str, str]:
    """What one point does not know, with why. A table that is known in part is compared."""
    found = dict(point.unread)
    for name in point.changing:
        parts = point.parts.get(name)
        if parts is None or not parts.parts:
            found.setdefault(name, "rows of every part of it were changed in that very moment")
    for name in point.unlogged:
        found[name] = "it is UNLOGGED: no backup holds its rows. ALTER TABLE … SET LOGGED"
    return found
