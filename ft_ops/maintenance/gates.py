"""What must be true before an index or a table is written anew, so that nobody suffers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ft_ops.backups import ProvidedStorage
from ft_ops.errors import OpsError
from ft_ops.pg.application import replica_lag
from ft_ops.pg.connect import Connection
from ft_ops.pg.disk import LOG, SERVER, other_volumes_here, server_files, volume_here, volumes
from ft_ops.pg.sqlfiles import statement

_FREE_FACTOR: Final = 2

FreeDisk = Callable[[Connection], Mapping[str, int]]
"""How many bytes each volume has left, by the tablespace that lies there, or `pg_wal`.

All else is on the volume of the `server`, which is left out where that can't be told.
"""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is about to be written anew: on which table, how many bytes, for how many seconds.

    ``rests_until`` is in the future when that was done too short a time ago.
    """

    table_oid: int
    new_bytes: int
    predicted_seconds: float
    rests_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gates:
    """The limits: seconds of an open snapshot, bytes of lag, and where free disk is read."""

    longest_snapshot_seconds: float
    max_lag_bytes: int
    free_disk: FreeDisk


def closed_gates(
    connection: Connection, rewrite: Rewrite, gates: Gates, seconds_left: float
) -> list[str]:
    """Why ``rewrite`` has to wait; empty when it may begin now."""
    return [
        *_rest(rewrite),
        *_window(rewrite, seconds_left),
        *_blockers(connection, rewrite, gates),
        *_disk(connection, rewrite, gates),
        *_lag(connection, gates),
    ]


def free_disk_here(sizes: Mapping[str, int] | None = None) -> FreeDisk:
    """Free bytes of every volume of a server on this machine; of one elsewhere what is known.

    ``sizes`` are those of tablespaces, or of pg_wal, that have a volume of their own.
    """

    def free(connection: Connection) -> dict[str, int]:
        known = _left(connection, None, sizes or {})
        here = volume_here(connection)
        if here is None:
            return known
        others = {name: left for name, (_, left) in other_volumes_here(connection).items()}
        # A tablespace may bear the main volume's name.
        return others | {SERVER: here[1]} | known

    return free


def free_disk_of(volume_bytes: int, sizes: Mapping[str, int] | None = None) -> FreeDisk:
    """Free bytes of a volume that holds the server's files and nothing else, and of the others."""
    return lambda connection: _left(connection, volume_bytes, sizes or {})


def free_disk_provided(
    ask: Callable[[], ProvidedStorage | None], sizes: Mapping[str, int] | None = None
) -> FreeDisk:
    """Free bytes of the volumes that a provider tells of; of this machine's where it tells of none.

    What it would enlarge the volume to is not counted: that takes it minutes, and happens once in
    hours.
    """

    def free(connection: Connection) -> Mapping[str, int]:
        provided = ask()
        if provided is None:
            return free_disk_here(sizes)(connection)
        log = {} if provided.log_bytes is None else {LOG: provided.log_bytes}
        return free_disk_of(provided.allocated_bytes, log | dict(sizes or {}))(connection)

    return free


def _left(connection: Connection, size: int | None, sizes: Mapping[str, int]) -> dict[str, int]:
    return {
        volume.name: volume.size_bytes - volume.used_bytes
        for volume in volumes(server_files(connection), size, sizes)
        if volume.size_bytes is not None
    }


def _rest(rewrite: Rewrite) -> list[str]:
    if rewrite.rests_until is None:
        return []
    return [f"it was rebuilt lately and rests until {rewrite.rests_until:%Y-%m-%d}"]


def _window(rewrite: Rewrite, seconds_left: float) -> list[str]:
    if rewrite.predicted_seconds <= seconds_left:
        return []
    needs = f"{rewrite.predicted_seconds:,.0f} s predicted"
    return [f"{needs}, {max(0.0, seconds_left):,.0f} s of the window left"]


def _blockers(connection: Connection, rewrite: Rewrite, gates: Gates) -> list[str]:
    rows = connection.execute(
        statement("maintenance/blockers"),
        {"table": rewrite.table_oid, "seconds": gates.longest_snapshot_seconds},
    ).fetchall()
    return [blocker for (blocker,) in rows]


def _disk(connection: Connection, rewrite: Rewrite, gates: Gates) -> list[str]:
    """Each volume that is written to needs room: that of files, of what is sorted, of the log."""
    needed = _FREE_FACTOR * rewrite.new_bytes
    try:
        free = gates.free_disk(connection)
    except OpsError as error:
        return [f"free disk unknown: {error}"]
    written = {
        name
        for (name,) in connection.execute(
            statement("maintenance/written_tablespaces"), {"table": rewrite.table_oid}
        )
    }
    problems = []
    for volume in sorted({name if name in free else SERVER for name in (*written, LOG)}):
        if volume not in free:
            problems.append(
                "free disk unknown: set FT_DATABASE_VOLUME_GB to the size of the server's volume"
            )
        elif free[volume] < needed:
            which = "of disk free" if volume == SERVER else f"free on the volume of {volume}"
            problems.append(f"{free[volume]:,} bytes {which}, {needed:,} needed")
    return problems


def _lag(connection: Connection, gates: Gates) -> list[str]:
    behind = replica_lag(connection).bytes
    if behind > gates.max_lag_bytes:
        return [f"a replica is {behind:,} bytes behind, limit {gates.max_lag_bytes:,}"]
    return []
