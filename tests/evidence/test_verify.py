"""A chain that anything was done to is found out, by its files and the public key alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ft_ops.evidence import verify as program
from ft_ops.evidence.verify import HEAD, canonical, key_name, link_name, verify_chain

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def signed(what: str, inner: Mapping[str, object], key: Ed25519PrivateKey = KEY) -> bytes:
    inner = {**inner, "key": key_name(key.public_key())}
    signature = key.sign(canonical({what: inner})).hex()
    return canonical({what: inner, "signature": signature})


def chain(links: int, *, head_at: int | None = None) -> dict[str, bytes]:
    """The files of a chain with that many links, of two entries each."""
    files: dict[str, bytes] = {}
    previous = ""
    for number in range(1, links + 1):
        entries = [{"id": f"{number}-{n}", "details": {"name": "Zoë"}} for n in range(2)]
        content = signed("link", {"number": number, "previous": previous, "entries": entries})
        files[link_name(number)] = content
        previous = hashlib.sha256(content).hexdigest()
    at = head_at or links
    sha256 = hashlib.sha256(files[link_name(at)]).hexdigest()
    files[HEAD] = signed("head", {"number": at, "sha256": sha256})
    return files


WHOLE = chain(3)


def problems(files: Mapping[str, bytes]) -> tuple[str, ...]:
    return verify_chain(files, [KEY.public_key()]).problems


def test_a_whole_chain_has_its_entries_in_order_and_its_head() -> None:
    verdict = verify_chain(WHOLE, [KEY.public_key()])
    assert verdict.problems == ()
    assert [entry["id"] for entry in verdict.entries] == ["1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]
    assert str(verdict.head) == f"3:{hashlib.sha256(WHOLE[link_name(3)]).hexdigest()}"


@given(data=st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(WHOLE)))
    place = data.draw(st.integers(0, len(WHOLE[name]) - 1))
    changed = bytearray(WHOLE[name])
    changed[place] ^= data.draw(st.integers(1, 255))
    assert problems({**WHOLE, name: bytes(changed)})


def test_every_flipped_case_and_added_blank_is_found() -> None:
    """What JSON and hexadecimal read as the same is another byte all the same."""
    for name, content in WHOLE.items():
        for place in range(len(content)):
            swapped = content[:place] + content[place : place + 1].swapcase() + content[place + 1 :]
            assert swapped == content or problems({**WHOLE, name: swapped}), (name, place)
        for longer in (content + b"\n", b" " + content, content.replace(b":", b": ", 1)):
            assert problems({**WHOLE, name: longer})


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_each_missing_file_is_found(name: str) -> None:
    left = {other: content for other, content in WHOLE.items() if other != name}
    assert any("missing" in problem for problem in problems(left))


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 3), (1, 3)])
def test_two_links_in_each_others_place_are_found(one: int, other: int) -> None:
    first, second = link_name(one), link_name(other)
    assert problems({**WHOLE, first: WHOLE[second], second: WHOLE[first]})


def test_the_newest_link_and_its_successors_do_not_vanish_silently() -> None:
    shorter = {n: c for n, c in WHOLE.items() if n != link_name(3)}
    assert problems(shorter) == ("head.json names link 3, which is missing",)


@pytest.mark.parametrize(
    ("head_at", "is_whole"),
    # Whoever died between a link and its head left the first; nobody leaves the second.
    [(2, True), (1, False)],
)
def test_how_far_the_head_may_be_behind(head_at: int, *, is_whole: bool) -> None:
    assert (problems(chain(3, head_at=head_at)) == ()) is is_whole


def test_a_chain_by_another_key_is_found_unless_that_key_is_given_too() -> None:
    entries = {"number": 4, "previous": hashlib.sha256(WHOLE[link_name(3)]).hexdigest()}
    forged = signed("link", {**entries, "entries": []}, OTHER)
    head = signed("head", {"number": 4, "sha256": hashlib.sha256(forged).hexdigest()}, OTHER)
    files = {**WHOLE, link_name(4): forged, HEAD: head}
    assert any("a key that was not given" in problem for problem in problems(files))
    assert verify_chain(files, [KEY.public_key(), OTHER.public_key()]).problems == ()


def test_a_head_can_not_pass_for_a_link() -> None:
    """The same signature over the same words would be one thing and the other."""
    assert problems({**WHOLE, link_name(3): WHOLE[HEAD]})


def test_a_stranger_beside_the_links_is_named_and_no_link_is_no_chain() -> None:
    assert problems({**WHOLE, "notes.txt": b""}) == ("notes.txt is no part of a chain",)
    assert "there is no link" in problems({})


def _whole(_: dict[str, bytes]) -> None: ...


def _cut(files: dict[str, bytes]) -> None:
    del files[link_name(2)]


@pytest.mark.parametrize(
    ("damage", "status", "says"),
    [(_whole, 0, "whole: 6 entries, head 3:"), (_cut, 1, "00000002.json is missing")],
)
def test_the_program_runs_on_its_own(
    tmp_path: Path, damage: Callable[[dict[str, bytes]], None], status: int, says: str
) -> None:
    """In a folder of its own, without anything else of this project."""
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(program.__file__).read_bytes())
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    files = dict(WHOLE)
    damage(files)
    folder = tmp_path / "chain"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-I", alone, folder, key], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (status, "")
    assert says in run.stdout
    kept = subprocess.run(
        [sys.executable, "-I", alone, folder, key, "--head", "3:0000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert kept.returncode == 1
    assert "link 3 is not the one that you have kept" in kept.stdout


def test_the_program_is_short_enough_to_be_read() -> None:
    lines = Path(program.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    assert not [line for line in lines if "ft_ops" in line]


def test_a_link_before_the_first_is_no_part_of_the_chain() -> None:
    """Nothing would look into it, and a page might."""
    assert problems({**WHOLE, "00000000.json": WHOLE[link_name(1)]}) == (
        "00000000.json is no part of a chain",
    )


def test_a_document_that_is_nested_without_end_is_found() -> None:
    endless = b"[" * 200_000
    assert f"{link_name(2)} is no JSON" in problems({**WHOLE, link_name(2): endless})
