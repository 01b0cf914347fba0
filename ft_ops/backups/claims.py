"""Which database may write into the backups' bucket: the one that has made its newest claim.

A copy of a database (a staging clone, a recovered server, a snapshot of its disk) that runs with
the same settings would ship segments of the same names, and let go of the original's backups by
what its own ledger says of them. So whoever writes or deletes there claims the bucket before:
``claims/CLUSTER/NNNNNNNN.json``, written once, one after the other. A database knows the claims
that it has made, wherever the bucket was moved since. Where the newest one is another's it stops.
Of two databases that nothing tells apart the first one has it, and the other one stops at its next
step.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from ft_ops.clock import utc_now
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.behind import objects_behind
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import put_once, read_current

CLAIMS: Final = "claims"

_NUMBER = re.compile(r"/(\d{8})\.json")

_READERS: Final = 8

_NEXT: Final = (
    "find out which of the two the application uses. If it is the other one, this is a copy: give "
    "it an FT_BACKUP_BUCKET of its own. If it is this one, stop the other for good; then ft-ops "
    "backup take-over --reason …, and take a full backup: see "
    "docs/disaster-recovery.md#two-databases-of-one-cluster"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """The claims of one cluster in a bucket, and the database that asks."""

    connection: Connection
    bucket: Bucket
    cluster: str

    @property
    def row(self) -> dict[str, object]:
        return {"bucket": self.bucket.name, "cluster": self.cluster}

    def key(self, number: int) -> str:
        return f"{CLAIMS}/{self.cluster}/{number:08d}.json"

    def last(self) -> int:
        """The number of this database's last claim, 0 before its first."""
        found = self.connection.execute(statement("backups/last_claim"), self.row)
        return int(one_row(found)[0])

    def behind(self, number: int) -> Iterator[int]:
        """The numbers of the claims behind one, in order; one request where there are none."""
        for key in objects_behind(self.bucket, f"{CLAIMS}/{self.cluster}/", self.key(number)):
            match = _NUMBER.search(key)
            if match is not None and key == self.key(int(match[1])):
                yield int(match[1])

    def said(self, number: int) -> str:
        """Why a claim was made; an OpsError when it can't be read."""
        try:
            return str(json.loads(read_current(self.bucket, self.key(number)))["why"])
        except (ValueError, KeyError, TypeError) as error:
            raise OpsError(
                self.bucket.url(self.key(number)),
                cause="it is no claim, and nobody can tell which backup it was made for",
                next_step="find out who wrote it, and hide it if it says nothing",
            ) from error

    def is_ours(self, number: int, body: bytes) -> bool:
        """Whether this database has made a claim; it knows so from now on."""
        sha256 = hashlib.sha256(body).hexdigest()
        given = {**self.row, "number": number, "sha256": sha256}
        return any(
            self.connection.execute(statement(f"backups/{way}"), given).rowcount > 0
            for way in ("recognize_claim", "recognize_moved_claims")
        )


class OtherDatabases:
    """What other databases of a cluster have said by their claims; read once, when it is needed."""

    def __init__(self, connection: Connection, bucket: Bucket, cluster: str) -> None:
        self._place = _Place(connection, bucket, cluster)

    def may_have_taken(self, name: str) -> bool:
        """Whether a backup is not surely ours: another one has the bucket, or has said so before.

        Only what lies behind a claim of this database is another's: what was there before is what
        whoever took the bucket over goes on with.
        """
        return self._has_bucket or taking(name) in self._said

    @cached_property
    def _has_bucket(self) -> bool:
        try:
            _last_of_ours(self._place, self._place.last())
        except Refused:
            return True
        return False

    @cached_property
    def _said(self) -> frozenset[str]:
        place = self._place
        made = place.connection.execute(statement("backups/certain_claims"), place.row)
        ours = {int(number) for (number,) in made}
        if not ours:
            return frozenset()
        others = [number for number in place.behind(min(ours)) if number not in ours]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="claims") as pool:
            return frozenset(pool.map(place.said, others))


def taking(name: str) -> str:
    """Why a bucket is claimed by whoever takes a backup."""
    return f"takes {name}"


def claim_bucket(connection: Connection, bucket: Bucket, cluster: str, why: str) -> None:
    """Claim a bucket before something is written or deleted there; Refused when it is another's."""
    place = _Place(connection, bucket, cluster)
    number = place.last()
    while True:
        number = _last_of_ours(place, number) + 1
        # Only one that is answered in this very run counts: a copy that was made in between knows
        # of the others, too.
        found = _make(place, number, why)
        if found is None:
            return
        # Another run of ours was faster, whose claim is no answer to this one: the next number.
        _refuse_anothers(place, number - 1, number, found)


def take_over(
    connection: Connection, bucket: Bucket, cluster: str, *, by: str, reason: str, now: datetime
) -> int:
    """Claim a bucket behind everybody, whoever has made the last claim; returns the number."""
    place = _Place(connection, bucket, cluster)
    last = place.last()
    number = max(place.behind(last), default=last) + 1
    record = {"by": by, "at": now.isoformat(), "reason": reason, "claim": number}
    write_audit(connection, "backups_taken_over", "backups", record)
    if _make(place, number, f"taken over by {by}: {reason}") is not None:
        raise OpsError(
            bucket.url(place.key(number)),
            cause="another database has made this claim at this moment",
            next_step="stop that one first; then run again",
        )
    return number


def _last_of_ours(place: _Place, number: int) -> int:
    """The number of the newest claim, ``number`` if there is none behind it; Refused unless ours.

    Those before it don't matter: whoever makes one has seen all of them, or a person has told it to
    go on.
    """
    newest = max(place.behind(number), default=None)
    if newest is None:
        return number
    _refuse_anothers(place, number, newest, read_current(place.bucket, place.key(newest)))
    return newest


def _refuse_anothers(place: _Place, own: int, number: int, body: bytes) -> None:
    if not place.is_ours(number, body):
        raise _another(place, own, number, body)


def _make(place: _Place, number: int, why: str) -> bytes | None:
    """Write a claim, None if that is done; else what lies under its number by somebody else."""
    body = _body(place, number, why)
    sha256 = hashlib.sha256(body).hexdigest()
    given = {**place.row, "number": number, "sha256": sha256}
    place.connection.execute(statement("backups/note_claim"), given)
    # Whether it is there already, the next question says; also where nothing is refused.
    with suppress(Refused):
        put_once(place.bucket, place.key(number), body)
    found = read_current(place.bucket, place.key(number))
    return None if found == body and place.is_ours(number, body) else found


def _body(place: _Place, number: int, why: str) -> bytes:
    name, address = one_row(place.connection.execute(statement("backups/claimant")))
    content = {
        "number": number,
        "at": utc_now().isoformat(timespec="seconds"),
        "by": f"{name} at {address}, by the operations on {platform.node()}",
        "why": why,
        # Two copies of a database may say the same at the same time.
        "nonce": secrets.token_hex(16),
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


def _another(place: _Place, own: int, found: int, body: bytes) -> Refused:
    try:
        said = json.loads(body)
        words = f"claim {found} ({said['why']}, {said['at']}) is one of {said['by']}"
    except (ValueError, KeyError, TypeError):
        words = f"claim {found} is none of this database's, and can't be read"
    return Refused(
        f"backups in {place.bucket.url(f'{CLAIMS}/{place.cluster}/')}",
        cause=f"another database of this cluster writes there: {words}; the last claim of this one "
        f"is {own or 'none'}",
        next_step=_NEXT,
    )
