"""Restores a backup and checks what came back: the only proof that there is one."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from ft_ops.backups.drill.checks import Rung, climb, records
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import why_it_does_not_count
from ft_ops.backups.inventory.ledger import Entry
from ft_ops.backups.points.bucket_records import read_point, write_certificate
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import BackupProvider, Finding, Log, StoredBackup
from ft_ops.errors import OpsError, Refused, mask_secrets
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import only_one
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Plan:
    """Which full to restore, and to whose point: its own, or a later increment's."""

    backup: Entry
    target: Entry


@dataclass(frozen=True, slots=True)
class Drill:
    """A restore that passed every check.

    ``recovery_seconds`` is from the first byte fetched to a server that answers at the target;
    ``loss_seconds`` how much would have been lost, had the database been destroyed at the start.
    """

    plan: Plan
    restored_to: datetime
    recovery_seconds: float
    loss_seconds: float
    rows: int
    rungs: tuple[Rung, ...]
    certificate: str


def newest_plan(entries: Sequence[Entry]) -> Plan:
    """The newest full, to the newest point behind it. Refused when there is no full."""
    newest = _fulls(entries)[-1]
    points = [entry for entry in entries if _is_usable(entry) and entry.kind != "dump"]
    return Plan(backup=newest, target=points[-1])


def older_plan(entries: Sequence[Entry], chance: random.Random) -> Plan:
    """Any full but the newest, if there is another, to its own point. Refused without a full."""
    fulls = _fulls(entries)
    chosen = chance.choice(fulls[:-1] or fulls)
    return Plan(backup=chosen, target=chosen)


def named_plan(entries: Sequence[Entry], name: str) -> Plan:
    """A full by its name, to its own point; or the last full before an increment, to that."""
    usable = [entry for entry in entries if _is_usable(entry)]
    target = next((entry for entry in usable if entry.name == name), None)
    if target is None or target.kind == "dump":
        raise Refused(
            f"restore drill of {name}",
            cause="there is no complete full backup or increment of that name",
            next_step="take a name from backup_inventory",
        )
    fulls = [entry for entry in usable[: usable.index(target) + 1] if entry.kind == "full"]
    if not fulls:
        raise Refused(
            f"restore drill of {name}",
            cause="the full backups before it are gone",
            next_step="choose a later increment",
        )
    return Plan(backup=fulls[-1], target=target)


def run_drill(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    plan: Plan,
    *,
    now: datetime,
    run_id: str,
    log: Log,
) -> Drill:
    """Restore by ``plan`` in a place of its own, check the copy, and record a certificate.

    An OpsError names everything that is wrong; the backup is not verified from then on. Refused,
    without a verdict, when the drill can't be held at all or another one is being held.
    """
    with only_one(connection, "restore drill"):
        drill = ledger.begin_drill(connection, plan.backup.name, plan.target.name, run_id)
        with _recording_failure(connection, drill):
            trial = _restore_and_check(connection, provider, bucket, plan, log)
            loss_seconds = max((now - trial.point.at).total_seconds(), 0.0)
            certificate = _certificate(plan, trial, loss_seconds, run_id)
            if trial.findings:
                raise _Refuted(plan, trial.findings, certificate)
            key = write_certificate(bucket, plan.backup.name, datetime.now(UTC), certificate)
            ledger.pass_drill(
                connection,
                drill,
                restored_to=trial.point.at,
                recovery_seconds=trial.recovery_seconds,
                loss_seconds=loss_seconds,
                certificate=certificate,
            )
    return Drill(
        plan=plan,
        restored_to=trial.point.at,
        recovery_seconds=trial.recovery_seconds,
        loss_seconds=loss_seconds,
        rows=trial.point.rows,
        rungs=trial.rungs,
        certificate=bucket.url(key),
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    point: RestorePoint
    stored: StoredBackup
    recovery_seconds: float
    evidence: Mapping[str, str]
    rungs: tuple[Rung, ...]

    @property
    def findings(self) -> list[Finding]:
        return [finding for rung in self.rungs for finding in rung.findings]


class _Refuted(OpsError):
    """A copy was restored, and it is not what was backed up."""

    def __init__(
        self, plan: Plan, findings: Sequence[Finding], certificate: Mapping[str, object]
    ) -> None:
        self.certificate = certificate
        super().__init__(
            f"backup {plan.backup.name}, restored to {plan.target.name}",
            cause="; ".join(map(str, findings)),
            next_step="take a full backup now and drill it; then find out whether the live "
            "database has the damage too (run the same check there)",
        )


def _restore_and_check(
    connection: Connection, provider: BackupProvider, bucket: Bucket, plan: Plan, log: Log
) -> _Trial:
    point = _agreed_point(connection, bucket, plan.target)
    stored = _stored(provider, plan.backup)
    log(f"restoring {stored.location} to {point.name}, {point.at:%F %T}Z")
    started = time.monotonic()
    with provider.restore(stored, point, log) as copy:
        seconds = time.monotonic() - started
        log(f"recovered in {seconds:.1f} s")
        return _Trial(point, stored, seconds, copy.evidence, tuple(climb(copy, point, log)))


def _agreed_point(connection: Connection, bucket: Bucket, target: Entry) -> RestorePoint:
    """The target's point as the bucket has it; an OpsError unless the ledger says the same."""
    stored = read_point(bucket, target.name)
    if stored != ledger.read_point(connection, target.name):
        raise OpsError(
            f"restore point {target.name}",
            cause="its object in the bucket and its row in ops.backups differ",
            next_step="see which was changed: the object has versions, the row an audit log",
        )
    return stored


def _stored(provider: BackupProvider, backup: Entry) -> StoredBackup:
    found = next((b for b in provider.stored_backups() if b.name == backup.name), None)
    problem = why_it_does_not_count(backup, found)
    if found is None or problem is not None:
        raise OpsError(
            f"backup {backup.name}",
            cause=str(problem),
            next_step="take a full backup now; look for older versions of its objects",
        )
    return found


@contextmanager
def _recording_failure(connection: Connection, drill: int) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        ledger.give_up_drill(connection, drill, str(refused))
        raise
    except Exception as error:
        certificate = error.certificate if isinstance(error, _Refuted) else None
        ledger.fail_drill(connection, drill, mask_secrets(str(error)), certificate)
        raise


def _certificate(plan: Plan, trial: _Trial, loss_seconds: float, run_id: str) -> dict[str, object]:
    return {
        "backup": plan.backup.name,
        "provider_id": plan.backup.provider_id,
        "location": trial.stored.location,
        "bytes": trial.stored.bytes,
        "target": plan.target.name,
        "restored_to": trial.point.at.isoformat(),
        "recovery_seconds": round(trial.recovery_seconds, 3),
        "loss_seconds": round(loss_seconds, 3),
        "system_identifier": trial.point.system_identifier,
        "server_version": trial.point.server_version,
        "evidence": dict(trial.evidence),
        "tables": len(trial.point.tables),
        "rows": trial.point.rows,
        "tables not compared": list(trial.point.changing),
        "checks": records(trial.rungs),
        "software": {name: version(name) for name in ("ft-ops", "barman", "psycopg")},
        "run_id": run_id,
    }


def _is_usable(entry: Entry) -> bool:
    return entry.state == "complete"


def _fulls(entries: Sequence[Entry]) -> list[Entry]:
    fulls = [entry for entry in entries if _is_usable(entry) and entry.kind == "full"]
    if not fulls:
        raise Refused(
            "restore drill",
            cause="there is no complete full backup",
            next_step="run full_backup first; if there should be one, see backup_inventory",
        )
    return fulls
