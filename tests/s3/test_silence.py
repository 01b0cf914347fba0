"""A silent endpoint is asked once for all; one object in trouble stops only itself."""

from __future__ import annotations

import socket
from time import monotonic

import pytest
from botocore.config import Config

from ft_ops.errors import OpsError
from ft_ops.items import each
from ft_ops.s3 import silence
from ft_ops.s3.bucket import Bucket, Missing, Silent, client_of
from ft_ops.s3.objects import read_current, replace_current
from tests.faults.proxy import Mischief, Plan, Proxy

KEYS = [f"memory {number}" for number in range(1000)]


@pytest.fixture
def struck(bucket: Bucket, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The bucket behind a proxy, by a client that asks once."""
    monkeypatch.setattr(silence, "PROBE_SECONDS", 0.1)
    replace_current(bucket, KEYS[-1], b"there")
    once = Config(retries={"total_max_attempts": 1})
    return Bucket(bucket.name, client_of("s3", endpoint_url=between.url, config=once))


@pytest.mark.parametrize("mischief", ["reset", "lost answer", "503"])
def test_a_look_at_a_thousand_objects_asks_a_silent_endpoint_twice(
    struck: Bucket, between: Proxy, mischief: Mischief, monkeypatch: pytest.MonkeyPatch
) -> None:
    between.plan = Plan(mischief, 1, lasting=True)
    looked = each(KEYS, lambda key: read_current(struck, key))
    assert [failed.name for failed in looked.failed] == KEYS
    assert [seen.split()[0] for seen in between.plan.seen] == ["GET", "HEAD"]
    first, *others = looked.failed
    assert "was not asked" not in first.cause
    assert all(f"{between.url} has answered nothing since" in other.cause for other in others)
    # It is left alone for a while, and then asked again.
    between.plan = Plan()
    with pytest.raises(Silent, match="GetObject was not asked"):
        read_current(struck, KEYS[-1])
    assert between.plan.seen == []
    monkeypatch.setattr(silence, "monotonic", lambda: monotonic() + silence.ASKED_AGAIN_SECONDS)
    assert read_current(struck, KEYS[-1]) == b"there"
    assert [seen.split()[0] for seen in between.plan.seen] == ["HEAD", "GET"]


def test_an_endpoint_where_nobody_is_there_is_asked_no_more(bucket: Bucket) -> None:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        once = Config(retries={"total_max_attempts": 1})
        struck = Bucket(bucket.name, client_of("s3", endpoint_url=url, config=once))
        looked = each(KEYS, lambda key: read_current(struck, key))
    first, *others = looked.failed
    assert "was not asked" not in first.cause
    assert len(others) == len(KEYS) - 1
    assert all(f"{url} has answered nothing since" in other.cause for other in others)


@pytest.mark.parametrize("mischief", ["reset", "500"])
def test_one_object_in_trouble_stops_no_other(
    struck: Bucket, between: Proxy, mischief: Mischief
) -> None:
    between.plan = Plan(mischief, 1)
    with pytest.raises(OpsError) as refused:
        read_current(struck, KEYS[-1])
    assert not isinstance(refused.value, Silent)
    assert read_current(struck, KEYS[-1]) == b"there"
    assert [seen.split()[0] for seen in between.plan.seen] == ["GET", "HEAD", "GET"]


def test_what_is_missing_or_denied_is_an_answer(struck: Bucket, between: Proxy) -> None:
    for key in KEYS[:3]:
        with pytest.raises(Missing):
            read_current(struck, key)
    assert [seen.split()[0] for seen in between.plan.seen] == ["GET"] * 3
