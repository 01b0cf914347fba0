"""Rehearses the step of a recovery that lets nobody back in: on a copy that was restored.

Every drill does it in its own copy, once that is proven. Such a copy is mostly younger than the
newest erasure, so that nobody is in it who could stay; once a week a backup from before is taken.

The bucket's tombstones are applied to the copy as `ft-ops archive adopt --apply` applies them to a
recovered database, and then every table is asked for what they name. It says nothing about the
backup: that the erased are in one that was taken before is how it must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ft_ops.archive.keep.erased import apply_events
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.recorded.records import Event, Records, read_records
from ft_ops.archive.run import ArchiveTarget, Run
from ft_ops.backups import Aftermath, NextStep, ProvenCopy, oldest_point
from ft_ops.errors import OpsError, explained
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import load_migrations, migration_states, run_migrations

LONGEST_WITHOUT_REHEARSAL: Final = timedelta(days=15)
"""Two weekly runs, and a day."""

_NEXT: Final = "see the runbook on erasures_survive_a_restore"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What became of the erased in a restored copy.

    ``tombstones`` were applied, ``deleted`` says what was there and went, ``left`` counts by table
    what they name and is there all the same. ``newest`` is the moment of the newest tombstone: what
    was erased later, nobody has rehearsed.
    """

    verdict: Literal["proven", "refuted", "unknown"]
    tombstones: int
    newest: datetime | None
    deleted: int
    left: Mapping[str, int]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class KeptRehearsal:
    """The last rehearsal, and the point in whose copy it was held."""

    point: str
    point_at: datetime
    held_at: datetime
    found: Rehearsed


@dataclass(frozen=True, slots=True)
class Rehearsals:
    """The ``newest`` rehearsal of all, and the newest ``telling`` one.

    One tells something if it was refuted, or held in a copy from before the newest tombstone. Only
    another telling one answers a refutation: in a younger copy there is nobody who could stay.
    """

    newest: KeptRehearsal | None
    telling: KeptRehearsal | None


def record_rehearsal(
    connection: Connection, point: str, point_at: datetime, found: Rehearsed, run_id: str
) -> None:
    """Keep how a rehearsal ended."""
    connection.execute(
        statement("archive/record_rehearsal"),
        {
            **asdict(found),
            "left": Jsonb(dict(found.left)),
            "point": point,
            "point_at": point_at,
            "run_id": run_id,
        },
    )


def newest_rehearsals(connection: Connection) -> Rehearsals:
    """The last rehearsal, and the last that tells something."""
    newest, telling = (
        _kept(connection.execute(statement("archive/newest_rehearsal"), {"telling": only}))
        for only in (False, True)
    )
    return Rehearsals(newest, telling)


def _kept(rows: psycopg.Cursor[tuple[Any, ...]]) -> KeptRehearsal | None:
    row = rows.fetchone()
    if row is None:
        return None
    point, point_at, held_at, *found = row
    return KeptRehearsal(point, point_at, held_at, Rehearsed(*found))


def newest_erasure(connection: Connection) -> datetime | None:
    """When something was erased last, by this database's tombstones; None if nothing was."""
    [[newest]] = connection.execute(statement("archive/newest_erasure")).fetchall()
    found: datetime | None = newest
    return found


def rehearse_erasures(copy: Connection, target: ArchiveTarget) -> Rehearsed:
    """Apply the bucket's tombstones to a copy, and look for what they name in every table.

    An error is *unknown*, and says why; what is still there is *refuted*. Migrations that the copy
    lacks are applied first, as a recovery does. Everything happens in the copy.
    """
    records: Records | None = None
    try:
        with explained("erasures in a restored copy"):
            records = read_records(target)
            if records.unread_events:
                raise OpsError(
                    "tombstones",
                    cause="; ".join(map(str, records.unread_events)),
                    next_step="see the runbook on check_archive_records",
                )
            copy.execute("SET default_transaction_read_only = off")
            return _rehearsed(copy, records.events)
    except OpsError as error:
        erased = _erasures(records.events) if records else []
        return Rehearsed("unknown", len(erased), _newest(erased), 0, {}, str(error))


def weaknesses_of(
    erased: datetime | None, oldest: datetime | None, held: Rehearsals, now: datetime
) -> list[str]:
    """Why it is not known that an erasure survives a restore, in words; empty if it is known.

    An erasure of the last fortnight need not be rehearsed yet, unless a rehearsal failed. While a
    backup from before it is kept (``oldest`` is the oldest point), only a telling one counts.
    """
    failed = {
        f"the rehearsal on a copy of {kept.point} ended {kept.found.verdict}: {_said(kept.found)}"
        for kept in (held.newest, held.telling)
        if kept is not None and kept.found.verdict != "proven"
    }
    if failed or erased is None or now - erased <= LONGEST_WITHOUT_REHEARSAL:
        return sorted(failed)
    counts = held.telling if oldest is not None and oldest <= erased else held.newest
    if counts is None:
        return ["no restored copy was ever asked for what was erased"]
    if now - counts.held_at > LONGEST_WITHOUT_REHEARSAL:
        return [f"the last rehearsal was held {(now - counts.held_at).days} days ago"]
    return []


def point_to_rehearse(connection: Connection) -> str:
    """When something was erased last; a backup from before has it. Empty if there is neither."""
    newest = newest_erasure(connection)
    oldest = oldest_point(connection)
    return newest.isoformat() if newest and oldest and oldest <= newest else ""


def unproven(found: Rehearsed, point: str) -> OpsError | None:
    """What is wrong unless the erased stayed out of a copy."""
    if found.verdict == "proven":
        return None
    return OpsError(
        f"erasures in a copy of {point}",
        cause=f"{found.verdict}: {_said(found)}",
        next_step=_NEXT,
    )


def rehearsal_in_drill(run: Run) -> NextStep:
    """The rehearsal as a step of a drill, which records what became of it."""

    def rehearse(copy: ProvenCopy) -> Aftermath:
        try:
            with explained("the drill's copy"), copy.open() as connection:
                found = rehearse_erasures(connection, run.target)
        except OpsError as error:
            found = Rehearsed("unknown", 0, None, 0, {}, str(error))
        with explained(f"rehearsal on a copy of {copy.point}"):
            record_rehearsal(run.connection, copy.point, copy.at, found, run.run_id)
        words = f"{found.verdict}: {found.tombstones:,} tombstones, {found.deleted:,} deleted again"
        return Aftermath(f"erasures in the copy: {words}", unproven(found, copy.point))

    return rehearse


def _said(found: Rehearsed) -> str:
    left = ", ".join(f"{rows} rows of {name}" for name, rows in found.left.items())
    return "; ".join(filter(None, (left, found.problem)))


def _rehearsed(copy: Connection, events: tuple[Event, ...]) -> Rehearsed:
    migrations = load_migrations()
    if any(state.state == "pending" for state in migration_states(copy, migrations)):
        run_migrations(copy, migrations)
    applied = apply_events(copy, events, are_all=True, apply=True)
    left = erased_rows_left(copy)
    erased = _erasures(events)
    # A deletion that failed, and whose rows are gone all the same, is not understood.
    unhindered: Literal["proven", "unknown"] = "unknown" if applied.erased.failed else "proven"
    return Rehearsed(
        verdict="refuted" if left else unhindered,
        tombstones=len(erased),
        newest=_newest(erased),
        deleted=len(applied.erased.done),
        left=left,
        problem="; ".join(map(str, applied.erased.failed)),
    )


def erased_rows_left(connection: Connection) -> dict[str, int]:
    """By table, rows that a tombstone names or that belong to what one names; empty if none."""
    found: dict[str, int] = dict(
        connection.execute(statement("archive/erased_rows_left")).fetchall()
    )
    for table in read_content(connection).belongings:
        for maker in table.makers:
            query = statement("archive/rows_by_erased").format(
                rows=table.identifier, maker=sql.Identifier("c", maker)
            )
            [[rows]] = connection.execute(query).fetchall()
            found[table.name] = found.get(table.name, 0) + rows
    return {name: rows for name, rows in found.items() if rows}


def _erasures(events: tuple[Event, ...]) -> list[Event]:
    return [event for event in events if event.kind in {"erasure", "erased_row"}]


def _newest(erased: list[Event]) -> datetime | None:
    moments = (datetime.fromisoformat(event.record["erased_at"]) for event in erased)
    return max(moments, default=None)
