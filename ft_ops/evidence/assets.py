"""The asset `evidence_chain`, and checks of what drills measured against the targets."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import dagster as dg

from ft_ops.archive import archive_run, require_folder
from ft_ops.clock import utc_now
from ft_ops.evidence.acts import acts_since
from ft_ops.evidence.chain import open_chain
from ft_ops.evidence.compared import LATE, ChainComparison, compare
from ft_ops.evidence.heads import note_head, noted_heads
from ft_ops.evidence.measured import MEASURED_WITHIN, Recovery, exceeds, recoveries
from ft_ops.evidence.signers import has_signer
from ft_ops.format import human_duration
from ft_ops.orchestration.jobs import OWNERS
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.settings import Settings

_SHOWN: Final = 50


@dg.asset(
    group_name="evidence",
    kinds={"s3"},
    owners=OWNERS,
    output_required=False,
    description=(
        "What the operations did, chained by hash and signed, in the folder FT_EVIDENCE_PREFIX of "
        "the archive bucket: every purge, erasure, drill, hold and deletion, from the operations' "
        "own rows of the audit log. `verify.py` beside the chain verifies it without database or "
        "network; `ft-ops evidence` makes a page of it for an auditor. Nothing is chained until "
        "FT_EVIDENCE_KEY_FILE or FT_EVIDENCE_KMS_KEY is set."
    ),
)
def evidence_chain(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    """Verify the chain, and add what was done since.

    Fails when the chain is not whole, and when the archive beside it is another database's.
    """
    if not has_signer(settings):
        context.log.info(
            "neither FT_EVIDENCE_KEY_FILE nor FT_EVIDENCE_KMS_KEY is set: nothing is chained"
        )
        return
    with as_failure(), database.connect("evidence") as connection:
        # A copy of the database, with the same settings, would add its own acts to the chain.
        require_folder(archive_run(connection, settings, context.run.run_id).folder, removes=False)
        chain = open_chain(settings)
        noted = noted_heads(connection, chain.address, utc_now())
        head = chain.append(
            lambda since: acts_since(connection, since), utc_now(), context.log.info, noted=noted
        )
        if head is not None:
            note_head(connection, chain.address, head, noted)
    yield dg.MaterializeResult(
        metadata={
            "head": str(head) if head else "nothing was done yet",
            "links": head.number if head else 0,
            "chain": chain.bucket.url(chain.prefix),
            "verify": "download the folder, then: python program/verify.py FOLDER KEY.pem",
        }
    )


@dg.asset_check(
    asset="evidence_chain",
    name="audit_log_matches_chain",
    description="Every act that the chain tells of is in the audit log as the chain has it, or in "
    "its archive, back to FT_AUDIT_RETENTION_YEARS; and no act of the operations is in the audit "
    "log for longer than two days and in no link.",
)
def audit_log_matches_chain(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    if not has_signer(settings):
        return dg.AssetCheckResult(passed=True, metadata={"chain": "no key is set: there is none"})
    with as_failure(), database.connect("evidence") as connection:
        chain = open_chain(settings).read()
        if chain.problems:
            return dg.AssetCheckResult(
                passed=False,
                description="unknown: the chain is not whole, so nothing is compared with it. "
                "Next: launch chain_evidence",
                metadata={"problems": list(chain.problems[:_SHOWN])},
            )
        now = utc_now()
        since = now - settings.audit_retention_years * timedelta(days=365)
        return _compared(compare(connection, chain.entries, since, now))


def _compared(found: ChainComparison) -> dg.AssetCheckResult:
    findings = {
        "gone from the audit log": found.gone,
        "changed in the audit log": found.changed,
        f"in no link after {LATE.days} days": found.unchained,
    }
    said = [f"{len(acts)} {what}" for what, acts in findings.items() if acts]
    return dg.AssetCheckResult(
        passed=found.agrees,
        description="; ".join(said) or f"{found.compared} acts agree",
        metadata={
            "compared": found.compared,
            "since": found.since.isoformat(),
            "in the archive of the audit log": found.archived,
            **{what: list(acts[:_SHOWN]) for what, acts in findings.items() if acts},
        },
    )


@dg.asset_check(
    asset="restore_drill",
    name="recovery_time_within_target",
    description="The newest proven drill had a server that answers within FT_RTO_MINUTES.",
)
def recovery_time_within_target(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    newest = _newest_recovery(database)
    seconds = newest.recovery_seconds if newest else None
    return _judged(newest, seconds, settings.rto_minutes, "FT_RTO_MINUTES")


@dg.asset_check(
    asset="restore_drill",
    name="recovery_point_within_target",
    description="When the newest proven drill began, no more than FT_RPO_MINUTES would have been "
    "lost with a destroyed database.",
)
def recovery_point_within_target(
    database: DatabaseResource, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    newest = _newest_recovery(database)
    seconds = newest.loss_seconds if newest else None
    return _judged(newest, seconds, settings.rpo_minutes, "FT_RPO_MINUTES")


def _newest_recovery(database: DatabaseResource) -> Recovery | None:
    with as_failure(), database.connect("evidence") as connection:
        found = recoveries(acts_since(connection, utc_now() - MEASURED_WITHIN))
    return found[-1] if found else None


def _judged(
    newest: Recovery | None, seconds: float | None, target_minutes: float | None, variable: str
) -> dg.AssetCheckResult:
    """Without a target nothing is promised. With one, what nobody measured does not pass."""
    if target_minutes is None:
        return dg.AssetCheckResult(
            passed=True, metadata={"target": f"{variable} is not set: there is no target"}
        )
    target = human_duration(target_minutes * 60)
    if newest is None or seconds is None:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"unknown: no proven drill of the last {MEASURED_WITHIN.days} days "
            "measured it. Next: launch drill_restore",
            metadata={"target": target},
        )
    return dg.AssetCheckResult(
        passed=not exceeds(seconds, target_minutes),
        description=f"{human_duration(seconds)}, and the target is {target}",
        metadata={
            "measured": human_duration(seconds),
            "target": target,
            "drill": newest.drill,
            "proven at": newest.at.isoformat(),
        },
    )
