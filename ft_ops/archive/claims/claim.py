"""Which database may write into an archive's folder: the one that has made its newest claim.

A copy of a database (a staging clone, a restored backup, a promoted replica) that runs with the
same settings would record its own deletions beside those of the one that it was copied from, and
remove objects that this one still needs. So whoever writes or removes there claims the folder
before: ``records/claims/NNNNNNNN.json``, written once, one after the other. A database knows the
last claim that it has made. Where the next one is another's it stops, and names both.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from psycopg.errors import FeatureNotSupported, InsufficientPrivilege

from ft_ops.archive.claims.records import (
    Claim,
    Identity,
    claim_key,
    claims_prefix,
    earlier_claims,
    first_claim,
    numbers_behind,
    read_claims,
)
from ft_ops.archive.run import ClaimedFolder
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import put_once, versions

_NEXT: Final = (
    "find out which of the two the application uses. If it is the other one, this is a copy: give "
    "it a bucket or an FT_ARCHIVE_PREFIX of its own. If it is this one, stop the other; then "
    "ft-ops archive adopt shows what that has claimed, to be adopted or disowned: see "
    "docs/archive.md#what-the-bucket-knows"
)


@dataclass(frozen=True, slots=True)
class Own:
    """The last claim of this database in the folder, number 0 before the first of all.

    ``identity`` is what it was then; None: it has made none here.
    """

    number: int = 0
    sha256: str = ""
    identity: Identity | None = None
    disowned: tuple[int, ...] = field(default=())


def claim(
    folder: ClaimedFolder, why: str, records: Sequence[str] = (), *, removes: bool = False
) -> None:
    """Claim the folder before something is written there; Refused when it is another's.

    ``records`` are the keys about to be written. Who ``removes`` objects must not have been
    recovered or promoted since its last claim either: it may lack what replaces them.
    """
    own = _own(folder)
    now = identity_of(folder)
    _refuse_copy(folder, own, now, removes=removes)
    _make(folder, own, now, why, records, own.disowned)


def require_folder(folder: ClaimedFolder, *, removes: bool = True) -> None:
    """Refused when another database has claimed the folder, or this one is a copy.

    Who ``removes`` nothing may have been recovered or promoted.
    """
    own = _own(folder)
    _refuse_copy(folder, own, identity_of(folder), removes=removes)
    while (found := first_claim(folder.bucket, claim_key(folder.root, own.number + 1))) is not None:
        own = _recognized(folder, own, found)
    _refuse_gap(folder, own)


def take_over(folder: ClaimedFolder, last: Claim | None, disowned: Sequence[int]) -> None:
    """Claim the folder behind the ``last`` claim, whoever has made that."""
    own = Own() if last is None else Own(last.number, last.sha256)
    _make(folder, own, identity_of(folder), "taken over", (), tuple(sorted(disowned)))


def identity_of(folder: ClaimedFolder) -> Identity:
    """What this database is now, as far as the server tells it."""
    try:
        with folder.connection.transaction():
            found = folder.connection.execute(statement("archive/database_identity"))
            return Identity(*one_row(found))
    except (InsufficientPrivilege, FeatureNotSupported):
        # A service may hide its control file. Of two such copies on two servers the claims decide.
        alone = folder.connection.execute(statement("archive/database_identity_alone"))
        return Identity("hidden", *one_row(alone))


def own_claim(folder: ClaimedFolder) -> Own:
    """The last claim of this database in the folder; number 0 where it has made none."""
    found = _newest(folder)
    return Own() if isinstance(found, Claim) else found


def disowned_records(folder: ClaimedFolder) -> frozenset[str]:
    """The keys that disowned claims of this archive name alone; almost always there are none.

    An OpsError where one of these can't be read: an adoption would not know either what counts.
    """
    disowned = own_claim(folder).disowned
    if not disowned:
        return frozenset()
    claims = read_claims(folder.bucket, folder.root)
    unread = {failed.name: failed for failed in claims.unread}
    for number in disowned:
        if failed := unread.get(folder.bucket.url(claim_key(folder.root, number))):
            raise OpsError(failed.name, cause=failed.cause, next_step=failed.next_step)
    return claims.ignored()


def is_own(folder: ClaimedFolder, found: Claim) -> bool:
    """Whether this database has made a claim; it knows so from now on."""
    done = folder.connection.execute(
        statement("archive/recognize_claim"), {**folder.place, "sha256": found.sha256}
    )
    return done.rowcount > 0


def _own(folder: ClaimedFolder) -> Own:
    """The last claim of this database in the folder; Refused when all there are are another's."""
    found = _newest(folder)
    if isinstance(found, Claim):
        raise _another(folder, found, None)
    return found


def _newest(folder: ClaimedFolder) -> Own | Claim:
    """This database's last claim in the folder; where it has none, the newest of another there is.

    One that it made in another folder is its own, too: the second copy's has the same.
    """
    row = folder.connection.execute(statement("archive/last_claim"), folder.place).fetchone()
    if row is not None:
        number, sha256, system_identifier, oid, timeline, disowned = row
        return Own(number, sha256, Identity(system_identifier, oid, timeline), tuple(disowned))
    keys = {version.key for version in versions(folder.bucket, claims_prefix(folder.root))}
    newest = first_claim(folder.bucket, max(keys)) if keys else None
    if newest is None:
        return Own()
    return _newest(folder) if is_own(folder, newest) else newest


def _make(
    folder: ClaimedFolder,
    own: Own,
    now: Identity,
    why: str,
    records: Sequence[str],
    disowned: Sequence[int],
) -> None:
    """Write the next claim; one that this database made and has not heard of is passed over.

    Only one that is answered in this very run counts: a copy that was made in between knows of the
    others, too.
    """
    while True:
        _refuse_gap(folder, own)
        key = claim_key(folder.root, own.number + 1)
        body = _body(folder, own, now, why, records, disowned)
        sha256 = hashlib.sha256(body).hexdigest()
        row = {
            **folder.place,
            "number": own.number + 1,
            "sha256": sha256,
            "system_identifier": now.system_identifier,
            "oid": now.oid,
            # That a promotion was looked at says an adoption alone, no other claim.
            "timeline": (own.identity or now).timeline,
            "disowned": list(disowned),
        }
        folder.connection.execute(statement("archive/note_claim"), row)
        # Whether it is there already, the next question says; also where nothing is refused.
        with suppress(Refused):
            put_once(folder.bucket, key, body)
        found = first_claim(folder.bucket, key)
        if found is None:
            raise OpsError(
                folder.bucket.url(key),
                cause="it was written, and is not there",
                next_step="see who removes objects there, and run again",
            )
        own = _recognized(folder, own, found)
        if found.sha256 == sha256:
            return


def _refuse_gap(folder: ClaimedFolder, own: Own) -> None:
    """Refused when the next claim is not there, though later ones are.

    Somebody has made it, and who that was is not known any more. It is looked for last: of our own
    runs another may just have made both.
    """
    number = own.number + 1
    later = next(numbers_behind(folder.bucket, folder.root, own.number), number)
    if later == number or first_claim(folder.bucket, claim_key(folder.root, number)) is not None:
        return
    raise Refused(
        _what(folder),
        cause=f"claim {number} is not there, and claim {later} is: who made it, and may go on to "
        "write here, is not known",
        next_step="bring it back from the second copy. If that is not possible, see that no other "
        "database writes into this archive, then run ft-ops archive adopt, which shows what the "
        "later claims are",
    )


def _recognized(folder: ClaimedFolder, own: Own, found: Claim) -> Own:
    """The claim that was found, as this database's own; Refused when it is not."""
    if not is_own(folder, found):
        raise _another(folder, found, own)
    return replace(own, number=found.number, sha256=found.sha256, disowned=found.disowned)


def _refuse_copy(folder: ClaimedFolder, own: Own, now: Identity, *, removes: bool) -> None:
    if own.identity is None:
        return
    if not own.identity.is_same(now):
        cause = "it is a copy of the one that"
    elif removes and own.identity.timeline != now.timeline:
        cause = "it was recovered or promoted since it"
    else:
        return
    raise Refused(
        _what(folder),
        cause=f"this database is {now}; {cause} made {_made(folder, own, own.identity)}",
        next_step="if it stands in the other's place (after a recovery, an upgrade or a failover), "
        "see that the other one is stopped, then run ft-ops archive adopt --apply. If it is a "
        "copy, give it a bucket or an FT_ARCHIVE_PREFIX of its own",
    )


def _made(folder: ClaimedFolder, own: Own, was: Identity) -> str:
    """This database's last claim in words: as it lies there, which says who made it and when."""
    with suppress(OpsError):
        found = first_claim(folder.bucket, claim_key(folder.root, own.number))
        if found is not None and found.sha256 == own.sha256:
            return str(found)
    return f"claim {own.number}: {replace(was, name='a database', address='an unknown address')}"


def _another(folder: ClaimedFolder, found: Claim, own: Own | None) -> Refused:
    last = f", whose last claim is {own.number}" if own is not None and own.number else ""
    return Refused(
        _what(folder),
        cause=f"another database than this one has made {found}; this one is "
        f"{identity_of(folder)}{last}",
        next_step=_NEXT,
    )


def _body(
    folder: ClaimedFolder,
    own: Own,
    now: Identity,
    why: str,
    records: Sequence[str],
    disowned: Sequence[int],
) -> bytes:
    number = own.number + 1
    content: dict[str, object] = {
        "number": number,
        "previous": own.sha256,
        "at": folder.clock().isoformat(timespec="seconds"),
        "database": asdict(now),
        "why": why,
        "records": list(records),
        "disowned": list(disowned),
        # Two copies of a database may say the same at the same time.
        "nonce": secrets.token_hex(16),
    }
    if earlier := earlier_claims(folder.bucket, folder.root, number):
        content["earlier"] = earlier
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


def _what(folder: ClaimedFolder) -> str:
    return f"archive in {folder.url}"
