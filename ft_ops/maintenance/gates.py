"""What must be true before an index or a table is written anew, so that nobody suffers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ft_ops.backups import ProvidedStorage
from ft_ops.errors import OpsError
from ft_ops.pg.application import replica_lag
from ft_ops.pg.connect import Connection
from ft_ops.pg.disk import LOG, server_files, volume_here, volumes
from ft_ops.pg.sqlfiles import statement

_FREE_FACTOR: Final = 2

FreeDisk = Callable[[Connection], int | None]
"""How many bytes the server's volume has left; None when that can't be told."""


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
    """The limits: seconds of an open snapshot, bytes of lag, and where free disk is read.

    ``other_volumes``: the sizes of tablespaces, or of pg_wal, that are not on the server's volume.
    """

    longest_snapshot_seconds: float
    max_lag_bytes: int
    free_disk: FreeDisk
    other_volumes: Mapping[str, int] = field(default_factory=dict)


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


def free_disk_here(connection: Connection) -> int | None:
    """Free bytes of the data directory's volume, of a server on this machine."""
    here = volume_here(connection)
    return None if here is None else here[1]


def free_disk_of(volume_bytes: int, others: Mapping[str, int] | None = None) -> FreeDisk:
    """Free bytes of a volume that holds the server's files and nothing else.

    ``others`` are the tablespaces, or pg_wal, that have a volume of their own.
    """

    def free(connection: Connection) -> int | None:
        main, *_ = volumes(server_files(connection), volume_bytes, others or {})
        return volume_bytes - main.used_bytes

    return free


def free_disk_provided(ask: Callable[[], ProvidedStorage | None]) -> FreeDisk:
    """Free bytes of the volume that a provider tells of; of this machine's where it tells of none.

    What it would enlarge the volume to is not counted: that takes it minutes, and happens once in
    hours.
    """

    def free(connection: Connection) -> int | None:
        provided = ask()
        if provided is None:
            return free_disk_here(connection)
        others = {} if provided.log_bytes is None else {LOG: provided.log_bytes}
        return free_disk_of(provided.allocated_bytes, others)(connection)

    return free


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
    needed = _FREE_FACTOR * rewrite.new_bytes
    spaces = {
        name
        for (name,) in connection.execute(
            statement("maintenance/tablespaces_of"), {"table": rewrite.table_oid}
        )
    }
    # The first is the server's own; what is named and not there is no volume.
    _, *others = volumes(server_files(connection), None, gates.other_volumes)
    problems = []
    if spaces - {volume.name for volume in others}:
        try:
            free = gates.free_disk(connection)
        except OpsError as error:
            return [f"free disk unknown: {error}"]
        if free is None:
            return [
                "free disk unknown: set FT_DATABASE_VOLUME_GB to the size of the server's volume"
            ]
        if free < needed:
            problems.append(f"{free:,} bytes of disk free, {needed:,} needed")
    for volume in others:
        # What is written goes through the log first.
        if volume.name in spaces or volume.name == LOG:
            free = gates.other_volumes[volume.name] - volume.used_bytes
            if free < needed:
                problems.append(
                    f"{free:,} bytes free on the volume of {volume.name}, {needed:,} needed"
                )
    return problems


def _lag(connection: Connection, gates: Gates) -> list[str]:
    behind = replica_lag(connection).bytes
    if behind > gates.max_lag_bytes:
        return [f"a replica is {behind:,} bytes behind, limit {gates.max_lag_bytes:,}"]
    return []
