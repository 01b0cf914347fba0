"""Reads what the ledger names: from the archive's bucket, or from its second copy.

Wherever bytes come from, they must have the size and SHA-256 that the ledger knows. So whatever
keeps the first from being read is reason enough to take the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ft_ops.archive.run import ArchiveTarget, Run
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket, Damaged, Missing
from ft_ops.s3.glacier import Tier, availability, request_restore
from ft_ops.s3.objects import StoredObject, WrongContent, download, told
from ft_ops.s3.twins import twin

_ABOUT_THE_OBJECT: Final = (Damaged, Missing, WrongContent)
_MONTH: Final = re.compile(r"/year=(\d{4})/month=(\d{2})/")

Answer: TypeAlias = Literal["readable", "waiting", "expired"]
"""``expired``: one has to be asked for again. S3 says nothing of a readable copy that is over."""

DAYS: Final = 7
"""Days that a readable copy of the second stays, asked for when the first proved unreadable."""


@dataclass(frozen=True, slots=True)
class LocatedCopy:
    """One version in one bucket; ``instead`` says why it is not the one that the ledger names."""

    bucket: Bucket
    stored: StoredObject
    instead: str = ""

    @property
    def url(self) -> str:
        return f"{self.bucket.url(self.stored.key)} version {self.stored.version_id}"


def locate(target: ArchiveTarget, stored: StoredObject) -> LocatedCopy:
    """Where an object can be had, as far as S3 tells without reading it.

    The version that the ledger names, else another one of its key that holds the same bytes, else
    the second copy. The OpsError about the first, when there is none.
    """
    problem = _problem(target.bucket, stored)
    return (
        LocatedCopy(target.bucket, stored)
        if problem is None
        else other_copy(target, stored, problem)
    )


def other_copy(target: ArchiveTarget, stored: StoredObject, problem: OpsError) -> LocatedCopy:
    """What can be read instead of a version that has a ``problem``.

    When nothing can, that problem, with what to do where it is the only copy of a month's rows.
    """
    tried = [str(problem)]
    if isinstance(problem, Missing):
        found = _twin(target.bucket, stored, tried)
        if found is not None:
            return LocatedCopy(target.bucket, found, str(problem))
    try:
        second = target.second
    except OpsError as error:
        second = None
        tried.append(str(error))
    if second is not None:
        found = _twin(second, stored, tried)
        if found is not None:
            return LocatedCopy(second, found, str(problem))
        tried.append(f"{second.url(stored.key)} holds no copy of it")
    raise _lost(stored, problem, *tried[1:]) from problem


def _lost(stored: StoredObject, problem: OpsError, *tried: str) -> OpsError:
    """The error about an object that can be had nowhere, of the problem's own kind."""
    month = _MONTH.search(stored.key)
    next_step = problem.next_step
    if month is not None and isinstance(problem, _ABOUT_THE_OBJECT):
        name = f"{month[1]}-{month[2]}"
        next_step = (
            f"nothing of {name} was changed. `ft-ops archive mend --month {name}` says what it can "
            "put back from another version or the second copy, and --apply does it. Without these "
            "put the object back under its key from a backup of the bucket, or restore a backup of "
            "the database from before the purge: see archived_objects_are_there in the runbook. "
            "While its rows are still in the database, archive the month again"
        )
    return type(problem)(
        problem.what, cause="; ".join([problem.cause, *tried]), next_step=next_step
    )


def fetch(run: Run, stored: StoredObject, path: Path) -> None:
    """Write an object's content to ``path``, from wherever it can be read.

    The second copy is asked for, where it lies in Glacier: then an OpsError says so, and a later
    run finds it readable.
    """
    try:
        download(run.bucket, stored, path)
    except OpsError as error:
        copy = other_copy(run.target, stored, error)
        if not availability(copy.bucket, copy.stored).readable:
            request_restore(copy.bucket, copy.stored, days=DAYS, tier="Bulk")
            raise OpsError(
                error.what,
                cause=f"{error.cause}; {copy.url} has the same bytes, and Glacier was asked for it",
                next_step="run it again when it is readable, within 48 hours",
            ) from error
        try:
            download(copy.bucket, copy.stored, path)
        except OpsError as other:
            raise _lost(stored, error, str(other)) from other
        run.read_elsewhere.append(copy.url)
        run.log(f"{copy.url} was read instead: {copy.instead}")


def ask(copy: LocatedCopy, *, days: int, tier: Tier) -> None:
    """Ask Glacier for a copy, unless it is readable or asked for already."""
    found = availability(copy.bucket, copy.stored)
    if not found.readable and not found.requested:
        request_restore(copy.bucket, copy.stored, days=days, tier=tier)


def answer(copies: Iterable[LocatedCopy]) -> Answer:
    """What Glacier has made of a request for copies."""
    found = [availability(copy.bucket, copy.stored) for copy in copies]
    if any(not one.readable and not one.requested for one in found):
        return "expired"
    return "readable" if all(one.readable for one in found) else "waiting"


def _problem(bucket: Bucket, stored: StoredObject) -> OpsError | None:
    """Why a version can't be what is read; its class is no reason."""
    try:
        found = told(bucket, stored)
    except OpsError as error:
        return error
    if found.bytes != stored.bytes or found.sha256 not in ("", stored.sha256):
        return WrongContent(
            f"{bucket.url(stored.key)} version {stored.version_id}",
            cause=f"it has {found.bytes} bytes with SHA-256 {found.sha256 or '(not told)'}, "
            f"recorded are {stored.bytes} with {stored.sha256}",
            next_step="look for who wrote it: a version never changes",
        )
    return None


def _twin(bucket: Bucket, stored: StoredObject, tried: list[str]) -> StoredObject | None:
    try:
        return twin(bucket, stored)
    except OpsError as error:
        tried.append(str(error))
        return None
