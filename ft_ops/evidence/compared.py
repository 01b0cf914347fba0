"""Compares the audit log with the chain: neither may know of an act that the other does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from ft_ops.archive import archived_audit_months
from ft_ops.evidence.acts import is_entry_of, rows_since
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

LATE: Final = timedelta(days=2)
"""Two runs of the daily job: an act that is older and in no link is missed."""

_PROBED: Final = 1_000

Entry = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChainComparison:
    """What the two say of each other, from ``since`` on.

    ``gone`` and ``changed``: links tell of these acts, and the audit log has no such row, or
    another one. ``unchained``: in the audit log for longer than `LATE`, and in no link.
    ``archived``: gone from the database with their months, which are in the archive.
    """

    since: datetime
    compared: int
    archived: int
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    unchained: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not (self.gone or self.changed or self.unchained)


def compare(
    connection: Connection, entries: Sequence[Entry], since: datetime, now: datetime
) -> ChainComparison:
    """Hold the entries of a verified chain against the audit log, from ``since`` on.

    Costs one reading of the operations' rows since then; nothing is written.
    """
    told = {
        (str(entry["id"]), str(entry["at"])): entry
        for entry in entries
        if datetime.fromisoformat(str(entry["at"])) >= since
    }
    # A month that leaves or comes back meanwhile is one of the archive's before or after.
    away = archived_audit_months(connection)
    rows = {(str(row.id), _moment(row.created_at)): row for row in rows_since(connection, since)}
    away |= archived_audit_months(connection)
    missing = [entry for key, entry in told.items() if key not in rows]
    archived = [entry for entry in missing if _month(entry) in away]
    unexplained = [entry for entry in missing if _month(entry) not in away]
    elsewhere = _elsewhere(connection, unexplained[:_PROBED])
    changed = [entry for entry in unexplained if str(entry["id"]) in elsewhere]
    changed += [
        entry for key, entry in told.items() if key in rows and not is_entry_of(entry, rows[key])
    ]
    return ChainComparison(
        since=since,
        compared=len(told),
        archived=len(archived),
        gone=tuple(_named(entry) for entry in unexplained if str(entry["id"]) not in elsewhere),
        changed=tuple(map(_named, changed)),
        unchained=tuple(
            f"{row.action} of {at} ({row.id})"
            for (key, at), row in rows.items()
            if (key, at) not in told and row.created_at < now - LATE
        ),
    )


def _elsewhere(connection: Connection, entries: Sequence[Entry]) -> set[str]:
    ids = [UUID(str(entry["id"])) for entry in entries]
    if not ids:
        return set()
    rows = connection.execute(statement("evidence/rows_elsewhere"), {"ids": ids})
    return {str(key) for (key,) in rows}


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _month(entry: Entry) -> Month:
    at = datetime.fromisoformat(str(entry["at"])).astimezone(UTC)
    return Month(at.year, at.month)


def _named(entry: Entry) -> str:
    return f"{entry['action']} of {entry['at']} ({entry['id']})"
