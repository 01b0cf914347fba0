"""Copies into the second bucket what it lacks: by what the ledger names, and never over anything.

A month's own copies are made while it is frozen. This is for months that were frozen before there
was a second bucket, or that it has lost; and for records, manifests and programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ft_ops.archive.claims.records import is_claim
from ft_ops.archive.copies.compare import recorded
from ft_ops.archive.copies.second import put_second
from ft_ops.archive.month.in_states import all_stored
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.month.states import STORED, Ledger, month_words
from ft_ops.archive.recorded.records import read_record
from ft_ops.archive.run import Run
from ft_ops.archive.store.layout import audit_prefix, document_prefixes
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Worked, each
from ft_ops.months import Month
from ft_ops.pg.locks import only_one
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import NEEDS_RESTORE, availability, request_restore
from ft_ops.s3.objects import StoredObject, objects, put_once, read_current
from ft_ops.s3.twins import KeyHistory, histories

READABLE_DAYS: Final = 5
"""Days that Glacier's readable copy of an object stays, to be copied into the other bucket."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """An object that the second bucket lacks; not ``readable``: Glacier has to be asked first."""

    generation: str
    stored: StoredObject
    readable: bool


def require_second(run: Run) -> Bucket:
    """The second bucket; Refused when there is none."""
    second = run.target.second
    if second is None:
        raise Refused(
            "second copy of the archive",
            cause="FT_ARCHIVE_REPLICA_BUCKET is not set",
            next_step="set it to a versioned bucket in another region or account: docs/archive.md",
        )
    return second


def lacking(run: Run) -> list[Lacking]:
    """What the second bucket lacks of the kept generations, by key and size: one listing of it.

    Of what it lacks, whether the first can be read now: one HEAD each.
    """
    second = require_second(run)
    there: dict[str, KeyHistory] = {}
    for root in (run.target.prefix, audit_prefix(run.target.prefix)):
        there |= histories(second, f"{root}/table=")
    found = []
    for generation in all_stored(run.connection):
        for stored in recorded(generation):
            history = there.get(stored.key)
            if history is None or stored.bytes not in {v.bytes for v in history.versions}:
                readable = stored.storage_class not in NEEDS_RESTORE or _is_readable(run, stored)
                found.append(Lacking(generation.name, stored, readable))
    return found


def lacking_documents(run: Run) -> list[str]:
    """Keys of records, manifests, certificates and programs that the second bucket lacks.

    Two listings; what a delete marker hides there is lacking.
    """
    second = require_second(run)
    # Those that the ledger names are copied by their versions.
    named = {g.manifest.key for g in all_stored(run.connection) if g.manifest is not None}
    return [
        found.key
        for prefix in document_prefixes(run.target.prefix)
        for there in [{item.key: item.bytes for item in objects(second, prefix)}]
        for found in objects(run.bucket, prefix)
        if found.key not in there and found.key not in named
    ]


def fill(run: Run, *, retrieve: bool) -> Worked[int]:
    """Copy what is lacking; with ``retrieve``, ask Glacier for what can't be read yet.

    Month by month, under its lock: what is not copied is named, and the others are. Results are
    numbers of objects.
    """
    second = require_second(run)
    documents = each(
        lacking_documents(run),
        lambda key: _copy_document(run.bucket, second, key),
        name=run.bucket.url,
        log=run.log,
    )
    wanted = {item.stored.key for item in lacking(run)}
    months = dict.fromkeys(
        (generation.month, generation.ledger)
        for generation in all_stored(run.connection)
        if wanted & {stored.key for stored in recorded(generation)}
    )
    copied = each(
        months,
        lambda found: _fill_month(run, *found, retrieve=retrieve),
        name=lambda found: f"second copy of {month_words(*found)}",
        log=run.log,
    )
    return Worked((*documents.done, *copied.done), (*documents.failed, *copied.failed))


def _fill_month(run: Run, month: Month, ledger: Ledger, *, retrieve: bool) -> int:
    """Copy one month's objects; an OpsError names those that could not be copied, and why.

    The others are copied all the same.
    """
    what = month_words(month, ledger)
    with only_one(run.connection, f"archive {what}"):
        waiting: list[str] = []
        problems: list[OpsError] = []
        copied = 0
        # Asked again under the lock: an erasure may have replaced one meanwhile.
        for generation in generations(run.connection, month, ledger):
            if generation.state not in STORED:
                continue
            for stored in recorded(generation):
                try:
                    if stored.storage_class in NEEDS_RESTORE and not _is_readable(run, stored):
                        waiting += _asked(run, stored, retrieve=retrieve)
                    else:
                        copied += put_second(run.target, stored, stored.storage_class)
                except OpsError as error:
                    problems.append(error)
    if waiting:
        problems.append(
            OpsError(
                f"second copy of {what}",
                cause=f"{len(waiting)} objects lie in Glacier and can't be copied: {waiting[0]}",
                next_step="Glacier was asked for them; run it again when they are readable"
                if retrieve
                else "launch copy_archive_to_replica with retrieve: true: a dry run says the cost",
            )
        )
    if problems:
        raise OpsError(
            f"second copy of {what}",
            cause="; ".join(f"{problem.what}: {problem.cause}" for problem in problems),
            next_step="; ".join(dict.fromkeys(problem.next_step for problem in problems)),
        ) from problems[0]
    return copied


def _asked(run: Run, stored: StoredObject, *, retrieve: bool) -> Iterator[str]:
    """What has to be waited for, unless the second bucket has it; an OpsError if it is gone."""
    second = require_second(run)
    history = histories(second, stored.key).get(stored.key)
    if history is not None and stored.bytes in {v.bytes for v in history.versions}:
        return
    found = availability(run.bucket, stored)
    if retrieve and not found.requested:
        request_restore(run.bucket, stored, days=READABLE_DAYS, tier="Bulk")
    yield run.bucket.url(stored.key)


def _is_readable(run: Run, stored: StoredObject) -> bool:
    try:
        return availability(run.bucket, stored).readable
    except OpsError:
        # It is gone, or nobody may look at it: whoever asks for it is told.
        return False


def _copy_document(first: Bucket, second: Bucket, key: str) -> int:
    """Copy a small object that is written once; a record only if it is what its name says."""
    is_record = "/records/" in key and not is_claim(key)
    put_once(second, key, read_record(first, key) if is_record else read_current(first, key))
    return 1
