"""A chain that anything was done to is found out, by its files and the public key alone."""

from __future__ import annotations

import hashlib
import json
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
from ft_ops.evidence.verify import FORMER_HEAD, HEAD, canonical, key_name, link_name, verify_chain

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def signed(what: str, inner: Mapping[str, object], key: Ed25519PrivateKey = KEY) -> bytes:
    inner = {**inner, "key": key_name(key.public_key())}
    signature = key.sign(canonical({what: inner})).hex()
    return canonical({what: inner, "signature": signature})


def chain(
    links: int,
    *,
    head_at: int | None = None,
    key: Ed25519PrivateKey = KEY,
    head_key: Ed25519PrivateKey | None = None,
) -> dict[str, bytes]:
    """The files of a chain with that many links, of two entries each."""
    files: dict[str, bytes] = {}
    previous = ""
    for number in range(1, links + 1):
        entries = [{"id": f"{number}-{n}", "details": {"name": "Zoë"}} for n in range(2)]
        inner = {"number": number, "previous": previous, "entries": entries}
        content = signed("link", inner, key)
        files[link_name(number)] = content
        previous = hashlib.sha256(content).hexdigest()
    at = head_at or links
    sha256 = hashlib.sha256(files[link_name(at)]).hexdigest()
    files[HEAD] = signed("head", {"number": at, "sha256": sha256}, head_key or key)
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


def test_every_flipped_bit_flipped_case_and_lost_byte_is_found() -> None:
    """What JSON and hexadecimal read as the same is another byte all the same."""
    short = chain(1)
    for name, content in short.items():
        for place, byte in enumerate(content):
            before, after = content[:place], content[place + 1 :]
            for other in (bytes([byte ^ 1]), bytes([byte]).swapcase(), b""):
                changed = before + other + after
                assert changed == content or problems({**short, name: changed}), (name, place)


def test_the_same_document_in_other_bytes_is_found() -> None:
    for name, content in WHOLE.items():
        document = json.loads(content)
        for other in (
            content + b"\n",
            content.replace(b":", b": ", 1),
            b"\xef\xbb\xbf" + content,
            content.decode().encode("utf-16"),
            content.replace(b"{", b"{\r\n", 1),
            content.replace(b'"signature"', b'"signature":"","signature"', 1),
            json.dumps(document, indent=1).encode(),
            json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            + b"\r\n",
        ):
            assert problems({**WHOLE, name: other}) != (), (name, other[:40])


def rewritten(change: Callable[[list[object]], None]) -> dict[str, bytes]:
    """The second link with other entries, and all hashes after it made to fit, by no key."""
    files = dict(WHOLE)
    document = json.loads(files[link_name(2)])
    change(document["link"]["entries"])
    files[link_name(2)] = canonical(document)
    for name, field in ((link_name(3), "previous"), (HEAD, "sha256")):
        before = files[link_name(2 if field == "previous" else 3)]
        document = json.loads(files[name])
        inner = document["link" if field == "previous" else "head"]
        inner[field] = hashlib.sha256(before).hexdigest()
        files[name] = canonical(document)
    return files


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries.pop(0),
        lambda entries: entries.reverse(),
        lambda entries: entries.append(entries[0]),
        lambda entries: entries.insert(1, {"id": "2-5", "details": {}}),
        lambda entries: entries.clear(),
    ],
    ids=["removed", "swapped", "twice", "inserted", "emptied"],
)
def test_entries_that_are_not_the_signed_ones_are_found_and_not_believed(
    change: Callable[[list[object]], None],
) -> None:
    checked = verify_chain(rewritten(change), [KEY.public_key()])
    assert f"the signature of {link_name(2)} is wrong" in checked.problems
    assert [entry["id"] for entry in checked.entries] == ["1-0", "1-1"]


def test_a_link_twice_and_one_in_between_are_found() -> None:
    third = WHOLE[link_name(3)]
    assert problems({**WHOLE, link_name(4): third})
    assert problems({**WHOLE, link_name(2): third, link_name(3): WHOLE[link_name(2)]})
    moved = {**WHOLE, link_name(4): third, link_name(3): WHOLE[link_name(2)]}
    assert problems(moved)


def test_a_chain_that_another_key_has_signed_anew_is_found() -> None:
    forged = chain(3, key=OTHER)
    assert any("a key that was not given" in problem for problem in problems(forged))
    assert any("a key that was not given" in p for p in problems({**WHOLE, HEAD: forged[HEAD]}))


def test_whoever_kept_a_former_key_can_not_cut_the_chain_back_to_its_time() -> None:
    """A chain that the former key has signed to its end is whole by that key alone."""
    keys = [KEY.public_key(), OTHER.public_key()]
    assert verify_chain(WHOLE, keys[:1]).problems == ()
    assert verify_chain(WHOLE, keys).problems == (FORMER_HEAD,)
    taken_over = {**WHOLE, HEAD: chain(3, head_key=OTHER)[HEAD]}
    assert verify_chain(taken_over, keys).problems == ()


def test_a_number_far_away_takes_no_time_and_names_what_is_missing() -> None:
    files = {**WHOLE, "99999999.json": WHOLE[link_name(3)]}
    assert "00000004.json to 99999998.json is missing" in problems(files)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", ["a", "list"]),
        ("key", {"no": "key"}),
        ("key", "\ud800"),
        ("number", [[]]),
        ("previous", None),
        ("entries", "none"),
    ],
)
def test_values_of_another_kind_are_found(field: str, value: object) -> None:
    for name, what in ((link_name(2), "link"), (HEAD, "head")):
        document = json.loads(WHOLE[name])
        document[what][field] = value
        assert problems({**WHOLE, name: canonical(document)}), (name, field)
    document = {**json.loads(WHOLE[HEAD]), "signature": [[[]]]}
    assert problems({**WHOLE, HEAD: canonical(document)})


def test_no_words_of_others_pass_for_the_programs_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a line of their own, nor what clears a terminal."""
    document = json.loads(WHOLE[link_name(2)])
    document["link"]["key"] = "x\x1b[2J\r\nwhole: 6 entries, head 3:ab\ud800"
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    folder = tmp_path / "chain"
    folder.mkdir()
    for name, content in {**WHOLE, link_name(2): canonical(document)}.items():
        (folder / name).write_bytes(content)
    assert program.main([str(folder), str(key), "--head", "no number:00"]) == 1
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert not [line for line in told.splitlines() if line.startswith("whole")]


def test_a_chain_and_head_of_an_earlier_state_are_found_by_the_head_that_was_kept(
    tmp_path: Path,
) -> None:
    newest = f"3:{hashlib.sha256(WHOLE[link_name(3)]).hexdigest().upper()}"
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for links, status in ((3, 0), (2, 1)):
        folder = tmp_path / str(links)
        folder.mkdir()
        for name, content in chain(links).items():
            (folder / name).write_bytes(content)
        assert program.main([str(folder), str(key)]) == 0
        assert program.main([str(folder), str(key), "--head", newest]) == status


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
