"""An endpoint whose bytes trickle, or that says nothing, ends a request and not the run's time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ft_ops.errors import OpsError
from ft_ops.s3 import bounded, silence
from ft_ops.s3.bucket import Bucket, Denied, client_of, open_bucket
from ft_ops.s3.objects import StoredObject, objects, read_current, read_object, told
from tests.fixtures.slow import Say, answering, headed, silent, trickle, trickled_body

STORED = StoredObject("memory", "v1", 10, "00", "STANDARD")
SECONDS = 0.5


@pytest.fixture(autouse=True)
def impatient(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LONGEST_SECONDS", SECONDS)
    monkeypatch.setattr(bounded, "STALLED_SECONDS", SECONDS)


@contextmanager
def endpoint(say: Say) -> Iterator[Bucket]:
    """A bucket at a server that answers so."""
    with answering(say) as url:
        yield Bucket("memories", client_of("s3", endpoint_url=url))


@pytest.mark.parametrize("say", [silent, trickle(headed(0) * 9), trickled_body])
@pytest.mark.parametrize(
    "ask",
    [
        lambda bucket: list(objects(bucket, "")),
        lambda bucket: read_current(bucket, "memory"),
        lambda bucket: read_object(bucket, STORED),
    ],
    ids=["a listing", "an object", "a version"],
)
def test_a_request_ends_although_no_wait_of_it_is_long(
    say: Say, ask: Callable[[Bucket], object]
) -> None:
    began = time.monotonic()
    with (
        endpoint(say) as bucket,
        pytest.raises(OpsError, match=r"had no end after 0\.5 seconds") as refused,
    ):
        ask(bucket)
    # A time-out of boto3 would come after a minute, and be tried again.
    assert time.monotonic() - began < 30
    assert "endpoint" in refused.value.next_step


def test_a_body_that_comes_steadily_may_last_longer() -> None:
    content = bytes(range(256)) * (3 * bounded.PIECE_BYTES // 256)

    def say(taken: socket.socket) -> None:
        taken.sendall(headed(len(content)))
        for start in range(0, len(content), bounded.PIECE_BYTES):
            time.sleep(0.6 * SECONDS)
            taken.sendall(content[start : start + bounded.PIECE_BYTES])

    with endpoint(say) as bucket:
        assert read_current(bucket, "memory") == content


@pytest.mark.parametrize(
    ("minutes", "kind", "next_step"),
    [(14, Denied, "grant"), (16, OpsError, "set this machine's clock")],
)
def test_a_clock_that_is_wrong_is_no_missing_right(
    minutes: int, kind: type[OpsError], next_step: str
) -> None:
    """To a HEAD, S3 says 403 and not a word."""
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True)

    def say(taken: socket.socket) -> None:
        taken.sendall(
            f"HTTP/1.1 403 Forbidden\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    with endpoint(say) as bucket, pytest.raises(OpsError) as refused:
        told(bucket, STORED)
    assert type(refused.value) is kind
    assert next_step in refused.value.next_step


def test_a_bucket_that_says_nothing_is_not_waited_for_like_an_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five attempts of a minute each are for what is at work already."""
    monkeypatch.setattr(bounded, "LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(silence, "PROBE_SECONDS", SECONDS)
    began = time.monotonic()
    with answering(silent) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(OpsError, match=r"bucket memories: HeadBucket had no end after 0\.5"):
            open_bucket("memories")
    assert time.monotonic() - began < 30


def test_who_reads_a_body_that_is_late_does_not_stay_until_its_end() -> None:
    """For its connection would be left behind with it."""
    before = set(threading.enumerate())

    def say(taken: socket.socket) -> None:
        taken.sendall(headed(1000))
        taken.recv(1)

    with endpoint(say) as bucket:
        with pytest.raises(OpsError, match=r"had no end after 0\.5 seconds"):
            read_current(bucket, "memory")
        for thread in set(threading.enumerate()) - before:
            # But for those of the server that answers.
            if not thread.name.endswith(("(take)", "(_answer)")):
                thread.join(5)
                assert not thread.is_alive()
