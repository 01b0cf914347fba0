"""Puts back into the first bucket what it has lost, from the second copy.

Also for a bucket that was made anew, and for a second one that has become the first: an object that
lies there as another version than the ledger names is recorded as that.
"""

from __future__ import annotations

from dataclasses import replace

from ft_ops.archive.claims.claim import claim
from ft_ops.archive.copies.compare import recorded
from ft_ops.archive.copies.read import LocatedCopy, ask, locate
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.in_states import all_stored
from ft_ops.archive.month.ledger import record_found
from ft_ops.archive.month.states import month_words
from ft_ops.archive.replica.fill import READABLE_DAYS
from ft_ops.archive.run import Run
from ft_ops.archive.store.freeze import write_certificate
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.pg.audit import write_audit
from ft_ops.pg.locks import only_one
from ft_ops.s3.glacier import availability
from ft_ops.s3.objects import StoredObject, copy_version, objects


def mend(run: Run, months: list[Month] | None, *, apply: bool) -> Worked[tuple[str, ...]]:
    """Put back every object that the ledger names and the first bucket has not; month by month.

    Without ``apply`` it only says what it would do, in words. What can't be had anywhere, or has to
    be waited for, is named by its month, and the other objects are put back. A month that the
    ledger does not know is named, too. Refused when another database has claimed the archive: what
    this one's ledger names may have been erased by that.
    """
    if apply:
        claim(run.folder, "mend")
    known = dict.fromkeys(generation.month for generation in all_stored(run.connection))

    def mend_known(month: Month) -> tuple[str, ...]:
        if month not in known:
            raise Refused(
                f"objects of {month}",
                cause="the ledger has nothing of it in the bucket",
                next_step="see what it has: SELECT * FROM ops.archive_status",
            )
        return tuple(_mend_month(run, month, apply=apply))

    return each(
        known if months is None else dict.fromkeys(months),
        mend_known,
        name=lambda month: f"objects of {month}",
        log=run.log,
    )


def _mend_month(run: Run, month: Month, *, apply: bool) -> list[str]:
    lines: list[str] = []
    problems: list[OpsError] = []
    with (
        only_one(run.connection, f"archive {month}"),
        only_one(run.connection, f"archive {month_words(month, 'audit_archive')}"),
    ):
        for generation in all_stored(run.connection):
            if generation.month == month:
                _mend_generation(run, generation, lines, problems, apply=apply)
    for line in lines:
        run.log(line)
    if problems:
        raise OpsError(
            f"objects of {month}",
            cause="; ".join(map(str, problems)),
            next_step="; ".join(dict.fromkeys(problem.next_step for problem in problems)),
        )
    return lines


def _mend_generation(
    run: Run,
    generation: Generation,
    lines: list[str],
    problems: list[OpsError],
    *,
    apply: bool,
) -> None:
    found: dict[str, StoredObject] = {}
    for stored in recorded(generation):
        try:
            copy = locate(run.target, stored)
            if not copy.instead:
                continue
            lines.append(f"{stored.key} is put back: {copy.url} holds its bytes")
            if apply:
                found[stored.key] = _put_back(run, stored, copy)
        except OpsError as error:
            problems.append(error)
    certificate = generation.certificate_key
    if not any(item.key == certificate for item in objects(run.bucket, certificate)):
        lines.append(f"{certificate} is written again: the ledger has it")
        if apply:
            write_certificate(run.bucket, generation)
    if found:
        with run.connection.transaction():
            record_found(run.connection, generation, found)
            write_audit(
                run.connection,
                "archive.mend",
                "ops.archive",
                {"generation": generation.name, "objects": sorted(found)},
            )


def _put_back(run: Run, stored: StoredObject, copy: LocatedCopy) -> StoredObject:
    if copy.bucket.name == run.bucket.name:
        return copy.stored
    if not availability(copy.bucket, copy.stored).readable:
        ask(copy, days=READABLE_DAYS, tier="Bulk")
        raise OpsError(
            copy.url,
            cause="it lies in Glacier, which was asked for it",
            next_step="run it again when it is readable, within 48 hours",
        )
    put = copy_version(copy.bucket, copy.stored, run.bucket, stored.storage_class)
    return replace(put, key=stored.key)
