"""Runs that die, are stopped or repeated at any request: the chain goes on, with every act once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ft_ops.errors import OpsError, Refused
from ft_ops.evidence import Act, Chain
from ft_ops.evidence import chain as module
from ft_ops.evidence.verify import BEHIND, HEAD, Head, link_name
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, hide, read_current, replace_current, versions

NOW = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LINKS = 3
WRITES = 2 * LINKS + 2
"""Of a run with that many links: each with its head, then the program and the key."""


class Died(BaseException):
    """No process is left that could clean up."""


@dataclass
class Client:
    """A client whose ``at``-th write is preceded or followed by something."""

    inner: Any
    at: int
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    writes: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put_object(self, **request: Any) -> Any:
        self.writes.append(request["Key"])
        if len(self.writes) != self.at:
            return self.inner.put_object(**request)
        self.before()
        answer = self.inner.put_object(**request)
        self.after()
        return answer


def die() -> None:
    raise Died


def through(chain: Chain, client: Client) -> Chain:
    return replace(chain, bucket=Bucket(chain.bucket.name, client))  # type: ignore[arg-type]


def acts(count: int) -> list[Act]:
    return [
        Act(UUID(int=n), NOW + timedelta(seconds=n), "test.act", "tests", {"n": n})
        for n in range(1, count + 1)
    ]


def append(chain: Chain, count: int, seconds: int = 0) -> Head | None:
    """Chain what is new of that many acts."""
    return chain.append(lambda _: acts(count), NOW + timedelta(seconds=seconds))


def chained(chain: Chain) -> list[int]:
    """The acts of a chain that must be whole, and whose head must name its newest link."""
    files, _ = chain._files()
    checked = chain.read()
    assert checked.problems == ()
    assert module._named(files) == checked.head
    return [entry["details"]["n"] for entry in checked.entries]  # type: ignore[index]


@pytest.fixture
def chain(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.setattr(module, "ENTRIES", 1)
    return Chain(bucket, "evidence", KEY)


def elsewhere(chain: Chain, *name: object) -> Chain:
    """A chain of its own in the same bucket."""
    return replace(chain, prefix="-".join(map(str, name)))


def dies(chain: Chain, count: int, at: int) -> None:
    """A run that dies before its ``at``-th write; one that has fewer ends."""
    with suppress(Died):
        append(through(chain, Client(chain.bucket.client, at, before=die)), count)


def test_a_run_may_die_at_every_write_of_its_links_and_heads(chain: Chain) -> None:
    for at in range(1, WRITES + 1):
        own = elsewhere(chain, at)
        with pytest.raises(Died):
            append(through(own, Client(chain.bucket.client, at, before=die)), LINKS)
        append(own, LINKS)
        assert chained(own) == [1, 2, 3], at


@pytest.mark.chaos
@pytest.mark.parametrize("links", [1, LINKS])
@pytest.mark.parametrize("first", range(1, WRITES + 1))
def test_two_runs_may_die_one_after_the_other_and_a_third_with_more_to_chain(
    chain: Chain, links: int, first: int
) -> None:
    for second in range(1, WRITES + 1):
        for more in (0, 1):
            own = elsewhere(chain, second, more)
            dies(own, links, first)
            dies(own, links + more, second)
            dies(own, links + more, 1)
            append(own, links + more)
            assert chained(own) == list(range(1, links + more + 1)), (second, more)


def test_runs_that_die_in_a_row_before_their_heads_leave_a_chain_that_goes_on(
    chain: Chain,
) -> None:
    for count in (1, 2, 3):
        # Whatever the one before has left, its link is followed by no other until its head is.
        dies(chain, count, 2)
        dies(chain, count, 2)
    append(chain, 4)
    assert chained(chain) == [1, 2, 3, 4]


def _stopped(chain: Chain, at: int, when: str, others: int) -> None:
    """A run of two links is stopped at a write while others chain so many acts more."""

    def meanwhile() -> None:
        for count in range(2, 2 + others):
            append(chain, count, seconds=count)

    client = Client(chain.bucket.client, at)
    setattr(client, when, meanwhile)
    with suppress(Refused):
        append(through(chain, client), 2)
    assert chained(chain) == [*range(1, 2 + others)], (at, when, others)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_run_that_was_stopped_at_any_write_sets_nothing_back(chain: Chain, at: int) -> None:
    for when in ("before", "after"):
        _stopped(elsewhere(chain, when), at, when, 3)


@pytest.mark.chaos
@pytest.mark.parametrize("others", [1, 2, 4])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_run_that_was_stopped_meets_any_number_of_others(
    chain: Chain, at: int, others: int
) -> None:
    for when in ("before", "after"):
        _stopped(elsewhere(chain, when), at, when, others)


def _without_conditions(client: Any) -> Any:
    """An endpoint that knows no conditional overwriting."""

    class Old(Client):
        def put_object(self, **request: Any) -> Any:
            if "IfMatch" in request:
                raise ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
            return super().put_object(**request)

    return Old(client, 0)


def test_an_endpoint_without_conditional_writes_is_asked_before_each(chain: Chain) -> None:
    old = through(chain, _without_conditions(chain.bucket.client))
    append(old, 2)
    append(old, 3)
    assert chained(chain) == [1, 2, 3]
    # Of two runs, the slower one finds out even there.
    files, etag = chain._files()
    append(chain, 5)
    named = module._named(files)
    assert named is not None
    old._point_to(named, etag, NOW, ())
    assert chained(chain) == [1, 2, 3, 4, 5]


def test_an_endpoint_that_ignores_the_condition_gets_its_head_back(chain: Chain) -> None:
    class Deaf(Client):
        def put_object(self, **request: Any) -> Any:
            request.pop("IfMatch", None)
            return super().put_object(**request)

    append(chain, 2)
    files, etag = chain._files()
    append(chain, 4)
    named = module._named(files)
    assert named is not None
    through(chain, Deaf(chain.bucket.client, 0))._point_to(named, etag, NOW, ())
    assert chained(chain) == [1, 2, 3, 4]


def test_a_link_whose_answer_was_lost_is_taken_for_written(chain: Chain) -> None:
    """The request is repeated, and finds what it has written."""

    class Repeating(Client):
        def put_object(self, **request: Any) -> Any:
            self.inner.put_object(**request)
            return self.inner.put_object(**request)

    append(through(chain, Repeating(chain.bucket.client, 0)), 2)
    assert chained(chain) == [1, 2]


def test_an_earlier_head_that_was_put_back_alone_is_moved_to_the_newest_link(
    chain: Chain,
) -> None:
    """Nobody without the key can have written the links behind it."""
    append(chain, 1)
    first = read_current(chain.bucket, f"evidence/{HEAD}")
    append(chain, 3)
    replace_current(chain.bucket, f"evidence/{HEAD}", first)
    assert chain.read().problems == (BEHIND,)
    said: list[str] = []
    chain.append(lambda _: acts(4), NOW, said.append)
    assert "an earlier run has left" in said[0]
    assert chained(chain) == [1, 2, 3, 4]


def _hide_head(chain: Chain) -> None:
    hide(chain.bucket, f"evidence/{HEAD}")


def _change_newest_link(chain: Chain) -> None:
    key = f"evidence/{link_name(2)}"
    replace_current(chain.bucket, key, read_current(chain.bucket, key).replace(b"test", b"best"))


def _put_foreign_link(chain: Chain) -> None:
    other = replace(chain, prefix="other", key=Ed25519PrivateKey.generate())
    append(other, 3)
    foreign = read_current(chain.bucket, f"other/{link_name(3)}")
    replace_current(chain.bucket, f"evidence/{link_name(3)}", foreign)


def _leave_a_gap(chain: Chain) -> None:
    replace_current(chain.bucket, f"evidence/{link_name(4)}", b"{}")


@pytest.mark.parametrize(
    "damage", [_hide_head, _change_newest_link, _put_foreign_link, _leave_a_gap]
)
@pytest.mark.parametrize("head_at", [1, 2])
def test_no_head_is_moved_to_links_that_are_not_ours(
    chain: Chain, damage: Callable[[Chain], None], head_at: int
) -> None:
    append(chain, 1)
    first = read_current(chain.bucket, f"evidence/{HEAD}")
    append(chain, 2)
    if head_at == 1:
        replace_current(chain.bucket, f"evidence/{HEAD}", first)
    damage(chain)
    with pytest.raises(OpsError, match="somebody changed it"):
        append(chain, 4)


def test_a_cut_is_found_by_what_lies_below_it_without_any_note(chain: Chain) -> None:
    """Whoever has the database's rights takes the notes away, and with the key signs anew."""
    append(chain, 1)
    whole, first = {}, read_current(chain.bucket, f"evidence/{HEAD}")
    # Somebody else's file is in a link's way: it was never one of ours.
    replace_current(chain.bucket, f"evidence/{link_name(2)}", b"{}")
    hide(chain.bucket, f"evidence/{link_name(2)}")
    append(chain, 2)
    for name in (link_name(1), link_name(2), HEAD):
        whole[name] = read_current(chain.bucket, f"evidence/{name}")
    replace_current(chain.bucket, f"evidence/{HEAD}", first)
    hide(chain.bucket, f"evidence/{link_name(2)}")
    assert chain.read().problems == ()
    with pytest.raises(OpsError, match=rf"{link_name(2)} was taken away: its version .+ was sig"):
        append(chain, 1)
    # Other links in their place, with a head of their own.
    other = replace(chain, prefix="other")
    append(other, 2, seconds=9)
    for name in whole:
        content = read_current(chain.bucket, f"other/{name}")
        replace_current(chain.bucket, f"evidence/{name}", content)
    assert chain.read().problems == ()
    with pytest.raises(OpsError, match=rf"{link_name(2)} is another one: its version"):
        append(chain, 3)
    for name, content in whole.items():
        replace_current(chain.bucket, f"evidence/{name}", content)
    append(chain, 3)
    assert chained(chain) == [1, 2, 3]


def test_a_head_that_was_noted_is_missed_also_where_no_version_of_it_is_left(chain: Chain) -> None:
    """A first run that died before its head has noted none."""
    head = append(chain, 2)
    assert head is not None
    for version in list(versions(chain.bucket, f"evidence/{HEAD}")):
        delete_version(chain.bucket, version.key, version.version_id)
    with pytest.raises(OpsError, match=rf"{HEAD} is missing"):
        chain.append(lambda _: acts(2), NOW, noted=[head])
    append(chain, 2)
    assert chained(chain) == [1, 2]
