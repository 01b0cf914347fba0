"""What has no end is left behind, and costs one thread however often it is tried."""

from __future__ import annotations

import threading
import time

import pytest

from ft_ops.deadline import NoEnd, StillHanging, call_one_within, call_within


def test_a_call_returns_or_raises_what_its_work_does() -> None:
    assert call_within(5, lambda: 7) == 7
    assert call_within(5, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        call_within(5, lambda: 1 // 0)


def test_what_does_not_end_is_left_behind() -> None:
    release = threading.Event()
    with pytest.raises(NoEnd, match=r"no end after 0\.05 seconds"):
        call_within(0.05, release.wait)
    release.set()


def test_what_comes_too_late_is_discarded_and_nothing_else() -> None:
    release, discarded = threading.Event(), threading.Event()
    with pytest.raises(NoEnd):
        call_within(0.05, lambda: release.wait(10), discard=lambda _: discarded.set())
    assert not discarded.is_set()
    release.set()
    assert discarded.wait(10)
    assert call_within(5, lambda: 7, discard=lambda _: pytest.fail("it came in time")) == 7


def test_what_hangs_is_not_begun_again_until_it_has_ended() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(10)

    with pytest.raises(NoEnd):
        call_one_within(0.05, "a", hang)
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(StillHanging):
            call_one_within(0.05, "a", hang)
    assert threading.active_count() == before
    assert call_one_within(5, "another", lambda: 7) == 7
    release.set()
    assert _begun_again("a") == 8


def _begun_again(name: str) -> int:
    for _ in range(100):
        try:
            return call_one_within(5, name, lambda: 8)
        except StillHanging:
            time.sleep(0.02)
    pytest.fail("it has ended, and is still not begun again")
