"""Rebuilds what the database knows of its archive from the bucket alone.

For a database that was made anew, that was recovered to an earlier moment, or whose ledger is lost.
What the bucket says of a generation's objects is adopted; where its rows are is asked of this
database: a generation whose rows are not in a table of its archive is in the bucket alone, whatever
they were when it was recorded. Run again after a crash, it goes on; run twice, it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from ft_ops.archive.cancellation import give_up
from ft_ops.archive.claims.succession import succession
from ft_ops.archive.erase.held import search_unsearched
from ft_ops.archive.keep.drills import adopt_drills
from ft_ops.archive.keep.earlier import Unlike, compare_with_lists
from ft_ops.archive.keep.erased import apply_events
from ft_ops.archive.keep.identities import adopt_identities
from ft_ops.archive.keep.ledger_changes import (
    SETTLED,
    LedgerChange,
    in_archive_alone,
    is_new,
    ledger_changes,
    write_change,
)
from ft_ops.archive.keep.left import put_back_left
from ft_ops.archive.keep.moved import moves_that_count
from ft_ops.archive.keep.overtaken import overtaken
from ft_ops.archive.month.content import ARCHIVED, archived_name
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, open_archived
from ft_ops.archive.month.relation import Relation, attached_relation, named_relation
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.archive.recorded.records import GenerationRecord, Records, read_records
from ft_ops.archive.run import Run
from ft_ops.errors import Refused
from ft_ops.items import Failed, SomeFailed, each
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was changed or would be changed, line by line; and the names of what could not be.

    ``empty`` is the folder, if nothing at all is recorded there: it may be the wrong one.
    """

    changes: tuple[str, ...]
    problems: tuple[Failed, ...]
    empty: str = ""

    def refuse_problems(self) -> None:
        """An OpsError that names what could not be adopted; the rest was, or would be."""
        if self.problems:
            raise SomeFailed("adoption of the archive", len(self.changes), self.problems)


def adopt(
    run: Run, *, apply: bool, disown: Sequence[int] = (), take_over: bool = False
) -> Adoption:
    """Bring ledger, holds and tombstones of the bucket into this database.

    Without ``apply`` it only looks. One month that can't be adopted, or one record that can't be
    read, is named and does not stop the others; nothing is deleted then. The application is not to
    be let in before this has ended without a problem.

    It ends with a claim, where another database has made the last one: `succession` says when that
    needs ``take_over``, and which claims ``disown`` may name.
    """
    with only_one(run.connection, "archive records"):
        records = read_records(run.target, disown)
        following = succession(run.folder, records.claims, disown, take_over=take_over)
        if apply:
            following.refuse_problems()
        moves = moves_that_count(run.connection, run.bucket, records)
        if apply:
            moves.note(run.connection)
        applied = apply_events(
            run.connection, moves.events, are_all=not records.unread_events, apply=apply
        )
        held, read = adopt_drills(run.connection, run.bucket, run.target.prefix, apply=apply)
        lost = list(_ship_again(run.connection, records, apply=apply))
        worked = each(
            sorted({month for month, _ in records.generations} - records.unread_months.keys()),
            lambda month: _adopt_month(run, month, _of_month(records, month), apply=apply),
            name=lambda month: f"adoption of {month}",
            log=run.log,
        )
        if moves.undone:
            lost.append(
                f"{len(moves.undone)} moves of links that no archive has are undone: the links are "
                "where they were"
            )
        if held:
            lost.append(f"{held} drills of the archive are adopted")
        lost += _search(run) if apply else ()
        changes = [*applied.changes, *lost, *(line for lines in worked.results for line in lines)]
        problems = (
            *(() if apply else following.problems),
            *records.unread_events,
            *records.unread_months.values(),
            *records.foreign,
            *read.failed,
            *applied.erased.failed,
            *moves.failed,
            *worked.failed,
        )
        # Last: whoever was killed before, or met a problem, has not taken anything over.
        if following.changes and not (apply and problems):
            if apply:
                following.claim(run.folder)
            changes += following.changes
        if apply and changes:
            write_audit(run.connection, "archive.adopt", "ops.archive", {"changes": len(changes)})
    for line in changes:
        run.log(line)
    is_empty = not (records.events or records.generations or records.claims.known or problems)
    return Adoption(tuple(changes), problems, run.folder.url if is_empty else "")


def _search(run: Run) -> Iterator[str]:
    """Search the archives for what adopted holds hold: before the application is let in.

    What can't be searched now is no problem of the adoption. `ship_archive_records` goes on trying,
    and fails until it succeeds: where the second bucket stands for the first, until it was mended.
    """
    searched = search_unsearched(run)
    for hold in searched.results:
        yield f"the archives are searched for {hold}"
    for failed in searched.failed:
        yield f"{failed}; until ship_archive_records succeeds, what it holds there can be erased"


def _ship_again(connection: Connection, records: Records, *, apply: bool) -> Iterator[str]:
    """Records of this database's ledger that were in the bucket once, and are not there now."""
    for month, generation, updated_at in connection.execute(
        statement("archive/shipped_generations")
    ).fetchall():
        if Month.of(month) in records.unread_months:
            continue
        record = records.generations.get((Month.of(month), generation))
        if record is None or record.updated_at < updated_at:
            yield f"{Month.of(month)} generation {generation} is to be recorded in the bucket again"
            if apply:
                key = {"month": month, "generation": generation}
                connection.execute(statement("archive/forget_record"), key)


def _of_month(records: Records, month: Month) -> list[GenerationRecord]:
    return [records.generations[key] for key in sorted(records.generations) if key[0] == month]


def _adopt_month(
    run: Run, month: Month, records: Sequence[GenerationRecord], *, apply: bool
) -> list[str]:
    with only_one(run.connection, f"archive {month}") if apply else nullcontext():
        known = {g.number: g for g in generations(run.connection, month)}
        table = attached_relation(run.connection, ARCHIVED, month)
        _refuse_alone(run.connection, month, known, table)
        changes = list(ledger_changes(run.connection, records, known, table))
        unlike = _unlike(run, month, known, changes, apply=apply)
        if unlike:
            changes = [in_archive_alone(change, known) for change in changes]
        lines = [*(change.words for change in changes), *unlike.words]
        interrupted = [change for change in changes if _is_interrupted(known, table, change)]
        if apply:
            for change in changes:
                if change in interrupted:
                    continue
                # First, and again if it was killed between the two: it changes nothing then.
                if change.state == "purged":
                    adopt_identities(run, change.record)
                with run.connection.transaction():
                    write_change(run.connection, change)
        for change in interrupted:
            lines.append(f"{month}: what a purge has left becomes the next generation")
            if apply:
                generation = known[change.record.generation]
                put_back_left(run, generation, partial(write_change, run.connection, change))
        lines += _end_overtaken(run, month, known, changes, apply=apply)
        if not interrupted and _is_orphan(run.connection, month, known, table, changes):
            lines.append(f"{month}: the rows in its table become the next generation")
            if apply:
                open_archived(run.connection, month, table, run.run_id)
    return lines


def _unlike(
    run: Run,
    month: Month,
    known: Mapping[int, Generation],
    changes: Sequence[LedgerChange],
    *,
    apply: bool,
) -> Unlike:
    """What the database lacks of the generations that it gets to know, with its rows."""
    unproven = [c.record for c in changes if c.state != "superseded" and is_new(c, known)]
    return compare_with_lists(run, month, unproven, apply=apply) if unproven else Unlike(month)


def _end_overtaken(
    run: Run,
    month: Month,
    known: Mapping[int, Generation],
    changes: Sequence[LedgerChange],
    *,
    apply: bool,
) -> Iterator[str]:
    states = {number: mine.state for number, mine in known.items()}
    adopted = {change.record.generation: change.state for change in changes}
    thaw = overtaken(run.connection, month, {**states, **adopted}, adopted)
    if thaw is not None:
        if apply:
            give_up(run, thaw)
        yield f"{thaw.name} ends: its archive was rewritten, or has more by now"


def _is_interrupted(
    known: Mapping[int, Generation], table: Relation | None, change: LedgerChange
) -> bool:
    """Whether a generation is given up whose purge stands in the middle in this database."""
    mine = known.get(change.record.generation)
    is_purging = mine is not None and mine.state == "purging" and change.state == "superseded"
    return is_purging and (table is None or table.is_detaching)


def _refuse_alone(
    connection: Connection,
    month: Month,
    known: Mapping[int, Generation],
    table: Relation | None,
) -> None:
    """Refused while a table of the month stands alone and no row of the ledger tells why."""
    alone = named_relation(connection, archived_name(month)) if table is None else None
    is_known = any(g.is_in_database for g in known.values()) or open_thaw(connection, month)
    if alone is not None and alone.parent is None and not is_known:
        raise Refused(
            f"adoption of {month}",
            cause=f"{alone.qualified} stands alone: a removal or a thaw was at work on it, and the "
            "ledger that knew is lost",
            next_step="look at its rows: attach it to archived_content_segments, or rename it, and "
            "adopt again",
        )


def _is_orphan(
    connection: Connection,
    month: Month,
    known: Mapping[int, Generation],
    table: Relation | None,
    changes: Sequence[LedgerChange],
) -> bool:
    """Whether the month has a table that no generation or thaw accounts for."""
    if table is None or open_thaw(connection, month) is not None:
        return False
    superseded = {c.record.generation for c in changes if c.state in SETTLED}
    stands = any(g.is_in_database and g.number not in superseded for g in known.values())
    return not stands and all(change.table is None for change in changes)
