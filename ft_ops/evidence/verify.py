"""Verifies a chain of evidence offline: python verify.py FOLDER KEY.pem.

FOLDER holds the chain as it lies in the bucket: 00000001.json and so on, and head.json. KEY.pem
is the public key, Ed25519 or ECDSA on P-256; name several, oldest first, where the key has changed:
none signs after a later one, and the last one signs the head. Python and `cryptography` are enough.

A link is one file, {"link": {…}, "signature": "…"} as canonical JSON, with its number and the
SHA-256 of the file before it; head.json names the newest. A changed byte, a missing link and two in
each other's place are found. What is not: an earlier state of the newest links and the head, or a
whole other chain by the same key. Compare the head with one you have kept, --head NUMBER:SHA256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

HEAD = "head.json"
FORMER_HEAD = f"{HEAD} is signed by a key that a later one has replaced"
NO_HEAD, BEHIND = f"{HEAD} is missing", f"{HEAD} names a link that more than one other follows"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey
_Keys = Mapping[str, PublicKey]
_LINK = re.compile(r"(?!0{8})[0-9]{8}\.json")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link: its number, and the SHA-256 of its file in hexadecimal."""

    number: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.number}:{self.sha256}"


@dataclass(frozen=True, slots=True)
class CheckedChain:
    """What is wrong, in sentences; entries, to be believed where nothing is; the newest link."""

    problems: tuple[str, ...]
    entries: tuple[Mapping[str, object], ...]
    head: Head | None


def canonical(document: object) -> bytes:
    """The one way in which a document of the chain is written."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")


def link_name(number: int) -> str:
    """The file's name of a link; numbers begin at 1."""
    return f"{number:08d}.json"


def key_name(key: PublicKey) -> str:
    """How links call the key that signed them: the SHA-256 of its bytes, or of its point."""
    point = (Encoding.X962, PublicFormat.UncompressedPoint)
    form = (Encoding.Raw, PublicFormat.Raw) if isinstance(key, Ed25519PublicKey) else point
    return hashlib.sha256(key.public_bytes(*form)).hexdigest()


def verify_chain(files: Mapping[str, bytes], keys: Sequence[PublicKey]) -> CheckedChain:
    """Examine the files of a chain by their names. One without any link is no chain: a problem."""
    by_name = {key_name(key): key for key in keys}
    numbers = sorted(int(name[:8]) for name in files if _LINK.fullmatch(name))
    strangers = sorted(name for name in files if not _LINK.fullmatch(name) and name != HEAD)
    problems = [f"{name} is no part of a chain" for name in strangers]
    if not numbers:
        problems.append("there is no link")
    entries: list[Mapping[str, object]] = []
    previous, newest_key, follows = "", 0, 1
    for number in numbers:
        name = link_name(number)
        if number != follows:
            up_to = f" to {link_name(number - 1)}" if number > follows + 1 else ""
            problems.append(f"{link_name(follows)}{up_to} is missing")
            previous = ""
        follows = number + 1
        link, found = _opened(name, files[name], "link", by_name)
        problems += found
        if link is not None:
            if link.get("number") != number:
                problems.append(f"{name} says that it is another number")
            rank = [*by_name].index(str(link["key"])) if not found else newest_key
            if rank < newest_key:
                problems.append(f"{name} is signed by a key that a later one has replaced")
            newest_key = max(rank, newest_key)
            if link.get("previous") != previous:
                problems.append(f"{name} does not follow the link before it")
            listed = link.get("entries")
            entries += listed if isinstance(listed, list) and not found else []
        previous = hashlib.sha256(files[name]).hexdigest()
    newest = Head(numbers[-1], previous) if numbers else None
    problems += _about_head(files, numbers, by_name)
    return CheckedChain(tuple(problems), tuple(entries), newest)


def _about_head(files: Mapping[str, bytes], numbers: Sequence[int], keys: _Keys) -> list[str]:
    """What is wrong with head.json. One link may follow it: a writer died before the head."""
    if HEAD not in files:
        return [NO_HEAD]
    head, problems = _opened(HEAD, files[HEAD], "head", keys)
    if head is None:
        return problems
    number = named if isinstance(named := head.get("number"), int) else 0
    if number not in numbers:
        return [*problems, f"{HEAD} names link {number}, which is missing"]
    if head.get("sha256") != hashlib.sha256(files[link_name(number)]).hexdigest():
        problems.append(f"{HEAD} names another {link_name(number)}")
    if not problems and head["key"] != [*keys][-1]:
        problems.append(FORMER_HEAD)
    if number < numbers[-1] - 1:
        problems.append(BEHIND)
    return problems


def _opened(
    name: str, content: bytes, what: str, keys: _Keys
) -> tuple[Mapping[str, object] | None, list[str]]:
    """The document in a file, and what is wrong with the file."""
    try:
        document = json.loads(content)
        written = canonical(document)
    except (ValueError, RecursionError):
        return None, [f"{name} is no JSON"]
    inner = document.get(what) if isinstance(document, dict) else None
    if not isinstance(inner, dict) or document.keys() != {what, "signature"}:
        return None, [f"{name} holds no {what}"]
    called, signature = inner.get("key"), document["signature"]
    if written != content or not isinstance(called, str) or not isinstance(signature, str):
        return inner, [f"{name} is not written as the chain writes"]
    if called not in keys:
        return inner, [f"{name} is signed by a key that was not given, {called}"]
    if not _is_signed(canonical({what: inner}), signature, keys[called]):
        return inner, [f"the signature of {name} is wrong"]
    return inner, []


def _is_signed(content: bytes, signature: str, key: PublicKey) -> bool:
    try:
        raw = bytes.fromhex(signature)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, content)
        else:
            r, s = utils.decode_dss_signature(raw)  # of two that verify, the smaller is ours
            if s > ORDER // 2 or utils.encode_dss_signature(r, s) != raw:
                return False
            key.verify(raw, hashlib.sha256(content).digest(), ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return raw.hex() == signature  # fromhex() reads capitals and blanks, too


def read_key(path: Path) -> PublicKey:
    """A public key in PEM; a ValueError when it is none, or of another kind."""
    key = load_pem_public_key(path.read_bytes())
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError(f"{path} holds no key of Ed25519 or of P-256")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong, or the head; the status is 1 when something is."""
    parser = argparse.ArgumentParser(description="Verify a chain of evidence offline.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("keys", type=Path, nargs="+", metavar="KEY.pem")
    parser.add_argument("--head", help="NUMBER:SHA256 of a head that you have kept")
    given = parser.parse_args(arguments)
    files = {path.name: path.read_bytes() for path in given.folder.iterdir() if path.is_file()}
    checked = verify_chain(files, [read_key(path) for path in given.keys])
    problems = list(checked.problems)
    if given.head is not None:
        number, _, sha256 = given.head.strip().lower().partition(":")
        kept = files.get(f"{number.zfill(8)}.json", b"")
        if hashlib.sha256(kept).hexdigest() != sha256:
            problems.append(f"link {number} is not the one that you have kept")
    for problem in problems or [f"whole: {len(checked.entries)} entries, head {checked.head}"]:
        sys.stdout.write(f"{ascii(problem)[1:-1]}\n")  # names and keys are others' words
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
