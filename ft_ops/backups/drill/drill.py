"""Restores a backup and checks what came back: the only proof that there is one.

A drill ends proven, refuted or unknown. It is refuted only by what is stored: findings on the copy,
or a ContentError. Whatever else keeps it from its end says nothing about the backup.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from ft_ops.backups.claims import claim_bucket
from ft_ops.backups.drill.checks import CheckResult, records, run_checks
from ft_ops.backups.drill.plan import DrillPlan
from ft_ops.backups.drill.session import Aftermath, NextStep, proven_copy
from ft_ops.backups.inventory import ledger, verdicts
from ft_ops.backups.inventory.inventory import count_again
from ft_ops.backups.inventory.ledger import Entry, Refuted, Verdict
from ft_ops.backups.points.bucket_records import read_point, write_certificate, write_refutation
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import (
    BackupProvider,
    ContentError,
    DrillFinding,
    Log,
    RestoreSource,
    StoredBackup,
)
from ft_ops.errors import OpsError, mask_secrets
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.locks import only_one
from ft_ops.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Drill:
    """A restore that passed every check.

    ``recovery_seconds`` is from the first byte fetched to a server that answers at the target;
    ``loss_seconds`` how much would have been lost, had the database been destroyed at the start.
    """

    plan: DrillPlan
    source: RestoreSource
    restored_to: datetime
    recovery_seconds: float
    loss_seconds: float
    rows: int
    checks: tuple[CheckResult, ...]
    certificate: str
    aftermath: Aftermath | None = None


def run_drill(
    connection: Connection,
    provider: BackupProvider,
    bucket: Bucket,
    plan: DrillPlan,
    *,
    now: datetime,
    run_id: str,
    log: Log,
    next_step: NextStep | None = None,
) -> Drill:
    """Restore by ``plan`` in a place of its own, check the copy, and record a certificate.

    An OpsError when it is not proven. Only when the content is refuted, the backup is not verified
    from then on; it is booked on what was restored, whatever the plan named. Refused when another
    drill is being held. ``next_step`` is taken in the copy when every check has passed.
    """
    aftermath: Aftermath | None = None
    with only_one(connection, "restore drill"):
        # Its verdict is written beside the backups of whoever has claimed them.
        claim_bucket(connection, bucket, provider.cluster, f"drills {plan.backup.name}")
        drill = _DrillRecord(connection, bucket, plan, now, run_id, log)
        with drill.ending():
            point = _agreed_point(connection, bucket, plan.target)
            stored = _whole(connection, provider, bucket, plan, log)
            drill.book(provider.source(stored, point))
            log(f"restoring {drill.source.words} to {point.name}, {point.at:%F %T}Z")
            started = time.monotonic()
            with provider.restore(stored, point, log) as copy:
                seconds = time.monotonic() - started
                log(f"recovered in {seconds:.1f} s")
                checks = tuple(run_checks(copy, point, log))
                trial = _Trial(point, stored, drill.source, seconds, copy.evidence, checks)
                key = drill.conclude(trial)
                if next_step is not None:
                    aftermath = next_step(proven_copy(copy, point))
                    log(aftermath.words)
    return Drill(
        plan=plan,
        source=trial.source,
        restored_to=point.at,
        recovery_seconds=seconds,
        loss_seconds=trial.loss_seconds(now),
        rows=point.rows,
        checks=checks,
        certificate=bucket.url(key),
        aftermath=aftermath,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    point: RestorePoint
    stored: StoredBackup
    source: RestoreSource
    recovery_seconds: float
    evidence: Mapping[str, str]
    checks: tuple[CheckResult, ...]

    @property
    def findings(self) -> list[DrillFinding]:
        return [finding for check in self.checks for finding in check.findings]

    @property
    def undecided(self) -> list[DrillFinding]:
        return [finding for check in self.checks for finding in check.undecided]

    @property
    def verdict(self) -> Verdict:
        if self.findings:
            return "refuted"
        return "unknown" if self.undecided else "proven"

    def loss_seconds(self, now: datetime) -> float:
        return max((now - self.point.at).total_seconds(), 0.0)


class _NotProven(OpsError):
    """A copy was restored, and what was seen of it does not prove it."""

    def __init__(self, trial: _Trial, certificate: Mapping[str, object]) -> None:
        self.certificate = certificate
        self.verdict = trial.verdict
        what = f"{trial.source.words}, restored to {trial.point.name}"
        if trial.verdict == "refuted":
            super().__init__(
                what,
                cause="; ".join(map(str, trial.findings)),
                next_step="take a full backup now and drill it; then find out whether the live "
                "database has the damage too (run the same check there)",
            )
        else:
            super().__init__(
                what,
                cause="not everything could be looked at: " + "; ".join(map(str, trial.undecided)),
                next_step="correct what it names and drill it again: "
                "a backup that was verified stays verified",
            )


def _hidden_by(error: Exception) -> _NotProven | ContentError | None:
    """What was found before an error that came of removing the copy: that stands all the same.

    An error that was made of another one on purpose says all that is to be said.
    """
    later: BaseException = error
    while (before := later.__context__) is not None:
        if isinstance(before, _NotProven | ContentError):
            if later.__cause__ is before:
                return None
            before.add_note(f"Besides, the copy was not removed: {mask_secrets(str(error))}")
            return before
        later = before
    return None


_NOTHING_YET = RestoreSource(None, "nothing yet")


@dataclass(slots=True)
class _DrillRecord:
    """What the ledger and the bucket are told of one drill."""

    connection: Connection
    bucket: Bucket
    plan: DrillPlan
    now: datetime
    run_id: str
    log: Log
    number: int | None = None
    source: RestoreSource = _NOTHING_YET
    is_proven: bool = False

    def book(self, source: RestoreSource) -> None:
        """From here on a verdict is one about ``source``."""
        self.source = source
        self.number = self._begin(source.backup, source.words)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Record how a block ended that did not conclude; a proof stands, whatever comes after."""
        try:
            yield
        except _NotProven as error:
            self._end(error.verdict, error, error.certificate)
            raise
        except ContentError as error:
            if not self.is_proven:
                self._end("refuted", error, None, self._refutes(error))
            raise
        except Exception as error:
            hidden = _hidden_by(error)
            if hidden is not None:
                with self.ending():
                    raise hidden from None
            if not self.is_proven:
                self._end("unknown", error, None)
            raise

    def conclude(self, trial: _Trial) -> str:
        """Record a proof; returns the key of its certificate. An OpsError if it is none."""
        certificate = self._certificate(trial)
        if trial.verdict != "proven":
            raise _NotProven(trial, certificate)
        assert self.number is not None
        key = write_certificate(
            self.bucket, self.source.backup, self.plan.target.name, datetime.now(UTC), certificate
        )
        verdicts.pass_drill(
            self.connection,
            self.number,
            restored_to=trial.point.at,
            recovery_seconds=trial.recovery_seconds,
            loss_seconds=trial.loss_seconds(self.now),
            certificate=certificate,
        )
        self.is_proven = True
        self.log(f"proven: {self.source.words}")
        return key

    def _begin(self, backup: str | None, words: str | None) -> int:
        return verdicts.begin_drill(
            self.connection, backup, self.plan.target.name, self.run_id, words
        )

    def _end(
        self,
        verdict: Verdict,
        error: Exception,
        certificate: Mapping[str, object] | None,
        refutes: Refuted = "backup",
    ) -> None:
        said = mask_secrets(str(error))
        self.log(f"verdict: {verdict}")
        if not takes_statements(self.connection):
            return  # the next drill records that this one died
        if self.number is None:
            # It never came to a restore: nothing was looked at.
            self.number = self._begin(self.plan.backup.name, None)
        if verdict != "refuted":
            verdicts.give_up_drill(self.connection, self.number, said, certificate)
            return
        record = {**(certificate or self._facts()), "verdict": verdict, "error": said}
        record |= {"refutes": refutes}
        verdicts.refute_drill(self.connection, self.number, said, record, refutes=refutes)
        if self.source.backup is None:
            return
        try:
            write_refutation(self.bucket, self.source.backup, datetime.now(UTC), record)
        except OpsError as unwritten:
            raise OpsError(
                f"refutation of {self.source.backup}",
                cause=f"this database has it, and the bucket has not: {unwritten.cause}. "
                f"The drill said: {said}",
                next_step=f"{unwritten.next_step}; then drill {self.source.backup} by its name",
            ) from error

    def _refutes(self, error: ContentError) -> Refuted:
        """Damage of the log behind the backup's own point leaves the backup what it is."""
        own = self.plan.backup.mark_wal
        if error.wal is None or own is None or self.source.backup != self.plan.backup.name:
            return "backup"
        return "log" if error.wal[8:] > own[8:] else "backup"

    def _facts(self) -> dict[str, object]:
        at = self.plan.target.point_at
        return {
            "backup": self.source.backup,
            "target": self.plan.target.name,
            "restored_from": self.source.words,
            "restored_to": at.isoformat() if at is not None else None,
            "run_id": self.run_id,
        }

    def _certificate(self, trial: _Trial) -> dict[str, object]:
        return {
            **self._facts(),
            "verdict": trial.verdict,
            "provider_id": trial.stored.provider_id,
            "location": trial.stored.location,
            "bytes": trial.stored.bytes,
            "objects": sorted(trial.stored.objects),
            "restored_to": trial.point.at.isoformat(),
            "recovery_seconds": round(trial.recovery_seconds, 3),
            "loss_seconds": round(trial.loss_seconds(self.now), 3),
            "system_identifier": trial.point.system_identifier,
            "server_version": trial.point.server_version,
            "evidence": dict(trial.evidence),
            "tables": len(trial.point.tables),
            "rows": trial.point.rows,
            "tables not compared": list(trial.point.changing),
            "compared in parts": {
                name: f"{found.rows} rows in {len(found.parts)} of {found.of} parts"
                for name, found in trial.point.parts.items()
            },
            "not known at the point": dict(trial.point.unread),
            "checks": records(trial.checks),
            "software": {name: version(name) for name in ("ft-ops", "barman", "psycopg")},
        }


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


def _whole(
    connection: Connection, provider: BackupProvider, bucket: Bucket, plan: DrillPlan, log: Log
) -> StoredBackup:
    """The backup to restore, once it and its target were found whole; else an OpsError."""
    found = None
    for name in dict.fromkeys((plan.backup.name, plan.target.name)):
        stored, problem = count_again(connection, provider, bucket, name, log)
        if stored is None or problem is not None:
            raise OpsError(
                f"backup {name}",
                cause=str(problem),
                next_step="take a full backup now; look for older versions of its objects",
            )
        found = found or stored
    assert found is not None
    return found
