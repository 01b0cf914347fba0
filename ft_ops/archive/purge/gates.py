"""Whether a month may leave the database: every condition, each on its own.

What follows from all of them is `PurgePlan.decision` in `purge.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ft_ops.archive.claims.claim import require_folder
from ft_ops.archive.copies.compare import listed, missing_from_second
from ft_ops.archive.hold.holds import LegalHold, holds_on
from ft_ops.archive.month.catalog import (
    obstacles,
    other_references,
    read_content,
)
from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import month_source, month_table
from ft_ops.archive.month.relation import dependents
from ft_ops.archive.month.source import has_rows_of
from ft_ops.archive.month.states import TO_PURGE
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.move.preflight import due_on
from ft_ops.archive.recorded.removal import can_be_recorded, is_recorded
from ft_ops.archive.run import ArchiveRules, Run
from ft_ops.archive.store.presence import missing_from
from ft_ops.backups import newest_verified_backup
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition, whether it holds, and why or why not."""

    name: str
    passed: bool
    detail: str


def purge_gates(run: Run, generation: Generation) -> list[Gate]:
    """Every gate; the rows themselves are compared one by one when all of these are open.

    All are evaluated, so that a person sees everything that is in the way at once.
    """
    now = run.clock()
    return [
        _enabled(run.rules),
        _still_due(generation.month, run.rules, now),
        _proven(generation),
        _past_grace(generation, run.rules, now),
        _not_held(run.connection, generation.month),
        _not_asked_back(run.connection, generation.month),
        _backed_up(run.connection, generation),
        *_archivable(run.connection, generation),
        _of_this_database(run),
        _recorded(run, generation),
        *_stored(run.bucket, generation),
        *_copied(run, generation),
    ]


def audit_gates(run: Run, generation: Generation, holds: Sequence[LegalHold]) -> list[Gate]:
    """Every gate before a month of the audit log leaves, of which ``holds`` hold rows."""
    now = run.clock()
    return [
        _enabled(run.rules),
        _still_due(generation.month, run.rules, now),
        _proven(generation),
        _past_grace(generation, run.rules, now),
        Gate("legal holds", not holds, "; ".join(map(str, holds)) or "none"),
        _backed_up(run.connection, generation),
        _of_this_database(run),
        _recorded(run, generation),
        *_stored(run.bucket, generation),
        *_copied(run, generation),
    ]


def refreeze_gates(run: Run, generations: Sequence[Generation]) -> list[Gate]:
    """Every gate before a thawed month is removed again, whose archive is still its proof."""
    month = generations[-1].month
    return [
        _enabled(run.rules),
        _still_due(month, run.rules, run.clock()),
        _not_held(run.connection, month),
        *_archivable(run.connection, generations[-1]),
        _of_this_database(run),
        *(_stands(generation) for generation in generations),
        *(_recorded(run, generation) for generation in generations),
        *(gate for generation in generations for gate in _stored(run.bucket, generation)),
    ]


def _stands(generation: Generation) -> Gate:
    """What another generation has replaced is a proof of nothing: its objects go, or have gone."""
    stands = generation.state != "superseded"
    detail = "is in the archive" if stands else "was replaced since: what it brought back stays"
    return Gate("archive stands", stands, f"{generation.name} {detail}")


def _enabled(rules: ArchiveRules) -> Gate:
    is_enabled = rules.purge_enabled
    detail = f"FT_PURGE_ENABLED is {'true' if is_enabled else 'not set to true'}"
    return Gate("enabled", is_enabled, detail)


def _still_due(month: Month, rules: ArchiveRules, now: datetime) -> Gate:
    """Asked again: whoever raises FT_RETENTION_YEARS means the months that were archived, too."""
    due = due_on(month, rules.retention_years)
    return Gate(
        "still due",
        due <= now,
        f"due since {due:%Y-%m-%d}"
        if due <= now
        else f"not before {due:%Y-%m-%d}, by {rules.retention_setting}={rules.retention_years}",
    )


def _proven(generation: Generation) -> Gate:
    passed = generation.state in TO_PURGE and generation.certificate is not None
    return Gate("proven and frozen", passed, f"{generation.name} is {generation.state}")


def grace_ends(generation: Generation, rules: ArchiveRules) -> datetime | None:
    """The moment from which on the grace is no reason to wait; None before the proof."""
    return None if generation.proven_at is None else generation.proven_at + rules.grace


def _past_grace(generation: Generation, rules: ArchiveRules, now: datetime) -> Gate:
    until = grace_ends(generation, rules)
    if until is None:
        return Gate("grace", False, "there is no proof whose grace could have passed")
    return Gate("grace", now >= until, f"until {until:%Y-%m-%d %H:%M} UTC")


def _not_held(connection: Connection, month: Month) -> Gate:
    holds = holds_on(connection, month)
    detail = "; ".join(str(hold) for hold in holds) or "none"
    return Gate("legal holds", not holds, detail)


def _not_asked_back(connection: Connection, month: Month) -> Gate:
    """A thaw fills the month's table, and an erasure rewrites what is archived of it."""
    thaw = open_thaw(connection, month)
    detail = "none" if thaw is None else f"{thaw.name} is {thaw.state}"
    return Gate("thaws and erasures under way", thaw is None, detail)


def _archivable(connection: Connection, generation: Generation) -> Iterator[Gate]:
    """Nothing that the deletion of a key would take, change or meet is unknown to the archive."""
    name = "tables of content"
    found = [f"{obstacle}: {obstacle.next_step}" for obstacle in obstacles(connection)]
    found += [
        f"{dependent}: drop it, or let it read {ARCHIVED}"
        for dependent in dependents(connection, month_table(connection, generation))
    ]
    content = read_content(connection)
    source = month_source(connection, generation, content)
    found += [
        str(other)
        for other in other_references(connection, content)
        if has_rows_of(connection, other.table, source)
    ]
    if found:
        yield from (Gate(name, False, detail) for detail in found)
    else:
        yield Gate(name, True, ", ".join(content.names))


def _backed_up(connection: Connection, generation: Generation) -> Gate:
    name = "verified backup younger than the proof"
    backup = newest_verified_backup(connection)
    if backup is None:
        return Gate(name, False, "no backup was ever restored and verified")
    detail = f"{backup.name} was restored to {backup.restored_to:%Y-%m-%d %H:%M:%S} UTC"
    passed = generation.proven_at is not None and backup.restored_to > generation.proven_at
    return Gate(name, passed, detail)


def _of_this_database(run: Run) -> Gate:
    """No other database writes into this archive's folder: it might remove what this one needs."""
    name = "one database for the archive"
    try:
        require_folder(run.folder)
    except OpsError as error:
        return Gate(name, False, f"{error.cause}. {error.next_step}")
    return Gate(name, True, "no other has claimed it")


def _recorded(run: Run, generation: Generation) -> Gate:
    """Without its record in the bucket nobody would find its rows once this database is lost."""
    name = "record in the bucket"
    try:
        is_there = is_recorded(run, generation)
    except OpsError as error:
        return Gate(name, False, str(error))
    if is_there:
        return Gate(name, True, f"{generation.name} can be adopted from it")
    if can_be_recorded(generation):
        return Gate(name, True, f"none yet of {generation.name}: it is written before any row goes")
    return Gate(name, False, f"there is none of {generation.name}, which is {generation.state}")


def _stored(bucket: Bucket, generation: Generation) -> Iterator[Gate]:
    problems = list(missing_from(bucket, generation))
    for problem in problems:
        yield Gate("objects and manifest", False, problem)
    if not problems:
        objects = len(generation.objects)
        yield Gate("objects and manifest", True, f"all {objects} are there, as the ledger says")


def _copied(run: Run, generation: Generation) -> Iterator[Gate]:
    """The second copy, where there is to be one: afterwards the bucket has the only rows."""
    name = "second copy"
    if run.target.open_second is None:
        return
    try:
        second = run.target.open_second()
        problems = list(missing_from_second(second, generation, listed(second, generation)))
    except OpsError as error:
        problems = [str(error)]
    for problem in problems:
        yield Gate(name, False, problem)
    if not problems:
        yield Gate(name, True, f"all {len(generation.objects)} are in the second bucket, too")
