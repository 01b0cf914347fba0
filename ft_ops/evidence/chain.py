"""The chain in the bucket: links that are written once, each signed and bound to the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ft_ops.errors import OpsError, Refused
from ft_ops.evidence import verify
from ft_ops.evidence.acts import Act, from_entries, to_entry
from ft_ops.evidence.signers import Signer, former_keys, open_signer
from ft_ops.evidence.verify import HEAD, CheckedChain, Head, PublicKey, canonical, link_name
from ft_ops.s3.bucket import Bucket, Missing, open_bucket
from ft_ops.s3.conditional import Changed, read_with_etag, replace_unchanged
from ft_ops.s3.objects import (
    objects,
    put_once,
    read_current,
    read_version,
    replace_current,
    versions,
)
from ft_ops.s3.twins import histories
from ft_ops.settings import Settings

ENTRIES: Final = 5_000
"""Entries in one link, at most: a few megabytes."""

_EVER: Final = datetime(1, 1, 2, tzinfo=UTC)

_ATTEMPTS: Final = 10
"""How often the head may be moved by others while one run moves it."""

PROGRAM: Final = "verify.py"
"""The program that verifies the chain lies beside it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain in a bucket, below ``prefix``, and the key that signs it.

    ``former`` are the public keys that signed before it, oldest first.
    """

    bucket: Bucket
    prefix: str
    key: Signer
    former: tuple[PublicKey, ...] = ()

    def read(self) -> CheckedChain:
        """The whole chain, verified by this key. An empty one has no problem and no head."""
        files, _ = self._files()
        return self._checked(files)

    @property
    def address(self) -> str:
        """Where it lies, as its heads are noted."""
        return self.bucket.url(self.prefix)

    def append(
        self,
        acts: Callable[[datetime], Sequence[Act]],
        now: datetime,
        log: Callable[[str], None] = lambda line: None,
        *,
        noted: Sequence[Head] = (),
    ) -> Head | None:
        """Chain every act that is not in it yet; the newest link, None while there is none.

        ``acts`` gives what was done from a moment on, ``noted`` the heads that runs have noted.
        An OpsError when the chain is not whole, or lacks one of these: nothing is added to a chain
        that somebody has changed. Links that a run has left behind the head, because it died, are
        in order and signed like all others: the head is moved to them first. Two runs at once: the
        later one is Refused by the link that it would have written, and its acts are chained by
        the next run.
        """
        standing = self._standing(noted)
        head, etag = standing.checked.head, standing.etag
        if head is not None and not standing.is_named:
            log(f"{HEAD} does not name link {head}, which an earlier run has left: it is moved")
            etag = self._point_to(head, etag, now, noted)
        known = {(act.id, act.created_at) for act in from_entries(standing.checked.entries)}
        # All of them, by what they are: no clock, and no moment of a commit, hides one.
        fresh = [act for act in acts(_EVER) if (act.id, act.created_at) not in known]
        for begin in range(0, len(fresh), ENTRIES):
            head = self._add(head, fresh[begin : begin + ENTRIES], now)
            etag = self._point_to(head, etag, now, noted)
            log(f"link {head.number}: {min(begin + ENTRIES, len(fresh))} of {len(fresh)} acts")
        if head is not None:
            self._lay_program()
        return head

    def _standing(self, noted: Sequence[Head]) -> _Standing:
        """The chain as it lies there, which must be whole but for a head that is behind."""
        files, etag = self._files()
        checked = self._checked(files)
        # A head by the former key is replaced. That nobody who has kept that key has cut the chain
        # back to its time is told by the heads that were noted.
        excused = {verify.FORMER_HEAD, verify.BEHIND}
        if (
            verify.NO_HEAD in checked.problems
            and not noted
            and not any(versions(self.bucket, f"{self.prefix}/{HEAD}"))
        ):
            # It was never written: the first run has died before that.
            excused.add(verify.NO_HEAD)
        found = [problem for problem in checked.problems if problem not in excused]
        problems = [*found, *_lacking(files, noted), *self._covered(files)]
        if problems:
            raise OpsError(
                f"chain of evidence {self.address}",
                cause="; ".join(problems[:5]),
                next_step="somebody changed it, or the key: look at the versions of these objects, "
                "and put the original ones back; FT_EVIDENCE_KEY_FILE must be the key that signed; "
                "of one that was replaced, FT_EVIDENCE_FORMER_KEYS names the public half",
            )
        is_named = not checked.problems and checked.head == _named(files)
        return _Standing(checked, etag, is_named)

    def _covered(self, files: Mapping[str, bytes]) -> Iterator[str]:
        """Links that are gone, or not as they were first: what a cut leaves in a versioned bucket.

        Only what is signed counts: anybody who may write can lay a file where a link will be.
        """
        for key, history in histories(self.bucket, f"{self.prefix}/").items():
            name = key.removeprefix(f"{self.prefix}/")
            if name == HEAD or "/" in name or not (history.hidden or history.versions[1:]):
                continue
            for version in reversed(history.versions):
                content = read_version(self.bucket, version)
                if self._checked({name: content}).entries:
                    if content != files.get(name):
                        what = "is another one" if name in files else "was taken away"
                        yield f"{name} {what}: its version {version.version_id} was signed first"
                    break

    def _add(self, before: Head | None, acts: Sequence[Act], now: datetime) -> Head:
        number = before.number + 1 if before else 1
        content = self._signed(
            "link",
            {
                "number": number,
                "previous": before.sha256 if before else "",
                "key": verify.key_name(self.key.public_key()),
                "written_at": now.astimezone(UTC).isoformat(),
                "entries": [to_entry(act) for act in acts],
            },
        )
        key = f"{self.prefix}/{link_name(number)}"
        try:
            put_once(self.bucket, key, content)
        except Refused:
            # A request that was repeated, because its answer was lost, finds what it has written.
            if read_current(self.bucket, key) != content:
                raise
        return Head(number, hashlib.sha256(content).hexdigest())

    def _point_to(
        self, head: Head, etag: str | None, now: datetime, noted: Sequence[Head]
    ) -> str | None:
        """Let head.json, which has that ETag, name ``head``; its new ETag.

        Each link has its head before the next one is written, so whoever dies leaves one link too
        many. Whoever was stopped meanwhile can't set back what another run has written: then the
        chain is read again, and the head that it has by now stays, or is moved to the newest link.
        """
        key = f"{self.prefix}/{HEAD}"
        for _ in range(_ATTEMPTS):
            try:
                etag = replace_unchanged(self.bucket, key, self._head(head, now), etag)
            except Changed:
                is_newest = False
            else:
                is_newest = not any(
                    objects(self.bucket, f"{self.prefix}/{link_name(head.number + 1)}")
                )
            if is_newest:
                return etag
            standing = self._standing(noted)
            if standing.is_named or standing.checked.head is None:
                return standing.etag
            head, etag = standing.checked.head, standing.etag
        raise self._busy()

    def _head(self, head: Head, now: datetime) -> bytes:
        return self._signed(
            "head",
            {
                "number": head.number,
                "sha256": head.sha256,
                "key": verify.key_name(self.key.public_key()),
                "written_at": now.astimezone(UTC).isoformat(),
            },
        )

    def _lay_program(self) -> None:
        """Lay the verifier and the public key beside the links: the bucket alone suffices."""
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        name = verify.key_name(self.key.public_key())[:16]
        for key, content in (
            (f"{self.prefix}/program/{PROGRAM}", Path(verify.__file__).read_bytes()),
            (f"{self.prefix}/program/{name}.pem", public),
        ):
            try:
                put_once(self.bucket, key, content)
            except Refused:
                # That of an earlier version, or what somebody has put in its place.
                if read_current(self.bucket, key) != content:
                    replace_current(self.bucket, key, content)

    def _signed(self, what: str, inner: Mapping[str, object]) -> bytes:
        signature = self.key.sign(canonical({what: inner})).hex()
        return canonical({what: inner, "signature": signature})

    def _checked(self, files: Mapping[str, bytes]) -> CheckedChain:
        if not files:
            return CheckedChain((), (), None)
        return verify.verify_chain(files, [*self.former, self.key.public_key()])

    def _files(self) -> tuple[dict[str, bytes], str | None]:
        """The files of the chain by their names, and the ETag of head.json, if it is there.

        They are of one moment: as long as a run moves the head meanwhile, they are read again.
        """
        key = f"{self.prefix}/{HEAD}"
        for _ in range(_ATTEMPTS):
            try:
                head = read_with_etag(self.bucket, key)
            except Missing:
                head = None
            found = {
                PurePosixPath(listed.key).name: listed.etag
                for listed in objects(self.bucket, f"{self.prefix}/")
                if "/" not in listed.key.removeprefix(f"{self.prefix}/")
            }
            if found.pop(HEAD, None) == (head.etag.strip('"') if head else None):
                break
        else:
            raise self._busy()
        files = {name: read_current(self.bucket, f"{self.prefix}/{name}") for name in found}
        if head is None:
            return files, None
        return {**files, HEAD: head.content}, head.etag

    def _busy(self) -> Refused:
        return Refused(
            f"chain of evidence {self.address}",
            cause="other runs write to it all the time",
            next_step="let one run work at a time, then run again",
        )


@dataclass(frozen=True, slots=True)
class _Standing:
    """A chain as it was read: whole, or whole but for a head that does not name the newest link.

    ``etag`` is that of head.json; None where it was never written.
    """

    checked: CheckedChain
    etag: str | None
    is_named: bool


def _named(files: Mapping[str, bytes]) -> Head | None:
    """The link that head.json names; for files without a problem."""
    if HEAD not in files:
        return None
    head = json.loads(files[HEAD])["head"]
    return Head(head["number"], head["sha256"])


def _lacking(files: Mapping[str, bytes], noted: Sequence[Head]) -> Iterator[str]:
    for head in noted:
        name = link_name(head.number)
        if name not in files:
            yield f"{name} is missing, and was noted as the head"
        elif hashlib.sha256(files[name]).hexdigest() != head.sha256:
            yield f"{name} is not the link that was noted as the head"


def open_chain(settings: Settings) -> Chain:
    """The chain of this deployment; an OpsError when a setting of it is missing or unreadable."""
    return Chain(
        open_bucket(settings.require_archive_bucket()),
        settings.evidence_prefix,
        open_signer(settings),
        tuple(former_keys(settings.evidence_former_keys)),
    )
