"""Of many items, one that fails stops itself alone."""

from __future__ import annotations

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.items import SomeFailed, each


def work(item: int) -> int:
    match item:
        case 2:
            raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")
        case 3:
            raise OpsError("month 3", cause="its manifest is damaged", next_step="read it")
        case 4:
            raise FileNotFoundError(2, "No such file or directory", "/spool")
        case _:
            return item * 10


def test_the_others_are_done_and_each_failure_is_named() -> None:
    lines: list[str] = []
    worked = each([1, 2, 3, 4, 5], work, name=lambda item: f"month {item}", log=lines.append)
    assert worked.done == (("month 1", 10), ("month 5", 50))
    assert [item.name for item in worked.failed] == ["month 2", "month 3", "month 4"]
    assert "locked by another session" in worked.failed[0].cause
    assert worked.failed[1].next_step == "read it"
    assert worked.results == [10, 50]
    assert [line.split(":")[0] for line in lines] == [f"month {n} failed" for n in (2, 3, 4)]
    assert lines[1] == "month 3 failed: its manifest is damaged"
    with pytest.raises(
        SomeFailed, match=r"the archive: 3 of 5 failed: month 2: .*; month 3: .*; month 4: "
    ) as refused:
        worked.refuse_failures("the archive")
    assert refused.value.failed == worked.failed


def test_a_next_step_that_several_share_is_told_once() -> None:
    def refused(item: int) -> None:
        raise OpsError("it", cause=f"wrong by {item}", next_step="look" if item < 3 else "wait")

    failed = each([1, 2, 3], refused).failed
    error = SomeFailed("the archive", 4, failed)
    assert error.what == "the archive"
    # What went wrong is told with what it is about, where that is not the item itself.
    assert error.cause == "3 of 7 failed: 1: it: wrong by 1; 2: it: wrong by 2; 3: it: wrong by 3"
    assert error.next_step == "look; wait"


def test_nothing_is_refused_when_everything_was_done() -> None:
    each([1, 5], work).refuse_failures("the archive")


def test_a_defect_of_ours_is_not_taken_for_an_item_that_failed() -> None:
    with pytest.raises(ZeroDivisionError):
        each([1], lambda item: item // 0)


def test_an_interruption_ends_everything() -> None:
    def interrupted(item: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each([1, 2], interrupted)


def test_once_the_connection_is_lost_the_rest_is_not_tried() -> None:
    tried = []

    def lost(item: int) -> None:
        tried.append(item)
        if item == 2:
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    worked = each([1, 2, 3, 4], lost, usable=lambda: 2 not in tried)
    assert tried == [1, 2]
    assert [item.name for item in worked.failed] == ["2", "3", "4"]
    assert worked.failed[2].cause == "not tried: 2 left no connection"
    assert worked.failed[2].next_step == "run again"


def test_where_the_connection_was_lost_before_nothing_is_tried() -> None:
    worked = each(["a", "b"], len, usable=lambda: False)
    assert worked.done == ()
    assert [str(item) for item in worked.failed] == [
        "a: not tried: something before it left no connection",
        "b: not tried: something before it left no connection",
    ]


def test_what_comes_after_a_connection_that_was_lost_and_found_is_tried() -> None:
    lost = iter([True, False, True])
    assert each([1, 2, 3], str, usable=lambda: next(lost)).results == ["1", "3"]
