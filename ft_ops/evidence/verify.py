"""Verifies a chain of evidence offline: python verify.py FOLDER KEY.pem.

FOLDER holds the chain as it lies in the bucket: 00000001.json and so on, and head.json. KEY.pem
is the public key, Ed25519; name several where the key has changed. The program needs Python and the
package `cryptography`: no database, no network, and nothing else of this project.

A link is one file, {"link": {…}, "signature": "…"} as canonical JSON. Each link has its number and
the SHA-256 of the file before it, and is signed; head.json names the newest link. So a changed
byte, a missing link and two links in each other's place are found. One thing alone can't be found:
that the newest links and the head were put back to an earlier state together. Compare the head with
one that you have kept, by --head NUMBER:SHA256.
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
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

HEAD = "head.json"
_LINK = re.compile(r"\d{8}\.json")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link: its number, and the SHA-256 of its file in hexadecimal."""

    number: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.number}:{self.sha256}"


@dataclass(frozen=True, slots=True)
class CheckedChain:
    """What was found wrong, in sentences; the entries of the links; and the newest link.

    Entries are to be believed only where ``problems`` is empty.
    """

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


def key_name(key: Ed25519PublicKey) -> str:
    """How links call the key that signed them: the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def verify_chain(files: Mapping[str, bytes], keys: Sequence[Ed25519PublicKey]) -> CheckedChain:
    """Examine the files of a chain by their names. One without any link is no chain: a problem."""
    by_name = {key_name(key): key for key in keys}
    numbers = sorted(int(name[:8]) for name in files if _LINK.fullmatch(name))
    problems = [
        f"{name} is no part of a chain"
        for name in sorted(files)
        if not _LINK.fullmatch(name) and name != HEAD
    ]
    if not numbers:
        problems.append("there is no link")
    entries: list[Mapping[str, object]] = []
    previous = ""
    for number in range(1, numbers[-1] + 1 if numbers else 1):
        name = link_name(number)
        if name not in files:
            problems.append(f"{name} is missing")
            previous = ""
            continue
        link, found = _opened(name, files[name], "link", by_name)
        problems += found
        if link is not None:
            if link.get("number") != number:
                problems.append(f"{name} says that it is number {link.get('number')}")
            if link.get("previous") != previous:
                problems.append(f"{name} does not follow the link before it")
            listed = link.get("entries")
            entries += listed if isinstance(listed, list) else []
        previous = hashlib.sha256(files[name]).hexdigest()
    newest = Head(numbers[-1], previous) if numbers else None
    problems += _about_head(files, numbers, by_name)
    return CheckedChain(tuple(problems), tuple(entries), newest)


def _about_head(
    files: Mapping[str, bytes], numbers: Sequence[int], keys: Mapping[str, Ed25519PublicKey]
) -> list[str]:
    """What is wrong with head.json. A link after it was written before the head could follow."""
    if HEAD not in files:
        return [f"{HEAD} is missing"]
    head, problems = _opened(HEAD, files[HEAD], "head", keys)
    if head is None:
        return problems
    number = head.get("number")
    if not isinstance(number, int) or number not in numbers:
        return [*problems, f"{HEAD} names link {number}, which is missing"]
    if head.get("sha256") != hashlib.sha256(files[link_name(number)]).hexdigest():
        problems.append(f"{HEAD} names another {link_name(number)}")
    if number < numbers[-1] - 1:
        problems.append(f"{HEAD} names link {number}, and there are {numbers[-1]}")
    return problems


def _opened(
    name: str, content: bytes, what: str, keys: Mapping[str, Ed25519PublicKey]
) -> tuple[Mapping[str, object] | None, list[str]]:
    """The document in a file, and what is wrong with the file."""
    try:
        document = json.loads(content)
    except ValueError:
        return None, [f"{name} is no JSON"]
    inner = document.get(what) if isinstance(document, dict) else None
    if not isinstance(inner, dict) or document.keys() != {what, "signature"}:
        return None, [f"{name} holds no {what}"]
    if canonical(document) != content:
        return inner, [f"{name} is not written as the chain writes"]
    key = keys.get(str(inner.get("key")))
    if key is None:
        return inner, [f"{name} is signed by a key that was not given, {inner.get('key')}"]
    if not _is_signed(canonical({what: inner}), str(document["signature"]), key):
        return inner, [f"the signature of {name} is wrong"]
    return inner, []


def _is_signed(content: bytes, signature: str, key: Ed25519PublicKey) -> bool:
    try:
        raw = bytes.fromhex(signature)
        key.verify(raw, content)
    except (InvalidSignature, ValueError):
        return False
    # fromhex() reads capitals and blanks, too.
    return raw.hex() == signature


def read_key(path: Path) -> Ed25519PublicKey:
    """A public key in PEM; a ValueError when it is none, or of another kind."""
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} holds no Ed25519 key")  # noqa: TRY004  the content is wrong
    return key


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
        number, _, sha256 = given.head.partition(":")
        kept = files.get(link_name(int(number)), b"")
        if hashlib.sha256(kept).hexdigest() != sha256:
            problems.append(f"link {number} is not the one that you have kept")
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if not problems:
        sys.stdout.write(f"whole: {len(checked.entries)} entries, head {checked.head}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
