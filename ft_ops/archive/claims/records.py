"""Claims on an archive's folder as they lie in the bucket: which database wrote what, in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from ft_ops.errors import OpsError
from ft_ops.items import Failed, Worked, each
from ft_ops.s3.behind import keys_behind
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import Version, read_version, versions

EARLIER: Final = 1_000
"""Each thousandth claim holds the 999 before it, word for word.

There may be 35,000 a year: whoever reads all of them asks for a thousandth of the old ones.
"""

_READERS: Final = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a database from its copies; ``name`` and ``address`` are for people alone."""

    system_identifier: str
    oid: int
    timeline: int
    name: str = ""
    address: str = ""

    def is_same(self, other: Identity) -> bool:
        """Whether it is the same database, which may have been recovered or promoted since."""
        return (self.system_identifier, self.oid) == (other.system_identifier, other.oid)

    @property
    def bare(self) -> Identity:
        """Without what is for people."""
        return replace(self, name="", address="")

    def __str__(self) -> str:
        return (
            f"{self.name} at {self.address} (system identifier {self.system_identifier}, database "
            f"{self.oid}, timeline {self.timeline})"
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as it lies in the bucket. ``records`` are the keys that were written under it.

    ``disowned``: claims up to this one that a copy made; what these name counts for nothing.
    ``earlier`` are the claims that it holds.
    """

    number: int
    sha256: str
    at: str
    database: Identity
    why: str
    records: tuple[str, ...] = ()
    disowned: tuple[int, ...] = ()
    earlier: tuple[Claim, ...] = ()

    def __str__(self) -> str:
        return f"claim {self.number} ({self.why}, {self.at}) by {self.database}"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a folder by their number, and those that can't be read."""

    known: tuple[Claim, ...] = ()
    unread: tuple[Failed, ...] = ()

    def disowned(self, disown: Sequence[int] = ()) -> frozenset[int]:
        """The claims that count for nothing, when ``disown`` is disowned, too.

        The newest decides: what a copy has disowned goes on to count when the copy is disowned.
        """
        gone = set(disown)
        for claim in sorted(self.known, key=lambda found: found.number, reverse=True):
            if claim.number not in gone:
                gone |= set(claim.disowned)
        return frozenset(gone)

    def lost(self, behind: int) -> tuple[int, ...]:
        """The numbers behind one whose claims are not there, though later ones are."""
        there = {found.number for found in self.known}
        return tuple(n for n in range(behind + 1, max(there, default=0)) if n not in there)

    def ignored(self, disown: Sequence[int] = ()) -> frozenset[str]:
        """The keys of records that only disowned claims name."""
        gone = self.disowned(disown)
        of_others, ours = (
            {key for claim in self.known if (claim.number in gone) is bad for key in claim.records}
            for bad in (True, False)
        )
        return frozenset(of_others - ours)


def read_claims(bucket: Bucket, root: str) -> Claims:
    """Every claim of a folder. Of one that lies there twice the first counts, as for writers."""
    first = _first_versions(bucket, root)
    holders = [key for key in first if _number(key) % EARLIER == 0]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="claims") as pool:
        read = _read(bucket, first, holders, pool)
        held = {claim.number: claim for holder in read.results for claim in holder.earlier}
        known = {claim_key(root, number) for number in held} | set(holders)
        others = _read(bucket, first, [key for key in first if key not in known], pool)
    alone = (replace(claim, earlier=()) for claim in (*read.results, *others.results))
    found = sorted((*held.values(), *alone), key=lambda claim: claim.number)
    claims = Claims(tuple(found), (*read.failed, *others.failed))
    lost = sorted(claims.disowned() - {found.number for found in claims.known})
    unknown = tuple(
        Failed(
            bucket.url(claim_key(root, number)),
            "it was disowned, and is not there: what a copy has recorded under it is not known",
            "bring the object back from its versions or from the second copy",
        )
        for number in lost
    )
    return Claims(claims.known, (*claims.unread, *unknown))


def earlier_claims(bucket: Bucket, root: str, number: int) -> list[str]:
    """The claims that the one of a number is to hold, as they lie there; almost always none.

    What can't be read, or is no claim of ours, is left out: readers ask for it by itself.
    """
    if number % EARLIER:
        return []
    first = _first_versions(bucket, root)
    keys = [key for key in first if number - EARLIER < _number(key) < number]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="claims") as pool:
        bodies = {key: pool.submit(read_version, bucket, first[key]) for key in keys}
        ours = each(keys, lambda key: _of_ours(bucket, key, bodies[key].result()))
    return ours.results


def _of_ours(bucket: Bucket, key: str, body: bytes) -> str:
    """A claim's content, if it is one; else an OpsError."""
    _parsed(bucket, key, body)
    return body.decode()


def _first_versions(bucket: Bucket, root: str) -> dict[str, Version]:
    """The first version of each key among a folder's claims, in their order."""
    first: dict[str, Version] = {}
    for version in versions(bucket, claims_prefix(root)):
        first[version.key] = version
    return dict(sorted(first.items()))


def _read(
    bucket: Bucket, first: Mapping[str, Version], keys: Sequence[str], pool: ThreadPoolExecutor
) -> Worked[Claim]:
    bodies = {key: pool.submit(read_version, bucket, first[key]) for key in keys}
    return each(keys, lambda key: _parsed(bucket, key, bodies[key].result()), name=bucket.url)


def _number(key: str) -> int:
    """The number in a claim's key; -1 in one that is called like none of ours."""
    stem = key.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdecimal() else -1


def is_claim(key: str) -> bool:
    """Whether a record's key is a claim's: its name does not have the digest of its content."""
    return "/records/claims/" in key


def first_claim(bucket: Bucket, key: str) -> Claim | None:
    """The first claim under a key, even if another was written over it; None if there is none."""
    first = None
    for version in versions(bucket, key):
        if version.key == key:
            first = version
    return None if first is None else _parsed(bucket, key, read_version(bucket, first))


def numbers_behind(bucket: Bucket, root: str, number: int) -> Iterator[int]:
    """The numbers of a folder's claims behind one, as they lie there; one request for none."""
    for key in keys_behind(bucket, claims_prefix(root), claim_key(root, number)):
        if (found := _number(key)) > number:
            yield found


def _parsed(bucket: Bucket, key: str, body: bytes) -> Claim:
    try:
        data: Mapping[str, Any] = json.loads(body)
        datetime.fromisoformat(data["at"])
        return Claim(
            int(data["number"]),
            hashlib.sha256(body).hexdigest(),
            str(data["at"]),
            Identity(**data["database"]),
            str(data["why"]),
            tuple(map(str, data["records"])),
            tuple(map(int, data["disowned"])),
            tuple(_parsed(bucket, key, text.encode()) for text in data.get("earlier", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OpsError(
            bucket.url(key),
            cause=f"it is no claim of ours: {type(error).__name__} {error}",
            next_step="find out who wrote it: look at its versions, and remove what is not ours",
        ) from error


def claims_prefix(root: str) -> str:
    """The folder of an archive's claims."""
    return f"{root}/records/claims/"


def claim_key(root: str, number: int) -> str:
    """The key of a claim: its number alone decides it, so that one database gets it."""
    return f"{claims_prefix(root)}{number:08d}.json"
