"""A plan as people read it: lines of the command, and cells of tables in the UI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ft_ops.archive import ThawEstimate
from ft_ops.format import human_bytes, human_dollars
from ft_ops.restore.plan import RestorePlan, TablePlan

STATES: Final = (
    "missing",
    "same",
    "changed",
    "conflict",
    "erased",
    "archived",
    "removed",
    "blocked",
)
COUNTS: Final = ("table", *STATES, "inserts", "overwrites", "columns of the copy alone")
_MEDIA_SHOWN: Final = 20

Row = tuple[str | int, ...]


def count_rows(plan: RestorePlan) -> Iterator[Row]:
    """One row a table, under `COUNTS`."""
    for table in plan.tables:
        states = (table.states.get(state, 0) for state in STATES)
        lost = ", ".join(table.lost_columns)
        yield (table.table, *states, table.inserts, table.overwrites, lost)


def reason_rows(plan: RestorePlan) -> Iterator[Row]:
    """Table, state, reason and number of rows that are kept out for it."""
    for table in plan.tables:
        for reason in table.reasons:
            yield table.table, reason.state, reason.why, reason.rows


def sample_rows(plan: RestorePlan) -> Iterator[Row]:
    """Table, state, key and reason of a few rows."""
    for table in plan.tables:
        for sample in table.samples:
            yield table.table, sample.state, sample.key, sample.why or ""


def deletion_rows(plan: RestorePlan) -> Iterator[Row]:
    """What was deleted, its id, when, and whether that is undone."""
    withdrawn = set(plan.withdrawn)
    for tombstone in plan.deletions:
        at = f"{tombstone.erased_at:%Y-%m-%d %H:%M:%S}Z"
        undone = "named as a mistake" if tombstone in withdrawn else "stays erased"
        yield tombstone.kind, str(tombstone.id), at, undone


def restored_lines(found: RestorePlan | ThawEstimate) -> Iterator[str]:
    """What the command prints: a plan, or what Glacier was asked for."""
    yield from plan_lines(found) if isinstance(found, RestorePlan) else asked_lines(found)


def asked_lines(asked: ThawEstimate) -> Iterator[str]:
    """What was asked for, and when to come back."""
    yield (
        f"Glacier was asked for {asked.objects} objects ({human_bytes(asked.bytes)}) by "
        f"{asked.tier}: {human_dollars(asked.dollars)}"
    )
    yield f"run this again within {asked.longest_hours:g} hours, without --ask-glacier"


def plan_lines(plan: RestorePlan) -> Iterator[str]:
    """What the command prints."""
    yield f"{plan.subject} from {plan.source}"
    for table in plan.tables:
        if any(table.states.values()):
            yield f"  {table.table}: {_states(table)}"
            for reason in table.reasons:
                yield f"    {reason.rows} {reason.state}: {reason.why}"
            if table.lost_columns:
                names = ", ".join(table.lost_columns)
                yield f"    columns of the copy alone, not restored: {names}"
    for kind, key, at, undone in deletion_rows(plan):
        yield f"  deleted {at}: {kind} {key}, {undone}"
    for name in plan.not_compared:
        yield f"  not compared: {name}"
    for url in plan.media[:_MEDIA_SHOWN]:
        yield f"  media, not restored here: {url}"
    if len(plan.media) > _MEDIA_SHOWN:
        yield f"  and {len(plan.media) - _MEDIA_SHOWN} more media"
    done = "were" if plan.applied else "would be"
    yield f"{plan.inserts} rows {done} inserted, {plan.overwrites} overwritten"
    if not plan.applied:
        yield f"nothing was changed: --apply --plan {plan.digest} does just this"


def _states(table: TablePlan) -> str:
    return ", ".join(
        f"{table.states[state]} {state}" for state in STATES if table.states.get(state)
    )
