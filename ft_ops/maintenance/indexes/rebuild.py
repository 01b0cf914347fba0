"""Rebuilds bloated indexes one after another, while the application goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import psycopg

from ft_ops.errors import OpsError, Refused, explained, without_rows
from ft_ops.maintenance.gates import Gates, closed_gates
from ft_ops.maintenance.indexes.advice import scans_of_our_own
from ft_ops.maintenance.indexes.bloat import confirm, estimate_indexes
from ft_ops.maintenance.indexes.candidates import (
    RebuildCandidate,
    RebuildRules,
    candidates,
    is_bloated,
)
from ft_ops.maintenance.indexes.journal import (
    NOT_MEASURED,
    Measures,
    SettledRebuild,
    begin,
    drop_leftovers,
    settle,
    settle_unfinished,
)
from ft_ops.maintenance.indexes.leftovers import (
    InvalidIndex,
    TableIdentity,
    index_now,
    invalid_indexes,
    leftovers_of,
)
from ft_ops.maintenance.indexes.reindex import corruption, reindex, session_settings
from ft_ops.pg.application import Canary
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one

TASK: Final = "index rebuilds"
LOCK_SECONDS: Final = 30
_PATIENCE_SECONDS: Final = 60
_PREDICTION_FACTOR: Final = 3

Result = Literal["rebuilt", "planned", "deferred", "not bloated", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class RebuildOutcome:
    """What became of one index. ``detail`` explains any result but "rebuilt".

    ``was_felt`` when the canary suffered, even where it was too late to stop the rebuild.
    """

    candidate: RebuildCandidate
    result: Result
    detail: str = ""
    bytes_after: int | None = None
    measures: Measures = NOT_MEASURED
    was_felt: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one run of rebuilds. ``deadline`` is on the run's clock."""

    rules: RebuildRules
    gates: Gates
    canary_limit_ms: float
    deadline: float
    run_id: str


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run works with: ``beside`` is a second connection, for watching."""

    connection: Connection
    beside: Connection
    terms: Terms
    chance: random.Random
    log: Callable[[str], None]
    clock: Callable[[], float]

    @property
    def seconds_left(self) -> float:
        return self.terms.deadline - self.clock()


def rebuild_indexes(
    connection: Connection,
    beside: Connection,
    terms: Terms,
    named: Collection[str],
    *,
    now: datetime,
    chance: random.Random,
    log: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[RebuildOutcome]:
    """Finish what dead runs left, then rebuild what is bloated, or the indexes ``named``.

    ``beside`` is a second connection, for watching. One index's failure doesn't stop the rest; a
    canary that suffers does.
    """
    run = _Run(connection, beside, terms, chance, log, clock)
    outcomes: list[RebuildOutcome] = []
    with _alone(connection, sleep), scans_of_our_own(connection, now=now):
        settle_unfinished(connection, log)
        drop_leftovers(connection, log)
        estimates = estimate_indexes(connection, chance=chance, store=True, named=named)
        chosen = candidates(connection, estimates, terms.rules, named, now)
        for candidate in chosen:
            if any(outcome.was_felt for outcome in outcomes):
                detail = "the application suffered from the rebuild before it"
                outcome = RebuildOutcome(candidate, "deferred", detail)
            else:
                outcome = _considered(run, candidate, is_named=bool(named))
            log(_line(outcome))
            outcomes.append(outcome)
        drop_leftovers(connection, log)
    return outcomes


def finish_interrupted(
    connection: Connection,
    *,
    log: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[tuple[InvalidIndex, str]]:
    """Settle the rebuilds that died, and drop what ours left; what is still there, and why."""
    with _alone(connection, sleep):
        settle_unfinished(connection, log)
        return drop_leftovers(connection, log)


def plan_rebuilds(
    connection: Connection,
    terms: Terms,
    named: Collection[str],
    *,
    now: datetime,
    chance: random.Random,
    clock: Callable[[], float] = time.monotonic,
) -> list[RebuildOutcome]:
    """What a run would do right now, changing nothing."""
    estimates = estimate_indexes(connection, chance=chance, store=False, named=named)
    outcomes = []
    seconds_left = terms.deadline - clock()
    for candidate in candidates(connection, estimates, terms.rules, named, now):
        reasons = _reasons_to_wait(connection, candidate, terms, seconds_left)
        result: Result = "deferred" if reasons else "planned"
        outcomes.append(RebuildOutcome(candidate, result, "; ".join(reasons)))
        seconds_left -= 0 if reasons else candidate.predicted_seconds
    return outcomes


def refuse_failed(outcomes: Iterable[RebuildOutcome]) -> None:
    """OpsError when a rebuild failed, once the others were done."""
    failed = [outcome for outcome in outcomes if outcome.result == "failed"]
    if failed:
        raise OpsError(
            f"rebuild of {', '.join(o.candidate.index.qualified_name for o in failed)}",
            cause="; ".join(outcome.detail for outcome in failed),
            next_step="correct what the messages name; ops.index_rebuilds has the history, and the "
            "next run tries again",
        )


@contextmanager
def _alone(connection: Connection, sleep: Callable[[float], None]) -> Iterator[None]:
    """Be the only run. A killed one's session lives on until the server notices, in seconds."""
    with ExitStack() as stack:
        for attempt in range(_PATIENCE_SECONDS):
            try:
                stack.enter_context(only_one(connection, TASK))
                break
            except Refused:
                if attempt == _PATIENCE_SECONDS - 1:
                    raise
                sleep(1)
        yield


def _reasons_to_wait(
    connection: Connection, candidate: RebuildCandidate, terms: Terms, seconds_left: float
) -> list[str]:
    index = candidate.index
    now = index_now(connection, index.schema, index.name)
    if now is None:
        return ["it was dropped meanwhile"]
    if now.locked:
        return [now.locked]
    table = TableIdentity(now.table_oid, index.schema, index.table_name)
    leftovers = leftovers_of(invalid_indexes(connection), table, index.name, now.definition)
    return [
        *(f"{leftover.qualified_name} has to be dropped first" for leftover in leftovers),
        *closed_gates(connection, candidate.rewrite, terms.gates, seconds_left),
    ]


def _considered(run: _Run, candidate: RebuildCandidate, *, is_named: bool) -> RebuildOutcome:
    """What becomes of a candidate; an error that a person can cause is its own alone."""
    try:
        with explained(f"rebuild of {candidate.index.qualified_name}"):
            return _consider(run, candidate, is_named=is_named)
    except OpsError as error:
        if run.connection.broken:
            raise
        is_locked = isinstance(error.__cause__, psycopg.errors.LockNotAvailable)
        return RebuildOutcome(candidate, "deferred" if is_locked else "failed", error.cause)


def _consider(run: _Run, candidate: RebuildCandidate, *, is_named: bool) -> RebuildOutcome:
    """Rebuild a candidate unless a gate is closed at this moment."""
    if not candidate.index.may_maintain:
        return RebuildOutcome(candidate, "failed", f"it belongs to {candidate.index.owner}")
    reasons = _reasons_to_wait(run.connection, candidate, run.terms, run.seconds_left)
    if reasons:
        return RebuildOutcome(candidate, "deferred", "; ".join(reasons))
    timeout = f"{max(1, int(run.seconds_left))}s"
    try:
        with session_settings(run.connection, {"statement_timeout": timeout}):
            confirmed = confirm(run.connection, candidate.estimate, run.chance)
    except psycopg.errors.QueryCanceled:
        return RebuildOutcome(candidate, "deferred", "counting its rows outlasted the window")
    if not is_named and not is_bloated(confirmed, run.terms.rules):
        share = f"{confirmed.reclaimable_share:.0%} reclaimable once its rows were counted"
        return RebuildOutcome(candidate, "not bloated", share)
    return _rebuild(run, replace(candidate, estimate=confirmed))


def _rebuild(run: _Run, candidate: RebuildCandidate) -> RebuildOutcome:
    index = candidate.index
    now = index_now(run.connection, index.schema, index.name)
    if now is None:
        return RebuildOutcome(candidate, "deferred", "it was dropped meanwhile")
    canary = Canary(run.terms.canary_limit_ms)
    canary.settle_in(run.beside)
    rebuild = begin(run.connection, candidate, now, run.terms.run_id)
    run.log(f"rebuilding {index.qualified_name}: {candidate.predicted_seconds:.0f} s predicted")
    began = run.clock()
    with session_settings(run.connection, _timeouts(candidate, run.seconds_left)):
        done = reindex(run.connection, run.beside, index.identifier, canary, run.log)
    if run.connection.broken:
        raise OpsError(
            f"rebuild of {index.qualified_name}",
            cause=f"the connection was lost: {str(done.error).strip()}",
            next_step="run again: it finds out what became of the rebuild and cleans up",
        ) from done.error
    seconds, waited = run.clock() - began, done.watched.waited_seconds
    measures = Measures(seconds, waited, canary.usual_ms, canary.worst_ms)
    settled = settle(
        run.connection,
        rebuild,
        error=without_rows(done.error) if done.error else None,
        stopped=done.watched.stopped,
        measures=measures,
    )
    outcome = _outcome(run, candidate, settled, measures)
    return replace(outcome, was_felt=canary.has_suffered)


def _timeouts(candidate: RebuildCandidate, seconds_left: float) -> dict[str, str]:
    longest = _PREDICTION_FACTOR * (candidate.predicted_seconds + LOCK_SECONDS)
    return {
        "statement_timeout": f"{max(1, int(min(longest, seconds_left)))}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
    }


def _outcome(
    run: _Run, candidate: RebuildCandidate, settled: SettledRebuild, measures: Measures
) -> RebuildOutcome:
    """Clean up after a rebuild, check the new index, and tell."""
    remaining = drop_leftovers(run.connection, run.log)
    result: Result = "failed" if settled.state == "begun" else settled.state
    outcome = RebuildOutcome(candidate, result, "", settled.bytes_after, measures)
    if settled.state == "stopped":
        detail = f"the canary took up to {measures.worst_canary_ms:,.0f} ms"
        return replace(outcome, detail=detail)
    if result == "failed":
        return replace(outcome, detail=settled.error or "")
    damage = corruption(run.connection, candidate.index)
    if damage is not None:
        return replace(outcome, result="failed", detail=damage)
    left = (f"{leftover.qualified_name} is left: {problem}" for leftover, problem in remaining)
    return replace(outcome, detail="; ".join(left))


def _line(outcome: RebuildOutcome) -> str:
    index = outcome.candidate.index
    if outcome.result == "rebuilt":
        sizes = f"{index.bytes:,} to {outcome.bytes_after:,} bytes"
        return f"{index.qualified_name}: {sizes} in {outcome.measures.seconds:.1f} s"
    return f"{index.qualified_name}: {outcome.result}, {outcome.detail}"
