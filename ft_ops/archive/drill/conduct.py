"""Holds a drill: asks for a month, and when it is readable loads it beside and proves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

from ft_ops.archive.copies.read import ask, locate
from ft_ops.archive.cost.prices import Prices
from ft_ops.archive.drill.choose import Place, begin_of_month, drawn_place, ranked
from ft_ops.archive.drill.drills import (
    ArchiveDrill,
    DrillState,
    begin_drill,
    end_drill,
    open_drill,
    proofs,
)
from ft_ops.archive.month.digest import differences, month_digests, total
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.states import Ledger, month_words
from ft_ops.archive.proof.load import loaded
from ft_ops.archive.run import ArchiveTarget, Run
from ft_ops.archive.store.manifest import refuse_other_manifest, software
from ft_ops.archive.store.program import is_proven_by_values, other_values
from ft_ops.archive.store.verify_archive import RowDigest
from ft_ops.archive.thaw.retrieval_cost import ThawEstimate, estimate_thaw
from ft_ops.errors import OpsError, Refused, explained
from ft_ops.format import human_dollars
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.locks import only_one
from ft_ops.s3.bucket import Missing
from ft_ops.s3.glacier import Tier, availability
from ft_ops.s3.objects import WrongContent, read_object

_TIER: Final[Tier] = "Bulk"
_DAYS: Final = 3


@dataclass(frozen=True, slots=True)
class ArchiveDrillPlan:
    """What a drill would take: a month's generations from one bucket, and what that costs."""

    month: Month
    generations: tuple[Generation, ...]
    copy: Place
    estimate: ThawEstimate
    ledger: Ledger = "archive"

    @property
    def name(self) -> str:
        return month_words(self.month, self.ledger)


@dataclass(frozen=True, slots=True)
class HeldDrill:
    """How far a drill is; ``certificate`` once it was proven."""

    drill: ArchiveDrill
    state: DrillState
    certificate: Mapping[str, object] | None = None
    error: str | None = None


def plan_drill(
    run: Run,
    prices: Prices,
    *,
    dollars: float,
    month: Month | None = None,
    ledger: Ledger = "archive",
) -> ArchiveDrillPlan | None:
    """This month's choice, or the ``month`` that is wanted; None while nothing is purged.

    ``ledger``: whose month is wanted; without one it is chosen among those of both.

    Refused when every month costs more than ``dollars``, or the one that is wanted.
    """
    now = run.clock()
    too_dear: list[str] = []
    order = ranked(proofs(run.connection, before=begin_of_month(now)), now)
    if month is not None:
        order = [proof for proof in order if (proof.month, proof.ledger) == (month, ledger)]
        if not order:
            raise Refused(
                f"archive drill of {month_words(month, ledger)}",
                cause="nothing of it is in the archive alone",
                next_step=f"see the states of its generations: ops.{ledger}_status",
            )
    for candidate in order:
        known = generations(run.connection, candidate.month, candidate.ledger)
        found = tuple(g for g in known if g.state == "purged")
        estimate = estimate_thaw(list(found), _TIER, _DAYS, prices)
        if estimate.dollars <= dollars:
            place = drawn_place(now, has_second=run.target.open_second is not None)
            return ArchiveDrillPlan(candidate.month, found, place, estimate, candidate.ledger)
        too_dear.append(f"{candidate.name} costs {human_dollars(estimate.dollars)}")
        run.log(f"{too_dear[-1]}, more than FT_ARCHIVE_DRILL_DOLLARS: no drill reads it")
    if not order:
        return None
    raise Refused(
        "archive drill",
        cause=f"every month costs more than {human_dollars(dollars)}: {'; '.join(too_dear[:3])}",
        next_step="raise FT_ARCHIVE_DRILL_DOLLARS",
    )


def hold_drill(
    run: Run,
    prices: Prices,
    *,
    dollars: float,
    month: Month | None = None,
    ledger: Ledger = "archive",
) -> HeldDrill | None:
    """Go on with the drill that waits, or begin this month's; None while there is nothing to drill.

    A drill never ends in an exception once it was begun: how it ended is in the ledger.
    """
    with only_one(run.connection, "archive drill"):
        drill = open_drill(run.connection)
        if drill is None:
            plan = plan_drill(run, prices, dollars=dollars, month=month, ledger=ledger)
            if plan is None:
                return None
            drill = begin_drill(
                run.connection,
                plan.month,
                [g.number for g in plan.generations],
                plan.copy,
                asdict(plan.estimate),
                run.run_id,
                ledger=plan.ledger,
            )
        with only_one(run.connection, f"archive {drill.subject}"):
            return _go_on(run, drill)


def _go_on(run: Run, drill: ArchiveDrill) -> HeldDrill:
    try:
        with explained(drill.name):
            place = replace(run, open_target=lambda: _place(run.target, drill.copy))
            found = _still_purged(run, drill)
            if not _readable(place, found, named=drill.copy == "first"):
                run.log("Glacier was asked; the next run looks again")
                return HeldDrill(drill, "asked")
            certificate = _prove(place, drill, found)
    except (WrongContent, Missing) as error:
        return _ended(run, drill, "refuted", None, str(error))
    except OpsError as error:
        return _ended(run, drill, "unknown", None, str(error))
    return _ended(run, drill, "proven", certificate, None)


def _place(target: ArchiveTarget, copy: Place) -> ArchiveTarget:
    """The bucket that the drill is about, and no other: what it lacks, nobody makes up for."""
    bucket = target.second if copy == "second" else target.bucket
    if bucket is None:
        raise Refused(
            "archive drill",
            cause="FT_ARCHIVE_REPLICA_BUCKET is not set any more, and the drill is of that bucket",
            next_step="launch the job again: the next one is of the first bucket",
        )
    return replace(target, bucket=bucket, open_second=None)


def _still_purged(run: Run, drill: ArchiveDrill) -> list[Generation]:
    known = generations(run.connection, drill.month, drill.ledger)
    found = [g for g in known if g.number in drill.generations]
    changed = [g.name for g in found if g.state != "purged"]
    if changed or len(found) != len(drill.generations):
        raise Refused(
            drill.name,
            cause=f"its generations are others by now: {', '.join(changed) or 'some are gone'}",
            next_step="launch the job again: it begins another one",
        )
    return found


def _readable(place: Run, found: list[Generation], *, named: bool) -> bool:
    """Whether every part can be read; asks for those that were not asked for.

    ``named``: by the very versions that the ledger names.
    """
    copies = [locate(place.target, item.stored) for g in found for item in g.parts()]
    for copy in copies:
        if named and copy.instead:
            raise Missing(
                copy.url,
                cause=f"only another version than the ledger names is there: {copy.instead}",
                next_step="ft-ops archive mend records that one",
            )
        ask(copy, days=_DAYS, tier="Bulk")
    return all(availability(copy.bucket, copy.stored).readable for copy in copies)


def _prove(place: Run, drill: ArchiveDrill, found: list[Generation]) -> dict[str, object]:
    """Load each generation beside, compare its digests; the certificate. WrongContent if not."""
    proven = {}
    for generation in found:
        manifest = locate(place.target, generation.require_manifest())
        body = read_object(manifest.bucket, manifest.stored)
        refuse_other_manifest(generation, body, manifest.stored)
        values = {table.name: RowDigest() for table in generation.require_content()}
        with loaded(place, generation, purpose="drill", digests=values) as copy:
            digests = month_digests(place.connection, generation.require_content(), copy)
            problems = differences(generation.require_digests(), digests)
            if problems and is_proven_by_values(place, generation, copy):
                problems = []
        problems += other_values(generation.sha256, {name: str(v) for name, v in values.items()})
        if problems:
            raise WrongContent(
                f"archive of {generation.name}",
                cause="; ".join(problems),
                next_step="compare it with the other copy: docs/runbook.md, archive_is_proven",
            )
        proven[str(generation.number)] = {
            "digests": {name: str(total(by_bucket)) for name, by_bucket in digests.items()},
            "sha256": dict(generation.sha256 or {}),
            "rows": generation.rows,
        }
        place.log(f"{generation.name} is proven: {sum(generation.rows.values()):,} rows")
    return {
        "ledger": drill.ledger,
        "month": str(drill.month),
        "bucket": place.bucket.name,
        "copy": drill.copy,
        "asked_at": drill.asked_at.isoformat(),
        "proven_at": datetime.now(UTC).isoformat(),
        "generations": proven,
        "software": software(str(place.connection.info.server_version)),
    }


def _ended(
    run: Run,
    drill: ArchiveDrill,
    state: DrillState,
    certificate: Mapping[str, object] | None,
    error: str | None,
) -> HeldDrill:
    with run.connection.transaction():
        end_drill(run.connection, drill, state, certificate, error)
        write_audit(
            run.connection,
            "archive.drill",
            "ops.archive_drills",
            {"month": drill.subject, "copy": drill.copy, "verdict": state, "error": error},
        )
    run.log(f"{drill.name}: {state}" + (f": {error}" if error else ""))
    return HeldDrill(drill, state, certificate, error)
