"""Performs steps, one after the other, and compares what can be read with the oracle after each.

A step is a tuple of names and numbers, so that hypothesis can draw it, a report can print it, and
a test can repeat it:

    ("app", action, a, b, c)             the application acts
    ("ops", step, month, family[, fault]) an operation runs; fault = (kind, point, step or None)
    ("hold", kind, which), ("release", which), ("backup",), ("time", days)
    ("set", variable, value), ("schema", change)
    ("moment",)                          a copy of the database is kept
    ("recover", same)                    it takes the place of the database; see recovery.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Final, TypeAlias
from uuid import UUID

import boto3
import dagster as dg
import psycopg
from psycopg import sql

from ft_ops.months import Month
from ft_ops.s3.bucket import open_bucket
from tests.fixtures.postgres import Database, created
from tests.model.application import Application
from tests.model.comparison import compare
from tests.model.glacier import Glacier
from tests.model.interruptions import Died, Interruption, interrupted, watched
from tests.model.operations import (
    REFUSED,
    REMOVALS,
    SETTINGS,
    Operations,
)
from tests.model.oracle import SEGMENTS, Key, Oracle
from tests.model.place import PARENTS, Place, Readable, opened
from tests.model.recovery import Moment, keep_moment, recover
from tests.model.schema_changes import CHANGES
from tests.model.writer import Finding, Nothing, chosen

Step: TypeAlias = tuple[Any, ...]

_REFUSALS: Final = ("23", "42501", "55", "40", "P0001", "22", "25P0")
"""SQLSTATEs, or their beginnings, by which the database says no to the application."""

_numbers = count(1)


@dataclass(slots=True)
class Life:
    """One database, one bucket, and everything that happens to them."""

    place: Place
    glacier: Glacier
    operations: Operations
    oracle: Oracle
    application: Application
    months: Sequence[Month]
    buckets: Sequence[str]
    stack: ExitStack
    """Ends with the life."""
    done: list[tuple[Step, str]] = field(default_factory=list)
    """Each step, and what came of it."""
    held_present: dict[int, set[str]] = field(default_factory=dict)
    held_subjects: dict[int, tuple[str, Any]] = field(default_factory=dict)
    """Hold → on what it was placed."""
    schema: set[str] = field(default_factory=set)
    backups: int = 0
    asked: dict[Month, str | None] = field(default_factory=dict)
    """The months that were asked back, with the family of which, if not whole."""
    removing: list[Month] = field(default_factory=list)
    """The months whose removal is under way: more than one, where one begins within another."""
    shifted: timedelta = timedelta(0)
    """By how much the moments in the database are earlier than the clock of the bucket says."""
    moment: Moment | None = None

    def do(self, step: Step) -> str:
        """Perform a step and look at everything; a Finding when something is not as it must be."""
        outcome = "a finding"
        if step[0] in {"hold", "release"}:
            # Its record in the bucket names the moment of its placing, which no model can put back.
            self.unshift()
        try:
            outcome = self._perform(step)
        finally:
            self.done.append((step, outcome))
        self.check()
        return outcome

    def _perform(self, step: Step) -> str:
        name, *arguments = step
        performers: dict[str, Callable[..., str | None]] = {
            "app": self._act,
            "ops": self._operate,
            "hold": self._hold,
            "release": self._release,
            "schema": self._change_schema,
            "set": self.operations.change,
            "time": self._pass_days,
            "backup": self.back_up,
            "moment": lambda: keep_moment(self),
            "recover": self._recover,
        }
        try:
            return performers[name](*arguments) or "done"
        except Nothing:
            return "nothing to choose from"

    # --- the steps

    def _act(self, *action: Any) -> str:
        try:
            self.application.act(action)
        except psycopg.Error as error:
            return _refusal(error)
        return "done"

    def _operate(self, step: Any, number: int, which: int | str, fault: Any = None) -> str:
        month = self.months[number % len(self.months)]
        family = self._family(which) if step == "thaw a family" else None
        allowed = dict(self.operations.variables)
        before = self.readable()
        at_work = _at_work(step, month, before, self.oracle)
        interruption = self._interruption(fault)
        try:
            with self._announced(step, month), interrupted(interruption):
                finished = self.operations.run(step, month, family)
        except (Died, *REFUSED) as error:
            outcome = f"{type(error).__name__}: {error}"
            if isinstance(error, Died):
                self.place.end_sessions()
            if interruption is not None and interruption.struck and at_work:
                self.oracle.limbo[month] = at_work
        else:
            outcome = "done" if finished else "asked Glacier"
            self._believe(step, month, family, finished=finished)
        if step == "archive":
            self.oracle.export(month)
        after = self.readable()
        self.oracle.is_seen(after.rows)
        for removed in self.removing:
            self.oracle.may_leave(removed)
        if step in REMOVALS:
            left = before.rows.keys() & self.oracle.rows.keys() - after.rows.keys()
            self._refuse_removal(step, left, allowed)
        struck = interruption is not None and interruption.struck
        return f"{outcome} (struck)" if struck else outcome

    def _family(self, which: int | str) -> str:
        """By its place among those that there are, or by its id: it may be gone by now."""
        return which if isinstance(which, str) else chosen(sorted(self.oracle.families), which)

    @contextmanager
    def _announced(self, step: str, month: Month) -> Iterator[None]:
        """For a block, what the step may do. What is seen meanwhile may still leave afterwards."""
        if step == "archive":
            self.oracle.export(month)
        if step not in REMOVALS:
            yield
            return
        self.oracle.may_leave(month)
        self.removing.append(month)
        try:
            yield
        finally:
            self.removing.pop()

    def _believe(self, step: str, month: Month, family: str | None, *, finished: bool) -> None:
        """A step has ended well, and says whether it has done all that it is for."""
        if step in {"move", "purge", "refreeze"}:
            self.oracle.limbo.pop(month, None)
        if step == "refreeze":
            self.asked.pop(month, None)
        if step in {"thaw", "thaw a family"}:
            self.asked[month] = family
            if finished:
                self.oracle.comes_back(month, family)

    def _refuse_removal(self, step: str, left: Set[Key], variables: Mapping[str, str]) -> None:
        """Rows may leave the database only while the settings allow it."""
        if not left:
            return
        if variables["FT_PURGE_ENABLED"] != "true":
            raise Finding(f"{step} removed rows although FT_PURGE_ENABLED is false")
        if step == "purge" and int(variables["FT_RETENTION_YEARS"]) > 50:
            raise Finding("a month was purged that is not due any more")
        if step == "purge" and not self.backups:
            raise Finding("a month was purged without any backup")

    def _interruption(self, fault: Any) -> Interruption | None:
        if fault is None:
            return None
        kind, number, meanwhile = fault

        def happens() -> None:
            if meanwhile[0] in {"hold", "release"} and self.shifted:
                # Its record would name another moment of its placing than the database.
                return
            with interrupted(None):
                outcome = self._perform(meanwhile)
                self.done.append((("meanwhile", *meanwhile), outcome))

        return Interruption(
            kind,
            number,
            happens if meanwhile is not None else lambda: None,
            self._end_sessions,
        )

    def _end_sessions(self) -> None:
        with interrupted(None):
            self.place.end_sessions()

    def _hold(self, kind: str, which: int) -> str:
        oracle = self.oracle
        subjects: dict[str, Callable[[], Sequence[Any]]] = {
            "month": lambda: self.months,
            "family": lambda: sorted(oracle.families),
            "book": lambda: sorted(oracle.books),
            "thread": lambda: sorted(oracle.threads),
            "user": lambda: sorted(oracle.users),
        }
        subject = chosen(subjects[kind](), which)
        held = oracle.held_by(kind, subject)
        argument = subject if kind == "month" else UUID(subject)
        name = kind if kind == "month" else f"{kind}_id"
        present = self.place.keys()
        try:
            hold = self.operations.hold(self.place.bucket, **{name: argument})
        except REFUSED as error:
            return f"refused: {error}"
        self.oracle.held[hold] = frozenset(held)
        self.held_subjects[hold] = (kind, subject)
        self.held_present[hold] = {i for t, i in held if t == SEGMENTS} & present
        return "done"

    def _release(self, which: int) -> str:
        hold = chosen(sorted(self.oracle.held), which)
        try:
            self.operations.release(hold)
        except REFUSED as error:
            return f"refused: {error}"
        self.oracle.held.pop(hold)
        self.held_present.pop(hold)
        return "done"

    def _change_schema(self, change: str) -> str:
        if change in self.schema:
            raise Nothing
        try:
            CHANGES[change].apply(self.place.owner, self.application)
        except psycopg.Error as error:
            return _refusal(error)
        self.schema.add(change)
        return "done"

    def _pass_days(self, days: int) -> None:
        self.pass_time(timedelta(days=days))

    def pass_time(self, by: timedelta) -> None:
        self.glacier.now += by
        self.shifted += by
        self.place.pass_time(by)

    def unshift(self) -> None:
        """Let the database's clock be that of the bucket again."""
        if self.shifted:
            self.place.pass_time(-self.shifted)
            self.shifted = timedelta(0)

    def _recover(self, same: bool) -> str:
        if self.moment is None or self.moment.schema != self.schema:
            raise Nothing
        return recover(self, self.moment, same=same)

    def back_up(self) -> None:
        """What a backup and the drill that restored it leave in the ledger."""
        name = f"full-{next(_numbers)}"
        self.place.owner.execute(
            "INSERT INTO ops.backups (name, kind, provider, state, provider_id, point_at, point,"
            " completed_at) VALUES (%s, 'full', 'barman', 'complete', %s, clock_timestamp(),"
            " '{}', clock_timestamp())",
            (name, name),
        )
        self.place.owner.execute(
            "INSERT INTO ops.restore_drills (backup, target, state, restored_to,"
            " recovery_seconds, certificate, finished_at) VALUES (%s, %s, 'passed',"
            " clock_timestamp(), 1, '{}', clock_timestamp())",
            (name, name),
        )
        self.backups += 1

    def readable(self) -> Readable:
        """What can be read now."""
        return self.place.readable(list(self.oracle.children))

    def check(self) -> None:
        """A Finding where what can be read is not what the oracle says."""
        compare(self.place, self.oracle, self.readable(), self.application.reaction_tables)
        keys = self.place.keys()
        for hold, present in self.held_present.items():
            if gone := present - keys:
                raise Finding(f"hold {hold}: segment {min(gone)} left the database")


def _at_work(step: str, month: Month, readable: Readable, oracle: Oracle) -> set[Key]:
    """The segments that a step takes from where they are read, for a while or for good."""
    parent = {"move": PARENTS[0], "purge": PARENTS[1], "refreeze": PARENTS[1]}.get(step)
    return {
        key
        for key, where in readable.where.items()
        if where == parent and oracle.months.get(key[1]) == month
    }


def _refusal(error: psycopg.Error) -> str:
    state = error.sqlstate or ""
    if not state.startswith(_REFUSALS):
        raise Finding(f"{type(error).__name__} {state}: {error}") from error
    return f"refused: {state} {str(error).splitlines()[0]}"


@contextmanager
def life(
    template: Database,
    *,
    months: Sequence[Month],
    naming: Callable[[Month], str] | None = None,
    through_dagster: bool = False,
    copied: bool = False,
) -> Iterator[Life]:
    """A new life in a clone of ``template`` (which has partitions for ``months``), for a block.

    ``copied``: its archive has a second bucket.
    """
    clone = Database(f"{template.name}_{next(_numbers)}", template.server_url)
    glacier = Glacier()
    with created(clone, sql.Identifier(template.name)), glacier.in_front(), ExitStack() as stack:
        bucket = clone.name.replace("_", "-")
        buckets = [bucket, f"{bucket}-second"] if copied else [bucket]
        for name in buckets:
            boto3.client("s3").create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        variables = {**SETTINGS, "FT_DATABASE_URL": clone.url, "FT_ARCHIVE_BUCKET": bucket}
        if copied:
            variables["FT_ARCHIVE_REPLICA_BUCKET"] = buckets[-1]
        instance = dg.DagsterInstance.ephemeral() if through_dagster else None
        operations = Operations(variables, instance and stack.enter_context(instance))
        for begun in (operations.deployed(), watched()):
            stack.enter_context(begun)
        place = stack.enter_context(opened(clone, open_bucket(bucket)))
        oracle = Oracle()
        application = Application(place, oracle, months)
        if naming is not None:
            for month in months:
                _rename(place, month, naming(month))
        application.settle()
        application.fill()
        begun_life = Life(place, glacier, operations, oracle, application, months, buckets, stack)
        begun_life.check()
        yield begun_life


def _rename(place: Place, month: Month, name: str) -> None:
    place.owner.execute(
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(
            sql.Identifier(f"content_segments_{month.suffix}"), sql.Identifier(name)
        )
    )
